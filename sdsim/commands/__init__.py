"""The commands of `sdsim`, one file each: its settings, its help, what it does and prints.

A file ``theory_bounds.py`` with a `COMMAND` in it is the command ``sdsim theory bounds``; nothing
else lists it. Commands import what is heavy (torch, sympy, the hub's client) only when they run.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdsim.commands.command import Command


@cache
def names() -> list[str]:
    """The words of all commands, such as ``"theory bounds"``, sorted."""
    files = Path(__file__).parent.glob("*.py")
    return sorted(_words(file.stem) for file in files if "\nCOMMAND = " in file.read_text("utf-8"))


def find(name: str) -> Command:
    """The command of a name in `names`; imports its file."""
    stem = name.replace(" ", "_")
    module = f"{__name__}.{stem if _words(stem) in names() and _exists(stem) else f'{stem}_'}"
    command: Command = import_module(module).COMMAND
    return command


def _exists(stem: str) -> bool:
    return Path(__file__).with_name(f"{stem}.py").exists()


def _words(stem: str) -> str:
    return stem.rstrip("_").replace("_", " ")  # import_.py, since import is a keyword
