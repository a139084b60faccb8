"""What is wrong with a command line, in one line, without Hydra's words on writing applications."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from hydra.errors import (
    ConfigCompositionException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from sdsim import commands
from sdsim.commands.command import Command
from sdsim.commands.help import choices_of, settings_of
from sdsim.display import shown

_LAUNCHER = "hydra/launcher"


def explain(error: Exception, command: Command, overrides: list[str]) -> str:
    """A sentence or two: what cannot be, and what might have been meant."""
    said = one_line(error)
    if "submitit_" in said:
        return "hydra/launcher=slurm needs submitit: pip install -e '.[slurm]'"
    if isinstance(error, InterpolationResolutionError):
        key = f"{error.full_key}: " if error.full_key else ""
        return f"{key}{_without_advice(said)}; \\${{ is how a text has a dollar before a brace"
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override, command)
    if "requires --multirun" in said or "Ambiguous value" in said:
        return _several(said, command)
    if "ConfigLoader is not set" in said:
        return "glob(…): a sweep takes no patterns; name its choices, as in model=gru,based"
    if missing := re.search(r"Could not find '([\w/]+)/([^'/]+)'", said):
        group, value = missing.groups()
        if group in command.groups and not any(word.endswith(f"={value}") for word in overrides):
            hint = did_you_mean(value, choices_of(command, [])[group])
            return f"sweep.grid: {group}: {value}: no such choice{hint}"
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if isinstance(error, MissingConfigException) and key in (*command.groups, _LAUNCHER):
            choices = choices_of(command, [])[key]
            if value not in choices and "," not in value:
                hint = did_you_mean(value, choices, prefix=f"{key}=")
                return f"{key}={value}: no such choice{hint} Choices: {', '.join(choices)}."
    if isinstance(error, (ConfigCompositionException, OmegaConfBaseException)):
        given = dict(override.lstrip("+~").partition("=")[::2] for override in overrides)
        wrong = _key(error)
        if wrong is not None and wrong not in given:  # Hydra names the first part that is not known
            wrong = next((key for key in given if key.startswith(f"{wrong}.")), wrong)
        is_hydras = (wrong or "hydra").split(".")[0] == "hydra"
        if wrong and not is_hydras and wrong not in (known := settings_of(command)):
            return _no_such_setting(wrong, given.get(wrong, ""), command, known)
        is_of_others = "is not in struct" in str(error.__cause__)
        if wrong and is_of_others and (group := wrong.split(".")[0]) in given:
            return f"{wrong}: {group}={given[group]} has no such setting"
    text = _without_advice(said)
    reason = "" if error.__cause__ is None else _without_advice(one_line(error.__cause__))
    return text if not reason or reason in text else f"{text}: {reason}"


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """``; did you mean …?`` where something known is close, else a full stop."""
    close = _closest(word, known, cutoff=0.5)
    return f"; did you mean {prefix}{close}?" if close else "."


def _closest(word: str, known: Iterable[str], *, cutoff: float) -> str | None:
    """What looks most alike, capital letters or not; in one group of settings, by their ends."""
    group, dot, end = word.lower().rpartition(".")
    by_lower = {name.lower(): name for name in known}
    ends = {
        name.rpartition(".")[2]: full
        for name, full in by_lower.items()
        if dot and name.rpartition(".")[0] == group
    }
    for wanted, names in ((end, ends), (word.lower(), {} if ends else by_lower)):
        if close := difflib.get_close_matches(wanted, names, n=1, cutoff=cutoff):
            return names[close[0]]
    return None


def check_added(overrides: list[str], command: Command) -> None:
    """Raise `ValueError` for an override ``+key=value`` of a setting that there is not.

    Hydra adds any key. Only a task may have others, which its class checks: it may be a user's.
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if not override.startswith("+") or key.split(".")[0] == "hydra" or "@" in key:
            continue
        known = settings_of(command)
        is_known = any(f"{name}.".startswith(f"{key}.") for name in (*known, *command.groups))
        if not is_known and not ("task" in command.groups and key.startswith("task.")):
            raise ValueError(_no_such_setting(key, value, command, known))


def one_line(error: BaseException | str) -> str:
    """An error's text without line breaks, nor anything else that steers a terminal."""
    return shown(" ".join(str(error).split())) or type(error).__name__


def _without_advice(text: str) -> str:
    for end in ("Config search path", "See https", " full_key", " object_type"):
        text = text.split(end)[0]
    return text.strip()


def _unreadable(override: object, command: Command) -> str:
    text = str(override)
    if "=" not in text and not text.startswith(("-", "~")):
        return f"{text}: settings are given as key=value; `sdsim {command.name} --help` lists them"
    key, _, value = text.partition("=")
    if value[:1] == "[":
        return f"{text}: this list cannot be read; such as '{key}=[1,2]' or '{key}=[\"a\",\"b\"]'"
    return (
        f"{text}: this cannot be read; a text with commas, braces or quotes stands in quotes for "
        f"the settings as well as for the shell: '{key}=\"…\"'"
    )


def _several(said: str, command: Command) -> str:
    match = re.search(r"'([^']+=[^']*)'", said)
    what = match[1] if match else "a list of values"
    if command.is_sweep:
        return f"{what}: Hydra shows one config; `sdsim {command.name} --cfg job` previews all runs"
    if command.sweep is None:
        return f"{what}: `sdsim {command.name}` takes one value; a list stands in brackets, [1,2]"
    return f"{what}: several values take `sdsim {command.name} -m`"


def _key(error: BaseException) -> str | None:
    """The setting of which an error speaks."""
    for raised in (error, error.__cause__):
        key = getattr(raised, "full_key", None)
        if key:
            return str(key)
    match = re.search(r"Could not (?:override|append to config\.?) '?([\w./@]+)'?", str(error))
    return match[1] if match else None


def _with_group(key: str) -> list[str]:
    """The commands that choose a file of this group."""
    return [name for name in commands.names() if key in commands.find(name).groups]


def _no_such_setting(key: str, value: str, command: Command, known: list[str]) -> str:
    hint = _instead(key, value, command, known)
    return f"{key}: `sdsim {command.name}` has no such setting{hint}"


def _instead(key: str, value: str, command: Command, known: list[str]) -> str:
    """What might have been meant by a setting that a command does not have; ends the sentence."""
    for group, names in choices_of(command, []).items():
        if value in names and group != key:
            return f"; did you mean {group}={value}?"
    is_slip = _closest(key, known, cutoff=0.85) is not None  # `task` for `tasks`
    if not is_slip and (others := _with_group(key)):
        return f"; it is a choice of `sdsim {'`, `sdsim '.join(others)}`."
    ends = [name for name in known if name.split(".")[-1].lower() == key.split(".")[-1].lower()]
    if len(ends) == 1:
        return f"; did you mean {ends[0]}?"
    by_end = {name.split(".")[-1]: name for name in known}
    close = _closest(key, known, cutoff=0.6)
    if close is None and (end := _closest(key, by_end, cutoff=0.7)):
        close = by_end[end]
    if close:
        return f"; did you mean {close}?"
    others = [name for name in commands.names() if key in commands.find(name).settings]
    where = f"; it is one of `sdsim {'`, `sdsim '.join(others)}`" if others else ""
    return f"{where}. `sdsim {command.name} --help` lists them."
