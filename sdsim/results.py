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
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
import torch
from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

import sdsim
from sdsim.config import RunConfig
from sdsim.intervals import wilson
from sdsim.machines import MachineConfig
from sdsim.models import ModelConfig
from sdsim.models.config import STRICT
from sdsim.run import RunResult
from sdsim.testing import SliceResult
from synthetic import Order

if TYPE_CHECKING:
    from typing_extensions import Self

logger = logging.getLogger(__name__)

SCHEMA = 4
"""Version of the run files; those of another version are refused by name."""

RECORD = "run.json"
"""Name of the file in a run's folder."""
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_OURS = {"figures", "README.md"}


def run_id(config: RunConfig) -> str:
    """Sixteen hexadecimal digits: a hash of every field of the config."""
    return config_id(asdict(config))


def config_id(config: dict[str, Any]) -> str:
    """`run_id` of a config as plain data."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def config_columns() -> tuple[str, ...]:
    """The columns of `load` that are settings of a run, as opposed to what it measured."""
    network = RunConfig(ModelConfig("", ("gru",)))
    machine = RunConfig(MachineConfig("", "one_pass"))
    columns = {**_config_columns(asdict(network)), **_config_columns(asdict(machine))}
    return tuple(columns)


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

    def check_current(self) -> None:
        """Raise `ValueError` if there are runs of an earlier version, which would be done again."""
        old = 0
        for record in self.path.glob(f"*/{RECORD}"):
            if "." in record.parent.name:  # set aside
                continue
            try:
                _read(record.parent)
            except EarlierSchemaError:
                old += 1
            except ValueError:
                continue
        if old:
            raise ValueError(
                f"store = {self.path}: {old} runs are of an earlier version; "
                f"`sdsim upgrade store={self.path}` first"
            )

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

    def checkpoint(self, config: RunConfig) -> Path:
        """Where a run that is not finished keeps what it has come to."""
        return self.path / ".checkpoints" / f"{run_id(config)}.safetensors"

    def write(self, config: RunConfig, result: RunResult, *, device: str) -> Path:
        """Store a finished run; of two writers of one run, the first one stays."""
        stored = self.add(
            Record(
                schema=SCHEMA,
                run_id=run_id(config),
                config=asdict(config),
                params=result.params,
                train_loss=_finite_or_none(result.train_loss),
                steps_done=result.steps_done,
                ensemble=result.ensemble,
                seconds=round(result.seconds, 3),
                slices=[SliceRecord.of(one) for one in result.slices],
                device=device,
                versions=_versions(),
                commit=commit(),
            )
        )
        self.checkpoint(config).unlink(missing_ok=True)
        return stored

    def add(self, record: Record) -> Path:
        """Store a record, as `write`."""
        identity = record.run_id
        final = self.path / identity
        scratch = self.path / f".{identity}-{uuid.uuid4().hex}"
        scratch.mkdir(parents=True)
        try:
            _write_durably(scratch / RECORD, _text(record))
            if os.path.lexists(final) and identity not in self:
                aside = final.with_name(f"{final.name}.damaged-{uuid.uuid4().hex[:8]}")
                logger.warning("%s is damaged; it is kept as %s", final, aside.name)
                final.rename(aside)
            _rename_unless_there(scratch, final)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return final

    def rewrite(self, record: Record) -> None:
        """Put a record in the place of the stored one of the same id, at once."""
        final = self.path / record.run_id / RECORD
        partial = final.with_name(f".{RECORD}-{uuid.uuid4().hex}")
        try:
            _write_durably(partial, _text(record))
            partial.replace(final)
        finally:
            partial.unlink(missing_ok=True)


def _text(record: Record) -> str:
    return json.dumps(asdict(record), indent=1) + "\n"


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

    Columns: run_id, `config_columns` (model and its settings, null where it has none of that kind;
    task, train and test settings, seed), order, size_a, size_b, universe_size, seq_len, chance,
    examples, answers (that each example asks for), correct (right answers over `answers`: examples'
    worth), accuracy with its Wilson 95 % interval (accuracy_low, accuracy_high; the answers of an
    example count as one observation), above_chance, loss (nats; null if not finite), state_numel,
    state_bits, state_bytes, params, train_loss, diverged (some loss of a network is not finite),
    steps_done, ensemble (how many runs were trained as one), seconds, device, versions, commit; and
    quantized, a list of structs with bits (per number), state_bits (in all) and correct.

    What is in the folder but is no run, or cannot be read, is named in a warning and left alone.

    Raises:
        ValueError: if there is no such folder or it holds no run, or none but an earlier version's.
    """
    path = Path(path)
    if not path.is_dir():
        raise ValueError(f"store = {path}: there is no such folder; `sdsim sweep` makes one")
    rows: list[dict[str, Any]] = []
    old: list[EarlierSchemaError] = []
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name in _OURS:
            continue
        try:
            rows.extend(_read(entry).rows())
        except EarlierSchemaError as error:
            old.append(error)
        except ValueError as error:
            logger.warning("skipped: %s", error)
    if old:
        hint = f"{old[0]}, as {len(old)} in all: `sdsim upgrade store={path}` rewrites them"
        if not rows:
            raise ValueError(f"store = {path}: {hint}")
        logger.warning("skipped: %s", hint)
    if not rows:
        raise ValueError(f"store = {path}: it holds no finished run; `sdsim sweep` makes some")
    table = pl.DataFrame(rows, infer_schema_length=None)
    missing = [name for name in config_columns() if name not in table.columns]
    return table.with_columns(**dict.fromkeys(missing, pl.lit(None))).sort(
        "model", "state_bits", "width", "feature_dim", "lr", "seed", "size_a", "size_b", "run_id"
    )


