"""Gated DeltaNet: a decaying state that forgets what it overwrites (arXiv:2412.06464)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.models.mixers.linear_recurrence import GatedOutput, LinearRecurrence, Tokens
from sdsim.models.mixers.mamba2 import initial_dt_bias, initial_log_rates
from sdsim.models.mixers.mixer import MixerState, check_heads
from sdsim.models.mixers.short_convolution import ConvolvedProjection

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig


class GatedDeltaNet(LinearRecurrence):
    """``S ← α S + β k (v − α Sᵀ k)ᵀ``, ``y = Sᵀ q``, normed head by head and gated by a SiLU of x.

    q, k and v pass a short convolution; q and k are then of length 1, and q is scaled by
    1/√feature_dim.  α decays as Mamba-2's state does, β is a sigmoid.

    State: S (B, heads, feature_dim, width / heads) and the convolution's last inputs
    (B, filter_size - 1, 2·heads·feature_dim + width).
    """

    def __init__(self, width: int, heads: int, feature_dim: int, filter_size: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.feature_dim = heads, feature_dim
        keys = heads * feature_dim
        self.proj = ConvolvedProjection(
            width, (keys, keys, width), (heads, heads, width), filter_size, bias=False
        )
        self.A_log, self.dt_bias = initial_log_rates(heads), initial_dt_bias(heads)
        self.output = GatedOutput(width, heads)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.heads, config.feature_dim, config.filter_size)

    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        (q, k, v, dt, beta, gate), after = self.proj(x, *past, mask=mask)
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in (q, k, v))
        dt = F.softplus(dt + self.dt_bias)[..., None]  # (B, N, heads, 1)
        tokens = Tokens(
            q=_unit(q) * self.feature_dim**-0.5,
            k=_unit(k),
            v=v,
            log_decay=-self.A_log.exp()[:, None] * dt,
            beta=beta.sigmoid()[..., None],
        )
        return tokens, (gate,), (after,)

    def _output(self, y: Tensor, *beside: Tensor) -> Tensor:
        mixed: Tensor = self.output(y, *beside)
        return mixed


class PrefixGatedDeltaNet(GatedDeltaNet):
    """Gated DeltaNet whose state starts from the prefix: k, v and β of the encoder's own.

    The encoder's writes are summed, not delta-ruled, which would bring back an order; the causal
    pass may then take back what they say of its keys.
    """

    looks_ahead = True

    def __init__(self, width: int, heads: int, feature_dim: int, filter_size: int) -> None:
        super().__init__(width, heads, feature_dim, filter_size)
        self.proj_enc = ConvolvedProjection(
            width, (heads * feature_dim, width), (heads,), filter_size, bias=False
        )

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        (k, v, beta), _ = self.proj_enc(prefix, mask=mask)
        k, v = (part.unflatten(-1, (self.heads, -1)) for part in (k, v))
        return _unit(k), v * beta.sigmoid()[..., None]


def _unit(x: Tensor) -> Tensor:
    """x over its length in the last axis; nothing stays nothing."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)
