"""The contract of a sequence mixer: one layer, two views that agree."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from sdsim.config import ModelConfig

MixerState: TypeAlias = tuple[Tensor, ...]
"""Everything a mixer carries from one token to the next; the first axis of each tensor is B."""


def is_transformed(x: Tensor) -> bool:
    """Whether a transform of `torch.func`, such as vmap, is acting on x."""
    return torch._C._functorch.is_functorch_wrapped_tensor(x)


class Mixer(nn.Module, ABC):
    """Mixes information between the positions of a sequence.

    `forward` reads a whole sequence at once; `prefill` does the same and also returns the state,
    from which `step` continues token by token. Both views give the same outputs.

    The first `prefix_len` tokens (None: all N) are the prompt, which is available at once. A mixer
    with a bidirectional prefix may look ahead within it; the outputs of a causal mixer do not
    depend on `prefix_len`. `mask`, bool (B, N), is False on left padding, which is left out
    exactly; outputs at padded positions are undefined.

    `prefill` also continues from a state, so that a sequence can be read in pieces: x is then what
    comes next, `prefix_len` counts tokens of x (those before are in the state, where a
    bidirectional mixer cannot look ahead from), and there is no mask, since padding comes first.

    Args:
        config: the config of the model that this mixer is a layer of.

    Attributes:
        bidirectional_prefix: whether an output in the prompt may depend on later prompt tokens.
        measures_state: whether `prefill` and `step` are there, so that the state is counted from
            the tensors that `step` carries.
    """

    bidirectional_prefix: ClassVar[bool] = False
    measures_state: ClassVar[bool] = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Map x (B, N, width) to (B, N, width). Override it where the state costs extra."""
        return self.prefill(x, prefix_len, mask)[0]

    @abstractmethod
    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        """The same map, from a state on (None: the sequence begins), and the state after x."""

    def encode(self, x: Tensor, state: MixerState | None = None) -> MixerState:
        """What a bidirectional mixer keeps of a prompt before it reads it for its outputs.

        Args:
            x: the prompt (B, M, width), or a piece of it.
            state: of the pieces before; None: there is none.
        """
        raise NotImplementedError(f"{type(self).__name__} reads causally")

    def reread(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Outputs for a prompt x that was encoded, or for a piece of it, and the state after it.

        `encode` and `reread` of a whole prompt are what `prefill` does.
        """
        return self.prefill(x, 0, None, state)

    def carried(self, state: MixerState) -> MixerState:
        """The part of a state that the next tokens need, where it is quantized."""
        return state

    def restored(self, carried: MixerState) -> MixerState:
        """The state to go on from, given a quantized `carried`."""
        return carried

    @abstractmethod
    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """Read one token x (B, width); return its output (B, width) and the next state."""


class MultiHeadMixer(Mixer):
    """A mixer that splits its width into heads.

    Raises:
        ValueError: unless `config.heads` divides `config.width`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        if config.width % config.heads:
            raise ValueError(
                f"model.heads = {config.heads} does not divide model.width = {config.width}"
            )
        self.heads = config.heads

    def _split_heads(self, x: Tensor) -> Tensor:
        """(…, heads·E) to (…, heads, E)."""
        return torch.unflatten(x, -1, (self.heads, -1))
