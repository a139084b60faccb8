"""Any `torch.nn.Module` as a mixer: it reads whole sequences, and what it carries is not seen."""

from __future__ import annotations

from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.construction import first_tensor
from sdsim.models.mixers.mixer import Mixer, MixerState


class ModuleMixer(Mixer):
    """A layer of one's own without `prefill` and `step`, from (B, N, width) to (B, N, width).

    It is trained and tested like any other. Its state is what the module states by an attribute
    ``state_bits`` (bits per sequence), or what `ModelConfig.stated_state_bits` says; it is neither
    measured nor quantized nor probed. Whether it looks ahead is measured
    (`sdsim.models.lookahead`).

    Args:
        config: of the model.
        path: the import path that named the module, for errors.
        module: the module; of a tuple that it returns, the first tensor counts.
    """

    measures_state = False

    def __init__(self, config: ModelConfig, path: str, module: nn.Module) -> None:
        super().__init__(config)
        self.path, self.module = path, module

    @property
    def state_bits(self) -> int | None:
        """What the module states: bits that it carries per sequence; None: nothing."""
        return stated_bits(self.module)

    def forward(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if mask is not None:
            raise ValueError(f"{self.path}: a module without prefill and step takes no padding")
        y: Tensor = first_tensor("model.mixers", self.path, self.module(x))
        if y.shape != x.shape:
            raise ValueError(
                f"model.mixers = {self.path!r}: it maps {tuple(x.shape)} to {tuple(y.shape)}; "
                "a mixer maps (B, N, width) to (B, N, width)"
            )
        return y

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        raise ValueError(self._no_state())

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        raise ValueError(self._no_state())

    def _no_state(self) -> str:
        return f"{self.path}: it has no prefill and step, so that its state cannot be reached"


def stated_bits(module: nn.Module) -> int | None:
    """A module's own attribute ``state_bits``; None if it has none, or says None.

    Raises:
        ValueError: if it is no whole number of at least 1.
    """
    bits = getattr(module, "state_bits", None)
    if bits is None:
        return None
    if not isinstance(bits, int) or bits < 1:
        raise ValueError(
            f"{type(module).__name__}.state_bits = {bits!r}: a whole number, 1 or more"
        )
    return bits
