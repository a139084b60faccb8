from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from sdsim.config import EvalConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.models import ModelConfig
from sdsim.store.store import Store
from sdsim.training.result import RunResult, SliceResult
from sdsim.training.tasks import eval_tasks


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models are faster without others, the more so as the tests share the cores."""
    torch.set_num_threads(1)


@pytest.fixture
def small_run() -> RunConfig:
    """A run that takes a fraction of a second."""
    return RunConfig(
        model=ModelConfig(name="gru", mixers=("gru",), width=8, depth=1, mlp="none"),
        task=TaskConfig(vocab_size=12, train_sizes=((2, 4), (4, 2))),
        train=TrainConfig(steps=20, batch_size=8),
        test=EvalConfig(examples=40),
    )


@pytest.fixture
def invented_result() -> Callable[..., RunResult]:
    """A result that nothing was trained for: counts of right answers, slice by slice."""

    def make(
        config: RunConfig,
        correct: list[int],
        examples: int = 100,
        losses: Sequence[float] = (0.5, 0.5),
        answers: int = 1,
    ) -> RunResult:
        slices = [
            SliceResult.of(
                task,
                examples=examples,
                answers=answers,
                correct=count,
                loss=loss,
                state_numel=8,
                state_bits=256,
                quantized=[],
            )
            for task, count, loss in zip(eval_tasks(config.task), correct, losses, strict=True)
        ]
        return RunResult(
            slices,
            params=10,
            train_loss=0.25,
            steps_done=config.train.steps,
            ensemble=1,
            seconds=1.0,
        )

    return make


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
