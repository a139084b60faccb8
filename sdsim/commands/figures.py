"""`sdsim figures`: every figure and table that stored runs allow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import as_table, console, print_paths, print_state_notes
from sdsim.config import STRICT, Selection
from sdsim.files import check_writable

if TYPE_CHECKING:
    from sdsim.bench.report import Report

HELP = """\
sdsim figures: draw every figure from stored runs, and print their table. Trains nothing.

  sdsim figures                                  from runs/default/ into runs/default/figures/
  sdsim figures store=results/tiny out=drawings
  sdsim figures store=runs/paper select=released  as the paper's code: per order the best run of all
  sdsim figures store=runs/mine caption=false    for a paper: captions as text beside the pictures
  sdsim figures bench=results/bench/cpu          what `sdsim bench` kept there, into the same folder
  sdsim figures text=runs/evaluate               what `sdsim evaluate` or `sdsim slices` kept there
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim figures``.

    Attributes:
        store: folder of the runs to read.
        out: folder to draw into; null: <store>/figures, or the folder of `bench` or `text`.
        bench: a folder that ``sdsim bench`` wrote, to be drawn instead of a store.
        text: a folder that ``sdsim evaluate`` or ``sdsim slices`` wrote, likewise.
        own: import paths of figures of your own, see docs/extending.md: '["my_figures.draw"]'.
        select: what is shown of runs that differ in learning rate and seed. validation: all seeds
            at the rate with the best mean accuracy on validation examples (on test examples where
            there are no others). released: as the paper's released code does, for each order the
            single run with the best test accuracy on it, which is optimistic.
        caption: whether the foot of each picture says what marks mean and numbers rest on; else a
            text file beside it does, for the caption of a paper.
    """

    store: str = "runs/default"
    out: str | None = None
    bench: str | None = None
    text: str | None = None
    own: tuple[str, ...] = ()
    select: Selection = "validation"
    caption: bool = True

    def __post_init__(self) -> None:
        if self.bench is not None and self.text is not None:
            raise ValueError("bench and text: one folder is drawn at a time")


def run(config: Config) -> None:
    """Draw a store, the reports of a benchmark, or what was measured of language models."""
    if config.text is not None:
        import figures

        folder = Path(config.out or config.text)
        check_writable(folder, "out")
        print_paths(figures.draw_text(config.text, folder, caption=config.caption))
        return
    if config.bench is None:
        show_figures(config.store, config.out, config.select, config.own, caption=config.caption)
        return
    from sdsim.bench.report import load_reports

    reports, out = load_reports(Path(config.bench)), Path(config.out or config.bench)
    check_writable(out, "out")
    draw_reports(reports, out)


def show_figures(
    store: str,
    folder: str | None,
    select: Selection = "validation",
    own: tuple[str, ...] = (),
    *,
    caption: bool = True,
) -> None:
    """Print a store's table, draw its figures, print their paths."""
    import figures
    from sdsim.store.table import load_runs

    table = load_runs(store)
    out = Path(folder or Path(store, "figures"))
    check_writable(out, "out")
    console.print(as_table(figures.summary_table(table, select=select)))
    print_state_notes(table)
    paths = figures.draw_all(table, out, select=select, own=own, caption=caption)
    print_paths(paths)
    drawn = {path.stem for path in paths}
    if left_out := [name for name in figures.FIGURES if name not in drawn]:
        console.print(f"not drawn, since these runs do not allow it: {', '.join(left_out)}")


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
