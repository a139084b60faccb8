"""The device that training and evaluation run on."""

from __future__ import annotations

import torch


def check_device(name: str) -> None:
    """Raise `ValueError` unless torch can compute on the device of this name."""
    try:
        float(torch.ones(1, device=name).sum())
    except (RuntimeError, AssertionError) as error:  # torch raises both, by backend
        reason = str(error).splitlines()[0]
        raise ValueError(f"device = {name!r} cannot be used: {reason}") from error
