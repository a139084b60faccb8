"""Gated DeltaNet: a decaying state that forgets what it overwrites (arXiv:2412.06464)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import ModelConfig
from sdsim.models.mixers.chunked_recurrence import Tokens
from sdsim.models.mixers.linear_recurrence import GatedOutput, LinearRecurrence
from sdsim.models.mixers.mamba2 import initial_dt_bias, initial_log_rates
from sdsim.models.mixers.mixer import MixerState
from sdsim.models.mixers.short_convolution import ConvolvedProjection


class GatedDeltaNet(LinearRecurrence):
    """``S ← α S + β k (v − α Sᵀ k)ᵀ``, ``y = Sᵀ q``, normed head by head and gated by a SiLU of x.

    q, k and v pass a short convolution; q and k are then normalized to length 1 and q is scaled by
    1/√feature_dim. α decays as in Mamba-2; β is a sigmoid.

    State: S (B, heads, feature_dim, width / heads) and the convolution's last inputs
    (B, filter_size - 1, 2·heads·feature_dim + width).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, heads, keys = config.width, config.heads, config.heads * config.feature_dim
        self.proj = ConvolvedProjection(
            width, (keys, keys, width), (heads, heads, width), config.filter_size, bias=False
        )
        self.A_log, self.dt_bias = initial_log_rates(heads), initial_dt_bias(heads)
        self.output = GatedOutput(config)

    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        (q, k, v, dt, beta, gate), after = self.proj(x, *past, mask=mask)
        q, k, v = (self._split_heads(part) for part in (q, k, v))
        dt = F.softplus(dt + self.dt_bias)[..., None]  # (B, N, heads, 1)
        tokens = Tokens(
            q=_unit(q) * q.shape[-1] ** -0.5,
            k=_unit(k),
            v=v,
            log_decay=-self.A_log.exp()[:, None] * dt,
            beta=beta.sigmoid()[..., None],
        )
        return tokens, (gate,), (after,)


class PrefixGatedDeltaNet(GatedDeltaNet):
    """Gated DeltaNet whose state starts from the prefix, read with k, v and β of its own.

    The encoder's writes are summed rather than delta-ruled, which would bring back an order; the
    causal pass may then overwrite what they stored under its keys.
    """

    bidirectional_prefix = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        keys = config.heads * config.feature_dim
        self.proj_enc = ConvolvedProjection(
            config.width, (keys, config.width), (config.heads,), config.filter_size, bias=False
        )

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        (k, v, beta), _ = self.proj_enc(prefix, mask=mask)
        return _unit(self._split_heads(k)), self._split_heads(v) * beta.sigmoid()[..., None]


def _unit(x: Tensor) -> Tensor:
    """x divided by its length along the last axis; zero stays zero."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
