"""`sdsim bench`: the rooms' own measurements as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict

import polars as pl

import kernels.bench
import synthetic.bench

Rows = Sequence[synthetic.bench.Generation] | Sequence[kernels.bench.Scaling]

MEASUREMENTS: dict[str, tuple[str, Callable[[int], Rows]]] = {
    "generation": (
        "Set disjointness, V = 2048: microseconds per example, a loop against sample()",
        lambda threads: synthetic.bench.generation(threads=threads),
    ),
    "attention": (
        "Prefix linear attention, forward, B = 1, H = 2, D = 16, E = 64, float32, on the CPU",
        lambda threads: kernels.bench.scaling(threads=threads),
    ),
}
"""What can be measured: a title, and the function of the thread count that measures."""


def bench(what: Sequence[str], *, threads: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Measure one thing after another; yields a title and a table for each.

    Raises:
        ValueError: for a name that `MEASUREMENTS` lacks, or threads < 1, before any measurement.
    """
    unknown = [name for name in what if name not in MEASUREMENTS]
    if unknown or threads < 1:
        raise ValueError(
            f"what = [{', '.join(what)}], threads = {threads}: names out of "
            f"{', '.join(MEASUREMENTS)}, and at least 1 thread"
        )
    for name in what:
        title, measure = MEASUREMENTS[name]
        rows = measure(threads)
        yield f"{title}; {threads} thread(s)", pl.DataFrame([asdict(row) for row in rows])
