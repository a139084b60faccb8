"""Softmax attention with rotary positions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from sdsim.models.mixers.softmax_attention import SoftmaxAttention

_BASE = 10_000.0


def rotate(x: Tensor, positions: Tensor, fraction: float = 1.0) -> Tensor:
    """Rotary position embedding: turns pairs of numbers by angles that grow with the position.

    Number i of the first half of those turned is paired with number i of the second half.

    Args:
        x: (…, N, E).
        positions: int64, broadcastable to (…, N).
        fraction: of the E numbers that are turned, in (0, 1]; the others stay.

    Returns:
        The same shape and type as x.

    Source:
        Su et al., RoFormer, arXiv:2104.09864.
    """
    turned = 2 * int(x.shape[-1] * fraction / 2)
    precise = torch.promote_types(x.dtype, torch.float32)
    half = torch.arange(0, turned, 2, device=x.device, dtype=precise)
    angles = positions[..., None].to(precise) * _BASE ** (-half / max(1, turned))
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x[..., :turned].chunk(2, dim=-1)
    return torch.cat(
        [first * cos - second * sin, second * cos + first * sin, x[..., turned:]], dim=-1
    )


class RotaryAttention(SoftmaxAttention):
    """Causal attention with rotary positions, as in a Transformer++ (half of each head's numbers).

    State: as in `SoftmaxAttention`, the keys turned.
    """

    rotary_fraction: ClassVar[float] = 0.5

    def _place(self, x: Tensor, start: int | Tensor) -> Tensor:
        positions = start + torch.arange(x.shape[2], device=x.device)
        return rotate(x, positions, self.rotary_fraction)