@dataclass(frozen=True)
class QuantizedRecord:
    """What a run's file says of one slice with a rounded state; see `load`."""

    __pydantic_config__: ClassVar[Any] = STRICT

    bits: int
    state_bits: int
    correct: int


@dataclass(frozen=True)
class SliceRecord:
    """What a run's file says of one test slice; see `load` for the fields."""

    __pydantic_config__: ClassVar[Any] = STRICT

    size_a: int
    size_b: int
    universe_size: int
    order: Order
    chance: float
    seq_len: int
    examples: int
    answers: int
    correct: int
    loss: float | None
    state_numel: int | None
    state_bits: int
    quantized: list[QuantizedRecord]

    @classmethod
    def of(cls, one: SliceResult) -> Self:
        """As measured; a loss that is not finite is None."""
        task = one.task
        return cls(
            size_a=task.size_a,
            size_b=task.size_b,
            universe_size=task.universe_size,
            order=task.order,
            chance=task.chance,
            seq_len=task.seq_len,
            examples=one.examples,
            answers=one.answers,
            correct=one.correct,
            loss=_finite_or_none(one.loss),
            state_numel=one.state_numel,
            state_bits=one.state_bits,
            quantized=[QuantizedRecord(**asdict(less)) for less in one.quantized],
        )

    def __post_init__(self) -> None:
        sizes = (self.size_a, self.size_b, self.universe_size, self.seq_len)
        if min(*sizes, self.examples, self.answers, self.state_bits) < 1:
            raise ValueError("a size, a count of examples or a state is less than 1")
        counts = [self.correct, *(less.correct for less in self.quantized)]
        within = 0 <= min(counts) <= max(counts) <= self.examples * self.answers
        if not within or not 0 < self.chance <= 1:
            raise ValueError("a count of right answers or a chance is out of range")

    def columns(self) -> dict[str, Any]:
        """The fields, and what follows from them."""
        correct = self.correct / self.answers
        low, high = wilson(correct, self.examples)
        accuracy = correct / self.examples
        return {
            **asdict(self),
            "correct": correct,
            "quantized": [
                {**asdict(less), "correct": less.correct / self.answers} for less in self.quantized
            ],
            "state_bytes": math.ceil(self.state_bits / 8),
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "above_chance": above_chance(accuracy, self.chance),
        }


