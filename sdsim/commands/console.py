"""What a person sees: progress with the time left, and tables."""

from __future__ import annotations

import contextlib
import logging
import sys
import textwrap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sdsim.display import shown
from sdsim.files import write_text

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table
    from typing_extensions import Self

_SECONDS_TO_FIRST_LINE = 5.0
_SECONDS_BETWEEN_LINES = 15.0

# A user's names and texts are data: no markup, no emoji codes. A file or a pipe has no width.
console = Console(
    highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else 170
)
"""Results, on standard output."""

errors = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
"""Progress, warnings and errors, on standard error."""


def print_paths(paths: Iterable[Path]) -> None:
    """The paths of files that were written, a line each."""
    for path in paths:
        console.print(shown(str(path)), soft_wrap=True)


def keep_table(frame: pl.DataFrame, file: Path) -> None:
    """Write a table as CSV, to six digits, into a folder made for it; print where it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, frame.write_csv(float_precision=6))
    print_paths([file])


def print_state_notes(table: pl.DataFrame) -> None:
    """Which models of a table of runs have a state whose size is not measured, a line each way."""
    for source, said in (
        ("stated", "state stated, not measured"),
        ("unknown", "state unknown (model.stated_state_bits states it)"),
    ):
        models = table.filter(state_source=source)["model"].unique().sort().to_list()
        if models:
            console.print(f"{said}: {shown(', '.join(models))}", soft_wrap=True)


class Warnings(logging.Handler):
    """Log records on standard error, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        errors.print(f"{record.levelname.lower()}: {shown(' '.join(record.getMessage().split()))}")


class Bar:
    """Progress through `unit`: a bar on a terminal, a line now and then in a log.

    The lines come by the clock, however long one of the units takes.
    """

    def __init__(self, verb: str, unit: str) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._verb, self._unit = verb, unit
        self._live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=errors,
            # One run takes seconds to minutes: estimate from all of them.
            speed_estimate_period=3600,
            disable=not errors.is_terminal,
        )
        self._task = self._live.add_task(verb, total=None, note="")
        self._started = time.monotonic()
        self._first: int | None = None
        self._done, self._total, self._note = 0, 0, ""
        self._said = -1  # units done, in the last line
        self._ended = threading.Event()
        self._lines = threading.Thread(target=self._say_now_and_then, daemon=True)

    def __enter__(self) -> Self:
        self._live.start()
        if self._live.disable:
            self._lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()
        self._ended.set()
        if self._live.disable:
            self._lines.join()
            fresh = self._first is not None and self._first < self._done
            if kind is None and fresh and self._done != self._said:
                self._say()

    def show(self, done: int, total: int, note: str = "") -> None:
        """Say that `done` of `total` are done, and something of the others."""
        if not self._live.disable:
            self._live.update(self._task, completed=done, total=total, note=note)
        if self._first is None:
            self._first, self._started = done, time.monotonic()
        self._done, self._total, self._note = done, total, note

    def _say_now_and_then(self) -> None:
        pause = _SECONDS_TO_FIRST_LINE
        while not self._ended.wait(pause):
            self._say()
            pause = _SECONDS_BETWEEN_LINES

    def _say(self) -> None:
        done, total = self._done, self._total
        fresh = done - (self._first or 0)
        seconds = time.monotonic() - self._started
        left = (total - done) * seconds / fresh if fresh > 0 else 0.0
        estimate = f", about {left:.0f} s left" if left else ""
        note = f", {self._note}" if self._note else ""
        so_far = f"{done} of {total} {self._unit}{note}{estimate}" if total else "…"
        errors.print(f"{self._verb}: {so_far}")
        self._said = done


class Bars:
    """A `Bar` for each of some stages, one after the other."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._verb: str | None = None
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def show(self, verb: str, done: int, total: int, note: str = "") -> None:
        """As `Bar.show`, of the stage with this verb."""
        if verb != self._verb:
            self._open.close()
            self._verb, self._bar = verb, self._open.enter_context(Bar(verb, self._unit))
        self._bar.show(done, total, note)


def as_table(frame: pl.DataFrame, title: str | None = None) -> Table:
    """A table to print; ``x``, ``x_low`` and ``x_high`` become one column, with an interval."""
    from rich.table import Table

    table = Table(title=None if title is None else shown(title), title_justify="left")
    names = [name for name in frame.columns if not name.endswith(("_low", "_high"))]
    for name in names:
        numeric = frame.schema[name].is_numeric()
        table.add_column(name.replace("_", " "), justify="right" if numeric else "left")
    for row in frame.iter_rows(named=True):
        table.add_row(*[_cell(row, name) for name in names])
    return table


def _cell(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return "-"
    if not isinstance(value, float):
        return textwrap.shorten(shown(str(value)), 48, placeholder=" …")
    low, high = (row.get(f"{name}_{end}") for end in ("low", "high"))
    if low is None and high is None:
        return f"{value:.3f}"
    ends = ["…" if end is None else f"{end:.3f}" for end in (low, high)]
    return f"{value:.3f} [{', '.join(ends)}]"
