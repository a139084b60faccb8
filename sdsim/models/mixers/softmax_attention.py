"""Causal softmax attention: the model whose state grows with what it has read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sdsim.models.mixers.mixer import Mixer, MixerState, check_heads, is_transformed

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig


class SoftmaxAttention(Mixer):
    """Multi-head attention without positional embedding, as all small models of the paper.

    State: keys and values of all N tokens read, (B, heads, N, width / heads) each; after a masked
    prompt also which of them are real, bool (B, N).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.heads)

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self._attend(*self._project(x), mask)

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        q, k, v = self._project(x)
        # Copies, lest the state keep alive the projection that they are views of.
        state = (k.clone(), v.clone()) if mask is None else (k.clone(), v.clone(), mask.clone())
        return self._attend(q, k, v, mask), state

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None and is_transformed(q):  # which the fused forms do not know
            with sdpa_kernel(SDPBackend.MATH):
                return self._merge_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        if mask is None:
            return self._merge_heads(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        length = q.shape[2]
        causal = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=q.device)
        # A padded query sees itself alone, lest its softmax be over nothing.
        visible = (causal & mask[:, None]) | itself  # (B, N, N)
        return self._merge_heads(
            F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None])
        )

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        past_k, past_v, *past_mask = state
        q, k, v = self._project(x[:, None], past_k.shape[2])
        k, v = torch.cat([past_k, k], dim=2), torch.cat([past_v, v], dim=2)
        if not past_mask:
            return self._merge_heads(F.scaled_dot_product_attention(q, k, v))[:, 0], (k, v)
        mask = F.pad(past_mask[0], (0, 1), value=True)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        return self._merge_heads(y)[:, 0], (k, v, mask)

    def _project(self, x: Tensor, start: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, width) to q, k, v, each (B, heads, N, width / heads); `start` tokens were read."""
        q, k, v = self._split(x)
        return self._place(q, start), self._place(k, start), v

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.in_proj(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def _place(self, x: Tensor, start: int) -> Tensor:
        """Queries or keys (B, heads, N, …) of which the first stands at position `start`."""
        return x

    def _merge_heads(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out_proj(y.transpose(1, 2).flatten(-2))
        return merged
