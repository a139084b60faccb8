"""An ensemble's members against the same runs alone, and runs that are interrupted."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sdsim.config import AlgorithmConfig, RunConfig, TaskConfig, TrainConfig, TrainingMode
from sdsim.models import MIXERS, ModelConfig
from sdsim.training import checkpoint
from sdsim.training.compiled import Trace
from sdsim.training.data import training_batches
from sdsim.training.ensemble import EnsembleTrainer
from sdsim.training.modes import fastest_mode, modes, throughput, trainers
from sdsim.training.result import RunResult
from sdsim.training.run import Conditions, execute, execute_all
from sdsim.training.trainer import SequentialTrainer

CPU = torch.device("cpu")
MODES: tuple[TrainingMode, ...] = ("sequential", "vmap")
RATES_AND_SEEDS = ((3e-3, 0), (1e-2, 1), (3e-3, 2))


BUDGETED = sorted(
    MIXERS.keys() - {"softmax_attention", "rotary_attention", "sliding_window_attention"}
)


def members(run: RunConfig) -> list[RunConfig]:
    return [replace(run, train=replace(run.train, lr=lr), seed=s) for lr, s in RATES_AND_SEEDS]


def results(configs: list[RunConfig], mode: TrainingMode, **conditions: Any) -> list[RunResult]:
    done = {
        configs.index(config): result
        for config, result in execute_all(configs, Conditions(**conditions), mode=mode)
    }
    return [done[index] for index in range(len(configs))]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_members_learn_what_they_learn_alone(mixer: str, small_run: RunConfig) -> None:
    """In float64, where the order of sums matters in the last digits only; 20 steps of training
    multiply such a difference by no more than 10^4, which leaves 1e-10."""
    model = ModelConfig("any", (mixer,), 8, 2, 2, 2, mlp="gelu", embedding_dropout=0.1)
    _assert_members_are_those_alone(members(replace(small_run, model=model)))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("mixer", BUDGETED)
def test_members_with_a_budget_of_bits_learn_what_they_learn_alone(
    mixer: str, small_run: RunConfig
) -> None:
    model = ModelConfig("any", (mixer,), 8, 2, 2, 2, state_bits_per_number=1, state_numbers=(4, 0))
    small_run = replace(small_run, train=replace(small_run.train, steps=6))
    task = replace(small_run.task, passes=2)
    _assert_members_are_those_alone(members(replace(small_run, model=model, task=task)))
    if not MIXERS[mixer].bidirectional_prefix:
        own = replace(model, state_numbers=(), state_quantized_at="tokens")
        _assert_members_are_those_alone(members(replace(small_run, model=own)))


def _assert_members_are_those_alone(configs: list[RunConfig]) -> None:
    steps = configs[0].train.steps
    alone = [SequentialTrainer(config, CPU) for config in configs]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of operators that vmap runs one by one
        together = EnsembleTrainer(configs, CPU)
        for _ in range(steps):
            together.step()
    for trainer in alone:
        for _ in range(steps):
            trainer.step()
    losses = torch.cat([trainer.losses for trainer in alone], dim=1)
    torch.testing.assert_close(together.losses, losses, rtol=0, atol=1e-10)
    for index, trainer in enumerate(alone):
        own, beside = trainer.snapshot(0, 0.0), together.snapshot(index, 0.0)
        for kind in ("parameters", "exp_avg", "exp_avg_sq"):
            torch.testing.assert_close(getattr(beside, kind), getattr(own, kind), rtol=0, atol=1e-9)


def test_results_are_those_of_the_runs_alone(small_run: RunConfig) -> None:
    """In float32 a short run's answers are the same ones, and its loss to 1e-4."""
    alone, together = (results(members(small_run), mode) for mode in MODES)
    for one, other in zip(alone, together, strict=True):
        assert [s.correct for s in one.slices] == [s.correct for s in other.slices]
        assert one.train_loss == pytest.approx(other.train_loss, abs=1e-4)
        assert (one.params, one.steps_done) == (other.params, other.steps_done)
    assert [(one.ensemble, other.ensemble) for one, other in zip(alone, together, strict=True)] == [
        (1, 3)
    ] * 3


