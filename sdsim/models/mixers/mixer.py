"""What a sequence mixer must offer: one mixer, two views that agree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig


def check_heads(width: int, heads: int) -> None:
    """Raise `ValueError` unless `heads` divides `width`."""
    if width % heads:
        raise ValueError(f"model.heads = {heads} does not divide model.width = {width}")


def is_transformed(x: Tensor) -> bool:
    """Whether a transform of `torch.func`, such as vmap, is at work on x."""
    return torch._C._functorch.is_functorch_wrapped_tensor(x)


MixerState: TypeAlias = tuple[Tensor, ...]
"""Everything that a mixer carries from one token to the next; each tensor starts with (B, …)."""


class Mixer(nn.Module, ABC):
    """Mixes information between the positions of a sequence.

    `forward` reads a whole sequence; `prefill` does the same and hands on the state, from which
    `step` goes on token by token. Both views give the same outputs.

    The first `prefix_len` tokens (None: all) are a prompt, given at once: a non-causal reader may
    look ahead among them (it says so by `looks_ahead`); to a causal one it makes no difference.
    `mask` (B, N) is False on left padding, which is then left out exactly; outputs at such
    positions mean nothing.
    """

    looks_ahead: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_config(cls, config: ModelConfig) -> Self:
        """Build the mixer that a model of this config puts into a layer."""

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Map x (B, N, width) to (B, N, width); a mixer whose state costs something overrides."""
        return self.prefill(x, prefix_len, mask)[0]

    @abstractmethod
    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        """The same map, and the state after the last token."""

    @abstractmethod
    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Read one token x (B, width); return its output (B, width) and the next state."""


class LinearMixer(Mixer):
    """A mixer whose state is a sum of keys times values, to which a reader of the prefix can add.

    That is the paper's idea of JRT-RNN (arXiv:2407.05483, section 3), here for any such state: an
    encoder, with projections of its own, sums keys and values of the whole prefix into the state,
    without decay. The causal pass then starts from there, over all tokens, those of the prefix
    included. The state keeps its size.

    Only in prefix linear attention, whose state never decays, is the sum still whole at the end of
    the prefix: the others forget it at their own rate on the way. And where the mixer has a short
    convolution (Mamba-2, Gated DeltaNet), so has its encoder, so that neighbours are told in order.
    """

    def _encoded(
        self, x: Tensor, prefix_len: int | None, mask: Tensor | None
    ) -> tuple[Tensor, ...]:
        """`_encode` of the first `prefix_len` tokens (None: all) of x (B, N, width)."""
        return self._encode(x[:, :prefix_len], None if mask is None else mask[:, :prefix_len])

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """The encoder's keys (B, M, heads, K) and values (B, M, heads, V); nothing without one.

        Args:
            prefix: the first M tokens, (B, M, width).
            mask: theirs, (B, M). What it hides is left out of the sum in any case: only an encoder
                that mixes tokens before need take notice.
        """
        return ()
