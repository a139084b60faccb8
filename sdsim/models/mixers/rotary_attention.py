"""Softmax attention with rotary positions: over all that was read, or over a sliding window."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernels import sliding_window_attention
from sdsim.models.mixers.mixer import MixerState, is_transformed
from sdsim.models.mixers.softmax_attention import SoftmaxAttention

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig

_BASE = 10_000.0


def rotate(x: Tensor, positions: Tensor, share: float = 1.0) -> Tensor:
    """Rotary position embedding: pairs of numbers turned by angles that grow with the position.

    Number i of the first half of the turned ones is paired with number i of the second.

    Args:
        x: (…, N, E).
        positions: int64, (…, N) or whatever broadcasts to it.
        share: of the E numbers that are turned, in (0, 1]; the others stay.

    Source:
        Su et al., RoFormer, arXiv:2104.09864.
    """
    turned = 2 * int(x.shape[-1] * share / 2)
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

    State: as of `SoftmaxAttention`, the keys turned.
    """

    rotary_share = 0.5

    def _place(self, x: Tensor, start: int) -> Tensor:
        positions = torch.arange(start, start + x.shape[2], device=x.device)
        return rotate(x, positions, self.rotary_share)


class SlidingWindowAttention(RotaryAttention):
    """Attention to the last `window` tokens, with rotary positions in all numbers of a head.

    State: keys and values of the last `window` - 1 tokens (fewer at first), (B, heads, …,
    width / heads) each; the position, int64 (B,), of which only differences matter; after a masked
    prompt also which of the tokens are real, bool (B, …).
    """

    rotary_share = 1.0

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__(width, heads)
        self.window = window

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.heads, config.window)

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        q, k, v = self._project(x)
        position = torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
        masks = () if mask is None else (self._last(mask, 1),)
        state = (self._last(k, 2), self._last(v, 2), position, *masks)
        return self._attend(q, k, v, mask), state

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        # The fused forms do not know vmap.
        with sdpa_kernel(SDPBackend.MATH) if is_transformed(q) else nullcontext():
            y = sliding_window_attention(q, k, v, self.window, mask=mask)
        return self._merge_heads(y.transpose(1, 2))

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, position, *past_mask = state
        q, k, v = self._split(x[:, None])
        q, k = (rotate(y, position[:, None, None], self.rotary_share) for y in (q, k))
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        mask = [F.pad(one, (0, 1), value=True) for one in past_mask]
        visible = mask[0][:, None, None] if mask else None
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        after = (self._last(k, 2), self._last(v, 2), position + 1)
        return self._merge_heads(y)[:, 0], (*after, *(self._last(one, 1) for one in mask))

    def _last(self, x: Tensor, dim: int) -> Tensor:
        """A copy of what the next token can see, lest all be kept alive."""
        kept = min(x.shape[dim], self.window - 1)
        return x.narrow(dim, x.shape[dim] - kept, kept).clone()
