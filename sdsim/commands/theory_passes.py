"""`sdsim theory passes`: what reading several times takes: all protocols, hash towers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console
from sdsim.config import STRICT, Count

HELP = """\
sdsim theory passes: what reading several times takes. First the fewest states at segment boundaries
that decide without errors, over all protocols of tiny sizes: of two parties who remember what they
have sent, and of recurrent models, which do not; beside what the rank proves. Then the bits of a
hash tower that decides with errors, for sizes of your own.

  sdsim theory passes
  sdsim theory passes size_a=512 size_b=512 most_passes=3 error=0.05
"""

_MOST_ELEMENTS, _MOST_PASSES = 1024, 8  # towers for more take long to find, and gain nothing


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory passes``.

    Attributes:
        universe: n, elements of the largest tiny universe.
        size_a: |A|, elements of the set that the tower reads first.
        size_b: |B|, elements of the other set.
        most_passes: the tower reads once, twice, … up to so often.
        error: probability that the tower is wrong.
    """

    universe: Annotated[int, Field(ge=2, le=6)] = 6
    size_a: Annotated[int, Field(ge=1, le=_MOST_ELEMENTS)] = 64
    size_b: Annotated[int, Field(ge=1, le=_MOST_ELEMENTS)] = 64
    most_passes: Annotated[Count, Field(le=_MOST_PASSES)] = 4
    error: Annotated[float, Field(ge=1e-9, lt=1)] = 0.05


def run(config: Config) -> None:
    """Print the fewest states, then the towers."""
    import polars as pl

    from theory.passes.exhaustive import tiny_protocols
    from theory.passes.tower import tower_for

    title = f"Fewest states of a message, over all protocols with n ≤ {config.universe}"
    protocols = pl.DataFrame(list(tiny_protocols(config.universe)))
    console.print(as_table(protocols, title))
    towers = []
    with Bar("finding towers", "towers") as bar:
        for passes in range(1, config.most_passes + 1):
            tower = tower_for(config.size_a, config.size_b, passes, config.error)
            smaller = min(config.size_a, config.size_b)
            towers.append(
                {
                    "passes": passes,
                    "cells": " ".join(str(level.cells) for level in tower.levels),
                    "bits": tower.bits,
                    "bits_per_element": tower.bits / smaller,
                    "error": tower.error("decision"),
                }
            )
            bar.show(passes, config.most_passes)
    title = (
        f"Bits of a hash tower that decides with error {config.error}; "
        f"|A| = {config.size_a}, |B| = {config.size_b}, elements of the smaller set"
    )
    console.print(as_table(pl.DataFrame(towers), title))


COMMAND = Command.of(
    Config,
    name="theory passes",
    summary="print what reading several times takes: all protocols, hash towers",
    help=HELP,
    run=run,
)
