from collections.abc import Callable, Mapping
from math import nan
from pathlib import Path

import pytest

from sdsim import results
from sdsim.config import RunConfig, TaskConfig, TrainConfig
from sdsim.models import ModelConfig
from sdsim.train import SliceResult, TrainResult

MIXERS = {
    "gru": ("gru",),
    "based": ("base_conv", "linear_attention"),
    "my_model": ("lstm",),
}

WriteRun = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def write_run(store: Path) -> WriteRun:
    """Store a run that never ran: ``correct`` maps (|A|, |B|) to right answers of `examples`.

    The state of every slice is 4 × width bytes; n is 12 unless said.
    """

    def write(
        correct: Mapping[tuple[int, int], int],
        *,
        model: str = "gru",
        width: int = 8,
        seed: int = 0,
        lr: float = 1e-3,
        steps: int = 100,
        passes: int = 1,
        examples: int = 10,
        vocab_size: int = 16,
        diverged: bool = False,
    ) -> None:
        config = RunConfig(
            ModelConfig(model, MIXERS[model], width=width),
            TaskConfig(vocab_size=vocab_size, train_sizes=tuple(correct), passes=passes),
            TrainConfig(lr=lr, steps=steps, test_examples=examples),
            seed,
        )
        loss = nan if diverged else 0.5
        slices = [
            SliceResult(task, examples, correct[task.size_a, task.size_b], loss, width, 4 * width)
            for task in config.task.test_tasks()
        ]
        result = TrainResult(slices, params=1, train_loss=loss, seconds=1.0)
        results.Store(store).write(config, result, device="cpu")

    return write
