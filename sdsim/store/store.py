"""The store of runs: one folder a run, files only, safe for many writers."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from sdsim.config import RunConfig, run_id
from sdsim.files import atomic_folder, check_writable, save_tensors, write_text
from sdsim.store.curve import CURVE, curve_text
from sdsim.store.record import (
    RECORD,
    SCHEMA,
    OtherSchemaError,
    Record,
    read_record,
)
from sdsim.store.weights import WEIGHTS
from sdsim.training.result import RunResult

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)


class Store:
    """A folder of finished runs.

    ``<path>/<run_id>/run.json`` is one run, ``curve.csv`` beside it how it learned, and
    ``weights.safetensors`` what it learned, if asked for. It appears by one rename of a finished
    folder, so a run is there whole or not at all, whoever dies when. Names with a leading dot are
    scratch.

    Args:
        path: the folder; made when the first run is written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def __contains__(self, identity: str) -> bool:
        try:
            read_record(self.path / identity)
        except ValueError:
            return False
        return True

    def check(self) -> None:
        """Raise `ValueError` unless runs can be stored here; leave nothing behind.

        Runs of another schema are refused by name: they would silently be done again.
        """
        check_writable(self.path, "store")
        other = [
            file.parent
            for file in self.path.glob(f"*/{RECORD}")
            if "." not in file.parent.name and _has_other_schema(file.parent)
        ]
        if other:
            raise ValueError(
                f"store = {self.path}: {len(other)} runs, such as {other[0].name}, are of another "
                f"version's schema than {SCHEMA}, which this one reads; choose another folder"
            )

    @contextlib.contextmanager
    def claim(self, identity: str) -> Iterator[bool]:
        """Hold a run for this process; yields whether it is ours to do.

        It is not if another process holds it, or if it is done. The operating system releases the
        claim when its holder dies, however it dies.
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
        """Where a run that is not finished keeps its snapshot."""
        return self._checkpoint(run_id(config))

    def _checkpoint(self, identity: str) -> Path:
        return self.path / ".checkpoints" / f"{identity}.safetensors"

    def begun(self, identities: Iterable[str]) -> list[int]:
        """How many steps those of the runs have done that are not finished but have a snapshot."""
        steps = [_saved_step(self._checkpoint(identity)) for identity in identities]
        return [step for step in steps if step is not None]

    def write(
        self,
        config: RunConfig,
        result: RunResult,
        *,
        device: str,
        weights: Mapping[str, Tensor] | None = None,
    ) -> Path:
        """Store a finished run and return its folder; of two writers of one run, the first wins."""
        record = Record.of(config, result, device)
        folder = self.path / record.run_id
        if os.path.lexists(folder) and record.run_id not in self:
            aside = folder.with_name(f"{folder.name}.damaged-{uuid.uuid4().hex[:8]}")
            logger.warning("%s is damaged; it is kept as %s", folder, aside.name)
            folder.rename(aside)
        with atomic_folder(folder) as scratch:
            write_text(scratch / RECORD, record.text())
            if result.curve:
                text = curve_text(result.curve, config.task.train_sizes)
                write_text(scratch / CURVE, text)
            if weights is not None:
                save_tensors(scratch / WEIGHTS, weights)
        self.checkpoint(config).unlink(missing_ok=True)
        return folder


def _saved_step(file: Path) -> int | None:
    """None if it is gone or damaged."""
    try:
        with safe_open(file, framework="numpy") as snapshot:  # reads its header alone
            return int((snapshot.metadata() or {})["step"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _has_other_schema(folder: Path) -> bool:
    try:
        read_record(folder)
    except OtherSchemaError:
        return True
    except ValueError:
        return False
    return False
