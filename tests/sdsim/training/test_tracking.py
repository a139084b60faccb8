"""Curves: what trackers are told, and that they can do no harm."""

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from sdsim.config import EvalConfig, RunConfig, TaskConfig, TrainConfig, run_id
from sdsim.models import ModelConfig
from sdsim.training.run import Conditions, execute, execute_all
from sdsim.training.tracking import TrackingConfig, tracked

RUN = RunConfig(
    ModelConfig("gru", ("gru",), width=8, depth=1, mlp="none"),
    TaskConfig(vocab_size=12, train_sizes=((2, 4),)),
    TrainConfig(steps=200, batch_size=8),
    EvalConfig(examples=20),
)


class Recorder:
    """Stands for a SummaryWriter of TensorBoard and for a run of W&B."""

    opened: list["Recorder"]

    def __init__(self, *places: Any, **settings: Any) -> None:
        self.places, self.settings = places, settings
        self.numbers: list[tuple[str, float, int]] = []
        self.closed = 0
        self.opened.append(self)

    def add_scalar(self, name: str, number: float, step: int) -> None:
        self.numbers.append((name, number, step))

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.numbers.extend((name, number, step) for name, number in numbers.items())

    def close(self) -> None:
        self.closed += 1

    finish = close


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    class Recording(Recorder):
        opened = []  # noqa: RUF012

    for name, attribute in (("torch.utils.tensorboard", "SummaryWriter"), ("wandb", "init")):
        module: Any = ModuleType(name)
        setattr(module, attribute, Recording)
        monkeypatch.setitem(sys.modules, name, module)
    return Recording.opened


@pytest.mark.parametrize("kind", ["tensorboard", "wandb"])
def test_each_run_has_its_curve_and_its_tests(
    opened: list[Recorder], tmp_path: Path, kind: Any
) -> None:
    runs = [RUN, replace(RUN, seed=1)]
    with tracked(TrackingConfig(kind), tmp_path) as log:
        results = dict(enumerate(execute_all(runs, Conditions(track=log), mode="vmap")))
        assert not any(one.closed for one in opened)
    assert [one.closed for one in opened] == [1, 1]
    for (run, result), curve in zip(results.values(), opened, strict=True):
        losses = [(step, loss) for name, loss, step in curve.numbers if name == "train/loss"]
        assert [step for step, _ in losses] == list(range(2, 201, 2))
        assert losses[-1][1] == pytest.approx(result.train_loss)
        (test,) = result.slices
        tested = {name: number for name, number, _ in curve.numbers if name.startswith("test/")}
        assert tested == {"test/accuracy/2+4": test.correct / 20, "test/state_bits/2+4": 256.0}
        if kind == "wandb":
            assert (curve.settings["id"], curve.settings["mode"]) == (run_id(run), "offline")
            assert curve.settings["config"]["seed"] == run.seed
            assert curve.settings["dir"].is_relative_to(tmp_path / ".wandb"), "no run of the store"
        else:
            assert curve.places == (tmp_path / ".tensorboard" / run_id(run),)


def test_without_tracking_there_is_nothing(opened: list[Recorder], tmp_path: Path) -> None:
    with tracked(TrackingConfig(), tmp_path) as log:
        assert log is None
    assert not opened
    assert not list(tmp_path.iterdir())


def test_a_tracker_that_fails_harms_no_run(
    opened: list[Recorder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(*_: Any) -> None:
        raise OSError("no space left")

    with tracked(TrackingConfig("tensorboard"), tmp_path) as log:
        monkeypatch.setattr(Recorder, "add_scalar", fails)
        tracked_result = execute(RUN, Conditions(track=log))
    plain = execute(RUN)
    assert tracked_result.slices == plain.slices
    assert tracked_result.train_loss == plain.train_loss
    assert [record.getMessage() for record in caplog.records] == [
        "no more curves: tensorboard: no space left"
    ]
    assert torch.is_grad_enabled()
