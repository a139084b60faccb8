"""`sdsim report`: one page of a store, to open, to send, to print."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, print_paths
from sdsim.config import STRICT, Selection

HELP = """\
sdsim report: write one HTML file of stored runs: what was run and with what, what has not
converged, every figure with its numbers under the pointer, tables to sort and filter, heat maps,
example prompts. It opens from disk, and needs no network. Trains nothing.

  sdsim report                                   of runs/default/, as runs/default/report.html
  sdsim report store=results/tiny out=tiny.html
  sdsim report store=runs/paper select=released  as the paper's code: per order the best run of all
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim report``.

    Attributes:
        store: folder of the runs to read.
        out: the file to write; null: <store>/report.html.
        select: which runs the figures show, as in ``sdsim figures``.
    """

    store: str = "runs/default"
    out: str | None = None
    select: Selection = "validation"


def run(config: Config) -> None:
    """Write the page, and print where it is."""
    from figures.report import write_report

    with Bar("drawing", "parts") as bar:
        path = write_report(config.store, config.out, select=config.select, on_part=bar.show)
    print_paths([path])


COMMAND = Command.of(
    Config,
    name="report",
    summary="write one HTML page of stored runs: figures, tables, prompts",
    help=HELP,
    run=run,
)
