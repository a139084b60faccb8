"""`sdsim theory optima`: how tight the bounds of one pass are, where all messages can be tried."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console, keep_table
from sdsim.config import STRICT
from sdsim.files import check_writable

HELP = """\
sdsim theory optima: the best accuracy of one pass with so many states, found by trying all
messages, beside what is proved of it. Prints how far apart they are; the rows are written as a
table.

  sdsim theory optima out=results/theory
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory optima``.

    Attributes:
        universe: n, elements of the largest universe; 6 takes a minute.
        out: folder for optima.csv; null: nothing is written.
    """

    universe: Annotated[int, Field(ge=2, le=6)] = 6
    out: str | None = None


def run(config: Config) -> None:
    """Try all messages, print a summary, write the rows."""
    import polars as pl

    from theory.tradeoff import optima

    if config.out is not None:
        check_writable(Path(config.out), "out")
    rows = [
        asdict(row) | {"optimum": float(row.optimum), "exactly": str(row.optimum)}
        for row in optima(config.universe)
    ]
    table = pl.DataFrame(rows, infer_schema_length=None)
    several = table.filter(pl.col("states") > 1, pl.col("optimum") < 1)
    slack = pl.col("at_most") - pl.col("optimum")
    summary = several.group_by("problem", "states", maintain_order=True).agg(
        pl.len().alias("sizes"),
        pl.col("optimum").mean().alias("mean_optimum"),
        pl.col("at_most").mean().alias("mean_bound"),
        slack.mean().alias("mean_slack"),
        slack.max().alias("most_slack"),
    )
    title = f"Best accuracy and its bound, over all sizes with n ≤ {config.universe}"
    console.print(as_table(summary, title))
    if config.out is not None:
        keep_table(table, Path(config.out) / "optima.csv")


COMMAND = Command.of(
    Config,
    name="theory optima",
    summary="the best of all messages at tiny sizes, beside the bounds",
    help=HELP,
    run=run,
)
