"""Checkpoints of a pretraining run: torch's distributed checkpoints, in safetensors files.

Each process writes its part; any number of processes may read the checkpoint again. It is complete
or not there at all.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
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

from sdsim.files import sync, write_text
from sdsim.models import LanguageModel
from sdsim.reading import read_object, reason
from sdsim.text.distributed import DistributedContext

# One process alone is as good as several; torch also warns from its writing thread.
warnings.filterwarnings("ignore", "torch.distributed is disabled")

_PROGRESS = "progress.json"
_NAME = re.compile(r"step-(\d{8})")
_MODEL, _OPTIMIZER = "model/", "optimizer/"
_OPTIONS = StateDictOptions(flatten_optimizer_state_dict=True)
_WRITE_ERRORS = (CheckpointException, SafetensorError)
_READ_ERRORS = (  # what torch and safetensors raise for damaged files
    CheckpointException,
    SafetensorError,
    OSError,
    OverflowError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    AssertionError,
    AttributeError,
)


def checkpoints(folder: Path) -> list[tuple[int, Path]]:
    """The steps and folders of the complete checkpoints in `folder`, the oldest first.

    Raises:
        ValueError: if it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file rather than a folder of checkpoints; move it away")
    found = list(folder.iterdir()) if folder.exists() else []
    matches = [(match, path) for path in found if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in matches)


def _name(step: int) -> str:
    return f"step-{step:08d}"


@dataclass(frozen=True)
class _Pending:
    """A checkpoint that is being written."""

    wait: Callable[[], object]
    is_written: Callable[[], bool]
    partial: Path
    final: Path


class Checkpoints:
    """The checkpoints of one run. All processes call its methods together.

    Args:
        folder: of the checkpoints.
        model: the module that is trained, wrapped as its optimizer knows it.
        optimizer: its optimizer.
        context: the processes that write.
        keep: number of checkpoints to keep, the newest ones.
        background: whether `save` returns before the checkpoint is written.
    """

    def __init__(
        self,
        folder: Path,
        model: nn.Module,
        optimizer: Optimizer,
        context: DistributedContext,
        *,
        keep: int,
        background: bool,
    ) -> None:
        self.folder, self.model, self.optimizer = folder, model, optimizer
        self.context, self.keep, self.background = context, keep, background
        self._pending: _Pending | None = None
        # Writing in the background needs a process group apart from training's.
        separate = background and context.world_size > 1
        self._group = context.new_group("gloo") if separate else None

    def save(self, step: int) -> None:
        """Write a checkpoint of the model and optimizer after `step` steps.

        Raises:
            OSError: if it, or the one before it, cannot be written.
        """
        self.settle()
        final = self.folder / _name(step)
        partial = final.with_name(f".{final.name}.partial")
        if self.context.is_first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            progress = {"step": step, "torch": torch.__version__}
            write_text(partial / _PROGRESS, json.dumps(progress) + "\n")
        self.context.wait()
        writer = HuggingFaceStorageWriter(str(partial), save_distributed=True)
        alone = self.context.world_size == 1
        try:
            if self.background:
                started: Any = async_save(
                    self._tensors(),
                    storage_writer=writer,
                    process_group=self._group,
                    no_dist=alone,
                )
                self._pending = _Pending(started.result, started.done, partial, final)
            else:
                save(self._tensors(), storage_writer=writer, no_dist=alone)
                self._pending = _Pending(lambda: None, lambda: True, partial, final)
                self.settle()
        except _WRITE_ERRORS as error:
            raise OSError(f"{partial} cannot be written: {_reason(error)}") from error

    def settle_if_written(self) -> None:
        """As `settle`, unless some process is still writing."""
        if self._pending is None:
            return
        written = torch.tensor(float(self._pending.is_written()), device=self.context.device)
        if float(self.context.mean(written)) == 1:
            self.settle()

    def settle(self) -> None:
        """Wait until the checkpoint that `save` began is complete.

        Raises:
            OSError: if it cannot be written.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        try:
            pending.wait()
        except _WRITE_ERRORS as error:
            raise OSError(f"{pending.partial} cannot be written: {_reason(error)}") from error
        self.context.wait()
        if self.context.is_first:
            sync(pending.partial)
            shutil.rmtree(pending.final, ignore_errors=True)
            pending.partial.replace(pending.final)
            sync(self.folder)
            for _, old in checkpoints(self.folder)[: -self.keep]:
                shutil.rmtree(old, ignore_errors=True)

    def load(self) -> int:
        """Load the newest checkpoint into the model and the optimizer.

        Returns:
            Its step; 0 if there is no checkpoint.

        Raises:
            ValueError: naming a checkpoint that is damaged.
        """
        found = checkpoints(self.folder)
        if not found:
            return 0
        step, path = found[-1]
        tensors = self._tensors()
        _read(path, tensors, alone=self.context.world_size == 1)
        current = get_optimizer_state_dict(self.model, self.optimizer, options=_OPTIONS)
        optimizer: dict[str, Any] = {
            name: tensors.get(f"{_OPTIMIZER}{name}", value) for name, value in current.items()
        }
        model: dict[str, Any] = _without_prefix(tensors, _MODEL)
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=model,
            optim_state_dict=optimizer,
            options=_OPTIONS,
        )
        return step

    def _tensors(self) -> dict[str, Tensor]:
        """The tensors of a checkpoint by name; the optimizer's settings are the config's."""
        model, optimizer = get_state_dict(self.model, self.optimizer, options=_OPTIONS)
        named: dict[str, Any] = {f"{_MODEL}{name}": value for name, value in model.items()}
        named |= {f"{_OPTIMIZER}{name}": value for name, value in optimizer.items()}
        return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def load_model(path: Path, model: LanguageModel) -> None:
    """Load the weights of a checkpoint, without the optimizer's state.

    Raises:
        ValueError: naming a checkpoint that is damaged or of another model.
    """
    prefix = f"{_MODEL}model."  # the model is a part of the objective that was trained
    tensors = {f"{prefix}{name}": value for name, value in model.state_dict().items()}
    _read(path, tensors, alone=True)
    model.load_state_dict(_without_prefix(tensors, prefix))


def _read(path: Path, tensors: dict[str, Tensor], *, alone: bool) -> None:
    """Fill the tensors from a checkpoint."""
    try:
        if path.name != _name(int(read_object(path / _PROGRESS)["step"])):
            raise ValueError(f"{_PROGRESS} is of another step")
        for file in path.glob("*.safetensors"):  # torch would log what is wrong with them
            with safe_open(file, framework="pt"):
                pass
        load(tensors, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=alone)
    except _READ_ERRORS as error:
        raise ValueError(
            f"{path} is damaged or of another model: {_reason(error)}; delete that folder to "
            "resume from the checkpoint before it"
        ) from error


def _without_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, under the rest of their names."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _reason(error: BaseException) -> str:
    """The first line of an error, or of the first one in a `CheckpointException`."""
    inner = getattr(error, "failures", None)
    if inner:
        error = next(iter(inner.values()))[0]
    return reason(error)
