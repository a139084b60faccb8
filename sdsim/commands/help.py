"""Help texts: what a command does, its choices, and each setting with its default and meaning."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

import sdsim
from sdsim import commands
from sdsim.commands.command import Command
from sdsim.conf.compose import composed

_WIDTH = 100
_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.+(?:\n(?:      .*)?)*)", re.MULTILINE)


def overview() -> str:
    """What there is."""
    rows = [(name, commands.find(name).summary) for name in commands.names()]
    width = max(len(name) for name, _ in rows)
    lines = [f"  sdsim {name:{width}}  {summary}" for name, summary in rows]
    return _OVERVIEW.format(commands="\n".join(lines), version=sdsim.__version__)


_OVERVIEW = """\
sdsim: how much must a recurrent model remember, and how does that depend on the order of its input?

{commands}

  sdsim COMMAND --help         what it does, examples, every setting and its meaning
  sdsim COMMAND --cfg job      the settings as they would be used
  sdsim -sc install=bash       shell completion, for eval; also zsh and fish
  sdsim --version

Settings are Hydra overrides, key=value. Invalid input ends in one line and exit code 2; with
HYDRA_FULL_ERROR=1 set, in a traceback.
"""


def family(name: str) -> str:
    """Help on the first word of several commands, such as ``theory``."""
    members = [member for member in commands.names() if member.startswith(f"{name} ")]
    width = max(map(len, members))
    lines = [f"  sdsim {word:{width}}  {commands.find(word).summary}" for word in members]
    return "\n".join([f"sdsim {name} has these commands:", "", *lines, ""])


def help_of(command: Command, overrides: list[str]) -> str:
    """All that a command takes; with overrides, the settings as they then are."""
    with composed(command.config_name, overrides) as (config, loader):
        settings = list(_leaves(config))
        choices = _choices(command, overrides, loader)
    parts = [command.help.strip()]
    if choices:
        lines = [_wrapped(f"  {group}: ", ", ".join(names)) for group, names in choices.items()]
        parts.append("\n".join(["Choices:", *lines]))
    meanings = _meanings(command, config)
    if settings:
        rows = [
            (
                f"{key}={value}",
                f"required; {meanings[key]}" if value == "???" else meanings.get(key, ""),
            )
            for key, value in settings
            if key not in command.unlisted
        ]
        parts.append("\n".join(["Settings and their defaults:", *(_row(*row) for row in rows)]))
    return "\n\n".join(parts) + "\n"


def _leaves(node: DictConfig, path: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its value as text; a task's options stand beside its other settings."""
    for key, value in node.items_ex(resolve=False):
        name = f"{path}{key!s}"
        if name == "hydra" or (name == "task.options" and not value):
            continue
        if isinstance(value, DictConfig) and name not in ("sweep.common",) and len(value):
            yield from _leaves(value, f"{name}.")
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if OmegaConf.is_config(value):
        value = OmegaConf.to_container(value, resolve=False)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return textwrap.shorten(str(value).replace("'", ""), 44, placeholder="…")


def _row(setting: str, meaning: str) -> str:
    return _wrapped(f"  {setting:<30}  ", meaning, indent=34) if meaning else f"  {setting}"


def _wrapped(start: str, text: str, indent: int | None = None) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * (len(start) if indent is None else indent),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _meanings(command: Command, config: DictConfig) -> dict[str, str]:
    """What each setting means, from the docstrings of the dataclasses that declare them."""
    found: dict[str, str] = {}
    for path, kinds in command.meanings.items():
        for kind in kinds:
            entries = attributes(inspect.getdoc(kind) or "")
            found |= {f"{path}{name}": text for name, text in entries.items()}
    if "task" in config:
        entries = attributes(_docstring_of(config.task.kind))
        found = {f"task.{name}": text for name, text in entries.items()} | found
    return found


def attributes(docstring: str) -> dict[str, str]:
    """The entries under ``Attributes:`` or ``Args:`` of a docstring, each in its first sentence.

    >>> attributes('''A thing.
    ...
    ... Attributes:
    ...     width: numbers per token. More of it.
    ... ''')
    {'width': 'numbers per token'}
    """
    entries: dict[str, str] = {}
    for section in re.split(r"^(?:Attributes|Args):$", docstring, flags=re.MULTILINE)[1:]:
        for match in _ENTRY.finditer(section.split("\n\n")[0] + "\n"):
            text = " ".join(match[2].split()).replace("``", "").replace("`", "")
            for name in match[1].split(", "):
                entries[name] = re.split(r"(?<!Def)\. (?=[A-Z])", text)[0].rstrip(".")
    return entries


def _docstring_of(path: str) -> str:
    """The docstring of a class by its import path, read from its source: importing is slow."""
    module, _, name = str(path).rpartition(".")
    try:
        spec = find_spec(module.split(".")[0]) if module else None
    except (ImportError, ValueError):
        return ""
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    files = sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
    for file in files:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return ast.get_docstring(node) or ""
    return ""


def settings_of(command: Command) -> list[str]:
    """The names of all settings that a command has by default."""
    with composed(command.config_name, []) as (config, _):
        return [name for name, _ in _leaves(config)]


def choices_of(command: Command, overrides: list[str]) -> Mapping[str, list[str]]:
    """The choices of each of a command's config groups, those of the user's own folders too."""
    with composed(command.config_name, []) as (_, loader):
        return _choices(command, overrides, loader)


def _choices(
    command: Command, overrides: list[str], loader: ConfigLoader
) -> Mapping[str, list[str]]:
    groups = [*command.groups, *(["hydra/launcher"] if command.launcher else [])]
    if not groups:
        return {}
    assert isinstance(loader, ConfigLoaderImpl)  # noqa: S101 (Hydra has no other)
    # Its public method makes such a repository for each group, which is slow.
    _, repository = loader._parse_overrides_and_create_caching_repo(command.config_name, overrides)
    return {
        group: [
            name
            for name in sorted(repository.get_group_options(group))
            if not name.startswith("submitit")
        ]
        for group in groups
    }
