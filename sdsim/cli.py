"""The `sdsim` command: one word says what to do, Hydra overrides say how."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

import sdsim
from sdsim import commands
from sdsim.commands.command import Command
from sdsim.commands.console import Warnings, console, errors

logger = logging.getLogger(__name__)

FAILURE, USAGE_ERROR, INTERRUPTED = 1, 2, 130
_FULL_ERROR = "HYDRA_FULL_ERROR"
_HELP = ("-h", "--help")
_MULTIRUN = ("-m", "--multirun")
_CONFIG_DIR = ("-cd", "--config-dir")
_COMPLETION = ("-sc", "--shell-completion")
# Questions that Hydra answers itself, of which some have a word after them.
_QUESTIONS = {
    **dict.fromkeys(("--hydra-help", "--resolve"), False),
    **dict.fromkeys(("-c", "--cfg", "-i", "--info", "-p", "--package"), True),
}

_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_UNQUOTED_LIST = re.compile(r"\[[^\"'].*,.*\]", re.DOTALL)
_SEVERAL = """'["a","b"]'"""
_QUOTED_TEXTS = re.compile(rf"{_QUOTED}|\[\s*(?:{_QUOTED}(?:\s*,\s*{_QUOTED})*)?\s*\]", re.DOTALL)


def main() -> None:
    """Entry point. Exits with 0, 1 (a run failed), 2 (invalid input) or 130 (Ctrl-C)."""
    # Its errors are raised as well; when it is imported it sets its level anew, by the environment.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, handlers=[Warnings()])
    try:
        code = dispatch(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `sdsim … | head` has seen enough
            errors.print(f"sdsim: {error}")
        code = FAILURE
    sys.exit(code)


def dispatch(words: list[str]) -> int:
    """Do what the words after ``sdsim`` say; the exit code."""
    name = " ".join(words[:2]) if " ".join(words[:2]) in commands.names() else " ".join(words[:1])
    arguments = words[len(name.split()) :]
    if name in commands.names():
        command = commands.find(name)
        return _guarded(name, lambda: _run(command, arguments), command.interrupted)
    if name in _COMPLETION:
        from sdsim.commands.completion import complete

        return _guarded(name, lambda: complete(arguments))
    if name == "--version":
        from importlib.metadata import version

        return _print(f"sdsim {sdsim.__version__}, torch {version('torch')}\n")
    from sdsim.commands.help import family, overview

    if name in ("", "help", *_HELP):
        return _print(overview())
    family_of = [command for command in commands.names() if command.startswith(f"{name} ")]
    if family_of and (not arguments or arguments[0] in _HELP):
        return _print(family(name))
    from sdsim.commands.errors import did_you_mean

    word = " ".join(words[:2]) if family_of else name
    hint = did_you_mean(word, commands.names())
    errors.print(f"sdsim: {word} is no command{hint} Commands: {', '.join(commands.names())}.")
    return USAGE_ERROR


def _guarded(name: str, action: Callable[[], object], interrupted: str = "") -> int:
    """Do something; what is wrong becomes one line and an exit code."""
    try:
        action()
    except KeyboardInterrupt as interrupt:
        errors.print(f"interrupted{str(interrupt) or interrupted}")
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (ValueError, RuntimeError, OSError) as error:
        if os.environ.get(_FULL_ERROR) == "1":
            raise
        from sdsim.commands.errors import one_line
        from sdsim.reading import describe

        said = one_line(describe(error) if isinstance(error, ValidationError) else error)
        errors.print(f"sdsim {name}: {said}")
        return USAGE_ERROR if isinstance(error, ValueError) else FAILURE
    return 0


def _run(command: Command, arguments: list[str]) -> None:
    """One command, as its flags say."""
    flags, questions, overrides = _split(command, arguments)
    command.register()
    try:
        if any(word.startswith("+") for word in overrides):
            from sdsim.commands.errors import check_added

            check_added(overrides, command)
        is_sweep = command.sweep is not None and (command.is_sweep or bool(flags & set(_MULTIRUN)))
        if questions and is_sweep and command.preview is not None and "job" in questions:
            command.preview(overrides)
        elif questions:
            _ask_hydra(command, [*questions, *overrides])
        elif flags & set(_HELP):
            from sdsim.commands.help import help_of

            _print(help_of(command, overrides))
        elif command.sweep is not None and is_sweep:
            command.sweep(overrides)
        else:
            command.execute(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        from sdsim.commands.errors import explain

        raise ValueError(explain(error, command, overrides)) from error


def _split(command: Command, arguments: list[str]) -> tuple[set[str], list[str], list[str]]:
    """The flags among the arguments, the questions for Hydra, and the overrides."""
    flags: set[str] = set()
    questions: list[str] = []
    overrides: list[str] = []
    folders: list[str] = []
    words = iter(command.shorthand(arguments))
    text_settings = command.text_settings()
    for word in words:
        flag, equals, value = word.partition("=")
        if word.startswith("="):
            raise ValueError(f"{word}: settings are given as key=value")
        if not word.startswith("-"):
            as_written = flag in command.texts or (
                flag.lstrip("+") in text_settings and not _is_hydras(value, command)
            )
            if flag in command.texts and _UNQUOTED_LIST.fullmatch(value):
                logger.warning("%s is one text; several stand in quotes: %s", word, _SEVERAL)
            overrides.append(_as_written(word) if as_written else word)
        elif flag in _CONFIG_DIR:
            folder = value if equals else next(words, "")
            if not folder or not Path(folder).is_dir():
                raise ValueError(f"{flag} {folder}: there is no such folder")
            folders.append(_quoted(f"file://{Path(folder).absolute()}"))
        elif flag in _QUESTIONS:
            questions += [flag, *([value] if equals else [])]
            if _QUESTIONS[flag] and not equals:
                questions += [value for value in [next(words, None)] if value is not None]
        elif word in _HELP or (word in _MULTIRUN and command.sweep is not None):
            flags.add(word)
        else:
            raise ValueError(f"{word}: settings are given as key=value")
    if folders:
        overrides.append(f"hydra.searchpath=[{','.join(folders)}]")
    return flags, questions, overrides


def _is_hydras(value: str, command: Command) -> bool:
    """Whether a text is for Hydra to read: none, an interpolation, several values of a sweep."""
    return value == "null" or "${" in value or (command.sweep is not None and "," in value)


def _as_written(override: str) -> str:
    """A text setting, quoted for Hydra unless it is quoted already, or a list of quoted texts."""
    key, _, text = override.partition("=")
    if _QUOTED_TEXTS.fullmatch(text):
        return override
    return f"{key}={_quoted(text)}"


def _quoted(text: str) -> str:
    """A text as Hydra's overrides have it in quotes, interpolations escaped."""
    # Backslashes escape an interpolation or a quote, and are themselves doubled before one alone.
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    text = re.sub(r'(\\*)("|\Z)', lambda match: 2 * match[1] + ('\\"' if match[2] else ""), text)
    return f'"{text}"'


def _ask_hydra(command: Command, words: list[str]) -> None:
    """Have Hydra answer a question about the settings, as in its own applications."""
    logging.getLogger().handlers.clear()  # it writes its answers by handlers of its own
    logging.raiseExceptions = False  # to a pipe that may have been closed
    before = sys.argv, os.environ.get(_FULL_ERROR)
    sys.argv = [f"sdsim {command.name}", *words]
    os.environ[_FULL_ERROR] = "1"  # else Hydra prints errors itself, and exits
    try:
        hydra.main(
            version_base="1.3", config_path="pkg://sdsim.conf", config_name=command.config_name
        )(lambda config: None)()
    finally:
        sys.argv = before[0]
        os.environ.pop(_FULL_ERROR)
        if before[1] is not None:
            os.environ[_FULL_ERROR] = before[1]


def _print(text: str) -> int:
    console.print(text, end="", soft_wrap=True)
    return 0


if __name__ == "__main__":
    main()