def test_a_member_that_diverges_harms_no_other(small_run: RunConfig) -> None:
    steady = replace(small_run, train=replace(small_run.train, clip_norm=1e30, steps=50))
    configs = [
        steady,
        replace(steady, train=replace(steady.train, lr=1e30)),
        replace(steady, seed=1),
    ]
    with_it = results(configs, "vmap")
    without = results([configs[0], configs[2], replace(steady, seed=2)], "vmap")
    assert with_it[1].train_loss is None
    for beside, apart in ((with_it[0], without[0]), (with_it[2], without[1])):
        assert replace(beside, seconds=0) == replace(apart, seconds=0)


def easy(small_run: RunConfig, **train: Any) -> RunConfig:
    """|A| = 1: the answer is that one token, which is soon learned."""
    return replace(
        small_run,
        model=ModelConfig("attention", ("base_conv", "softmax_attention"), 32, 2, mlp="none"),
        task=TaskConfig(vocab_size=12, train_sizes=((1, 2),)),
        train=TrainConfig(steps=400, batch_size=64, lr=1e-2, stop_accuracy=0.9, **train),
    )


@pytest.mark.parametrize("mode", MODES)
def test_members_that_reach_the_stopping_accuracy_are_dropped(
    mode: TrainingMode, small_run: RunConfig
) -> None:
    quick = easy(small_run)
    slow = replace(quick, train=replace(quick.train, lr=1e-9))
    done = results([quick, slow, replace(quick, seed=1)], mode)
    assert done[1].steps_done == 400
    for result in (done[0], done[2]):
        assert 4 <= result.steps_done < 400
        assert result.steps_done % 4 == 0, "asked after each hundredth of the steps"
        assert result.slices[0].correct > 0.8 * small_run.test.examples


def test_a_member_ends_when_it_would_alone(small_run: RunConfig) -> None:
    configs = [easy(small_run), replace(easy(small_run), seed=1)]
    alone, together = (results(configs, mode) for mode in MODES)
    assert [r.steps_done for r in alone] == [r.steps_done for r in together]


@pytest.mark.parametrize("change", [{"examples": 24}, {}])
@pytest.mark.parametrize("mode", MODES)
def test_a_run_is_resumed_exactly_where_it_stopped(
    change: dict[str, Any], mode: TrainingMode, small_run: RunConfig, tmp_path: Path
) -> None:
    """Stopped twice, by way of files; dropout and the epochs of fixed examples go on too."""
    configs = members(
        replace(
            small_run,
            model=replace(small_run.model, embedding_dropout=0.1),
            train=replace(small_run.train, **change),
        )
    )
    at_once, interrupted = (next(iter(trainers(mode, configs, CPU))) for _ in range(2))
    for _ in range(small_run.train.steps):
        at_once.step()
    for stop in (7, 13, small_run.train.steps):
        while interrupted.steps_done < stop:
            interrupted.step()
        files = [tmp_path / f"{member}" for member in range(len(interrupted.configs))]
        for member, file in enumerate(files):
            checkpoint.save(file, interrupted.snapshot(member, 1.5))
        loaded = [
            checkpoint.load(file, config)
            for file, config in zip(files, interrupted.configs, strict=True)
        ]
        resume_from = [snapshot for snapshot in loaded if snapshot is not None]
        assert [snapshot.seconds for snapshot in resume_from] == [1.5] * len(files)
        interrupted = next(iter(trainers(mode, interrupted.configs, CPU, resume_from)))
    for member in range(len(at_once.configs)):
        one, other = at_once.snapshot(member, 0), interrupted.snapshot(member, 0)
        assert one.step == other.step
        assert torch.equal(one.losses, other.losses)
        for kind in ("parameters", "exp_avg", "exp_avg_sq"):
            for name, tensor in getattr(one, kind).items():
                assert torch.equal(tensor, getattr(other, kind)[name]), (kind, name)


