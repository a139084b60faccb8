"""A whole model of one's own, from tokens to logits, as what the trainers train."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sdsim.config import ModuleConfig
from sdsim.models.construction import construct, first_tensor, import_object, known_arguments
from sdsim.models.mixers.module_mixer import stated_bits
from sdsim.models.network import Network


class WholeModel(Network):
    """A module from tokens int64 (B, N) to logits (B, N, V), or to a record with the field logits.

    Args:
        config: names the module.
        vocab_size: V, tokens.

    Raises:
        ValueError: where the module cannot be built, see `sdsim.models.construction`.
    """

    config: ModuleConfig

    def __init__(self, config: ModuleConfig, vocab_size: int) -> None:
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        found = import_object("model.module", config.module)
        known = known_arguments(config, vocab_size=vocab_size)
        self.module = construct("model.module", config.module, found, known, config.arguments)
        if config.stated_state_bits is not None and stated_bits(self.module) is not None:
            raise ValueError("model.stated_state_bits: the module states its state_bits itself")

    @property
    def described(self) -> str:
        return self.config.module

    @property
    def bidirectional_prefix(self) -> bool:
        """It says nothing; what it does is measured (`sdsim.models.lookahead`)."""
        return False

    @property
    def measures_state(self) -> bool:
        return False

    @property
    def stated_state_bits(self) -> int | None:
        own = stated_bits(self.module)
        return self.config.stated_state_bits if own is None else own

    def hidden(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        embedding_scale: Tensor | None = None,
        boundaries: Sequence[int] = (),
    ) -> Tensor:
        """Tokens (B, N) to logits (B, N, V): of a whole model nothing else is known.

        Raises:
            ValueError: for padding, or where the module returns another shape.
        """
        if mask is not None:
            raise ValueError(f"{self.config.name}: a whole model of one's own takes no padding")
        path = self.config.module
        logits: Tensor = first_tensor("model.module", path, self.module(tokens))
        if logits.shape != (*tokens.shape, self.vocab_size):
            raise ValueError(
                f"model.module = {path!r}: it maps tokens {tuple(tokens.shape)} to "
                f"{tuple(logits.shape)}; a model maps (B, N) to logits (B, N, {self.vocab_size})"
            )
        return logits

    def logits(self, hidden: Tensor) -> Tensor:
        """The same: `hidden` gives logits already."""
        return hidden
