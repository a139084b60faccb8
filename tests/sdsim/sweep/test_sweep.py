"""Real sweeps, in processes of their own, undisturbed, killed and side by side."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from polars.testing import assert_frame_equal

from sdsim.config import RunConfig, TaskConfig
from sdsim.models import ModelConfig
from sdsim.store.record import SCHEMA
from sdsim.store.table import load
from sdsim.sweep.grid import Grid, expand, split_overrides
from sdsim.sweep.grouping import group_jobs
from sdsim.sweep.launch import Outcome, sweep
from sdsim.sweep.plan import PlannedRun
from sdsim.sweep.ray_launcher import RayLauncher

GRID = [
    *("task.vocab_size=12", "task.train_sizes=[[2,4],[4,2]]", "model.width=8", "model.depth=1"),
    *("train.steps=40", "train.batch_size=8", "test.examples=50"),
    *("model=gru,jrt_rnn", "seed=0,1,2", "-m"),
]
RUNS = 6


def start_sweep(store: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "sdsim", "train", f"store={store}", *GRID, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that a signal reaches its workers too
    )


def finish(sweep: "subprocess.Popen[str]") -> str:
    output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, output
    return output


def finished_runs(store: Path) -> list[Path]:
    return [entry for entry in store.glob("*") if not entry.name.startswith(".")]


def measured(store: Path) -> pl.DataFrame:
    return load(store).drop("store", "seconds")


def only(table: pl.DataFrame, runs: list[Path]) -> pl.DataFrame:
    return table.filter(pl.col("run_id").is_in([run.name for run in runs]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    output = finish(start_sweep(store))
    assert f"{RUNS} of {RUNS} runs" in output
    return store


def test_a_sweep_stores_its_grid_and_nothing_else(undisturbed: Path) -> None:
    table = load(undisturbed)
    assert sorted(table.group_by("model", "seed").len().rows()) == [
        (model, seed, 2) for model in ("gru", "jrt_rnn") for seed in range(3)
    ]
    assert len(finished_runs(undisturbed)) == RUNS


def test_killed_at_any_moment_it_resumes_where_it_was(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    kept: dict[Path, int] = {}
    for runs_before_the_kill in (1, 3):
        sweep = start_sweep(store)
        while len(finished_runs(store)) < runs_before_the_kill:
            assert sweep.poll() is None, "it must still be at work"
            time.sleep(0.01)
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.communicate()
        for run in finished_runs(store):
            modified = (run / "run.json").stat().st_mtime_ns
            assert kept.setdefault(run, modified) == modified, "a finished run was done again"
        assert_frame_equal(measured(store), only(measured(undisturbed), finished_runs(store)))
    finish(start_sweep(store))
    assert all((run / "run.json").stat().st_mtime_ns == kept[run] for run in kept)
    assert_frame_equal(measured(store), measured(undisturbed))


def test_two_sweeps_share_a_store_and_the_work(undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    sweeps = [start_sweep(store, "hydra.launcher.n_jobs=1") for _ in range(2)]
    for started in sweeps:
        finish(started)
    assert_frame_equal(measured(store), measured(undisturbed))


def test_ctrl_c_says_what_is_kept(tmp_path: Path) -> None:
    store = tmp_path / "store"
    sweep = start_sweep(store, "train.steps=4000")
    while not (store / ".locks").exists():
        assert sweep.poll() is None
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(sweep.pid, signal.SIGINT)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    assert finished_runs(store) == []


def test_a_finished_sweep_trains_nothing(undisturbed: Path) -> None:
    before = {run: (run / "run.json").stat().st_mtime_ns for run in finished_runs(undisturbed)}
    finish(start_sweep(undisturbed))
    after = {run: (run / "run.json").stat().st_mtime_ns for run in finished_runs(undisturbed)}
    assert before == after


GRID_OF_TWO = Grid(
    common={"seed": [0, 1], "train.steps": 5},
    grid=[
        {"model": "gru", "model.width": [8, 12]},
        {"model": ["based", "jrt_rnn"], "task.train_sizes": [[[2, 4], [4, 2]]], "train.steps": 9},
    ],
)


def test_blocks_are_every_combination() -> None:
    runs = expand(GRID_OF_TWO, {})
    assert len(runs) == 2 * 2 + 2 * 2
    assert runs[0] == ["seed=0", "train.steps=5", "model=gru", "model.width=8"]
    sizes = "task.train_sizes=[[2,4],[4,2]]"
    assert runs[-1] == ["seed=1", "train.steps=9", "model=jrt_rnn", sizes]


def test_an_override_takes_an_axis_and_a_choice_keeps_blocks() -> None:
    _, chosen = split_overrides(["model=gru", "model.width=3,4,5", "seed=7", "store=x"])
    runs = expand(GRID_OF_TWO, chosen)
    assert [run[-1] for run in runs] == ["model.width=3", "model.width=4", "model.width=5"]
    assert all(run[:2] == ["seed=7", "train.steps=5"] for run in runs)
    for asked in (["lstm"], ["gru", "lstm"]):
        with pytest.raises(ValueError, match=r"model=lstm: .* it has based, gru, jrt_rnn"):
            expand(GRID_OF_TWO, {"model": asked})


def test_overrides_are_places_or_axes() -> None:
    arguments = ["store=a,b", "sweep=tiny", "hydra.launcher.n_jobs=1", "device=cpu", "model=x,y"]
    places, axes = split_overrides([*arguments, "task.train_sizes=[[1,2]]", "+train.new=range(3)"])
    assert places == arguments[:4]
    assert axes == {
        "model": ["x", "y"],
        "task.train_sizes": ["[[1,2]]"],
        "+train.new": ["0", "1", "2"],
    }


@pytest.mark.parametrize(("shard", "part"), [(None, (0, 1)), ("1/1", (0, 1)), ("3/8", (2, 8))])
def test_shards(shard: str | None, part: tuple[int, int]) -> None:
    assert Grid(shard=shard).part == part


@pytest.mark.parametrize("shard", ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"])
def test_bad_shards(shard: str) -> None:
    with pytest.raises(ValueError, match=r"sweep\.shard = "):
        Grid(shard=shard)


def test_shards_split_the_grid(tmp_path: Path) -> None:
    """Each run is in one shard; those that differ in learning rate and seed alone together."""
    stores = []
    for shard in ("1/2", "2/2"):
        store = tmp_path / shard.replace("/", "_")
        command = [sys.executable, "-m", "sdsim", "sweep", f"store={store}", "sweep=tiny"]
        settings = ["model=gru", "model.width=8,12,16,24", "test.examples=10"]
        short = ["train.until=steps", "train.steps=2", f"sweep.shard={shard}"]
        subprocess.run([*command, *settings, *short], check=True, capture_output=True)
        stores.append(load(store))
    one, other = (set(table["run_id"]) for table in stores)
    assert len(one) == len(other) == 4
    assert not one & other
    assert not set(stores[0]["width"]) & set(stores[1]["width"])
    assert all(set(table["seed"]) == {0, 1} for table in stores)


def counts(done: Outcome) -> tuple[int, int]:
    return done.stored, done.runs


def runs_alike(count: int, kind: int) -> list[PlannedRun]:
    run = RunConfig(ModelConfig("gru", ("gru",)), TaskConfig(vocab_size=40 + kind))
    return [
        PlannedRun(replace(run, seed=seed), [f"kind={kind}", f"seed={seed}"])
        for seed in range(count)
    ]


@pytest.mark.parametrize(
    ("alike", "most", "workers", "sizes"),
    [
        ([8], None, 2, [4, 4]),
        ([4], None, 2, [2, 2]),
        ([1], None, 2, [1]),
        ([4, 4, 4], None, 2, [4, 4, 2, 2]),
        ([2, 2, 2], None, 4, [2, 2, 1, 1]),
        ([7], 3, 2, [3, 2, 2]),
        ([5], 1, 2, [1] * 5),
        ([6], None, None, [1] * 6),
        ([6], 6, None, [6]),
    ],
)
def test_runs_alike_become_jobs_that_leave_no_worker_idle(
    alike: list[int], most: int | None, workers: int | None, sizes: list[int]
) -> None:
    runs = [run for kind, count in enumerate(alike) for run in runs_alike(count, kind)]
    jobs = group_jobs(runs, most, workers)
    found = [max(1, sum(word.count("[0.003,") for word in job)) for job in jobs]
    assert sorted(found, reverse=True) == sizes
    assert sum(found) == sum(alike)


def test_an_ensemble_of_a_sweep_stores_what_its_runs_alone_do(tmp_path: Path) -> None:
    small = [
        *("model=gru", "model.width=8", "task.train_sizes=[[2,4]]", "task.vocab_size=12"),
        *("train.until=steps", "train.steps=20", "test.examples=40", "hydra.launcher.n_jobs=1"),
        *("train.lr=1e-3,1e-2", "seed=0,1"),
    ]
    for name, members in (("alone", 1), ("together", 4)):
        done = sweep(
            "sweep",
            [*small, "sweep=tiny", f"sweep.members={members}", f"store={tmp_path / name}"],
        )
        assert done.stored == done.runs == 4
        assert done.store.path == tmp_path / name
    tables = [load(tmp_path / name).drop("store", "seconds") for name in ("alone", "together")]
    same = [name for name in tables[0].columns if name not in ("loss", "train_loss", "ensemble")]
    assert tables[0].select(same).equals(tables[1].select(same))


def test_a_time_budget_stops_a_sweep_that_the_same_command_ends(tmp_path: Path) -> None:
    """The last command has a checkpoint to resume from; a budget may end before training begins."""
    command = [
        *("sweep=tiny", "model=gru", "model.width=8", "task.train_sizes=[[2,4]]", "seed=0"),
        *("task.vocab_size=12", "test.examples=40", "hydra.launcher.n_jobs=1"),
        *("train.until=steps", "train.steps=3000", f"store={tmp_path}"),
    ]
    for _ in range(10):
        assert counts(sweep("sweep", [*command, "sweep.time_budget=1s"])) == (0, 1)
        if checkpoints := list(tmp_path.glob(".checkpoints/*")):
            break
    (checkpoint,) = checkpoints
    assert checkpoint.suffix == ".safetensors"
    notes = []
    done = sweep("sweep", command, lambda done, total, note: notes.append(note))
    assert counts(done) == (1, 1)
    assert notes[0].startswith("1 begun (step ")
    assert notes[-1] == ""
    assert not list((tmp_path / ".checkpoints").iterdir())
    assert load(done.store.path)["steps_done"].to_list() == [3000]


@pytest.mark.parametrize("budget", ["8", "m", "-1m", "1d", "8m30s"])
def test_a_time_budget_has_a_unit(budget: str) -> None:
    with pytest.raises(ValueError, match=r"sweep\.time_budget = .*such as 8m"):
        Grid(time_budget=budget)
    assert Grid(time_budget="1.5h").seconds == 5400


def test_algorithms_that_cannot_do_a_task_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unless none remains."""
    once = ["sweep=bits_tiny", "task.passes=1", "test.examples=5", "hydra.launcher.n_jobs=1"]
    names = "model=just_read_twice,one_pass"
    done = sweep("sweep", [*once, names, f"store={tmp_path / 'some'}"])
    assert counts(done) == (1 * 2, 1 * 2)
    assert load(done.store.path)["model"].unique().to_list() == ["one_pass"]
    (record, *_) = caplog.records
    assert record.getMessage().startswith("left out: ")
    assert "task.passes = 1: exactly 2 for machine 'just_read_twice'" in record.getMessage()
    with pytest.raises(ValueError, match=r"task\.passes = 1: exactly 2"):
        sweep("sweep", [*once, "model=just_read_twice", f"store={tmp_path / 'none'}"])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("deadline=1", "deadline is for one `sdsim train`; a sweep has sweep.time_budget"),
        ("members=[[1e-3,0]]", "members is for one `sdsim train`; a sweep has sweep.members"),
        ("sweep.members=two", "sweep.members = 'two'"),
        ("sweep.members=0", "sweep.members = 0"),
        ("sweep.time_budget=8", "sweep.time_budget = 8: a number of s, m or h, such as 8m"),
        ("sweep.shard=2", "sweep.shard = 2: k/n with 1 ≤ k ≤ n, such as 3/8"),
        ("sweep.nothing=2", "sweep.nothing"),
        ("hydra/launcher=ray hydra.launcher.workers=0", "hydra.launcher.workers = 0: a number"),
    ],
)
def test_settings_of_a_sweep_that_cannot_be(setting: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(
        (ValueError, OmegaConfBaseException, HydraException), match=re.escape(message)
    ):
        sweep("sweep", [f"store={tmp_path / 'runs'}", *setting.split()])
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["workers", "cpus_per_run", "gpus_per_run", "retries"])
@pytest.mark.parametrize("value", [-1, "two"])
def test_settings_of_ray_that_cannot_be(setting: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"hydra\.launcher\.{setting} = {value!r}: a number from"):
        RayLauncher(**{setting: value})


