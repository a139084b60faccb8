"""Reports of `sdsim bench`: measured, kept as files, read again, printed.

The benchmarks are imported only to measure and to print: stored reports are read without torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol, get_args

import polars as pl
from pydantic import BaseModel, Field, TypeAdapter

from sdsim.bench.config import Attention, BenchConfig, What
from sdsim.files import write_text
from sdsim.reading import READ_ERRORS, read_object, reason


@dataclass(frozen=True)
class Report:
    """What one benchmark found.

    Attributes:
        what: its name.
        title: what was measured, on what device; whether it is incomplete.
        conditions: the config, the device, versions and roofline (`ceilings`), ready for JSON; of
            what is incomplete, under that name, how many of its cases it has.
        table: the numbers, a row per method and case.
    """

    what: What
    title: str
    conditions: dict[str, Any]
    table: pl.DataFrame

    @property
    def is_complete(self) -> bool:
        """Whether it has all its cases."""
        return self.conditions.get("incomplete") is None

    @property
    def is_drawn(self) -> bool:
        """Whether `figures` draws it; of the others, the table says it all."""
        return self.what not in ("generation", "sweep")

    def save(self, out: Path) -> list[Path]:
        """Write ``<what>.json`` (all of it) and ``<what>.csv`` (the table); their paths."""
        out.mkdir(parents=True, exist_ok=True)
        path = _path(out, self.what)
        table = path.with_suffix(".csv")
        whole = {"title": self.title, **self.conditions, "rows": self.table.to_dicts()}
        write_text(table, self.table.write_csv())  # first: where the report is complete, so is this
        write_text(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
        return [path, table]


def _path(folder: Path, what: What) -> Path:
    """Of the file that has all of a report."""
    return folder / f"{what}.json"


def load_reports(folder: Path) -> list[Report]:
    """The reports that `Report.save` wrote there.

    Raises:
        ValueError: if there are none, or one is damaged.
    """
    paths = [path for what in get_args(What) if (path := _path(folder, what)).is_file()]
    if not paths:
        raise ValueError(f"bench = {str(folder)!r}: no reports of `sdsim bench` there")
    return [_load(path) for path in paths]


_Count = Annotated[int, Field(ge=1, le=2**53)]
_Amount = Annotated[float, Field(gt=0, allow_inf_nan=False)] | None


class _Row(BaseModel, strict=True):
    """What figures read of a row of `kernels.bench.Timing` or `sdsim.bench.models.ModelTiming`."""

    batch: _Count
    length: _Count
    method: str
    seconds: _Amount
    seconds_low: _Amount
    seconds_high: _Amount
    speedup: _Amount
    limit: _Amount = None


class _Part(BaseModel, strict=True):
    """What a command has added to a report that was resumed."""

    commit: str | None


class _Stored(BaseModel, strict=True):
    """What every report has, and what `sdsim bench` reads of some."""

    title: str
    what: What
    device: str | None = None
    config: dict[str, Any] = {}
    incomplete: str | None = None
    parts: list[_Part] = []
    rows: Annotated[list[dict[str, str | int | float | None]], Field(min_length=1)]


def _load(path: Path) -> Report:
    try:
        whole = read_object(path)
        stored = _Stored.model_validate(whole)
        report = Report(
            stored.what,
            stored.title,
            {name: value for name, value in whole.items() if name not in ("title", "rows")},
            pl.DataFrame(stored.rows, infer_schema_length=None).with_columns(
                pl.col(pl.Null).exclude("reason").cast(pl.Float64),
            ),
        )
        if report.what != path.stem:
            raise ValueError(f"it is of {report.what}")
        if report.is_drawn:
            TypeAdapter(list[_Row]).validate_python(stored.rows)
    except (*READ_ERRORS, TypeError, pl.exceptions.PolarsError) as error:
        raise ValueError(
            f"{path} is not a report of `sdsim bench`: {reason(error)}; delete it and measure "
            f"{path.stem} again with out={path.parent}"
        ) from error
    return report


def resumable(config: BenchConfig, what: What) -> Report | None:
    """The report in `config.out` that `measure` resumes, or returns where it is complete.

    None where there is none. A sweep's alone: other benchmarks take minutes and are measured anew.

    Raises:
        ValueError: if it was measured with other settings or on another device, or is damaged.
    """
    if what != "sweep" or config.out is None:
        return None
    path = _path(Path(config.out), what)
    if not path.is_file():
        return None
    from sdsim.bench import sweep

    report = _load(path)
    if found := sweep.differences(config, report.conditions):
        raise ValueError(
            f"out = {config.out}: {path} was measured otherwise ({'; '.join(found)}); choose "
            "another folder, or delete it"
        )
    return report


def measure(
    config: BenchConfig, what: What, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Run one benchmark, or what is left of it (see `resumable`).

    Reports are the caller's to save, but for a sweep with `config.out`: it is kept after each case.

    Args:
        config: of all benchmarks.
        what: which of them.
        progress: called with the number of cases done and of all cases.

    Raises:
        ValueError: before anything is measured, where `config.methods` names an unknown method, and
            where `resumable` does.
    """
    from sdsim.bench import attention, generation, models, sweep
    from sdsim.bench.measured import Measured

    def report(measured: Measured) -> Report:
        return Report(what, measured.title, measured.conditions, measured.table)

    def keep(measured: Measured) -> None:
        if config.out is not None:
            report(measured).save(Path(config.out))

    attention.check_methods(config)
    stored = resumable(config, what)
    so_far = None
    if stored is not None:
        if stored.is_complete:
            return stored
        so_far = Measured(stored.title, stored.conditions, stored.table)
    if what == "generation":
        measured = generation.measure(config, progress)
    elif what == "sweep":
        measured = sweep.measure(config, progress, keep, so_far)
    elif what == "prefill" or what == "decode" or what == "train":
        measured = attention.measure(config, what, progress)
    else:
        measured = models.measure(config, what, progress)
    return report(measured)


def display_table(report: Report) -> pl.DataFrame:
    """The table as a person reads it: milliseconds, megabytes, what was not run left out."""
    return _printing(report).display_table(report.table)


def notes(report: Report) -> list[str]:
    """What the columns of the display table mean and refer to, and what was not run."""
    return _printing(report).notes(report.table, report.conditions)


class _Printing(Protocol):
    """The functions of a benchmark's module that print its report."""

    def display_table(self, table: pl.DataFrame) -> pl.DataFrame: ...

    def notes(self, table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]: ...


def _printing(report: Report) -> _Printing:
    from sdsim.bench import attention, generation, models, sweep

    if report.what == "generation":
        return generation
    if report.what == "sweep":
        return sweep
    return attention if report.what in get_args(Attention) else models
