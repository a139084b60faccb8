"""Mamba-2: a state space model as a linear recurrence (Dao and Gu, arXiv:2405.21060)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers.chunked_recurrence import Tokens
from sdsim.models.mixers.linear_recurrence import LinearRecurrence
from sdsim.models.mixers.mixer import MixerState
from sdsim.models.mixers.short_convolution import ConvolvedProjection

_EXPAND = 2  # inner width over width, as in the paper


class Mamba2(LinearRecurrence):
    """The SSD layer: ``S ← exp(−A·dt) S + B (dt·x)ᵀ``, ``y = Sᵀ C + D·x``, gated and normed.

    x, B and C pass a short convolution; B and C, the keys and queries, are shared by all heads.

    State: S (B, heads, feature_dim, 2·width / heads) and the convolution's last inputs
    (B, filter_size - 1, 2·width + 2·feature_dim).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, heads, inner = config.width, config.heads, _EXPAND * config.width
        self.proj = ConvolvedProjection(
            width,
            (inner, config.feature_dim, config.feature_dim),
            (inner, heads),
            config.filter_size,
            bias=True,
        )
        self.A_log, self.dt_bias = initial_log_rates(heads), initial_dt_bias(heads)
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=1e-5)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        (u, B, C, z, dt), after = self.proj(x, *past, mask=mask)
        u = self._split_heads(u)
        dt = F.softplus(dt + self.dt_bias)[..., None]  # (B, N, heads, 1)
        rates = self.A_log.exp()[:, None]
        tokens = Tokens(q=C[..., None, :], k=B[..., None, :], v=u * dt, log_decay=-rates * dt)
        return tokens, (u, z), (after,)

    def output(self, y: Tensor, u: Tensor, z: Tensor) -> Tensor:
        y = torch.addcmul(y, u, self.D[:, None]).flatten(-2)
        mixed: Tensor = self.out_proj(self.norm(y * F.silu(z)))
        return mixed


class PrefixMamba2(Mamba2):
    """Mamba-2 whose state starts from the prefix, read with x, B and dt of its own."""

    bidirectional_prefix = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.proj_enc = ConvolvedProjection(
            config.width,
            (_EXPAND * config.width, config.feature_dim),
            (config.heads,),
            config.filter_size,
            bias=True,
        )
        self.dt_bias_enc = initial_dt_bias(config.heads)

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        (u, B, dt), _ = self.proj_enc(prefix, mask=mask)
        dt = F.softplus(dt + self.dt_bias_enc)[..., None]
        return B[..., None, :], self._split_heads(u) * dt


def initial_log_rates(heads: int) -> nn.Parameter:
    """log A of each head (heads,), A uniform in [1, 16): the Mamba-2 paper's initialization."""
    return nn.Parameter(torch.empty(heads).uniform_(1, 16).log())


def initial_dt_bias(heads: int) -> nn.Parameter:
    """(heads,) such that softplus gives steps dt log-uniform in [0.001, 0.1), as in Mamba-2."""
    dt = torch.empty(heads).uniform_(math.log(1e-3), math.log(1e-1)).exp()
    return nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
