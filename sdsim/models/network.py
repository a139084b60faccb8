"""What is trained: tokens in, logits out, and a state that is measured, stated or unknown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from sdsim.config import ModelConfig, ModuleConfig, StateSource


class Network(nn.Module, ABC):
    """A model that can be trained: a `LanguageModel`, or a whole model of one's own.

    Attributes:
        config: what it was built from.
    """

    config: ModelConfig | ModuleConfig

    @property
    @abstractmethod
    def bidirectional_prefix(self) -> bool:
        """Whether it says itself that it reads the prompt non-causally."""

    @property
    @abstractmethod
    def measures_state(self) -> bool:
        """Whether its state is counted from tensors that it carries from token to token."""

    @property
    @abstractmethod
    def stated_state_bits(self) -> int | None:
        """What is said of a state that is not measured: bits per sequence; None: nothing."""

    @property
    def state_source(self) -> StateSource:
        """Where the size of its state comes from."""
        if self.measures_state:
            return "measured"
        return "unknown" if self.stated_state_bits is None else "stated"

    @abstractmethod
    def hidden(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        embedding_scale: Tensor | None = None,
        boundaries: Sequence[int] = (),
    ) -> Tensor:
        """Tokens (B, N) to what `logits` takes, a vector at each position."""

    @abstractmethod
    def logits(self, hidden: Tensor) -> Tensor:
        """Vectors of `hidden` to logits of the next token (…, V)."""

    def forward(
        self, tokens: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Tokens (B, N) to logits (B, N, V); arguments and errors as `hidden`."""
        return self.logits(self.hidden(tokens, prefix_len, mask))

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        return f"{type(self).__name__}({self.config.name}: {self.described}, {count:,} parameters)"

    @property
    @abstractmethod
    def described(self) -> str:
        """What it is made of, in a few words."""

    def extra_weights(self) -> dict[str, Tensor]:
        """What it learns beside its parameters: buffers that are stored, by name."""
        stored = self.state_dict(keep_vars=True)
        return {name: buffer for name, buffer in self.named_buffers() if name in stored}

    def weights(self) -> dict[str, Tensor]:
        """Each parameter and each stored buffer once, under one name even where it has several."""
        return dict(self.named_parameters()) | self.extra_weights()

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Copy what `weights` gave.

        Raises:
            RuntimeError: naming what is missing, surplus or of another shape.
        """
        own = self.weights()
        if own.keys() != weights.keys():
            name = min(own.keys() ^ weights.keys())
            raise RuntimeError(f"{name} is {'missing' if name in own else 'not of this model'}")
        for name, tensor in own.items():
            if tensor.shape != weights[name].shape:
                raise RuntimeError(f"{name} has another shape")
            tensor.data.copy_(weights[name])
