"""Training curves for TensorBoard or Weights & Biases; results are in the store without either."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, RunConfig, run_id

logger = logging.getLogger(__name__)


Log: TypeAlias = Callable[[RunConfig, int, Mapping[str, float]], None]
"""Takes a run, its step, and numbers by name."""

_Write: TypeAlias = Callable[[int, Mapping[str, float]], None]
_Close: TypeAlias = Callable[[], None]


@dataclass(frozen=True, config=STRICT)
class TrackingConfig:
    """Where training curves go while runs are trained.

    Attributes:
        kind: none; tensorboard: event files in ``<store>/.tensorboard``, a folder for each run;
            wandb: a W&B run for each.
        project: W&B project.
        mode: of W&B; offline writes to ``<store>/.wandb`` and needs no account, and ``wandb sync``
            sends it later.
    """

    kind: Literal["none", "tensorboard", "wandb"] = "none"
    project: str = "sdsim"
    mode: Literal["offline", "online"] = "offline"

    def check(self) -> None:
        """Raise `ValueError` unless the package that this needs is installed."""
        if self.kind != "none" and find_spec(self.kind) is None:
            raise ValueError(
                f"tracking = {self.kind}: {self.kind} is not installed: "
                f"pip install -e '.[{self.kind}]'"
            )


@contextlib.contextmanager
def tracked(config: TrackingConfig, store: Path) -> Iterator[Log | None]:
    """A function that takes the numbers of runs in training; None for no tracking.

    A tracker that fails is dropped with a warning: no run is lost for its curve.
    """
    if config.kind == "none":
        yield None
        return
    open_run = _tensorboard if config.kind == "tensorboard" else _wandb
    runs: dict[str, tuple[_Write, _Close]] = {}
    failed = False

    def log(run: RunConfig, step: int, numbers: Mapping[str, float]) -> None:
        nonlocal failed
        if failed:
            return
        try:
            identity = run_id(run)
            if identity not in runs:
                runs[identity] = open_run(config, run, store)
            write, _ = runs[identity]
            write(step, numbers)
        except Exception as error:  # whatever it is, the run continues
            failed = True
            logger.warning("no more curves: %s: %s", config.kind, error)

    try:
        yield log
    finally:
        for _, close in runs.values():
            try:
                close()
            except Exception as error:
                logger.warning("%s: %s", config.kind, error)


def _tensorboard(config: TrackingConfig, run: RunConfig, store: Path) -> tuple[_Write, _Close]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(store / ".tensorboard" / run_id(run))  # type: ignore[no-untyped-call,unused-ignore]

    def write(step: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)  # type: ignore[no-untyped-call,unused-ignore]

    return write, writer.close


def _wandb(config: TrackingConfig, run: RunConfig, store: Path) -> tuple[_Write, _Close]:
    import wandb  # type: ignore[import-not-found,unused-ignore]

    folder = store / ".wandb"
    folder.mkdir(parents=True, exist_ok=True)
    opened = wandb.init(
        project=config.project,
        mode=config.mode,
        dir=folder,
        id=run_id(run),
        name=f"{run.model.name} {run_id(run)[:8]}",
        config=asdict(run),
        resume="allow" if config.mode == "online" else None,
        reinit="create_new",
    )

    def write(step: int, numbers: Mapping[str, float]) -> None:
        opened.log(dict(numbers), step=step)

    return write, opened.finish
