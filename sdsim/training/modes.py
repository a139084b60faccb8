"""Training modes: how runs that differ in learning rate and seed alone train, and how fast."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch

from sdsim.config import RunConfig
from sdsim.training.ensemble import EnsembleTrainer
from sdsim.training.trainer import SequentialTrainer, Snapshot, Trainer

logger = logging.getLogger(__name__)

TrainingMode = Literal["sequential", "vmap", "cuda_graph"]
"""One run after another, all as one program, or that program replayed as CUDA graphs."""

_STEPS_TO_MEASURE = 40  # per train size: from here on, measuring costs a tenth of the run at most


def modes(count: int, device: torch.device) -> list[TrainingMode]:
    """The modes in which so many runs can be trained."""
    choices: list[TrainingMode] = ["sequential"]
    if count > 1:
        choices.append("vmap")
    if device.type == "cuda":
        choices.append("cuda_graph")
    return choices


def trainers(
    mode: TrainingMode,
    configs: Sequence[RunConfig],
    device: torch.device,
    resume_from: Sequence[Snapshot] = (),
) -> Iterator[Trainer]:
    """The trainers of these runs, to be used one after the other; `resume_from` as in `Trainer`."""
    if mode != "sequential":
        yield EnsembleTrainer(configs, device, resume_from, cuda_graph=mode == "cuda_graph")
        return
    for config, snapshot in itertools.zip_longest(configs, resume_from):
        yield SequentialTrainer(config, device, snapshot)


def throughput(
    mode: TrainingMode,
    configs: Sequence[RunConfig],
    device: torch.device,
    rounds: int = 1,
    max_seconds: float = math.inf,
) -> float:
    """Steps per second times runs, measured over some rounds of all train tasks.

    0 where the models cannot be trained in this mode, as with operators that vmap does not know.

    Raises:
        TimeoutError: after the step with which `max_seconds` are over.
    """
    deadline = time.monotonic() + max_seconds
    one_round = len(configs[0].task.train_sizes)
    enough = replace(configs[0].train, steps=(rounds + 1) * one_round)
    configs = [replace(c, train=replace(enough, lr=c.train.lr)) for c in configs]
    trainer = next(trainers(mode, configs, device))

    def train(steps: int) -> None:
        for _ in range(steps):
            trainer.step()
            if time.monotonic() > deadline:
                raise TimeoutError(f"more than {max_seconds:g} s")
        _synchronize(device)

    try:
        train(one_round)  # allocates, captures, draws the examples
        started = time.perf_counter()
        train(rounds * one_round)
    except RuntimeError as error:
        if mode == "sequential":
            raise
        logger.info("%s cannot be trained in mode %s: %s", configs[0].model.name, mode, error)
        return 0.0
    return rounds * one_round * len(trainer.configs) / (time.perf_counter() - started)


def fastest_mode(configs: Sequence[RunConfig], device: torch.device) -> TrainingMode:
    """The mode with the highest `throughput` here and now, for runs long enough to measure."""
    choices = modes(len(configs), device)
    train_sizes = len(configs[0].task.train_sizes)
    if len(choices) == 1 or configs[0].train.steps < _STEPS_TO_MEASURE * train_sizes:
        return "sequential"
    # Twice in turn, the better one of each: other programs disturb.
    measured = [max(throughput(mode, configs, device) for _ in range(2)) for mode in choices]
    return choices[measured.index(max(measured))]


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
