"""The trained models of stored runs, one safetensors file each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sdsim.config import RunConfig
from sdsim.store.record import read_record

if TYPE_CHECKING:
    from torch import Tensor

    from sdsim.models import LanguageModel

WEIGHTS = "weights.safetensors"
"""Name of the file in a run's folder."""


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write the parameters of a model, by name.

    Raises:
        OSError: if they cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(str(error)) from error


def load_model(store: Path | str, run_id: str) -> LanguageModel:
    """The trained model of a stored run, on the CPU, in evaluation mode.

    Args:
        store: folder of runs.
        run_id: of a run that was stored with ``keep=weights``.

    Raises:
        ValueError: naming what is wrong: no such run, no weights, or weights of another model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from sdsim.training.trainer import build

    folder = Path(store) / run_id
    record = read_record(folder)
    model = build(TypeAdapter(RunConfig).validate_python(record.config), torch.device("cpu"))
    file = folder / WEIGHTS
    if not file.exists():
        raise ValueError(
            f"{folder} has no weights: `keep=weights` stores those of runs yet to be done"
        )
    try:
        model.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ValueError(f"{file} is damaged ({str(error).splitlines()[0]})") from error
    return model.eval()
