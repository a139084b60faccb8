"""Runs: configs in, measured accuracies and measured states out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sdsim import checkpoint
from sdsim.config import RunConfig
from sdsim.ensemble import Way, fastest_way, trainers
from sdsim.machines import MachineConfig, run_machine
from sdsim.testing import SliceResult, evaluate
from sdsim.train import Snapshot, Trainer
from synthetic import Task

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints of a run."""


@dataclass(frozen=True)
class RunResult:
    """What one run measured.

    Attributes:
        slices: one result per test task.
        params: trainable numbers.
        train_loss: mean loss of the last hundredth of the steps, nats; NaN if the run diverged,
            None where nothing was trained.
        steps_done: fewer than the config's if the run reached its stopping accuracy; 0 where
            nothing was trained.
        ensemble: how many runs were trained as one, this one included.
        seconds: wall-clock time of training and testing; of an ensemble's training, its share.
    """

    slices: list[SliceResult]
    params: int
    train_loss: float | None
    steps_done: int
    ensemble: int
    seconds: float


CPU = torch.device("cpu")

Log = Callable[[RunConfig, int, Mapping[str, float]], None]
"""Takes a run, its step, and numbers by name."""


@dataclass(frozen=True)
class Conditions:
    """Where and how runs are done, of which their results do not speak.

    Attributes:
        device: of torch.
        checkpoint: where a run's checkpoint lies; None: runs leave none.
        deadline: `time.time()` from which training stops, to be gone on with from its checkpoint.
        on_step: called with the number of training steps done by each of the runs in hand.
        track: takes losses and accuracies: of training a hundred times a run, and the tests'.
    """

    device: torch.device = CPU
    checkpoint: Callable[[RunConfig], Path] | None = None
    deadline: float | None = None
    on_step: Callable[[int], None] | None = None
    track: Log | None = None

    def are_over(self) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and time.time() >= self.deadline


HERE = Conditions()
"""On the CPU, to the end, in silence."""


def execute(config: RunConfig, conditions: Conditions = HERE) -> RunResult:
    """Train one model and test it on every test task; or let a machine do the tests.

    Raises:
        TimeoutError: at the deadline.
    """
    for _, result in execute_all([config], conditions):
        return result
    raise TimeoutError(f"the deadline came before the run of {config.model.name} was done")


def execute_all(
    configs: Sequence[RunConfig], conditions: Conditions = HERE, *, way: Way | None = None
) -> Iterator[tuple[RunConfig, RunResult]]:
    """Do some runs, and give each as it is done; those that the deadline stops are not given.

    Args:
        configs: a run, or some that differ in learning rate and seed alone.
        conditions: where and how.
        way: how to train them; None: the fastest here.
    """
    networks = []
    for config in configs:
        if conditions.are_over():
            return
        if isinstance(config.model, MachineConfig):
            yield config, _run_machine(config, config.model)
        else:
            networks.append(config)
    groups: dict[int, list[tuple[RunConfig, Snapshot | None]]] = {}
    for config in networks:
        start = _start(config, conditions)
        groups.setdefault(start.step if start else 0, []).append((config, start))
    for group in groups.values():
        members = [config for config, _ in group]
        starts = [start for _, start in group if start]
        if conditions.are_over():  # before any time is spent on choosing
            return
        chosen = way or fastest_way(members, conditions.device)
        for trainer in trainers(chosen, members, conditions.device, starts):
            yield from _train_and_test(trainer, conditions, starts)


def _start(config: RunConfig, conditions: Conditions) -> Snapshot | None:
    if conditions.checkpoint is None:
        return None
    return checkpoint.load(conditions.checkpoint(config), config)


def _train_and_test(
    trainer: Trainer, conditions: Conditions, starts: Sequence[Snapshot]
) -> Iterator[tuple[RunConfig, RunResult]]:
    seconds = starts[0].seconds if starts else 0.0
    ensemble = len(trainer.configs)
    last = saved = time.monotonic()
    while trainer.configs:
        if conditions.are_over():
            _save(trainer, conditions, seconds)
            return
        trainer.step()
        now = time.monotonic()
        seconds, last = seconds + (now - last) / len(trainer.configs), now
        if conditions.on_step is not None:
            conditions.on_step(trainer.steps_done)
        _track_training(trainer, conditions)
        done = trainer.finished()
        for member in done:
            result = _test(trainer, member, conditions, ensemble, seconds)
            _track_tests(trainer.configs[member], result, conditions)
            yield trainer.configs[member], result
        if done:
            trainer.leave(done)
            last = time.monotonic()
        elif now - saved >= CHECKPOINT_SECONDS:
            _save(trainer, conditions, seconds)
            last = saved = time.monotonic()


def _track_training(trainer: Trainer, conditions: Conditions) -> None:
    if conditions.track is None or trainer.steps_done % trainer.window:
        return
    accuracies = trainer.accuracies.mean(0).tolist()
    for member, config in enumerate(trainer.configs):
        numbers = {"train/loss": trainer.loss(member), "train/accuracy": accuracies[member]}
        conditions.track(config, trainer.steps_done, numbers)


def _track_tests(config: RunConfig, result: RunResult, conditions: Conditions) -> None:
    if conditions.track is None:
        return
    numbers = {}
    for one in result.slices:
        sizes = f"{one.task.size_a}+{one.task.size_b}"
        numbers[f"test/accuracy/{sizes}"] = one.correct / (one.examples * one.answers)
        numbers[f"test/state_bits/{sizes}"] = float(one.state_bits)
    conditions.track(config, result.steps_done, numbers)


def _save(trainer: Trainer, conditions: Conditions, seconds: float) -> None:
    if conditions.checkpoint is None or not trainer.steps_done:
        return
    for member, config in enumerate(trainer.configs):
        path = conditions.checkpoint(config)
        try:
            checkpoint.save(path, trainer.snapshot(member, seconds))
        except OSError as error:
            logger.warning("no checkpoint: %s (%s)", path, error)


def _test(
    trainer: Trainer, member: int, conditions: Conditions, ensemble: int, seconds: float
) -> RunResult:
    started = time.monotonic()
    config, model = trainer.configs[member], trainer.model(member)
    slices = [
        evaluate(model, task, config.test, seed=config.seed, device=conditions.device)
        for task in config.task.test_tasks()
    ]
    return RunResult(
        slices=slices,
        params=sum(parameter.numel() for parameter in model.parameters()),
        train_loss=trainer.loss(member),
        steps_done=trainer.steps_done,
        ensemble=ensemble,
        seconds=seconds + time.monotonic() - started,
    )


def _run_machine(config: RunConfig, machine: MachineConfig) -> RunResult:
    started = time.monotonic()
    slices = [_machine_slice(config, machine, task) for task in config.task.test_tasks()]
    return RunResult(slices, 0, None, 0, 1, time.monotonic() - started)


def _machine_slice(config: RunConfig, machine: MachineConfig, task: Task) -> SliceResult:
    correct, peak_bits = run_machine(machine, task, config.test.examples, config.seed)
    return SliceResult(
        task=task,
        examples=config.test.examples,
        answers=1,
        correct=correct,
        loss=None,
        state_numel=None,
        state_bits=peak_bits,
        quantized=[],
    )