def test_more_than_a_cluster_has_is_not_waited_for() -> None:
    launcher = RayLauncher.__new__(RayLauncher)  # Ray need not be installed
    launcher.task_options = {"num_cpus": 1, "num_gpus": 1}
    with pytest.raises(ValueError, match=r"gpus_per_run = 1: this cluster has 0"):
        launcher._check({"CPU": 2.0})
    launcher._check({"CPU": 2.0, "GPU": 1.0})


def test_where_there_is_no_slurm_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the device is not asked for here: the runs are elsewhere."""
    if find_spec("submitit") is None:
        expected: tuple[type[Exception], str] = (HydraException, "submitit")
    else:
        expected = (ValueError, "there is no Slurm here")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(expected[0], match=expected[1]):
        sweep("sweep", ["hydra/launcher=slurm", "device=cuda", f"store={tmp_path}"])


def test_a_shard_may_be_empty(tmp_path: Path) -> None:
    words = ["model=gru", "model.width=8", "sweep.shard=50/50", f"store={tmp_path}"]
    assert counts(sweep("sweep", words)) == (0, 0)


@pytest.mark.parametrize("command", ["sweep", "train"])
def test_a_store_of_an_earlier_version_is_not_added_to(command: str, tmp_path: Path) -> None:
    """Its runs would be done again, and those whose id is the same be taken for damaged."""
    words = [*GRID[:3], "train.steps=2", "model=gru", "seed=0", f"store={tmp_path}"]
    start = [sys.executable, "-m", "sdsim"]
    subprocess.run([*start, "train", *words], check=True, capture_output=True)
    (record,) = tmp_path.glob("*/run.json")
    old = record.read_text().replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA - 1}')
    record.write_text(old)
    if command == "sweep":
        words = [f"store={tmp_path}", "model=gru", "train.until=steps", "train.steps=2"]
    done = subprocess.run([*start, command, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"1 runs, such as {record.parent.name}, are of another version" in done.stderr
    assert "Traceback" not in done.stderr
    assert record.read_text() == old
    assert [path.parent for path in tmp_path.glob("*/run.json")] == [record.parent]
