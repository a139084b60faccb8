"""Runs that were interrupted: what they had come to, one safetensors file each."""

from __future__ import annotations

import json
import logging
import os
import uuid
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sdsim.config import RunConfig
from sdsim.train import Snapshot, shapes

logger = logging.getLogger(__name__)

_FORMAT = 1
_GROUPS = ("parameters", "exp_avg", "exp_avg_sq")


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot; the file is there whole or as it was before.

    Raises:
        OSError: if it cannot be written.
    """
    tensors = {"losses": snapshot.losses, "accuracies": snapshot.accuracies}
    for group in _GROUPS:
        tensors |= {f"{group}/{name}": one for name, one in getattr(snapshot, group).items()}
    progress = {"format": _FORMAT, "step": snapshot.step, "seconds": snapshot.seconds}
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{path.name}-*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    try:
        save_file(
            {name: one.contiguous() for name, one in tensors.items()},
            partial,
            {name: json.dumps(value) for name, value in progress.items()},
        )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, config: RunConfig) -> Snapshot | None:
    """The snapshot that `save` wrote of this run; None, and a warning, where it is of no use.

    Without a file there is nothing to go on from, and nothing to warn of.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = {name: json.loads(value) for name, value in (file.metadata() or {}).items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if progress.pop("format") != _FORMAT:
            raise ValueError("it is of another version")
        return _snapshot(progress, tensors, config)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is damaged, its run starts again: %s", path, error)
        return None


def _snapshot(
    progress: dict[str, float], tensors: dict[str, Tensor], config: RunConfig
) -> Snapshot:
    losses, accuracies = tensors.pop("losses"), tensors.pop("accuracies")
    groups = {
        group: {name: tensors.pop(f"{group}/{name}") for name in shapes(config)}
        for group in _GROUPS
    }
    for group in groups.values():
        wrong = [name for name, shape in shapes(config).items() if group[name].shape != shape]
        if wrong:
            raise ValueError(f"{wrong[0]} has another shape")
    window = (max(1, config.train.steps // 100),)
    if losses.shape != window or accuracies.shape != window:
        raise ValueError("its losses have another length")
    if tensors or not 0 < progress["step"] <= config.train.steps:
        raise ValueError(f"it is of another run ({', '.join(tensors) or progress})")
    step, seconds = int(progress["step"]), float(progress["seconds"])
    return Snapshot(step, seconds, **groups, losses=losses, accuracies=accuracies)
