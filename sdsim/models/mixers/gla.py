"""Gated linear attention (Yang et al., arXiv:2312.06635)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models.mixers.linear_recurrence import GatedOutput, LinearRecurrence, Tokens
from sdsim.models.mixers.mixer import MixerState, check_heads

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig

_GATE_RANK = 16
_GATE_TEMPERATURE = 16


class GLA(LinearRecurrence):
    """Linear attention without feature map, each channel of the keys with a decay of its own.

    The decay is ``sigmoid(x W₁ W₂ + b)^(1/16)``, W₁ W₂ of rank 16; what is read is normed head by
    head and gated by a SiLU of x.

    State: S (B, heads, feature_dim, width / heads).
    """

    def __init__(self, width: int, heads: int, feature_dim: int) -> None:
        super().__init__()
        check_heads(width, heads)
        self.heads, self.feature_dim = heads, feature_dim
        self.proj_q = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_k = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_v = nn.Linear(width, width, bias=False)
        self.proj_decay = nn.Sequential(
            nn.Linear(width, _GATE_RANK, bias=False), nn.Linear(_GATE_RANK, heads * feature_dim)
        )
        self.proj_gate = nn.Linear(width, width, bias=False)
        self.output = GatedOutput(width, heads)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.heads, config.feature_dim)

    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        q, k, v, decay = (
            self._split_heads(proj(x))
            for proj in (self.proj_q, self.proj_k, self.proj_v, self.proj_decay)
        )
        log_decay = F.logsigmoid(decay) / _GATE_TEMPERATURE
        tokens = Tokens(q * self.feature_dim**-0.5, k, v, log_decay)
        return tokens, (self.proj_gate(x),), ()

    def _output(self, y: Tensor, *beside: Tensor) -> Tensor:
        mixed: Tensor = self.output(y, *beside)
        return mixed

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, x.shape[-1] // self.heads)


class PrefixGLA(GLA):
    """GLA whose state starts from the prefix, read by keys and values of the encoder's own."""

    looks_ahead = True

    def __init__(self, width: int, heads: int, feature_dim: int) -> None:
        super().__init__(width, heads, feature_dim)
        self.proj_k_enc = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_v_enc = nn.Linear(width, width, bias=False)

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(self._split_heads(p(prefix)) for p in (self.proj_k_enc, self.proj_v_enc))
