"""Stores of earlier versions: their runs rewritten as this version writes them."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sdsim.config import TaskConfig, TestConfig, TrainConfig
from sdsim.models import ModelConfig
from sdsim.results import RECORD, SCHEMA, Record, Store, config_id

logger = logging.getLogger(__name__)


def upgrade(path: Path | str) -> int:
    """Rewrite the runs of schema 1 in place, so that the same commands find them done.

    A run moves to the id that its config has now. It appears there whole, before its old folder
    goes: killed at any time, the same call does the rest. A run that is damaged is named in a
    warning and left alone, as is all else in the folder.

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
            if not isinstance(old, dict) or old.get("schema") != 1:
                continue
            record = _from_schema_1(old, file.parent.name)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            logger.warning("left as it is: %s is damaged (%s)", file, reason)
            continue
        store.add(record)
        _remove(file)
        rewritten += 1
    return rewritten


def _from_schema_1(old: dict[str, Any], folder: str) -> Record:
    """The record as schema 2 has it: other tasks, tests of their own, states counted in bits."""
    if not config_id(old["config"]) == old["run_id"] == folder:
        raise ValueError("its config has another id")
    config = _config_from_schema_1(old["config"])
    new = {
        **old,
        "schema": SCHEMA,
        "run_id": config_id(config),
        "config": config,
        "slices": [_slice_from_schema_1(one) for one in old["slices"]],
    }
    # By way of JSON, as the record will be read.
    return TypeAdapter(Record).validate_json(json.dumps(new), strict=True)


def _config_from_schema_1(old: dict[str, Any]) -> dict[str, Any]:
    task, train = dict(old["task"]), dict(old["train"])
    task["options"] = {"answer": task.pop("answer"), "common": 1}
    test = {"examples": train.pop("test_examples")}
    # By way of the configs, which have defaults for what there was no choice of then.
    parts: dict[str, tuple[type[Any], dict[str, Any]]] = {
        "model": (ModelConfig, old["model"]),
        "task": (TaskConfig, {"kind": "synthetic.SetDisjointness", **task}),
        "train": (TrainConfig, train),
        "test": (TestConfig, test),
    }
    config = {
        name: asdict(TypeAdapter(kind).validate_python(values))
        for name, (kind, values) in parts.items()
    }
    return {**config, "seed": old["seed"]}


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
