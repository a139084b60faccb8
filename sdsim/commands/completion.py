"""Shell completion: of commands ours, of a command's settings Hydra's."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.completion_plugin import CompletionPlugin

from sdsim import commands
from sdsim.commands.console import console
from sdsim.conf.compose import composed

_SHELLS = ("bash", "zsh", "fish")


def complete(words: list[str]) -> None:
    """What follows ``sdsim -sc``: ``install=bash`` prints the shell's function, which calls
    ``query=bash`` with the line so far in the environment.

    Raises:
        ValueError: for other words, or a shell that Hydra does not know.
    """
    what, _, shell = " ".join(words).partition("=")
    if what not in ("install", "uninstall", "query") or shell not in _SHELLS:
        raise ValueError(f"-sc {' '.join(words)}: install=SHELL, SHELL one of {', '.join(_SHELLS)}")
    if what != "query":
        sys.argv[0] = "sdsim"  # the name to complete
        plugin = _plugin(shell, None)
        plugin.install() if what == "install" else plugin.uninstall()
        return
    line = os.environ.get("COMP_LINE", "sdsim ").lstrip().partition(" ")[2].lstrip()
    name = next((name for name in commands.names() if line.startswith(f"{name} ")), None)
    if name is None:
        *before, _ = line.split(" ")  # the words that are whole; the last is being typed
        known = [known.split(" ") for known in commands.names()]
        next_words = {words[len(before)] for words in known if words[: len(before)] == before}
        console.print(" ".join(sorted(next_words)), soft_wrap=True)
        return
    command = commands.find(name)
    command.register()
    with composed(command.config_name, []) as (_, loader):
        *before, typed = line.removeprefix(name).lstrip().split(" ")
        words = [word for word in command.shorthand(before) if not word.startswith("-")]
        os.environ["COMP_LINE"] = " ".join(["sdsim", *words, typed])
        with contextlib.suppress(HydraException):  # what is typed is not whole yet
            _plugin(shell, loader).query(command.config_name)


def _plugin(shell: str, loader: Any) -> CompletionPlugin:
    for kind in Plugins.instance().discover(CompletionPlugin):
        if issubclass(kind, CompletionPlugin) and kind.provides() == shell:
            return kind(loader)
    raise ValueError(f"-sc: Hydra has no completion for {shell}")
