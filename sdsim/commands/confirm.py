"""`sdsim confirm`: do the full-scale layouts show what the small models do?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic.dataclasses import dataclass

from sdsim.bench.config import BenchConfig, Lengths
from sdsim.commands import bench, train
from sdsim.commands.command import Command
from sdsim.commands.figures import show_figures
from sdsim.config import STRICT, Count

HELP = """\
sdsim confirm: do the full-scale models show what the small ones do? Trains Based and JRT-RNN of one
scale on set disjointness and recall, in both orders, draws them like any sweep, and measures how
fast they read and write beside a Transformer.

  sdsim confirm                        jrt_tiny and based_tiny, two CPU cores: some minutes
  sdsim confirm size=360m device=cuda dtype=bfloat16 batch=16 store=results/confirm
  sdsim confirm 'overrides=["train.steps=100","seed=0"]'      settings of the sweep

The runs are those of `sdsim sweep sweep=confirm_<size>`; what is stored is not trained again.
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim confirm``.

    Attributes:
        size: of the models: tiny or 360m.
        store: folder of the runs, and of the figures.
        device: name of the torch device, such as cpu or cuda.
        threads: threads of torch, on the CPU, while the models are timed.
        lengths: N, tokens of the prompts that are timed.
        batch: sequences that are read at once.
        dtype: of the models that are timed: float32 or bfloat16.
        repeats: timed calls of each model.
        overrides: settings of the sweep.
    """

    size: Literal["tiny", "360m"] = "tiny"
    store: str = "runs/confirm_${size}"
    device: str = "cpu"
    threads: Count = 2
    lengths: Lengths = (1024, 2048, 4096, 8192)
    batch: Count = 1
    dtype: Literal["float32", "bfloat16"] = "float32"
    repeats: Count = 5
    overrides: tuple[str, ...] = ()


def run(config: Config) -> None:
    """Train what is missing, draw it, time the models."""
    measured = BenchConfig(
        what=("model_prefill", "model_decode"),
        presets=tuple(f"{kind}_{config.size}" for kind in ("jrt", "based", "transformer")),
        lengths=config.lengths,
        batches=(config.batch,),
        dtype=config.dtype,
        device=config.device,
        threads=config.threads,
        repeats=config.repeats,
        out=str(Path(config.store, "figures")),
    )
    places = [f"sweep=confirm_{config.size}", f"store={config.store}", f"device={config.device}"]
    alone = ["hydra.launcher.n_jobs=1"] if config.device != "cpu" else []
    if train.sweep_and_report("sweep", [*places, *alone, *config.overrides]):
        bench.run(measured)
        show_figures(config.store, None)


COMMAND = Command.of(
    Config,
    name="confirm",
    summary="the full-scale layouts on disjointness and recall, and their speed",
    help=HELP,
    run=run,
    interrupted=train.KEPT,
)
