"""One run: a config in, measured accuracies and a measured state out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sdsim.config import RunConfig
from sdsim.machines import MachineConfig, run_machine
from sdsim.testing import SliceResult, evaluate
from sdsim.train import train
from synthetic import Task


@dataclass(frozen=True)
class RunResult:
    """What one run measured.

    Attributes:
        slices: one result per test task.
        params: trainable numbers.
        train_loss: mean loss of the last hundredth of the steps, nats; NaN if the run diverged,
            None where nothing was trained.
        seconds: wall-clock time of training and testing.
    """

    slices: list[SliceResult]
    params: int
    train_loss: float | None
    seconds: float


def execute(
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    on_step: Callable[[int], None] | None = None,
) -> RunResult:
    """Train one model and test it on every test task; or let a machine do the tests.

    Args:
        config: what to run.
        device: where.
        on_step: called with the number of training steps done, after each.
    """
    started = time.perf_counter()
    device = torch.device(device)
    tasks = config.task.test_tasks()
    if isinstance(config.model, MachineConfig):
        slices = [_machine_slice(config, config.model, task) for task in tasks]
        return RunResult(slices, 0, None, time.perf_counter() - started)
    model, train_loss = train(config, device=device, on_step=on_step)
    slices = [evaluate(model, task, config.test, seed=config.seed, device=device) for task in tasks]
    params = sum(p.numel() for p in model.parameters())
    return RunResult(slices, params, train_loss, time.perf_counter() - started)


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
