"""Compiled ensembles against the same runs alone; the folder in which programs are kept."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdsim.config import RunConfig
from sdsim.models import MIXERS, ModelConfig
from sdsim.training import compiled
from sdsim.training.compiled import CompiledProgram, Trace, cache_folder, why_not
from sdsim.training.ensemble import EnsembleTrainer
from sdsim.training.modes import compile_seconds, throughput, trainers
from sdsim.training.run import Conditions, execute_all
from sdsim.training.trainer import SequentialTrainer, Trainer

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.usefixtures("float64"),
]
KINDS = ("parameters", "exp_avg", "exp_avg_sq", "losses", "accuracies")


@pytest.fixture
def runs(small_run: RunConfig) -> list[RunConfig]:
    """Six, so that one group is whole and one is filled up; with dropout and fixed examples.

    They are wide enough for a compiler given two threads to use both.
    """
    run = replace(
        small_run,
        model=replace(small_run.model, width=32, embedding_dropout=0.1),
        task=replace(small_run.task, train_sizes=((2, 3), (3, 2))),
        train=replace(small_run.train, examples=24),
    )
    lr_and_seed = ((3e-3, 0), (1e-2, 1), (3e-3, 2), (1e-2, 0), (2e-3, 1), (5e-3, 5))
    return [replace(run, train=replace(run.train, lr=lr), seed=s) for lr, s in lr_and_seed]


def compiled_trainer(configs: Sequence[RunConfig], *resume_from: object) -> Trainer:
    return next(trainers("compiled", configs, CPU, *resume_from))  # type: ignore[arg-type]


def assert_are_those_alone(together: Trainer, configs: Sequence[RunConfig], steps: int) -> None:
    """To 1e-9, as a few steps multiply what rounding leaves."""
    assert together.configs == configs
    for index, config in enumerate(configs):
        alone = SequentialTrainer(config, CPU)
        for _ in range(steps):
            alone.step()
        own, beside = alone.snapshot(0, 0.0), together.snapshot(index, 0.0)
        for kind in KINDS:
            found, expected = getattr(beside, kind), getattr(own, kind)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.compiler
def test_members_learn_what_they_learn_alone_also_when_others_leave(runs: list[RunConfig]) -> None:
    together = compiled_trainer(runs)
    for _ in range(7):
        together.step()
    assert_are_those_alone(together, runs, 7)
    assert len(together._programs) == 1, "one for both train sizes, which are equally long"
    together.drop([0, 5])
    for _ in range(5):
        together.step()
    assert_are_those_alone(together, runs[1:5], 12)
    together.drop([0, 1, 2])
    for _ in range(3):
        together.step()
    assert_are_those_alone(together, runs[4:5], 15)
    assert len(together._programs) == 1, "whoever leaves"


def test_a_run_is_resumed_exactly_where_it_stopped(runs: list[RunConfig]) -> None:
    at_once, interrupted = compiled_trainer(runs), compiled_trainer(runs)
    for step in range(20):
        at_once.step()
        interrupted.step()
        if step in (6, 12):
            snapshots = [interrupted.snapshot(member, 0.0) for member in range(len(runs))]
            interrupted = compiled_trainer(runs, snapshots)
    for member in range(len(runs)):
        one, other = at_once.snapshot(member, 0), interrupted.snapshot(member, 0)
        for kind in KINDS:
            torch.testing.assert_close(getattr(one, kind), getattr(other, kind), rtol=0, atol=0)


def test_a_member_that_diverges_harms_no_other(runs: list[RunConfig]) -> None:
    wild = replace(runs[1], train=replace(runs[1].train, lr=1e200))
    together = compiled_trainer([runs[0], wild, *runs[2:4]])
    for _ in range(7):
        together.step()
    assert not together.losses[:, 1].isfinite().all()
    for member, config in ((0, runs[0]), (2, runs[2]), (3, runs[3])):
        alone = SequentialTrainer(config, CPU)
        for _ in range(7):
            alone.step()
        torch.testing.assert_close(
            together.losses[:, member], alone.losses[:, 0], rtol=0, atol=1e-9
        )


def test_runs_are_trained_and_tested(runs: list[RunConfig]) -> None:
    done = list(execute_all(runs, Conditions(), mode="compiled"))
    assert [config for config, _ in done] == runs
    ((_, alone),) = execute_all([runs[2]], mode="sequential")
    result = done[2][1]
    assert [s.correct for s in result.slices] == [s.correct for s in alone.slices]


def test_programs_stay_loaded_for_runs_of_any_length(runs: list[RunConfig]) -> None:
    """As those are with which throughput is measured."""
    (program,) = _programs_after_a_step(compiled_trainer(runs))
    longer = [replace(run, train=replace(run.train, steps=90)) for run in runs]
    assert _programs_after_a_step(compiled_trainer(longer)) == [program]
    assert compile_seconds(longer) == program.seconds > 0


def _programs_after_a_step(trainer: Trainer) -> list[CompiledProgram]:
    assert isinstance(trainer, EnsembleTrainer)
    trainer.step()
    return [each for each in trainer._programs.values() if isinstance(each, CompiledProgram)]


def double(x: Tensor) -> tuple[Tensor]:
    return (2 * x,)


@pytest.mark.compiler
def test_programs_are_kept_and_damaged_ones_are_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    x = torch.arange(3.0)
    trace = Trace.of(double, [x])
    assert trace.seconds_to_compile() >= 15
    first = trace.compile()
    assert torch.equal(first(x)[0], 2 * x)
    assert trace.path.parent == cache_folder()
    assert trace.seconds_to_compile() == 0
    built: list[object] = []
    build = Trace._build
    monkeypatch.setattr(Trace, "_build", lambda *given: (built.append(given), build(*given)))
    again = Trace.of(double, [x]).compile()
    assert not built, "it is loaded"
    assert again.seconds == first.seconds > 0
    trace.path.with_suffix(".json").write_text("{")
    trace.path.write_bytes(trace.path.read_bytes()[:1000])
    assert torch.equal(Trace.of(double, [x]).compile()(x)[0], 2 * x)
    assert len(built) == 1
    assert Trace.of(double, [x]).compile().seconds > 0
    assert [path for path in tmp_path.rglob(".*") if path.is_file()] == []


def test_what_a_program_depends_on_is_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(3.0)
    path = Trace.of(double, [x]).path
    assert Trace.of(double, [x.clone()]).path == path
    scale = torch.tensor([2.0, 2.0, 3.0])
    others = [
        Trace.of(lambda x: (3 * x,), [x]),
        Trace.of(double, [torch.arange(4.0)]),
        Trace.of(double, [x.float()]),
        Trace.of(lambda x: (x * torch.tensor([2.0, 2.0, 2.0]),), [x]),
        Trace.of(lambda x: (x * torch.tensor([2.0, 2.0, 3.0]),), [x]),
        Trace.of(lambda x: (x * scale,), [x]),
    ]
    assert len({path, *(other.path for other in others)}) >= len(others)
    monkeypatch.setattr(compiled, "_processor", lambda: "another")
    assert Trace.of(double, [x]).path != path


def test_how_long_compiling_takes_is_learnt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def many(x: Tensor) -> tuple[Tensor]:
        for _ in range(998):
            x = x.sin()
        return (x,)

    trace = Trace.of(many, [torch.ones(2)])
    assert trace.seconds_to_compile() == pytest.approx(30)
    cache_folder().mkdir(parents=True)
    for number, seconds in enumerate((900, 200, 100, 100, 200, 200, 900, 900)):
        numbers = json.dumps({"nodes": 1000, "seconds": seconds})
        (cache_folder() / f"{number}.json").write_text(numbers)
    (cache_folder() / "damaged.json").write_text('{"nodes": 0, "seconds": []}')
    assert trace.seconds_to_compile() == pytest.approx(200)


def test_the_folder_does_not_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "_CACHE_BYTES", 250)
    for number in range(4):
        path = tmp_path / f"{number}.pt2"
        path.write_bytes(bytes(100))
        path.with_suffix(".json").touch()
        os.utime(path, (number, number))
    compiled._prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "2.json",
        "2.pt2",
        "3.json",
        "3.pt2",
    ]


def test_what_cannot_be_compiled_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[RunConfig]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"there is no C\+\+ compiler \(no-such-compiler\)"):
        Trace.of(double, [torch.ones(3)]).compile()
    assert throughput("compiled", runs, CPU) == 0


@pytest.mark.compiler
@pytest.mark.parametrize("where", ["no-folder", "file/folder"])
def test_a_cache_that_cannot_be_used_is_said_and_nothing_is_compiled(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: list[RunConfig]
) -> None:
    (tmp_path / "file").touch()
    home = tmp_path / where if where.startswith("file") else Path("/proc") / where
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    with pytest.raises(RuntimeError, match="cannot be used"):
        Trace.of(double, [torch.ones(3)]).compile()
    assert throughput("compiled", runs, CPU) == 0


@pytest.mark.compiler
def test_one_process_compiles_and_the_others_wait(tmp_path: Path) -> None:
    """Two that want the same program at the same time."""
    code = (
        "import torch, sdsim.training.compiled as c\n"
        "build = c.Trace._build\n"
        "c.Trace._build = lambda *given: (print('built'), build(*given))\n"
        "program = c.compiled(lambda x: (3 * x,), [torch.ones(2)])\n"
        "assert program(torch.ones(2))[0].tolist() == [3, 3]"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    output = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(output) == ["", "built\n"]


def test_no_thread_beyond_those_given(runs: list[RunConfig]) -> None:
    """Programs start none, compiled for one thread; nor does the compiler leave any at work."""

    def seconds() -> dict[int, float]:
        """What each thread of this process has used of a processor."""
        ticks = {
            int(thread.name): (thread / "stat").read_text().rpartition(")")[2].split()[11:13]
            for thread in Path("/proc/self/task").iterdir()
        }
        per_second = os.sysconf("SC_CLK_TCK")
        return {thread: sum(map(int, used)) / per_second for thread, used in ticks.items()}

    trainer = compiled_trainer(runs)
    trainer.step()  # compiles it, perhaps
    before = seconds()
    for _ in range(200):
        trainer.step()
        if trainer.steps_done == trainer.config.steps:
            trainer = compiled_trainer(runs)
    after = seconds()
    assert after.keys() == before.keys()
    used = {thread: after[thread] - before[thread] for thread in after}
    # The test runner has threads of its own, which hardly work (but may collect garbage); a
    # second thread of OpenMP's spins beside the first and uses as much.
    assert sum(used.values()) < 1.4 * used[os.getpid()], used


@pytest.mark.compiler
@pytest.mark.parametrize("mixer", sorted(MIXERS))
def test_every_mixer(mixer: str, small_run: RunConfig) -> None:
    model = ModelConfig("any", (mixer,), 8, 2, 2, 2, mlp="gelu", embedding_dropout=0.1)
    run = replace(small_run, model=model, task=replace(small_run.task, train_sizes=((3, 5),)))
    configs = [replace(run, seed=seed) for seed in range(2)]
    together = compiled_trainer(configs)
    assert isinstance(together, EnsembleTrainer)
    for _ in range(15):
        together.step()
    assert_are_those_alone(together, configs, 15)
