"""`sdsim theory layers`: the BaseConv layers that equality takes, and so recall."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console
from sdsim.config import STRICT

HELP = """\
sdsim theory layers: the BaseConv layers that equality of two d-bit codes takes, and so associative
recall, read once or twice: if outputs are exact (Theorem G.7; G.11 with p digits for d bits), if
they are within ε of that, and if they are read by their sign, as in all trained models, whose
largest logit is the answer.

  sdsim theory layers
  sdsim theory layers 'widths=[11,128]' error=0.1
"""

_WIDEST = 256  # in seconds; the degree of the approximation takes exact arithmetic


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory layers``.

    Attributes:
        widths: d, bits of a code, a row for each.
        error: ε, how far outputs may be from 0 and from 1.
    """

    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=_WIDEST)], ...], Field(min_length=1)] = (
        1,
        2,
        4,
        8,
        16,
        32,
        64,
        128,
    )
    error: float = 1 / 3


def run(config: Config) -> None:
    """Print a row for each width."""
    from fractions import Fraction

    import polars as pl

    from theory.layers.approximation import approximate_degree, layers_within
    from theory.layers.degrees import layers_for_degree
    from theory.layers.equality import sign_equality_stack

    error = Fraction(str(config.error))
    rows = [
        {
            "bits": width,
            "degree": 2 * width,
            "layers": layers_for_degree(2 * width),
            "degree_within": 2 * approximate_degree(width, error),
            "layers_within": layers_within(width, error),
            "layers_by_sign": len(sign_equality_stack(width).layers),
        }
        for width in config.widths
    ]
    title = f"Degrees of equality and layers at least; within {config.error:.3g}; by sign, enough"
    console.print(as_table(pl.DataFrame(rows), title))


COMMAND = Command.of(
    Config,
    name="theory layers",
    summary="print the layers that recall takes: exact, within an error, by sign",
    help=HELP,
    run=run,
)
