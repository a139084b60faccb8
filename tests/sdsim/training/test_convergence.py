"""Runs that train until their accuracy no longer rises."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdsim.config import RunConfig, TrainConfig, TrainingMode, run_id
from sdsim.models import ModelConfig
from sdsim.store.curve import CURVE
from sdsim.store.record import read_record
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training import checkpoint
from sdsim.training.convergence import LEAST_RISE, Verdict, verdict
from sdsim.training.ensemble import EnsembleTrainer
from sdsim.training.modes import trainers
from sdsim.training.run import Conditions, execute, execute_all
from sdsim.training.schedule import end_of_decay, warmup_constant
from sdsim.training.trainer import SequentialTrainer, Trainer

CPU = torch.device("cpu")


@pytest.fixture
def soon(small_run: RunConfig) -> RunConfig:
    """|A| = 1: the answer is that one token, learned long before the limit."""
    return replace(
        small_run,
        model=ModelConfig("attention", ("base_conv", "softmax_attention"), 16, 2, mlp="none"),
        task=replace(small_run.task, train_sizes=((1, 2),)),
        train=TrainConfig(steps=1000, batch_size=16, lr=1e-2, warmup=0.01, until="converged"),
    )


@given(
    points=st.integers(100, 199),
    accuracies=st.lists(st.floats(0, 1), min_size=199, max_size=199),
)
def test_a_verdict_stands_once_it_is_there(points: int, accuracies: list[float]) -> None:
    """Whatever comes after it; and it comes after four fifths of the points at the latest."""
    verdicts = [verdict(accuracies[:done], points) for done in range(points + 1)]
    for done, (before, now) in enumerate(pairwise(verdicts), start=1):
        assert now == before or (before is None and now is not None and now.point == done)
    assert verdicts[points // 5 - 1] is None
    assert verdicts[points * 4 // 5] is not None


@given(rise=st.floats(0, 0.05), points=st.integers(100, 199))
def test_a_steady_rise_is_seen_where_it_is_large_enough(rise: float, points: int) -> None:
    """By `rise` each fifth of the point at which it is asked first."""
    first = points // 5
    fifth = first // 5
    accuracies = [rise * point / fifth for point in range(points)]
    if abs(rise - LEAST_RISE) < 1e-9:
        return
    found = verdict(accuracies, points)
    if rise < LEAST_RISE:
        assert found == Verdict(first, converged=True)
    else:  # later fifths are longer, and rise by more
        assert found == Verdict(points * 4 // 5, converged=False)


def test_the_rate_stays_at_its_peak_and_falls_in_the_last_fifth() -> None:
    open_end = [warmup_constant(step, 1000, 0.1, None) for step in range(1000)]
    assert all(a < b for a, b in pairwise(open_end[:101]))
    assert set(open_end[100:]) == {1}
    known = [warmup_constant(step, 1000, 0.1, 400) for step in range(end_of_decay(400))]
    assert known[:400] == open_end[:400]
    assert len(known) == 500
    assert all(a > b > 0 for a, b in pairwise(known[399:]))


def test_a_run_ends_when_its_accuracy_no_longer_rises(soon: RunConfig) -> None:
    result = execute(soon)
    assert result.converged
    assert result.steps_done < soon.train.steps
    assert [point.step for point in result.curve] == list(range(10, result.steps_done + 1, 10))
    accuracies = [point.accuracy for point in result.curve]
    found = verdict(accuracies, 100)
    assert found is not None
    assert result.steps_done == end_of_decay(10 * found.point)
    assert result.slices[0].correct >= 0.9 * soon.test.examples


def test_a_run_that_still_learns_at_the_limit_has_not_converged(soon: RunConfig) -> None:
    """The rule never holds for a curve that always rises."""

    class Rising(SequentialTrainer):
        def _learn(self, batches: Any) -> tuple[torch.Tensor, torch.Tensor]:
            loss, _ = super()._learn(batches)
            return loss, torch.tensor([self.steps_done / 1000])

    trainer = Rising(soon, CPU)
    while not trainer.finished():
        trainer.step()
    assert trainer.steps_done == soon.train.steps
    assert trainer.converged(0) is False


def test_a_run_that_diverges_has_not_converged(soon: RunConfig) -> None:
    """Its accuracy does not rise."""
    result = execute(replace(soon, train=replace(soon.train, lr=1e30)))
    assert result.train_loss is None
    assert result.converged is False
    assert result.steps_done < soon.train.steps


def test_what_was_not_asked_is_not_known(small_run: RunConfig) -> None:
    result = execute(small_run)
    assert result.converged is None
    assert len(result.curve) == small_run.train.steps


def members_of(run: RunConfig) -> list[RunConfig]:
    """They end at different steps."""
    slow = replace(run, train=replace(run.train, lr=1e-3), seed=1)
    return [run, slow, replace(run, train=replace(run.train, lr=3e-3))]


@pytest.mark.usefixtures("float64")
def test_members_end_when_they_would_alone(soon: RunConfig) -> None:
    runs = members_of(soon)
    alone = [execute(run) for run in runs]
    together = {config.seed + config.train.lr: r for config, r in execute_all(runs, mode="vmap")}
    assert len({result.steps_done for result in alone}) > 1
    for run, expected in zip(runs, alone, strict=True):
        found = together[run.seed + run.train.lr]
        assert (found.steps_done, found.converged) == (expected.steps_done, expected.converged)
        assert [s.correct for s in found.slices] == [s.correct for s in expected.slices]
        for one, other in zip(found.curve, expected.curve, strict=True):
            assert one.accuracy == pytest.approx(other.accuracy)
            assert one.loss == pytest.approx(other.loss, rel=1e-6)


def resumed(trainer: Trainer, mode: TrainingMode, folder: Path) -> Trainer:
    snapshots = []
    for member, config in enumerate(trainer.configs):
        checkpoint.save(folder / f"{member}", trainer.snapshot(member, 0.0))
        snapshot = checkpoint.load(folder / f"{member}", config)
        assert snapshot is not None
        snapshots.append(snapshot)
    return next(trainers(mode, trainer.configs, CPU, snapshots))


@pytest.mark.usefixtures("float64")
def test_groups_of_an_ensemble_end_when_they_would_alone(soon: RunConfig) -> None:
    """In twos, as compiled: a group is filled up, and regrouped when members leave."""
    runs = members_of(soon)
    ends = {run.seed + run.train.lr: execute(run).steps_done for run in runs}
    together = EnsembleTrainer(runs, CPU, group_size=2)
    while together.configs:
        together.step()
        done = together.finished()
        for run in (together.configs[member] for member in done):
            assert together.steps_done == ends.pop(run.seed + run.train.lr)
        if done:
            together.drop(done)
    assert not ends


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_a_run_is_resumed_exactly_before_and_after_its_verdict(
    mode: TrainingMode, soon: RunConfig, tmp_path: Path
) -> None:
    runs = members_of(soon)[: 1 if mode == "sequential" else 3]
    at_once, interrupted = (next(trainers(mode, runs, CPU)) for _ in range(2))
    while not at_once.finished():
        at_once.step()
        interrupted.step()
        if at_once.steps_done % 95 == 0:
            interrupted = resumed(interrupted, mode, tmp_path)
    assert interrupted.finished() == at_once.finished()
    for member in range(len(runs)):
        assert interrupted.learning_curve(member) == at_once.learning_curve(member)
        one, other = at_once.snapshot(member, 0.0), interrupted.snapshot(member, 0.0)
        assert all(torch.equal(t, other.parameters[n]) for n, t in one.parameters.items())


def test_a_checkpoint_without_a_curve_is_read(small_run: RunConfig, tmp_path: Path) -> None:
    """As earlier versions wrote them."""
    from safetensors.torch import load_file, save_file

    trainer = SequentialTrainer(small_run, CPU)
    trainer.step()
    checkpoint.save(tmp_path / "new", trainer.snapshot(0, 0.0))
    tensors = {k: v for k, v in load_file(tmp_path / "new").items() if k != "curve"}
    progress = {"format": "1", "step": "1", "seconds": "0.0"}
    save_file(tensors, tmp_path / "old", progress)
    result = execute(small_run, Conditions(checkpoint=lambda _: tmp_path / "old"))
    assert [point.step for point in result.curve] == list(range(2, small_run.train.steps + 1))
    assert result.slices == execute(small_run).slices


def test_curve_and_flag_are_stored(soon: RunConfig, tmp_path: Path) -> None:
    result = execute(soon)
    folder = Store(tmp_path).write(soon, result, device="cpu")
    assert read_record(folder).converged is True
    assert load(tmp_path)["converged"].to_list() == [True]
    head, *lines = (folder / CURVE).read_text().splitlines()
    assert head == "step,loss,accuracy"
    assert len(lines) == len(result.curve)
    step, loss, accuracy = lines[-1].split(",")
    assert int(step) == result.curve[-1].step
    assert float(loss) == pytest.approx(result.curve[-1].loss, rel=1e-4)
    assert float(accuracy) == pytest.approx(result.curve[-1].accuracy)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 999}, "at least 1000 until converged"),
        ({"warmup": 0.2}, "at most 0.1 until converged"),
        ({"stop_accuracy": 0.9}, "stop_accuracy is null"),
        ({"examples": 100}, "examples is null"),
    ],
)
def test_settings_that_do_not_go_together(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TrainConfig(**{"until": "converged", **change})


def test_a_curriculum_has_no_plateau(soon: RunConfig) -> None:
    task = replace(soon.task, curriculum=((1.0, (1.0,)),))
    with pytest.raises(ValueError, match="curriculum is empty"):
        replace(soon, task=task)


def test_a_curve_has_the_accuracy_on_each_task(small_run: RunConfig, tmp_path: Path) -> None:
    """Tasks take turns; the mean over them is the accuracy of all, and a resumed run has it too."""
    run = replace(small_run, train=replace(small_run.train, steps=400))
    (result,) = [result for _, result in execute_all([run], mode="vmap")]
    assert len(result.curve) == 100
    for point in result.curve:
        assert sum(point.by_task) / 2 == pytest.approx(point.accuracy, abs=1e-6)  # two steps each
    assert len({point.by_task for point in result.curve}) > 10
    Store(tmp_path / "runs").write(run, result, device="cpu")
    header, first, *_ = (tmp_path / "runs" / run_id(run) / "curve.csv").read_text().splitlines()
    assert header == "step,loss,accuracy,accuracy_2_4,accuracy_4_2"
    assert first.count(",") == 4
    trainer = SequentialTrainer(run, CPU)
    for _ in range(50):
        trainer.step()
    before = trainer.snapshot(0, 0.0)
    checkpoint.save(
        tmp_path / "old", replace(before, curve=before.curve[:, :2])
    )  # earlier versions
    old = checkpoint.load(tmp_path / "old", run)
    assert old is not None
    assert old.curve.shape == before.curve.shape
    assert old.curve[:, 2:].isnan().all()
    torch.testing.assert_close(old.curve[:, :2], before.curve[:, :2], equal_nan=True)


def test_a_curve_of_one_task_has_no_other_column(small_run: RunConfig) -> None:
    run = replace(small_run, task=replace(small_run.task, train_sizes=((2, 4),)))
    assert {point.by_task for point in execute(run).curve} == {()}
