"""What a benchmark hands over, and the conditions under which it was measured."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_type_hints

import polars as pl
import torch

from kernels.bench import Roofline, device_name, versions
from sdsim.bench.config import BenchConfig, What
from sdsim.store.provenance import commit

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Progress: TypeAlias = Callable[[int, int], None]
"""Called after each case with the number of cases done and of all cases."""

MILLISECONDS = [
    (pl.col(f"seconds{end}") * 1e3).alias(f"milliseconds{end}") for end in ("", "_low", "_high")
]
"""The median and quartiles of a table in seconds, for display."""


@dataclass(frozen=True)
class Measured:
    """What one benchmark found.

    Attributes:
        title: what was measured, on what device.
        conditions: from `conditions`, and what else the table's columns refer to.
        table: the numbers, a row per method and case.
    """

    title: str
    conditions: dict[str, Any]
    table: pl.DataFrame


def conditions(
    config: BenchConfig, what: What, device: torch.device, roofline: Roofline | None = None
) -> dict[str, Any]:
    """The device, its roofline, the versions, the command and the config, ready for JSON.

    The stored key of the roofline is `ceilings`.
    """
    return {
        "what": what,
        "device": device_name(device),
        "threads": config.threads,
        "commit": commit(),
        "versions": versions(),
        "command": shlex.join(["sdsim", *sys.argv[1:]]),
        "ceilings": None if roofline is None else asdict(roofline),
        "config": {
            name: value for name, value in asdict(config).items() if name != "searchpath"
        },  # a folder of this machine
    }


def table_of(kind: type[DataclassInstance], rows: Iterable[DataclassInstance]) -> pl.DataFrame:
    """The rows as a table, of the types that their class has even where nothing was measured."""
    hints = get_type_hints(kind)
    types = {int: pl.Int64, float: pl.Float64}
    schema = {
        name: next((types[each] for each in (hint, *get_args(hint)) if each in types), pl.String)
        for name, hint in hints.items()
    }
    return pl.DataFrame([asdict(row) for row in rows], schema=schema)


def not_run(table: pl.DataFrame) -> list[str]:
    """Lines for the methods of a table that were not run in some case: which, why, where."""
    cases_in_all = table.select("batch", "length").n_unique()
    reasons = (
        table.filter(pl.col("reason").is_not_null())
        .group_by("method", "reason", maintain_order=True)
        .agg(pl.format("{} by {}", "batch", "length").alias("cases"))
    )
    lines = []
    for method, reason, cases in reasons.iter_rows():
        where = f" (batch by length: {', '.join(cases)})" if len(cases) < cases_in_all else ""
        lines.append(f"  {method}: {reason}{where}")
    return ["not run:", *lines] if lines else []
