"""Causal softmax attention, whose state grows with the number of tokens read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import MixerState, MultiHeadMixer, is_transformed


class SoftmaxAttention(MultiHeadMixer):
    """Multi-head attention without positional embedding, like all small models of the paper.

    State: keys and values of all N tokens read, (B, heads, N, width / heads) each; after a masked
    prompt also which of them are real, bool (B, N).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.in_proj = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self._attend(*self._project(x), mask)

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
        # Copies, because k and v are views that would keep the whole projection alive.
        after = (k.clone(), v.clone()) if mask is None else (k.clone(), v.clone(), mask.clone())
        return self._attend(q, k, v, mask), after

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, *past_mask = state
        q, k, v = self._project(x[:, None], past_k.shape[2])
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        y, mask = self._attend_last(q, k, v, past_mask)
        return y, (k, v, *mask)

    def _continue(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, *past_mask = state
        q, k, v = self._project(x, past_k.shape[2])
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        y, mask = self._attend_after(q, k, v, past_mask)
        return y, (k, v, *mask)

    def _attend_after(
        self, q: Tensor, k: Tensor, v: Tensor, past_mask: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Queries of the last N tokens (B, heads, N, …), keys and values of all, to (B, N, width).

        Also the mask of all tokens, if there is one of those before.
        """
        length = q.shape[2]
        past = k.shape[2] - length
        mask = [F.pad(before, (0, length), value=True) for before in past_mask]
        y = self._attend(F.pad(q, (0, 0, past, 0)), k, v, mask[0] if mask else None)
        return y[:, past:], mask

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """All queries, causally: (B, heads, N, …) to (B, N, width)."""
        with fused_attention_unless_transformed(q):
            if mask is None:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                length = q.shape[2]
                causal = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
                itself = torch.eye(length, dtype=torch.bool, device=q.device)
                # A padded query sees itself alone: a softmax over nothing would be NaN.
                visible = (causal & mask[:, None]) | itself  # (B, N, N)
                y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None])
        return self._merge_heads(y)

    def _attend_last(
        self, q: Tensor, k: Tensor, v: Tensor, past_mask: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The last token's query (B, heads, 1, …) to (B, width); and the mask, if any, with it."""
        mask = [F.pad(past, (0, 1), value=True) for past in past_mask]
        visible = mask[0][:, None, None] if mask else None
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self._merge_heads(y)[:, 0], mask

    def _project(self, x: Tensor, start: int | Tensor = 0) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, width) to q, k, v, each (B, heads, N, width / heads), of positions from `start`.

        Args:
            x: the tokens.
            start: how many tokens were read before; int64 (B, 1, 1) if it varies with the sequence.
        """
        q, k, v = (
            self._split_heads(part).transpose(1, 2) for part in self.in_proj(x).chunk(3, dim=-1)
        )
        return self._place(q, start), self._place(k, start), v

    def _place(self, x: Tensor, start: int | Tensor) -> Tensor:
        """Give queries or keys (B, heads, N, …) their positions, `start` and on; here none."""
        return x

    def _merge_heads(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out_proj(y.transpose(1, 2).flatten(-2))
        return merged


def fused_attention_unless_transformed(x: Tensor) -> AbstractContextManager[None]:
    """Keeps torch from fused attention where a transform such as vmap, not supported, acts on x."""
    return sdpa_kernel(SDPBackend.MATH) if is_transformed(x) else nullcontext()
