"""Softmax attention to a sliding window, with rotary positions."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import sliding_window_attention
from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import MixerState
from sdsim.models.mixers.rotary_attention import RotaryAttention
from sdsim.models.mixers.softmax_attention import fused_attention_unless_transformed


class SlidingWindowAttention(RotaryAttention):
    """Attention to the last `window` tokens, with rotary positions in all numbers of a head.

    State: keys and values of the last `window` - 1 tokens (fewer at first), (B, heads, …,
    width / heads) each; the position, int64 (B,), of which only differences matter; after a masked
    prompt also which of the tokens are real, bool (B, …).
    """

    rotary_fraction = 1.0

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.window = config.window

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        if state is not None:
            return self._continue(x, state)
        q, k, v = self._project(x)
        position = torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
        masks = () if mask is None else (self._last(mask, 1),)
        after = (self._last(k, 2), self._last(v, 2), position, *masks)
        return self._attend(q, k, v, mask), after

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, position, *past_mask = state
        q, k, v = self._project(x[:, None], position[:, None, None])
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        y, mask = self._attend_last(q, k, v, past_mask)
        masks = (self._last(padded, 1) for padded in mask)
        return y, (self._last(k, 2), self._last(v, 2), position + 1, *masks)

    def _continue(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, position, *past_mask = state
        q, k, v = self._project(x, position[:, None, None])
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        y, mask = self._attend_after(q, k, v, past_mask)
        masks = (self._last(padded, 1) for padded in mask)
        return y, (self._last(k, 2), self._last(v, 2), position + x.shape[1], *masks)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        with fused_attention_unless_transformed(q):
            y = sliding_window_attention(q, k, v, self.window, mask=mask)
        return self._merge_heads(y.transpose(1, 2))

    def _last(self, x: Tensor, dim: int) -> Tensor:
        """What the next token can see, copied so that the rest can be freed."""
        kept = min(x.shape[dim], self.window - 1)
        return x.narrow(dim, x.shape[dim] - kept, kept).clone()
