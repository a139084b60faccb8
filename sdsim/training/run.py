"""Runs: configs in, measured accuracies and measured states out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sdsim.config import AlgorithmConfig, Reader, RunConfig, TrainingMode
from sdsim.models import Network
from sdsim.models.lookahead import measured_reader
from sdsim.training import checkpoint
from sdsim.training.evaluation import evaluate
from sdsim.training.modes import fastest_mode, trainers
from sdsim.training.result import RunResult, SliceResult, finite_or_none
from sdsim.training.tasks import check_run, eval_tasks
from sdsim.training.tracking import Log
from sdsim.training.trainer import Snapshot, Trainer, build
from synthetic import Task

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 60.0
"""Between two checkpoints of a run."""


CPU = torch.device("cpu")


@dataclass(frozen=True)
class Conditions:
    """Where and how runs are done, which does not change their results.

    Attributes:
        device: of torch.
        checkpoint: where a run's checkpoint lies; None: runs leave none.
        deadline: `time.time()` at which training stops, to be resumed from its checkpoint.
        on_step: called with the number of training steps done by each of the runs in hand.
        track: takes losses and accuracies: of training a hundred times a run, and the tests'.
        on_trained: takes each trained model.
    """

    device: torch.device = CPU
    checkpoint: Callable[[RunConfig], Path] | None = None
    deadline: float | None = None
    on_step: Callable[[int], None] | None = None
    track: Log | None = None
    on_trained: Callable[[RunConfig, Network], None] | None = None

    def are_over(self) -> bool:
        """Whether the deadline has come."""
        return self.deadline is not None and time.time() >= self.deadline


HERE = Conditions()
"""On the CPU, to the end, with nothing reported."""


def execute(config: RunConfig, conditions: Conditions = HERE) -> RunResult:
    """Train one model and test it on every test task; or let a streaming algorithm do the tests.

    Raises:
        TimeoutError: at the deadline.
    """
    for _, result in execute_all([config], conditions):
        return result
    raise TimeoutError(f"the deadline came before the run of {config.model.name} was done")


def execute_all(
    configs: Sequence[RunConfig], conditions: Conditions = HERE, *, mode: TrainingMode | None = None
) -> Iterator[tuple[RunConfig, RunResult]]:
    """Do some runs, and yield each when it is done; those that the deadline stops are not yielded.

    Args:
        configs: a run, or some that differ in learning rate and seed alone.
        conditions: where and how.
        mode: how to train them; None: the fastest here.
    """
    for config in configs[:1]:  # before any time is spent: the tasks and the model can be built
        check_run(config)
    networks = []
    for config in configs:
        if conditions.are_over():
            return
        if isinstance(config.model, AlgorithmConfig):
            yield config, _run_algorithm(config, config.model)
        else:
            networks.append(config)
    groups: dict[int, list[tuple[RunConfig, Snapshot | None]]] = {}
    for config in networks:
        snapshot = _snapshot(config, conditions)
        groups.setdefault(snapshot.step if snapshot else 0, []).append((config, snapshot))
    for steps_done, group in groups.items():
        members = [config for config, _ in group]
        resume_from = [snapshot for _, snapshot in group if snapshot]
        if conditions.are_over():  # before any time is spent on choosing
            return
        reader = _reader(members[0], conditions.device)
        chosen = mode or fastest_mode(members, conditions.device, steps_done)
        for trainer in trainers(chosen, members, conditions.device, resume_from):
            yield from _train_and_test(trainer, conditions, reader)


def _reader(config: RunConfig, device: torch.device) -> Reader | None:
    """How a network with modules given by import paths reads its prompt, measured; None of others.

    Raises:
        ValueError: naming what is wrong with a module.
    """
    if isinstance(config.model, AlgorithmConfig) or not config.model.has_modules:
        return None
    model, task = build(config, device), max(eval_tasks(config.task), key=lambda t: t.seq_len)
    prefix_len = task.sample(1, seed=0).prefix_len
    try:
        reader, ahead = measured_reader(model, task.vocab_size, task.seq_len, prefix_len)
    except ValueError as error:
        named = str(error) if str(error).startswith("model.") else f"model: {error}"
        raise ValueError(named) from error
    except Exception as error:  # whatever code that is not ours raises
        raise ValueError(f"model: it fails on (B, N) = (2, {task.seq_len}): {error}") from error
    if reader == "noncausal":
        position, outputs = max(ahead.items(), key=lambda found: found[0] - found[1][0])
        logger.warning(
            "%s looks ahead: a change of token %d reaches outputs from %d on; it counts as "
            "non-causal",
            config.model.name,
            position,
            outputs[0],
        )
    return reader


def _snapshot(config: RunConfig, conditions: Conditions) -> Snapshot | None:
    if conditions.checkpoint is None:
        return None
    return checkpoint.load(conditions.checkpoint(config), config)


def _train_and_test(
    trainer: Trainer, conditions: Conditions, reader: Reader | None
) -> Iterator[tuple[RunConfig, RunResult]]:
    seconds = trainer.seconds_before
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
            result = _test(trainer, member, conditions, ensemble, seconds, reader)
            _track_tests(trainer.configs[member], result, conditions)
            yield trainer.configs[member], result
        if done:
            trainer.drop(done)
            last = time.monotonic()
        elif now - saved >= CHECKPOINT_SECONDS:
            _save(trainer, conditions, seconds)
            last = saved = time.monotonic()


def _track_training(trainer: Trainer, conditions: Conditions) -> None:
    if conditions.track is None or trainer.steps_done % trainer.log_every:
        return
    accuracies = trainer.accuracies.mean(0).tolist()
    for member, config in enumerate(trainer.configs):
        numbers = {"train/loss": trainer.loss(member), "train/accuracy": accuracies[member]}
        conditions.track(config, trainer.steps_done, numbers)


def _track_tests(config: RunConfig, result: RunResult, conditions: Conditions) -> None:
    if conditions.track is None:
        return
    numbers = {}
    for measured in result.slices:
        sizes = f"{measured.size_a}+{measured.size_b}"
        asked = measured.examples * measured.answers
        numbers[f"test/accuracy/{sizes}"] = measured.correct / asked
        if measured.state_bits is not None:
            numbers[f"test/state_bits/{sizes}"] = float(measured.state_bits)
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
    trainer: Trainer,
    member: int,
    conditions: Conditions,
    ensemble: int,
    seconds: float,
    reader: Reader | None,
) -> RunResult:
    started = time.monotonic()
    config, model = trainer.configs[member], trainer.model(member)
    if conditions.on_trained is not None:
        conditions.on_trained(config, model)
    slices = [
        evaluate(model, task, config.test, seed=config.seed, device=conditions.device)
        for task in eval_tasks(config.task)
    ]
    return RunResult(
        slices=slices,
        params=sum(parameter.numel() for parameter in model.parameters()),
        train_loss=finite_or_none(trainer.loss(member)),
        steps_done=trainer.steps_done,
        ensemble=ensemble,
        seconds=seconds + time.monotonic() - started,
        bidirectional_prefix=(
            model.bidirectional_prefix if reader is None else reader in ("prefix", "noncausal")
        ),
        state_source=model.state_source,
        reader=reader,
        converged=trainer.converged(member),
        curve=trainer.learning_curve(member),
    )


def _run_algorithm(config: RunConfig, algorithm: AlgorithmConfig) -> RunResult:
    started = time.monotonic()
    slices = [_algorithm_slice(config, algorithm, task) for task in eval_tasks(config.task)]
    return RunResult(slices, 0, None, 0, 1, time.monotonic() - started)


def _algorithm_slice(config: RunConfig, algorithm: AlgorithmConfig, task: Task) -> SliceResult:
    from sdsim.models.streaming import run_algorithm  # not every run needs the theory

    correct, peak_bits = run_algorithm(algorithm, task, config.test.examples, config.seed)
    return SliceResult.of(
        task,
        examples=config.test.examples,
        answers=1,
        correct=correct,
        loss=None,
        state_numel=None,
        state_bits=peak_bits,
        quantized=[],
    )
