"""`sdsim figures`: every figure and table that stored runs allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console, print_paths
from sdsim.config import STRICT
from sdsim.files import check_writable

if TYPE_CHECKING:
    from sdsim.bench.report import Report

HELP = """\
sdsim figures: draw every figure from stored runs, and print their table. Trains nothing.

  sdsim figures                                  from runs/default/ into runs/default/figures/
  sdsim figures store=results/tiny out=drawings
  sdsim figures bench=results/bench/cpu          what `sdsim bench` kept there, into the same folder
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim figures``.

    Attributes:
        store: folder of the runs to read.
        out: folder to draw into; null: <store>/figures, or the folder of `bench`.
        bench: a folder that ``sdsim bench`` wrote, to be drawn instead of a store.
    """

    store: str = "runs/default"
    out: str | None = None
    bench: str | None = None


def run(config: Config) -> None:
    """Draw a store, or the reports of a benchmark."""
    if config.bench is None:
        show_figures(config.store, config.out)
        return
    from sdsim.bench.report import load_reports

    reports, out = load_reports(Path(config.bench)), Path(config.out or config.bench)
    check_writable(out, "out")
    draw_reports(reports, out)


def show_figures(store: str, folder: str | None) -> None:
    """Print a store's table, draw its figures, print their paths."""
    import figures
    from sdsim.store.table import load

    table = load(store)
    out = Path(folder or Path(store, "figures"))
    check_writable(out, "out")
    console.print(as_table(figures.summary_table(table)))
    print_paths(figures.draw_all(table, out))


def draw_reports(reports: list[Report], out: Path) -> None:
    """Draw what benchmarks measured, print the paths; of some, a table says it all."""
    import figures

    for report in reports:
        if report.is_drawn:
            print_paths(figures.draw_bench(report.what, report.title, report.table, out))


COMMAND = Command.of(
    Config,
    name="figures",
    summary="draw every figure from stored runs, and print their table",
    help=HELP,
    run=run,
)
