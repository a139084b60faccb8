"""`sdsim theory figures`: what theory says of memory, drawn."""

from __future__ import annotations

from pathlib import Path

from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import print_paths
from sdsim.config import STRICT
from sdsim.files import check_writable

HELP = """\
sdsim theory figures: draw what theory says of memory, over time and against order.

  sdsim theory figures out=drawings
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim theory figures``.

    Attributes:
        out: folder to draw into.
    """

    out: str = "runs/theory"


def run(config: Config) -> None:
    """Draw, and print the paths."""
    import figures

    check_writable(Path(config.out), "out")
    print_paths(figures.draw_theory(config.out))


COMMAND = Command.of(
    Config,
    name="theory figures",
    summary="draw memory over time and against order, as theory has it",
    help=HELP,
    run=run,
)
