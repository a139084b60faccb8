"""How fast prefix linear attention is, beside other attention and the device's roofline."""

from __future__ import annotations

from typing import Any

import polars as pl
import torch

from kernels import bench as kernels_bench
from kernels.bench import METHODS, Case, Roofline, Timing, measure_roofline, threads
from sdsim.bench.config import Attention, BenchConfig
from sdsim.bench.measured import MILLISECONDS, Measured, Progress, conditions, not_run, table_of


def check_methods(config: BenchConfig) -> None:
    """Raise `ValueError` where `config.methods` names an unknown method."""
    for name in config.methods or ():
        if name not in METHODS:
            raise ValueError(f"methods: {name!r} is not one of {', '.join(map(repr, METHODS))}")


def measure(config: BenchConfig, what: Attention, progress: Progress) -> Measured:
    """Time `kernels.bench.METHODS` at all batches and lengths.

    Returns:
        A row per case and method: the fields of `kernels.bench.Timing`; of these, `limit` is the
        seconds that JRT-RNN's work takes at the roofline, `attained` the fraction of the roofline.
    """
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    cases = [
        Case(what, batch, length, dtype, device, config.heads, config.feature_dim, config.head_dim)
        for batch, length in config.cases
    ]
    with threads(config.threads):
        roofline = measure_roofline(device, dtype)
        timings = kernels_bench.measure(
            cases,
            roofline,
            methods=config.methods,
            repeats=config.repeats,
            max_seconds=config.max_seconds,
            max_bytes=config.memory_gb * 1e9,
            progress=progress,
        )
        found = conditions(config, what, device, roofline)
    title = (
        f"{what}: H = {config.heads}, D = {config.feature_dim}, E = {config.head_dim}, "
        f"{config.dtype}, on {found['device']}"
    )
    return Measured(title, found, table_of(Timing, timings))


def display_table(table: pl.DataFrame) -> pl.DataFrame:
    """Milliseconds and megabytes of the methods that were run."""
    return table.filter(pl.col("seconds").is_not_null()).select(
        "batch",
        "length",
        "method",
        *MILLISECONDS,
        "calls",
        "speedup",
        fraction_of_roofline="attained",
        peak_megabytes=pl.col("peak_bytes") / 1e6,
    )


def notes(table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]:
    """The meaning of the columns, the roofline, JRT-RNN's work in each case, what was not run."""
    roofline = Roofline(**conditions["ceilings"])
    work = [
        f"  batch {row['batch']}, length {row['length']}: {row['needed_bytes'] / 1e6:,.1f} MB, "
        f"{row['needed_operations'] / 1e9:,.3g} GFLOP, so at least {row['limit'] * 1e3:.3f} ms"
        for row in table.unique(["batch", "length"], maintain_order=True).to_dicts()
    ]
    return [
        "milliseconds: median [quartiles]; speedup: over the fastest softmax attention that ran; "
        "peak megabytes: tensors between operators, results included",
        f"roofline measured on this device: {roofline.bytes_per_second / 1e9:,.1f} GB/s and "
        f"{roofline.operations_per_second / 1e9:,.0f} GFLOP/s; fraction of roofline: the time that "
        "JRT-RNN's bytes or operations take at the roofline, over the time taken",
        "JRT-RNN needs:",
        *work,
        *not_run(table),
    ]
