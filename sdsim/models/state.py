"""The measured state of a model: the tensors that `step` carries, counted."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from sdsim.models.mixers.mixer import MixerState


@dataclass(frozen=True)
class ModelState:
    """What a model remembers of the tokens read so far: one `MixerState` per layer.

    Sizes are those of the tensors themselves, per sequence of the batch.
    """

    layers: tuple[MixerState, ...]

    def tensors(self) -> list[Tensor]:
        """All tensors of all layers."""
        return [tensor for layer in self.layers for tensor in layer]

    @property
    def numel(self) -> int:
        """Numbers carried per sequence."""
        return sum(tensor[0].numel() for tensor in self.tensors())

    @property
    def nbytes(self) -> int:
        """Bytes carried per sequence."""
        return sum(tensor[0].numel() * tensor.element_size() for tensor in self.tensors())
