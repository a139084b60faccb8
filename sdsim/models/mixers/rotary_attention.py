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
        fraction: of the E numbers that are turned, in (0, 1]; the others stay. An odd count of c
            numbers has (c + 1) / 2 frequencies base^(−2i/c), which turn c + 1 numbers; all of an
            odd E, which leaves no number for the last pair, turns E − 1.

    Returns:
        The same shape and type as x.

    Source:
        Su et al., RoFormer, arXiv:2104.09864; for odd counts the released Transformer of 1.3B
        parameters (arXiv:2407.05483), whose heads of 70 turn 36 numbers.
    """
    size = x.shape[-1]
    count = size - 1 if size % 2 and fraction == 1 else int(size * fraction)
    turned = count + count % 2
    precise = torch.promote_types(x.dtype, torch.float32)
    doubled = torch.arange(0, turned, 2, device=x.device, dtype=precise)
    angles = positions[..., None].to(precise) * _BASE ** (-doubled / max(1, count))
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
