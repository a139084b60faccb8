"""Linear attention with the Taylor feature map, which reads a prefix in three ways (section 3).

That is all in which Based, its non-causal variant and JRT-RNN differ (arXiv:2407.05483).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kernels import (
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)
from sdsim.config import ModelConfig
from sdsim.models.mixers.linear_mixer import LinearMixer, ProjectedPrefix, project
from sdsim.models.mixers.mixer import MixerState


class LinearAttention(LinearMixer):
    """Causal linear attention, as in Based.

    State: `kernels.PrefixState`, kv (B, heads, F, width / heads) and k (B, heads, F), with
    F = 1 + D + D(D + 1)/2 Taylor features of the D = `feature_dim` numbers of a key.

    Outputs that rounding has lost (`kernels.trust`) are NaN: a run that diverges has a loss of NaN,
    alone or among others.

    Attributes:
        zeroes_padding: whether keys of padding are set to zero rather than left out, as in the
            paper's released code, so that each still adds its value with a weight of one.
    """

    zeroes_padding = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, keys = config.width, config.heads * config.feature_dim
        self.proj_q = nn.Linear(width, keys, bias=False)
        self.proj_k = nn.Linear(width, keys, bias=False)
        self.proj_v = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width, bias=False)

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        inputs, mask = self._read(x, prefix_len, mask)
        return self._merge_heads(prefix_linear_attention(*inputs, mask=mask, check=False))

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        inputs, mask = self._read(x, prefix_len, mask)
        y, state = prefix_linear_attention(*inputs, mask=mask, return_state=True, check=False)
        return self._merge_heads(y), (state.kv, state.k)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        y, after = prefix_linear_attention_step(*self._project(x), PrefixState(*state), check=False)
        return self._merge_heads(y), (after.kv, after.k)

    def _read(
        self, x: Tensor, prefix_len: int | None, mask: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The operands of attention: q, k, v, then the encoder's k and v if any; and the mask."""
        q, k, v = self._project(x)
        encoded = self._encoded(x, prefix_len, mask)
        if mask is None or not self.zeroes_padding:
            return (q, k, v, *encoded), mask
        k, *encoder_keys = (
            keys * mask[:, : keys.shape[1], None, None] for keys in (k, *encoded[:1])
        )
        return (q, k, v, *encoder_keys, *encoded[1:]), None

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(…, width) to q, k (…, heads, feature_dim) and v (…, heads, width / heads)."""
        maps = (self.proj_q, self.proj_k, self.proj_v)
        q, k, v = (self._split_heads(y) for y in project(x, maps))
        return q, k, v

    def _merge_heads(self, y: Tensor) -> Tensor:
        merged: Tensor = self.out_proj(y.flatten(-2))
        return merged


class PrefixLinearAttention(ProjectedPrefix, LinearAttention):
    """JRT-RNN's mixer: the prefix is also read non-causally, with projections of its own.

    Both readings add up in one state of the same size as `LinearAttention`'s.
    """


class NonCausalLinearAttention(LinearAttention):
    """The paper's non-causal reader: over the prefix, cumulative sums become sums.

    Every position of the prefix reads all of it; tokens after the prefix are read causally.
    """

    bidirectional_prefix = True

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
        y = read_state(q[:, :split], state, check=False)
        if split < x.shape[1]:
            y_rest, state = prefix_linear_attention(
                q[:, split:],
                k[:, split:],
                v[:, split:],
                mask=mask_rest,
                initial_state=state,
                return_state=True,
                check=False,
            )
            y = torch.cat([y, y_rest], dim=1)
        return self._merge_heads(y), (state.kv, state.k)
