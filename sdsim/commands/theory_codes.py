"""`sdsim theory codes`: how good the best codes found are, between a bitmap and the bound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console, keep_table
from sdsim.config import STRICT, Count
from sdsim.files import check_writable

HELP = """\
sdsim theory codes: how often so many bits, held between A and B, name the common element: by a
bitmap, one bit for each of some elements; by the best code that a search finds; and at most, as is
proved. The best code of all lies between the last two.

  sdsim theory codes                               the sizes of sweep=memory_tiny: some minutes
  sdsim theory codes universe=8 'sizes=[[2,4],[4,2]]' 'bits=[2,3]'
  sdsim theory codes out=results/theory
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory codes``.

    Attributes:
        universe: n, elements to draw from.
        sizes: pairs |A|, |B|.
        bits: held between A and B.
        restarts: searches for each; more find better codes.
        out: folder for codes.csv; null: nothing is written.
    """

    universe: Count = 16
    sizes: Annotated[tuple[tuple[Count, Count], ...], Field(min_length=1)] = (
        (2, 6),
        (3, 5),
        (4, 4),
        (5, 3),
        (6, 2),
    )
    bits: Annotated[tuple[Annotated[int, Field(ge=0, le=12)], ...], Field(min_length=1)] = (
        2,
        4,
        6,
        8,
    )
    restarts: Count = 16
    out: str | None = None


def run(config: Config) -> None:
    """Search, print the table, write it."""
    import polars as pl

    from theory import bitmap_search_accuracy, search_accuracy
    from theory.one_pass.codes import search_accuracy_found

    if config.out is not None:
        check_writable(Path(config.out), "out")
    cases = [(*sizes, bits) for sizes in config.sizes for bits in config.bits]
    rows = []
    with Bar("searching", "codes") as bar:
        for done, (a, b, bits) in enumerate(cases):
            bar.show(done, len(cases))
            n = config.universe
            found = search_accuracy_found(n, a, b, 1 << bits, restarts=config.restarts)
            rows.append(
                {
                    "universe": n,
                    "size_a": a,
                    "size_b": b,
                    "bits": bits,
                    "bitmap": float(bitmap_search_accuracy(n, a, b, min(bits, n))),
                    "found": float(found),
                    "at_most": search_accuracy(n, a, b, bits),
                }
            )
        bar.show(len(cases), len(cases))
    table = pl.DataFrame(rows)
    console.print(as_table(table, "How often the common element is named"))
    if config.out is not None:
        keep_table(table, Path(config.out) / "codes.csv")


COMMAND = Command.of(
    Config,
    name="theory codes",
    summary="a bitmap, the best code found, and the bound",
    help=HELP,
    run=run,
)
