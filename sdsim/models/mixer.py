"""What a sequence mixer must offer: one mixer, two views that agree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.models.config import ModelConfig


def check_heads(width: int, heads: int) -> None:
    """Raise `ValueError` unless `heads` divides `width`."""
    if width % heads:
        raise ValueError(f"model.heads = {heads} does not divide model.width = {width}")


MixerState: TypeAlias = tuple[Tensor, ...]
"""Everything that a mixer carries from one token to the next; each tensor starts with (B, …)."""


class Mixer(nn.Module, ABC):
    """Mixes information between the positions of a sequence.

    `forward` reads a whole sequence; `prefill` does the same and hands on the state, from which
    `step` goes on token by token. Both views give the same outputs.

    The first `prefix_len` tokens (None: all) are a prompt, given at once: a non-causal reader may
    look ahead among them; a causal one makes no difference. `mask` (B, N) is False on left
    padding, which is then left out exactly; outputs at such positions mean nothing.
    """

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
