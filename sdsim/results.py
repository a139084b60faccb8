"""The store of runs: one directory a run, files only, safe for many writers, read as one table."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from filelock import FileLock, Timeout

import sdsim
from sdsim.config import RunConfig
from sdsim.intervals import wilson
from sdsim.models import ModelConfig
from sdsim.train import SliceResult, TrainResult

logger = logging.getLogger(__name__)

SCHEMA = 1
"""Version of the run files; a store of another version is refused by name."""

RECORD = "run.json"
"""Name of the file in a run's folder."""
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_OURS = {"figures", "README.md"}


def run_id(config: RunConfig) -> str:
    """Sixteen hexadecimal digits: a hash of every field of the config."""
    return _hash(asdict(config))


def _hash(config: dict[str, Any]) -> str:
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_columns() -> tuple[str, ...]:
    """The columns of `load` that are settings of a run, as opposed to what it measured."""
    return tuple(_config_columns(asdict(RunConfig(ModelConfig("", ("",))))))


class Store:
    """A folder of finished runs.

    ``<path>/<run_id>/run.json`` is one run. It appears by one rename of a finished folder, so that
    a run is there whole or not at all, whoever dies when. Names with a leading dot are scratch.

    Args:
        path: the folder; made when the first run is written.

    Raises:
        ValueError: if it cannot be written (from `check_writable`).
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __contains__(self, identity: str) -> bool:
        try:
            _read(self.path / identity)
        except ValueError:
            return False
        return True

    def check_writable(self) -> None:
        """Raise `ValueError` unless runs can be stored here; leave nothing behind."""
        check_writable(self.path, "store")

    @contextlib.contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Hold a run for this process; yields whether it is ours to do.

        It is not if another process holds it, or if it is done. The operating system lets go of
        the claim when its holder dies, however it dies.
        """
        locks = self.path / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(locks / identity)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            yield False
            return
        try:
            yield identity not in self
        finally:
            lock.release()

    def write(self, config: RunConfig, result: TrainResult, *, device: str) -> Path:
        """Store a finished run; of two writers of one run, the first one stays."""
        identity = run_id(config)
        record = {
            "schema": SCHEMA,
            "run_id": identity,
            "config": asdict(config),
            "params": result.params,
            "train_loss": _finite_or_none(result.train_loss),
            "seconds": round(result.seconds, 3),
            "slices": [_slice_record(one) for one in result.slices],
            "device": device,
            "versions": _versions(),
            "commit": _commit(),
        }
        final = self.path / identity
        scratch = self.path / f".{identity}-{uuid.uuid4().hex}"
        scratch.mkdir(parents=True)
        try:
            _write_durably(scratch / RECORD, json.dumps(record, indent=1) + "\n")
            if final.exists() and identity not in self:
                aside = final.with_name(f"{final.name}.damaged-{uuid.uuid4().hex[:8]}")
                logger.warning("%s is damaged; it is kept as %s", final, aside.name)
                final.rename(aside)
            _rename_unless_there(scratch, final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return final


def check_writable(folder: Path, name: str) -> None:
    """Raise `ValueError` unless files can be made in `folder` (or where it will be made)."""
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        tempfile.TemporaryDirectory(dir=nearest, prefix=".sdsim-").cleanup()
    except OSError as error:
        raise ValueError(
            f"{name} = {folder}: cannot write in {nearest} ({error.strerror}); choose another"
        ) from error


def load(path: Path | str) -> pl.DataFrame:
    """All runs of a store as one table, a row per run and test slice, in a fixed order.

    Columns: run_id, `config_columns` (model and its settings, task, train settings, seed), order,
    size_a, size_b, universe_size, seq_len, chance, examples, correct, accuracy with its Wilson
    95 % interval (accuracy_low, accuracy_high), above_chance, loss (nats; null if not finite),
    state_numel, state_bytes, params, train_loss, diverged (some loss of the run is not finite),
    seconds, device, versions, commit.

    What is in the folder but is no run, or cannot be read, is named in a warning and left alone.

    Raises:
        ValueError: if there is no such folder or it holds no run.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"store = {path}: there is no such folder; `sdsim sweep` makes one")
    rows: list[dict[str, Any]] = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name in _OURS:
            continue
        try:
            rows.extend(_rows(_read(entry)))
        except ValueError as error:
            logger.warning("skipped: %s", error)
    if not rows:
        raise ValueError(f"store = {path}: it holds no finished run; `sdsim sweep` makes some")
    return pl.DataFrame(rows, infer_schema_length=None).sort(
        "model", "state_bytes", "width", "feature_dim", "lr", "seed", "size_a", "size_b", "run_id"
    )


def _read(entry: Path) -> dict[str, Any]:
    """The record of one run folder; `ValueError` says what is wrong with it."""
    file = entry / RECORD
    if not _RUN_ID.fullmatch(entry.name):
        raise ValueError(f"{entry} is not a run (a run's folder is named by its 16-digit id)")
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        _check(record, entry.name)
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} lacks or garbles a field ({error!r})") from error
    except ValueError as error:  # of JSON, of UTF-8, of a count
        raise ValueError(f"{file} is damaged ({error})") from error
    return dict(record)


def _check(record: dict[str, Any], identity: str) -> None:
    if record["schema"] != SCHEMA:
        raise ValueError(f"its schema is {record['schema']}, this version reads {SCHEMA}")
    if record["run_id"] != identity or _hash(record["config"]) != identity:
        raise ValueError("it does not belong to this folder: its config has another id")
    _rows(record)


def _rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    slices = record["slices"]
    losses = [record["train_loss"], *(one["loss"] for one in slices)]
    shared = {
        "run_id": record["run_id"],
        **_config_columns(record["config"]),
        "params": record["params"],
        "train_loss": record["train_loss"],
        "diverged": None in losses,
        "seconds": record["seconds"],
        "device": record["device"],
        "versions": json.dumps(record["versions"], sort_keys=True),
        "commit": record["commit"],
    }
    return [{**shared, **_slice_row(one)} for one in slices]


def _config_columns(config: dict[str, Any]) -> dict[str, Any]:
    """A config, flat: every setting a column, lists as text."""
    model, task, train = dict(config["model"]), dict(config["task"]), config["train"]
    columns = {"model": model.pop("name"), **model, "task": task.pop("name"), **task, **train}
    columns["seed"] = config["seed"]
    return {
        name: json.dumps(value) if isinstance(value, (list, tuple)) else value
        for name, value in columns.items()
    }


def _slice_row(one: dict[str, Any]) -> dict[str, Any]:
    low, high = wilson(one["correct"], one["examples"])
    accuracy = one["correct"] / one["examples"]
    return {
        **one,
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "above_chance": above_chance(accuracy, one["chance"]),
    }


def above_chance(accuracy: float, chance: float) -> float | None:
    """Accuracy on a scale from 0, guessing, to 1, no error; None where guessing makes no error.

    >>> above_chance(0.75, 0.5)
    0.5
    """
    return (accuracy - chance) / (1 - chance) if chance < 1 else None


def _slice_record(one: SliceResult) -> dict[str, Any]:
    task = one.task
    return {
        "size_a": task.size_a,
        "size_b": task.size_b,
        "universe_size": task.universe_size,
        "order": task.order,
        "chance": task.chance,
        "seq_len": task.seq_len,
        "examples": one.examples,
        "correct": one.correct,
        "loss": _finite_or_none(one.loss),
        "state_numel": one.state_numel,
        "state_bytes": one.state_bytes,
    }


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _rename_unless_there(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError:
        # A folder that is not empty is never replaced: another writer was first.
        if not target.is_dir():
            raise


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "sdsim": sdsim.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


@lru_cache
def _commit() -> str | None:
    """The commit of the checkout that this file is in, with ``+`` if it was changed; else None."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(here), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
