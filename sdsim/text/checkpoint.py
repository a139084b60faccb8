"""Checkpoints of a run in training: torch's distributed checkpoints, in safetensors files.

Each process writes what it holds; any number of processes may read it again. A checkpoint is there
whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save
from torch.optim import Optimizer

from sdsim.models import LanguageModel
from sdsim.text.distributed import Processes

warnings.filterwarnings("ignore", "torch.distributed is disabled")  # one process is no fault

_PROGRESS = "progress.json"
_NAME = re.compile(r"step-(\d{8})")
_MODEL, _OPTIMIZER = "model/", "optimizer/"
_OPTIONS = StateDictOptions(flatten_optimizer_state_dict=True)


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The whole checkpoints in a folder, by step."""
    found = [] if not folder.is_dir() else list(folder.iterdir())
    matches = [(match, path) for path in found if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in matches)


@dataclass
class _Pending:
    wait: Callable[[], object]
    is_written: Callable[[], bool]
    partial: Path
    final: Path


class Checkpoints:
    """Where the checkpoints of one run are kept.

    Args:
        folder: of the checkpoints.
        model: what is trained, as the optimizer has it.
        optimizer: its optimizer.
        processes: who writes.
        keep: how many, the newest.
        background: whether `save` returns before all is written.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizer: Optimizer,
        processes: Processes,
        *,
        keep: int,
        background: bool,
    ) -> None:
        self.folder, self.model, self.optimizer = folder, model, optimizer
        self.processes, self.keep, self.background = processes, keep, background
        self._pending: _Pending | None = None
        # What is written in the background must not mix its words with training's.
        together = background and processes.count > 1
        self._group = dist.new_group(backend="gloo") if together else None

    def save(self, step: int) -> None:
        """Write what has been learned in `step` steps; called by all processes at once.

        Raises:
            OSError: where it cannot be written.
        """
        self.settle()
        final = self.folder / f"step-{step:08d}"
        partial = final.with_name(f".{final.name}.partial")
        if self.processes.first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _write_progress(partial / _PROGRESS, step)
        self.processes.wait()
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        settings: dict[str, Any] = {"storage_writer": writer, "no_dist": self.processes.count == 1}
        try:
            if self.background:
                started: Any = async_save(self._tensors(), process_group=self._group, **settings)
                self._pending = _Pending(started.result, started.done, partial, final)
            else:
                save(self._tensors(), **settings)
                self._pending = _Pending(lambda: None, lambda: True, partial, final)
                self.settle()
        except (CheckpointException, SafetensorError) as error:
            raise OSError(f"{partial} cannot be written: {_reason(error)}") from error

    def settle_if_written(self) -> None:
        """`settle`, unless some process is still writing; called by all processes at once."""
        if self._pending is None:
            return
        written = torch.tensor(float(self._pending.is_written()), device=self.processes.device)
        if float(self.processes.mean(written)) == 1:
            self.settle()

    def settle(self) -> None:
        """Wait until what `save` began is there."""
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            pending.wait()
        except (CheckpointException, SafetensorError) as error:
            raise OSError(f"{pending.partial} cannot be written: {_reason(error)}") from error
        self.processes.wait()
        if self.processes.first:
            _sync(pending.partial)
            shutil.rmtree(pending.final, ignore_errors=True)
            pending.partial.replace(pending.final)
            _sync(self.folder)
            for _, old in checkpoints(self.folder)[: -self.keep]:
                shutil.rmtree(old, ignore_errors=True)

    def load(self) -> int:
        """Take up the newest checkpoint; returns its step, 0 where there is none.

        Raises:
            ValueError: naming a checkpoint that is damaged.
        """
        found = checkpoints(self.folder)
        if not found:
            return 0
        step, path = found[-1]
        tensors = self._tensors()
        _read(path, tensors, alone=self.processes.count == 1)
        everything = get_optimizer_state_dict(self.model, self.optimizer, options=_OPTIONS)
        optimizer: dict[str, Any] = {
            name: tensors.get(f"{_OPTIMIZER}{name}", value) for name, value in everything.items()
        }
        model: dict[str, Any] = _under(tensors, _MODEL)
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=model,
            optim_state_dict=optimizer,
            options=_OPTIONS,
        )
        return step

    def _tensors(self) -> dict[str, Tensor]:
        """All that a checkpoint holds, by name; settings, which the config has, left out."""
        model, optimizer = get_state_dict(self.model, self.optimizer, options=_OPTIONS)
        named: dict[str, Any] = {f"{_MODEL}{name}": one for name, one in model.items()}
        named |= {f"{_OPTIMIZER}{name}": one for name, one in optimizer.items()}
        return {name: one for name, one in named.items() if isinstance(one, Tensor)}


def load_model(path: Path, model: LanguageModel) -> None:
    """Read the model of a checkpoint, without what else it holds.

    Raises:
        ValueError: naming a checkpoint that is damaged, or of another model.
    """
    prefix = f"{_MODEL}model."  # it was a part of the objective
    tensors = {f"{prefix}{name}": one for name, one in model.state_dict().items()}
    _read(path, tensors, alone=True)
    model.load_state_dict(_under(tensors, prefix))


def _read(path: Path, tensors: dict[str, Tensor], *, alone: bool) -> None:
    try:
        json.loads((path / _PROGRESS).read_text())
        load(tensors, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=alone)
    except (
        *(CheckpointException, SafetensorError, OSError, ValueError, KeyError, RuntimeError),
        *(AssertionError, AttributeError),
    ) as error:
        raise ValueError(
            f"{path} is damaged or of another model: {_reason(error)}; without that folder, "
            "training goes on from the one before"
        ) from error


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)
    }


def _reason(error: BaseException) -> str:
    inner = getattr(error, "failures", None)
    if inner:
        error = next(iter(inner.values()))[0]
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _write_progress(path: Path, step: int) -> None:
    with path.open("w") as file:
        file.write(json.dumps({"step": step, "torch": torch.__version__}) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the names in a folder outlive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
