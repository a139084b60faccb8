"""`sdsim theory kernels`: the features that an inner-product kernel needs, and has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console
from sdsim.config import STRICT, Count

HELP = """\
sdsim theory kernels: how many features a kernel needs whose inner products stay below
ε = 1/(3|A|) (Definition G.17, Corollary G.23). Beside what any kernel needs (Welch; Alon, the
order alone), the features of those that the theory has: random signs, as proved to be enough and
as measured, the exponential kernel, and the one that knows the set.

  sdsim theory kernels
  sdsim theory kernels universe=256 'sizes=[2,4,8]'
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory kernels``.

    Attributes:
        universe: n, elements.
        sizes: |A|, a row for each.
        seed: of the random signs that are measured.
    """

    universe: Annotated[int, Field(ge=3, le=1024)] = 128
    sizes: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8)
    seed: Annotated[int, Field(ge=0)] = 0


def run(config: Config) -> None:
    """Print a row for each size."""
    from fractions import Fraction

    import polars as pl

    from theory.based.coherence import alon_order, welch_dimension
    from theory.based.kernels import DataDependentKernel, ExponentialKernel
    from theory.based.random_signs import random_sign_dimension, smallest_random_dimensions

    n = config.universe
    measured, _ = smallest_random_dimensions(n, config.sizes, config.seed)
    rows = []
    for size in config.sizes:
        epsilon = Fraction(1, 3 * size)
        rows.append(
            {
                "size_a": size,
                "epsilon": str(epsilon),
                "any_welch": welch_dimension(n, epsilon),
                "any_alon_order": alon_order(n, epsilon) if n * epsilon**2 >= 1 else None,
                "signs_measured": measured[size],
                "signs_enough": random_sign_dimension(n, size),
                "exponential": ExponentialKernel(n, size).dimension,
                "knows_the_set": DataDependentKernel(n, tuple(range(size))).dimension,
            }
        )
    console.print(as_table(pl.DataFrame(rows), f"Features of an (ε, f) kernel on n = {n} elements"))


COMMAND = Command.of(
    Config,
    name="theory kernels",
    summary="print the features that an inner-product kernel needs, and has",
    help=HELP,
    run=run,
)
