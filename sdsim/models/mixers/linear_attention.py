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
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        inputs, mask = self._read(x, prefix_len, mask)
        y, after = prefix_linear_attention(
            *inputs, mask=mask, initial_state=_read_before(state), return_state=True, check=False
        )
        return self._merge_heads(y), (after.kv, after.k)

    def carried(self, state: MixerState) -> MixerState:
        """kv alone: k, the sum of the keys' features, cannot be any numbers (see `restored`)."""
        return state[:1]

    def restored(self, carried: MixerState) -> MixerState:
        """With the k of a single key of zeros, so that no denominator can become 0."""
        (kv,) = carried
        one, zeros = torch.ones_like(kv[..., :1, 0]), torch.zeros_like(kv[..., 1:, 0])
        return kv, torch.cat([one, zeros], dim=-1)

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

    def encode(self, x: Tensor, state: MixerState | None = None) -> MixerState:
        after = prefix_state(*self._encoded(x, None, None), initial_state=_read_before(state))
        return after.kv, after.k


class NonCausalLinearAttention(LinearAttention):
    """The paper's non-causal reader: over the prefix, cumulative sums become sums.

    Every position of the prefix reads all of it; tokens after the prefix are read causally.
    """

    bidirectional_prefix = True

    def encode(self, x: Tensor, state: MixerState | None = None) -> MixerState:
        _, k, v = self._project(x)
        after = prefix_state(k, v, initial_state=_read_before(state))
        return after.kv, after.k

    def reread(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        q, _, _ = self._project(x)
        return self._merge_heads(read_state(q, PrefixState(*state), check=False)), state

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        return self.prefill(x, prefix_len, mask)[0]

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        split = x.shape[1] if prefix_len is None else prefix_len
        if split == 0:
            return super().prefill(x, 0, mask, state)
        q, k, v = self._project(x)
        mask_prefix, mask_rest = (
            (None, None) if mask is None else (mask[:, :split], mask[:, split:])
        )
        after = prefix_state(
            k[:, :split], v[:, :split], mask=mask_prefix, initial_state=_read_before(state)
        )
        y = read_state(q[:, :split], after, check=False)
        if split < x.shape[1]:
            y_rest, after = prefix_linear_attention(
                q[:, split:],
                k[:, split:],
                v[:, split:],
                mask=mask_rest,
                initial_state=after,
                return_state=True,
                check=False,
            )
            y = torch.cat([y, y_rest], dim=1)
        return self._merge_heads(y), (after.kv, after.k)


def _read_before(state: MixerState | None) -> PrefixState | None:
    return None if state is None else PrefixState(*state)
