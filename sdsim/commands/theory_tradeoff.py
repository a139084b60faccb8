"""`sdsim theory tradeoff`: accuracy against bits, of one pass and of several."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console, print_paths
from sdsim.config import STRICT, Count
from sdsim.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from theory.tradeoff import Point

HELP = """\
sdsim theory tradeoff: accuracy against the bits that are held between the sets, in both orders:
what is proved to be impossible in one pass, what is conjectured, the best of all messages where
they can all be tried, and what storing the first set, or hash values of it, reaches. Read several
times: what the hash tower reaches, and elements stored as many at a time as are needed.

  sdsim theory tradeoff universe=32 size_a=4 size_b=12
  sdsim theory tradeoff universe=32 size_a=4 size_b=12 problem=decision out=drawings
  sdsim theory tradeoff universe=32 size_a=4 size_b=12 passes=4
  sdsim theory tradeoff universe=5 size_a=2 size_b=2     # small enough for the optimum
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory tradeoff``.

    Attributes:
        universe: n, elements that sets are drawn from.
        size_a: |A|, elements of one set; both orders are shown.
        size_b: |B|, elements of the other set.
        problem: search, to name the one common element; or decision, whether there is one.
        steps: points of the bounds, from 0 bits to those that store the larger set.
        passes: how often the tower reads; 1: no tower.
        out: folder to draw into; null: nothing is drawn.
    """

    universe: Count = 32
    size_a: Count = 4
    size_b: Count = 12
    problem: Literal["search", "decision"] = "search"
    steps: Count = 32
    passes: Count = 2
    out: str | None = None


def run(config: Config) -> None:
    """Print the points, and draw them."""
    from theory.tradeoff import tradeoff

    if config.out is not None:
        check_writable(Path(config.out), "out")
    sizes = config.universe, config.size_a, config.size_b
    points = tradeoff(*sizes, config.problem, config.steps, config.passes)
    question = {
        "search": "naming the common element of A and B",
        "decision": "deciding whether A and B meet",
    }[config.problem]
    n, a, b = sizes
    title = f"Accuracy against bits, {question}; n = {n}, |A| = {a}, |B| = {b}"
    console.print(as_table(_side_by_side(points), title))
    if config.out is not None:
        import figures

        print_paths(figures.draw_tradeoff(points, *sizes, config.problem, config.out))


def _side_by_side(points: Sequence[Point]) -> pl.DataFrame:
    """A row for each kind, number of passes and of bits, a column for each order."""
    import polars as pl

    kinds = list(dict.fromkeys(point.kind for point in points))
    return (
        pl.DataFrame([asdict(point) for point in points])
        .with_columns(pl.col("kind").cast(pl.Enum(kinds)), pl.col("bits").round(3))
        .pivot(
            "first", index=["kind", "passes", "bits"], values="accuracy", aggregate_function="last"
        )
        .sort("passes", "kind", "bits")
        .rename({"A": "a_first", "B": "b_first"})
    )


COMMAND = Command.of(
    Config,
    name="theory tradeoff",
    summary="print and draw accuracy against bits, of one pass and of several",
    help=HELP,
    run=run,
)
