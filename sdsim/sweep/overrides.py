"""From a run back to the command that does it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sdsim.conf.compose import composed, plain
from sdsim.config import ModelConfig, ModuleConfig, RunConfig, run_id
from sdsim.sweep.job import parse_job, register_jobs

_PLAIN = re.compile(r"[A-Za-z_][\w.]*")
_WORDS_OF_HYDRA = {"null", "true", "false", "nan", "inf"}


def command_of(run: RunConfig) -> str | None:
    """The `sdsim train` that does a run, with the settings that are not a command's defaults.

    None where no command does, such as with a model name that Hydra cannot be given: what is
    returned has been composed, and has the run's id.
    """
    register_jobs()
    groups = _groups(run)
    with composed("train", groups) as (config, _):
        base = plain(config)
    words = [*groups, *_changes(asdict(run), base)]
    try:
        with composed("train", words) as (config, _):
            same = run_id(parse_job(config).run) == run_id(run)
    except Exception:  # whatever Hydra raises at a text that its grammar does not have
        return None
    return shlex.join(["sdsim", "train", *words]) if same else None


def _groups(run: RunConfig) -> list[str]:
    """The choices of config groups that come closest."""
    with composed("train", []) as (_, loader):
        models, tasks = (loader.get_group_options(group) for group in ("model", "task"))
    if isinstance(run.model, ModuleConfig):
        model = "own_whole"
    elif isinstance(run.model, ModelConfig):
        model = run.model.name if run.model.name in models else "gru"
    else:
        model = str(run.model.machine)
    task = run.task.name if run.task.name in tasks else "set_disjointness"
    return [f"model={model}", f"task={task}"]


def _changes(run: Mapping[str, Any], base: Mapping[str, Any]) -> list[str]:
    """Overrides of the settings in which a run differs from a composed config."""
    words = []
    for part in ("model", "task", "train", "test"):
        settings = dict(run[part])
        if part == "task":  # the options stand beside the task's other settings
            options = settings.pop("options")
            known = {*settings, "options"}
            words += [f"~task.{name}" for name in base["task"] if name not in {*known, *options}]
            settings |= options
        for name, value in settings.items():
            if name not in base[part]:
                words.append(f"+{part}.{name}={_text(value)}")
            elif json.dumps(base[part][name]) != json.dumps(value):
                words.append(f"{part}.{name}={_text(value)}")
    return [*words, *([f"seed={run['seed']}"] if run["seed"] != base["seed"] else [])]


def _text(value: Any) -> str:
    """A value as Hydra's overrides have it."""
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_HYDRA
        return value if is_plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}: {_text(inner)}' for key, inner in value.items())}}}"
    return json.dumps(value)