def test_the_deadline_stops_a_run_and_its_checkpoint_takes_it_on(
    small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock strikes after seven steps; the resumed run ends as one that nobody stopped."""
    now = 0.0

    def tick(steps_done: int) -> None:
        nonlocal now
        now = float(steps_done)

    def where(config: RunConfig) -> Path:
        return tmp_path / f"{config.seed}"

    monkeypatch.setattr("time.time", lambda: now)
    with pytest.raises(TimeoutError):
        execute(small_run, Conditions(checkpoint=where, deadline=7.0, on_step=tick))
    saved = checkpoint.load(tmp_path / "0", small_run)
    assert saved is not None
    assert saved.step == 7
    resumed = execute(small_run, Conditions(checkpoint=where, on_step=tick))
    assert now == small_run.train.steps
    assert replace(resumed, seconds=0) == replace(execute(small_run), seconds=0)


def test_checkpoints_are_left_now_and_then_and_a_full_disk_stops_nothing(
    small_run: RunConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sdsim.training.run.CHECKPOINT_SECONDS", 0.0)
    execute(small_run, Conditions(checkpoint=lambda _: tmp_path / "here"))
    saved = checkpoint.load(tmp_path / "here", small_run)
    assert saved is not None
    assert saved.step == small_run.train.steps - 1
    (tmp_path / "file").touch()
    execute(small_run, Conditions(checkpoint=lambda _: tmp_path / "file" / "not a folder"))
    assert "no checkpoint" in caplog.text


def test_a_damaged_checkpoint_is_named_and_the_run_starts_again(
    small_run: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "one"
    assert checkpoint.load(file, small_run) is None
    assert not caplog.text
    trainer = SequentialTrainer(small_run, CPU)
    trainer.step()
    checkpoint.save(file, trainer.snapshot(0, 0.0))
    assert [entry.name for entry in tmp_path.iterdir()] == ["one"]
    wider = replace(small_run, model=replace(small_run.model, width=9))
    assert checkpoint.load(file, wider) is None
    assert "has another shape" in caplog.text
    file.write_bytes(file.read_bytes()[:-50])
    assert checkpoint.load(file, small_run) is None
    assert caplog.text.count("starts again") == 2


def test_only_rate_and_seed_may_differ(small_run: RunConfig) -> None:
    other = replace(small_run, train=replace(small_run.train, beta2=0.5))
    with pytest.raises(ValueError, match="differ in more than"):
        EnsembleTrainer([small_run, other], CPU)


def test_the_faster_mode_is_taken(small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    long = replace(small_run, train=replace(small_run.train, steps=1000))
    monkeypatch.setattr("sdsim.training.modes.why_not", lambda: "not wanted")
    for rate, fastest in ((3.0, "vmap"), (1.0, "sequential")):
        rates = {"sequential": 2.0, "vmap": rate}
        monkeypatch.setattr(
            "sdsim.training.modes.throughput", lambda mode, *_, rates=rates: rates[mode]
        )
        assert fastest_mode(members(long), CPU) == fastest
        assert fastest_mode(members(small_run), CPU) == "sequential", "too short to measure"
        assert fastest_mode([long], CPU) == "sequential"


@pytest.mark.parametrize(
    ("compiling", "steps", "done", "compiled_rate", "fastest"),
    [
        (60.0, 100, 0, 9.0, "compiled"),  # saves two thirds of 100 s, less 5
        (65.0, 100, 0, 9.0, "vmap"),
        (60.0, 100, 20, 9.0, "vmap"),  # only 80 s are left
        (0.0, 100, 80, 9.0, "compiled"),  # it is there
        (0.0, 100, 80, 2.9, "vmap"),  # it is no faster after all
    ],
)
def test_what_is_compiled_must_pay(
    compiling: float,
    steps: int,
    done: int,
    compiled_rate: float,
    fastest: str,
    small_run: RunConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = {"sequential": 2.0, "vmap": 3.0, "compiled": compiled_rate}
    monkeypatch.setattr("sdsim.training.modes.why_not", lambda: None)
    monkeypatch.setattr("sdsim.training.modes.throughput", lambda mode, *_: rates[mode])
    monkeypatch.setattr("sdsim.training.modes._STEPS_TO_MEASURE", 1)
    monkeypatch.setattr(Trace, "seconds_to_compile", lambda self: compiling)
    monkeypatch.setattr(Trace, "compile", lambda self: self.graph)
    one_length = replace(small_run.task, train_sizes=((2, 3),))
    run = replace(small_run, task=one_length, train=replace(small_run.train, steps=steps))
    assert fastest_mode(members(run), CPU, done) == fastest


def test_without_a_compiler_it_is_said_once(
    small_run: RunConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert [modes(3, CPU) for _ in range(2)] == [["sequential", "vmap"]] * 2
    assert caplog.text.count("there is no C++ compiler (no-such-compiler)") == 1
    assert throughput("compiled", members(small_run), CPU) == 0


def test_runs_of_one_seed_read_the_same_batches(small_run: RunConfig) -> None:
    configs = [replace(small_run, seed=seed) for seed in (5, 3, 5, 4)]
    drawn = next(EnsembleTrainer(configs, CPU)._batches)
    alone = [next(SequentialTrainer(config, CPU)._batches)[0] for config in configs]
    for ours, own in zip(drawn, alone, strict=True):
        assert torch.equal(ours.questions.inputs, own.questions.inputs)
    assert drawn[0] is drawn[2]


def test_throughput_is_measured_and_what_vmap_cannot_do_has_none(
    small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert throughput("sequential", members(small_run), CPU) > 0
    assert throughput("vmap", members(small_run), CPU) > 0

    def refuse(*_: object) -> None:
        raise RuntimeError("Batching rule not implemented")

    monkeypatch.setattr(EnsembleTrainer, "_update", refuse)
    assert throughput("vmap", members(small_run), CPU) == 0


def test_fixed_examples_are_seen_once_an_epoch_in_new_orders(small_run: RunConfig) -> None:
    config = replace(
        small_run,
        task=replace(small_run.task, train_sizes=((2, 4),)),
        train=replace(small_run.train, examples=24, batch_size=8, steps=9),
    )
    epochs: list[list[tuple[int, ...]]] = [[], [], []]
    for step, (_, asked) in enumerate(training_batches(config, CPU)):
        epochs[step // 3].extend(tuple(row) for row in asked.inputs.tolist())
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    assert epochs[0] != epochs[1] != epochs[2]


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("leaver", "after"), [(0, 1), (1, 3), (2, 8)])
def test_the_members_that_stay_train_as_if_alone(
    leaver: int, after: int, small_run: RunConfig
) -> None:
    """In float64, to 1e-10: their data, learning rates, moments and losses are still their own."""
    long = replace(small_run, train=replace(small_run.train, steps=300))  # averages over 3 steps
    configs = members(long)
    together = EnsembleTrainer(configs, CPU)
    for _ in range(after):
        together.step()
    together.drop([leaver])
    stayed = [config for index, config in enumerate(configs) if index != leaver]
    assert together.configs == stayed
    alone = [SequentialTrainer(config, CPU) for config in stayed]
    for step in range(20):
        for trainer in alone:
            trainer.step()
        if step >= after:
            together.step()
        if step + 1 < after:
            continue
        for index, trainer in enumerate(alone):
            own, beside = trainer.snapshot(0, 0.0), together.snapshot(index, 0.0)
            for kind in ("parameters", "exp_avg", "exp_avg_sq", "losses", "accuracies"):
                found, expected = getattr(beside, kind), getattr(own, kind)
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_after_the_deadline_no_time_is_spent_on_choosing_a_mode(
    small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(*_: object) -> TrainingMode:
        pytest.fail("the modes are timed")

    monkeypatch.setattr("sdsim.training.run.fastest_mode", measured)
    conditions = Conditions(checkpoint=lambda config: tmp_path / f"{config.seed}", deadline=0.0)
    assert list(execute_all(members(small_run), conditions)) == []
    machine = replace(small_run, model=AlgorithmConfig("one_pass", "one_pass"))
    assert list(execute_all([machine], conditions)) == []


def test_a_checkpoint_of_other_losses_is_damaged(
    small_run: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = SequentialTrainer(small_run, CPU)
    trainer.step()
    snapshot = trainer.snapshot(0, 1.0)
    (tmp_path / f".one-{'0a' * 16}").touch()  # left by a killed process
    checkpoint.save(tmp_path / "one", replace(snapshot, losses=torch.zeros(7)))
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert checkpoint.load(tmp_path / "one", small_run) is None
    assert "its losses have another length" in caplog.text
