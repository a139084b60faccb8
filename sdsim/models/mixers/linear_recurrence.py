"""What Mamba-2, GLA and Gated DeltaNet share: a mixer around the linear recurrence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers import fla_backend
from sdsim.models.mixers.chunked_recurrence import (
    Tokens,
    chunked_recurrence,
    recurrence_step,
    sum_of_writes,
)
from sdsim.models.mixers.linear_mixer import LinearMixer
from sdsim.models.mixers.mixer import MixerState


def linear_recurrence(tokens: Tokens, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """`chunked_recurrence`, by flash-linear-attention's kernels where they can run."""
    if fla_backend.applies_to(tokens):
        return fla_backend.fused_recurrence(tokens, state)
    return chunked_recurrence(tokens, state)


class LinearRecurrence(LinearMixer):
    """A mixer around the recurrence; subclasses define its inputs and what becomes of its output.

    State: S (B, H, K, V), then whatever else the subclass carries.

    Attributes:
        output: maps what was read, (B, N, H, V), and the second return value of `_tokens` to the
            mixer's output (B, N, width); a submodule or a method.
    """

    output: Callable[..., Tensor]

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        start, before = (None, ()) if state is None else (state[0], state[1:])
        tokens, beside, past = self._tokens(x, before, mask)
        if encoded := self._encoded(x, prefix_len, mask):
            k, v = encoded
            writes = sum_of_writes(k, v, mask)
            start = writes if start is None else start + writes
        y, memory = linear_recurrence(tokens.masked(mask), start)
        return self.output(y, *beside), (memory, *past)

    def encode(self, x: Tensor, state: MixerState | None = None) -> MixerState:
        k, v = self._encoded(x, None, None)
        writes = sum_of_writes(k, v, None)
        if state is not None:
            return (state[0] + writes, *state[1:])
        # The causal reading starts as a sequence does, with nothing before its first token.
        past = self._tokens(x[:, :1], (), None)[2]
        return (writes, *map(torch.zeros_like, past))

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        tokens, beside, past = self._tokens(x[:, None], state[1:], None)
        y, memory = recurrence_step(tokens.each(lambda part: part[:, 0]), state[0])
        return self.output(y[:, None], *beside)[:, 0], (memory, *past)

    @abstractmethod
    def _tokens(
        self, x: Tensor, past: MixerState, mask: Tensor | None
    ) -> tuple[Tokens, tuple[Tensor, ...], MixerState]:
        """The recurrence's inputs for x (B, N, width), what else `output` takes, the next `past`.

        `past` is the state without S, () at the start of a sequence. Padding is left out of the
        recurrence later; only what mixes tokens here needs the mask.
        """


class GatedOutput(nn.Module):
    """GLA's output: RMSNorm of each head, a gate of SiLU(gate), a linear map."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.width // config.heads, eps=1e-5)
        self.out_proj = nn.Linear(config.width, config.width, bias=False)

    def forward(self, y: Tensor, gate: Tensor) -> Tensor:
        """y (B, N, H, V) and gate (B, N, width) to (B, N, width)."""
        # Under autocast y may be a half type, which RMSNorm does not mix with a float32 weight.
        normed = self.norm(y.type_as(self.norm.weight)).flatten(-2)
        mixed: Tensor = self.out_proj(normed * F.silu(gate))
        return mixed