@dataclass(frozen=True)
class Record:
    """The file of one run; see `load` for the fields."""

    __pydantic_config__: ClassVar[Any] = STRICT

    schema: int
    run_id: str
    config: dict[str, Any]
    params: int
    train_loss: float | None
    steps_done: int
    ensemble: int
    seconds: float
    slices: list[SliceRecord]
    device: str
    versions: dict[str, str]
    commit: str | None

    def __post_init__(self) -> None:
        if config_id(self.config) != self.run_id:
            raise ValueError("its config has another id")
        task = self.config["task"]
        # Of a recall task that begins with its queries, the sides stand the other way round.
        sizes = [sorted((one.size_a, one.size_b)) for one in self.slices]
        if sizes != [sorted(pair) for pair in task["test_sizes"] or task["train_sizes"]]:
            raise ValueError("its slices are not those of its config")

    def rows(self) -> list[dict[str, Any]]:
        """A row of `load`'s table per slice."""
        losses = [self.train_loss, *(one.loss for one in self.slices)]
        is_network = "machine" not in self.config["model"]
        shared = {
            "run_id": self.run_id,
            **_config_columns(self.config),
            "params": self.params,
            "train_loss": self.train_loss,
            "diverged": is_network and None in losses,
            "steps_done": self.steps_done,
            "ensemble": self.ensemble,
            "seconds": self.seconds,
            "device": self.device,
            "versions": json.dumps(self.versions, sort_keys=True),
            "commit": self.commit,
        }
        return [{**shared, **one.columns()} for one in self.slices]


class EarlierSchemaError(ValueError):
    """A run's file was written by an earlier version; `sdsim.upgrade` can rewrite it."""


def _read(entry: Path) -> Record:
    """The record of one run folder; `ValueError` says what is wrong with it."""
    file = entry / RECORD
    if not _RUN_ID.fullmatch(entry.name):
        raise ValueError(f"{entry} is not a run (a run's folder is named by its 16-digit id)")
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text)
        schema = content.get("schema") if isinstance(content, dict) else SCHEMA
        if isinstance(schema, int) and 1 <= schema < SCHEMA:
            raise EarlierSchemaError(f"{file} has schema {schema}, this version reads {SCHEMA}")
        if schema != SCHEMA:
            raise ValueError(f"its schema is {schema}, this version reads {SCHEMA}")
        record: Record = _RECORD.validate_json(text, strict=True)
    except EarlierSchemaError:
        raise
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{file} is damaged ({where}: {first['msg']})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{file} is damaged ({error})") from error
    if record.run_id != entry.name:
        raise ValueError(f"{file} does not belong to this folder: it is run {record.run_id}")
    return record


_RECORD = TypeAdapter(Record)


def _config_columns(config: dict[str, Any]) -> dict[str, Any]:
    """A config, flat: every setting a column, lists as text."""
    model, task, test = (dict(config[name]) for name in ("model", "task", "test"))
    test["test_examples"] = test.pop("examples")  # the table's are those of a slice
    columns = {"model": model.pop("name"), **model, "task": task.pop("name"), **task}
    columns |= {**config["train"], **test, "seed": config["seed"]}
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, (list, tuple, dict)) else value
        for name, value in columns.items()
    }


def above_chance(accuracy: float, chance: float) -> float | None:
    """Accuracy on a scale from 0, guessing, to 1, no error; None where guessing makes no error.

    >>> above_chance(0.75, 0.5)
    0.5
    """
    return (accuracy - chance) / (1 - chance) if chance < 1 else None


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


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
def commit() -> str | None:
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
