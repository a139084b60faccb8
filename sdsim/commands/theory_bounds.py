"""`sdsim theory bounds`: what disjointness takes, in bits."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console
from sdsim.config import STRICT, Positive

HELP = """\
sdsim theory bounds: the bits that deciding disjointness takes, in both orders: what is proved to be
needed, and what the streaming algorithms hold.

  sdsim theory bounds universe=2048 size_a=4 size_b=256 passes=2
  sdsim theory bounds universe=32 size_a=4 size_b=12 error=0.01
"""

_LARGEST = 2**63  # of a universe: beyond, the prime of the fingerprints takes too long to find


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory bounds``.

    Attributes:
        universe: n, elements that sets are drawn from.
        size_a: |A|, elements of one set; the table has both orders.
        size_b: |B|, elements of the other set.
        passes: how often the input is read.
        error: probability of a wrong answer, where errors are allowed.
        max_seconds: seconds that one algorithm may run in one order; past that its row has "-".
    """

    universe: Annotated[int, Field(le=_LARGEST)] = 2048
    size_a: int = 4
    size_b: int = 256
    passes: int = 2
    error: float = 0.1
    max_seconds: Positive = 20


def run(config: Config) -> None:
    """Print bounds and algorithms side by side."""
    from fractions import Fraction

    import polars as pl

    from theory.memory import memory_needs

    with Bar("running the algorithms", "rows") as bar:
        needs = memory_needs(
            config.universe,
            config.size_a,
            config.size_b,
            config.passes,
            Fraction(str(config.error)),
            max_seconds=config.max_seconds,
            progress=bar.show,
        )
    title = (
        f"Bits to decide whether A meets B; n = {config.universe}, |A| = {config.size_a}, "
        f"|B| = {config.size_b}"
    )
    rows = [asdict(need) for need in needs]
    for row in rows:  # as texts: some bounds are whole numbers, some are not
        row |= {side: _bits(row[side]) for side in ("a_first", "b_first")}
    console.print(as_table(pl.DataFrame(rows), title))
    unfinished = [need.what for need in needs if None in (need.a_first, need.b_first)]
    if unfinished:
        console.print(
            f"-: not at the end of the prompt after {config.max_seconds:g} s, which max_seconds "
            f"changes, or too large a tower ({'; '.join(unfinished)})"
        )


def _bits(bits: float | None) -> str | None:
    if bits is None:
        return None
    return f"{bits:,}" if isinstance(bits, int) else f"{bits:,.1f}"


COMMAND = Command.of(
    Config,
    name="theory bounds",
    summary="print the bits that disjointness takes: bounds and algorithms",
    help=HELP,
    run=run,
)
