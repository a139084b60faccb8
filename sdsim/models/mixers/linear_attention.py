"""Linear attention with the Taylor feature map, in its three ways of reading (paper, section 3).

The way of reading is the whole difference between Based, its non-causal variant and JRT-RNN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kernels import (
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)
from sdsim.models.mixers.mixer import LinearMixer, MixerState, check_heads

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig


class LinearAttention(LinearMixer):
    """Causal linear attention, as in Based.

    State: `kernels.PrefixState`, kv (B, heads, F, width / heads) and k (B, heads, F), with
    F = 1 + D + D(D + 1)/2 Taylor features of the D = `feature_dim` numbers of a key.

    Attributes:
        zeroes_padding: whether keys of padding are set to zero rather than left out, as the paper's
            released code has it: then each still adds its value, with a weight of one.
    """

    zeroes_padding = False

    def __init__(self, width: int, heads: int, feature_dim: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads = heads
        self.proj_q = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_k = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_v = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.heads, config.feature_dim)

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        inputs, mask = self._read(x, prefix_len, mask)
        return self._merge_heads(prefix_linear_attention(*inputs, mask=mask))

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        inputs, mask = self._read(x, prefix_len, mask)
        y, state = prefix_linear_attention(*inputs, mask=mask, return_state=True)
        return self._merge_heads(y), (state.kv, state.k)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        q, k, v = (projected[:, 0] for projected in self._project(x[:, None]))
        y, after = prefix_linear_attention_step(q, k, v, PrefixState(*state))
        return self._merge_heads(y[:, None])[:, 0], (after.kv, after.k)

    def _read(
        self, x: Tensor, prefix_len: int | None, mask: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """What attention is over: queries, keys and values, the encoder's too, and the mask."""
        q, k, v = self._project(x)
        encoded = self._encoded(x, prefix_len, mask)
        if mask is None or not self.zeroes_padding:
            return (q, k, v, *encoded), mask
        k, *encoder_keys = (
            keys * mask[:, : keys.shape[1], None, None] for keys in (k, *encoded[:1])
        )
        return (q, k, v, *encoder_keys, *encoded[1:]), None

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (self._split_heads(p(x)) for p in (self.proj_q, self.proj_k, self.proj_v))
        return q, k, v

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, x.shape[-1] // self.heads)

    def _merge_heads(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out_proj(y.flatten(-2))
        return merged


class PrefixLinearAttention(LinearAttention):
    """JRT-RNN's mixer: the prefix is also read non-causally, by projections of its own.

    Both readings add up in one state of the same size as `LinearAttention`'s.
    """

    looks_ahead = True

    def __init__(self, width: int, heads: int, feature_dim: int) -> None:
        super().__init__(width, heads, feature_dim)
        self.proj_k_enc = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_v_enc = nn.Linear(width, width, bias=False)

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(self._split_heads(p(prefix)) for p in (self.proj_k_enc, self.proj_v_enc))


class NonCausalLinearAttention(LinearAttention):
    """The paper's non-causal reader: over the prefix, cumulative sums become sums.

    Every position of the prefix reads all of it; tokens after the prefix are read causally.
    """

    looks_ahead = True

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self.prefill(x, prefix_len, mask)[0]

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        split = x.shape[1] if prefix_len is None else prefix_len
        if split == 0:
            return super().prefill(x, 0, mask)
        q, k, v = self._project(x)
        mask_prefix, mask_rest = (
            (None, None) if mask is None else (mask[:, :split], mask[:, split:])
        )
        state = prefix_state(k[:, :split], v[:, :split], mask=mask_prefix)
        y = read_state(q[:, :split], state)
        if split < x.shape[1]:
            y_rest, state = prefix_linear_attention(
                q[:, split:],
                k[:, split:],
                v[:, split:],
                mask=mask_rest,
                initial_state=state,
                return_state=True,
            )
            y = torch.cat([y, y_rest], dim=1)
        return self._merge_heads(y), (state.kv, state.k)
