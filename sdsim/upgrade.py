"""Stores of earlier versions: their runs rewritten as this version writes them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sdsim.config import TaskConfig, TestConfig, TrainConfig
from sdsim.machines import MachineConfig
from sdsim.models import ModelConfig
from sdsim.results import RECORD, SCHEMA, Record, Store, config_id

logger = logging.getLogger(__name__)


def upgrade(path: Path | str) -> int:
    """Rewrite the runs of earlier schemas in place, so that the same commands find them done.

    A run moves to the id that its config has now, where that is another. It appears there whole,
    before its old folder goes: killed at any time, the same call does the rest. A run that is
    damaged is named in a warning and left alone, as is all else in the folder.

    Args:
        path: the store.

    Returns:
        How many runs were rewritten.

    Raises:
        ValueError: if there is no such folder, or it cannot be written.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"store = {path}: there is no such folder")
    store = Store(path)
    store.check_writable()
    for folder in path.glob("[0-9a-f]*"):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()  # of a call that was killed
    rewritten = 0
    for file in sorted(path.glob(f"[0-9a-f]*/{RECORD}")):
        try:
            old = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(old, dict) or old.get("schema") not in _CONFIGS:
                continue
            record = _rewritten(old, file.parent.name)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            logger.warning("left as it is: %s is damaged (%s)", file, reason)
            continue
        if record.run_id == file.parent.name:
            store.rewrite(record)
        else:
            store.add(record)
            _remove(file)
        rewritten += 1
    return rewritten


def _rewritten(old: dict[str, Any], folder: str) -> Record:
    """The record as this version has it.

    Schema 2 has other tasks, tests of their own and states counted in bits; schema 3 says how a run
    was trained, early stops and fixed examples included; schema 4 has windows of attention.
    """
    if not config_id(old["config"]) == old["run_id"] == folder:
        raise ValueError("its config has another id")
    config = _CONFIGS[old["schema"]](old["config"])
    slices = old["slices"]
    if old["schema"] == 1:
        slices = [_slice_from_schema_1(one) for one in slices]
    is_network = "machine" not in config["model"]
    new = {
        **old,
        "schema": SCHEMA,
        "run_id": config_id(config),
        "config": config,
        "slices": slices,
        "steps_done": old.get("steps_done", config["train"]["steps"] if is_network else 0),
        "ensemble": old.get("ensemble", 1),
    }
    # By way of JSON, as the record will be read.
    return TypeAdapter(Record).validate_json(json.dumps(new), strict=True)


def _config_from_schema_1(old: dict[str, Any]) -> dict[str, Any]:
    task, train = dict(old["task"]), dict(old["train"])
    task["options"] = {"answer": task.pop("answer"), "common": 1}
    test = {"examples": train.pop("test_examples")}
    task = {"kind": "synthetic.SetDisjointness", **task}
    return _with_defaults({**old, "task": task, "train": train, "test": test})


def _with_defaults(old: dict[str, Any]) -> dict[str, Any]:
    """By way of the configs, which have defaults for what there was no choice of then."""
    kinds: dict[str, type[Any]] = {"task": TaskConfig, "train": TrainConfig, "test": TestConfig}
    kinds["model"] = MachineConfig if "machine" in old["model"] else ModelConfig
    config = {
        name: asdict(TypeAdapter(kind).validate_python(old[name])) for name, kind in kinds.items()
    }
    return {**config, "seed": old["seed"]}


_CONFIGS = {1: _config_from_schema_1, 2: _with_defaults, 3: _with_defaults}


def _slice_from_schema_1(old: dict[str, Any]) -> dict[str, Any]:
    state_bytes = old["state_bytes"]
    kept = {name: value for name, value in old.items() if name != "state_bytes"}
    return {**kept, "answers": 1, "state_bits": 8 * state_bytes, "quantized": []}


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    try:
        file.parent.rmdir()
    except OSError:
        logger.warning("%s is kept: there is more in it than a run", file.parent)
