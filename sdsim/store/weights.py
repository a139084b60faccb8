"""The trained models of stored runs, one safetensors file each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sdsim.config import RunConfig
from sdsim.store.record import Record, read_record

if TYPE_CHECKING:
    from sdsim.models import Network

WEIGHTS = "weights.safetensors"
"""Name of the file in a run's folder."""


def runs_with_weights(store: Path) -> list[str]:
    """The ids of a store's runs that have weights, in order.

    Raises:
        ValueError: if there is no such folder.
    """
    if not store.is_dir():
        raise ValueError(f"store = {store}: there is no such folder; `sdsim sweep` makes one")
    return sorted(file.parent.name for file in store.glob(f"*/{WEIGHTS}"))


def config_of(record: Record) -> RunConfig:
    """The config of a stored run."""
    return TypeAdapter(RunConfig).validate_python(record.config)


def load_model(store: Path | str, run_id: str) -> Network:
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
    model = build(config_of(record), torch.device("cpu"))
    file = folder / WEIGHTS
    if not file.exists():
        raise ValueError(
            f"{folder} has no weights: `keep=weights` stores those of runs yet to be done"
        )
    try:
        model.load_weights(load_file(file))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise ValueError(f"{file} is damaged ({str(error).splitlines()[0]})") from error
    return model.eval()
