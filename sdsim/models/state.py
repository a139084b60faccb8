"""The measured state of a model: the tensors that `step` carries, counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sdsim.files import atomic_file, save_tensors
from sdsim.models.mixers.mixer import MixerState
from sdsim.reading import reason

_LAYERS = "layers"  # of a file, how many


@dataclass(frozen=True, repr=False)
class ModelState:
    """What a model remembers of the tokens read so far: one `MixerState` per layer.

    Sizes are those of the tensors themselves, per sequence of the batch.
    """

    layers: tuple[MixerState, ...]

    def __repr__(self) -> str:
        layers = f"{len(self.layers)} layer{'s' * (len(self.layers) != 1)}"
        if not self.tensors():
            return f"ModelState({layers}, nothing carried)"
        return (
            f"ModelState({layers}, {self.numel:,} numbers, {8 * self.nbytes:,} bits per sequence, "
            f"batch {len(self.tensors()[0])})"
        )

    def to(self, *to: torch.device | torch.dtype | str) -> ModelState:
        """The state on another device, or with its floating-point numbers in another type.

        Args:
            to: devices and types, as `torch.Tensor.to` takes them.
        """
        moved = self
        for each in to:
            is_type = isinstance(each, torch.dtype)
            moved = ModelState(
                tuple(
                    tuple(x.to(each) if not is_type or x.is_floating_point() else x for x in layer)
                    for layer in moved.layers
                )
            )
        return moved

    def save(self, path: Path | str) -> None:
        """Write the state to a safetensors file, whole or not at all.

        Raises:
            OSError: if it cannot be written.

        >>> import tempfile
        >>> state = ModelState(((torch.ones(1, 3),), ()))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     state.save(f"{folder}/state.safetensors")
        ...     ModelState.load(f"{folder}/state.safetensors")
        ModelState(2 layers, 3 numbers, 96 bits per sequence, batch 1)
        """
        tensors = {
            f"{number}.{place}": tensor
            for number, layer in enumerate(self.layers)
            for place, tensor in enumerate(layer)
        }
        with atomic_file(Path(path)) as partial:
            save_tensors(partial, tensors, {_LAYERS: str(len(self.layers))})

    @classmethod
    def load(cls, path: Path | str, device: str = "cpu") -> ModelState:
        """Read what `save` wrote.

        Raises:
            ValueError: if the file is damaged, or holds no state.
            FileNotFoundError: if there is none.
        """
        from safetensors import SafetensorError, safe_open  # models do without

        try:
            with safe_open(path, framework="pt", device=device) as file:
                count = int((file.metadata() or {})[_LAYERS])
                places = sorted(
                    tuple(map(int, name.split(".")))
                    for name in file.keys()  # noqa: SIM118
                )
                layers: list[list[Tensor]] = [[] for _ in range(count)]
                for number, place in places:
                    layers[number].append(file.get_tensor(f"{number}.{place}"))
        except (SafetensorError, KeyError, IndexError, ValueError) as error:
            raise ValueError(f"{path} holds no state of a model ({reason(error)})") from error
        return cls(tuple(map(tuple, layers)))

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
