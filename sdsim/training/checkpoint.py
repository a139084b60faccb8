"""Snapshots of interrupted runs, one safetensors file each."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sdsim.config import RunConfig
from sdsim.files import atomic_file, remove_scratch, save_tensors
from sdsim.training.trainer import Snapshot, build, curve_shape, learned, log_every

logger = logging.getLogger(__name__)

_FORMAT = 1
_GROUPS = ("parameters", "exp_avg", "exp_avg_sq")
_BUFFERS = "buffers"
_CURVES = ("losses", "accuracies", "curve")


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot atomically.

    Raises:
        OSError: if it cannot be written.
    """
    tensors = {name: getattr(snapshot, name) for name in _CURVES}
    for group in _GROUPS:
        tensors |= {f"{group}/{name}": tensor for name, tensor in getattr(snapshot, group).items()}
    progress = {"format": _FORMAT, "step": snapshot.step, "seconds": snapshot.seconds}
    tensors |= {f"{_BUFFERS}/{name}": tensor for name, tensor in snapshot.buffers.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_scratch(path.parent, path.name)
    with atomic_file(path) as partial:
        metadata = {name: json.dumps(value) for name, value in progress.items()}
        save_tensors(partial, tensors, metadata)


def load(path: Path, config: RunConfig) -> Snapshot | None:
    """The snapshot that `save` wrote of this run, None without one.

    A damaged file is warned of and left unused: its run starts again.
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
    logged, shape = log_every(config.train), curve_shape(config)
    # Snapshots of earlier versions have no curve, or none of each task.
    whole = torch.full(shape, math.nan)
    curve = tensors.get("curve", whole)
    if curve.shape == (shape[0], 2):
        whole[:, :2] = curve
        tensors["curve"] = whole
    tensors.setdefault("curve", whole)
    curves = {name: tensors.pop(name) for name in _CURVES}
    model = build(config, torch.device("meta"))
    expected: dict[str, Tensor] = {
        f"{group}/{name}": own for group in _GROUPS for name, own in learned(model).items()
    }
    expected |= {f"{_BUFFERS}/{name}": own for name, own in model.extra_weights().items()}
    wrong = [name for name, own in expected.items() if tensors[name].shape != own.shape]
    if wrong:
        raise ValueError(f"{wrong[0]} has another shape")
    groups: dict[str, dict[str, Tensor]] = {group: {} for group in (*_GROUPS, _BUFFERS)}
    for full_name in expected:
        group, _, name = full_name.partition("/")
        groups[group][name] = tensors.pop(full_name)
    if [tuple(each.shape) for each in curves.values()] != [(logged,), (logged,), shape]:
        raise ValueError("its losses have another length")
    if tensors or not 0 < progress["step"] <= config.train.steps:
        raise ValueError(f"it is of another run ({', '.join(tensors) or progress})")
    step, seconds = int(progress["step"]), float(progress["seconds"])
    losses, accuracies, curve = curves.values()
    return Snapshot(step, seconds, **groups, losses=losses, accuracies=accuracies, curve=curve)
