"""Gated linear attention (Yang et al., arXiv:2312.06635)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers.chunked_recurrence import Tokens
from sdsim.models.mixers.linear_mixer import ProjectedPrefix, project
from sdsim.models.mixers.linear_recurrence import GatedOutput, LinearRecurrence
from sdsim.models.mixers.mixer import MixerState

_GATE_RANK = 16
_GATE_TEMPERATURE = 16


class GLA(LinearRecurrence):
    """Linear attention without a feature map; each key channel has a decay of its own.

    The decay is ``sigmoid(x W₁ W₂ + b)^(1/16)``, W₁ W₂ of rank 16; the output is normed head by
    head and gated by a SiLU of a linear map of x.

    State: S (B, heads, feature_dim, width / heads).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, keys = config.width, config.heads * config.feature_dim
        self.proj_q = nn.Linear(width, keys, bias=False)
        self.proj_k = nn.Linear(width, keys, bias=False)
        self.proj_v = nn.Linear(width, width, bias=False)
        self.proj_decay = nn.Sequential(
            nn.Linear(width, _GATE_RANK, bias=False), nn.Linear(_GATE_RANK, keys)
        )
        self.proj_gate = nn.Linear(width, width, bias=False)
        self.output = GatedOutput(config)

    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        to_rank, from_rank = cast("Sequence[nn.Linear]", self.proj_decay)
        maps = (self.proj_q, self.proj_k, self.proj_v, to_rank, self.proj_gate)
        q, k, v, low_rank, gate = project(x, maps)
        q, k, v, decay = (self._split_heads(y) for y in (q, k, v, from_rank(low_rank)))
        log_decay = F.logsigmoid(decay) / _GATE_TEMPERATURE
        tokens = Tokens(q * q.shape[-1] ** -0.5, k, v, log_decay)
        return tokens, (gate,), ()


class PrefixGLA(ProjectedPrefix, GLA):
    """GLA whose state starts from the prefix, read with keys and values of its own."""
