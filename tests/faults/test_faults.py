"""Kills, full and read-only disks, clocks that jump: nothing is lost, nothing is run twice."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.faults.conftest import GRID, RUNS, StartSweep, finish, measured

pytestmark = pytest.mark.faults

KILLS = 50


def runs_of(store: Path) -> list[Path]:
    return [run for run in store.glob("*/run.json") if not run.parent.name.startswith(".")]


def test_killed_fifty_times(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path
) -> None:
    """At random moments, the store emptied whenever it is full; each run is written once."""
    moments = random.Random(0)
    store = tmp_path / "store"
    for _ in range(KILLS):
        before = {run: run.stat().st_mtime_ns for run in runs_of(store)}
        if len(before) == RUNS:
            shutil.rmtree(store)
            before = {}
        sweep = start_sweep(store)
        time.sleep(moments.uniform(2.0, 9.0))
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.communicate()
        assert {run: run.stat().st_mtime_ns for run in before} == before
        if len(runs_of(store)) > 0:
            half_done = measured(store)  # what is there is whole
            expected = undisturbed.filter(pl.col("run_id").is_in(half_done["run_id"].to_list()))
            assert_frame_equal(half_done, expected)
    finish(start_sweep(store))
    assert_frame_equal(measured(store), undisturbed)
    assert not [entry for entry in store.iterdir() if "damaged" in entry.name]


def test_a_worker_that_is_killed_is_replaced(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    sweep = start_sweep(store)
    while not runs_of(store):
        assert sweep.poll() is None, "it must still be at work"
        time.sleep(0.02)
    children = subprocess.run(
        ["pgrep", "-P", str(sweep.pid), "-f", "popen_loky"], capture_output=True, text=True
    ).stdout.split()
    assert children
    for child in children[:1]:
        os.kill(int(child), signal.SIGKILL)
    output = finish(sweep)
    assert_frame_equal(measured(store), undisturbed)
    assert "trying again" in output


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    size = "-osize=96k,nr_inodes=200"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", size, "none", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk takes root's rights")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(undisturbed: pl.DataFrame, start_sweep: StartSweep, small_disk: Path) -> None:
    store = small_disk / "store"
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 80_000)
    sweep = start_sweep(store)
    output, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 1
    assert "No space left" in output
    assert "Traceback" not in output
    for run in runs_of(store):
        assert run.stat().st_size > 100
    filler.unlink()
    finish(start_sweep(store))
    assert_frame_equal(measured(store), undisturbed)


def test_a_read_only_store(start_sweep: StartSweep, small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    sweep = start_sweep(small_disk / "store")
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    (line,) = output.strip().splitlines()
    assert "cannot write" in line


@pytest.mark.parametrize("year", [1985, 2100])
def test_a_clock_that_jumps(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path, year: int
) -> None:
    """Files of the past or of the future are neither done again nor taken for abandoned."""
    store = tmp_path / "store"
    finish(start_sweep(store, "seed=0"))
    then = (year - 1970) * 365.25 * 86400
    for path in [*store.rglob("*"), store]:
        os.utime(path, (then, then))
    kept = {run: run.stat().st_mtime_ns for run in runs_of(store)}
    finish(start_sweep(store))
    assert {run: run.stat().st_mtime_ns for run in kept} == kept
    assert_frame_equal(measured(store), undisturbed)


def test_an_ensemble_that_is_killed_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    """Four runs as one, a checkpoint each half second, seven kills.

    Which way is the fastest is measured anew each time, and ways round differently, hence the
    tolerance.
    """
    grid = ["model=gru", "seed=0,1,2,3", "train.steps=6000", "task.train_sizes=[[2,4]]"]
    code = (
        "import sys, sdsim.training.run; sdsim.training.run.CHECKPOINT_SECONDS = 0.5; "
        "from sdsim.cli import main; "
        "sys.argv = ['sdsim', *sys.argv[1:]]; main()"
    )

    def start(store: Path) -> subprocess.Popen[str]:
        settings = [word for word in GRID if word.split("=")[0] not in ("model", "seed", "-m")]
        words = ["train", "-m", *settings, *grid, f"store={store}", "hydra.launcher.n_jobs=1"]
        return subprocess.Popen(
            [sys.executable, "-c", code, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    finish(start(tmp_path / "whole"))
    store, moments, met = tmp_path / "killed", random.Random(1), 0
    for _ in range(7):
        sweep = start(store)
        time.sleep(moments.uniform(5.0, 9.0))
        met += any(store.glob(".checkpoints/*.safetensors"))
        os.killpg(sweep.pid, signal.SIGKILL)
        sweep.communicate()
    assert met, "checkpoints must be met"
    finish(start(store))
    found, expected = measured(store), measured(tmp_path / "whole")
    assert found["run_id"].to_list() == expected["run_id"].to_list()
    assert (found["steps_done"] == 6000).all()
    assert found["train_loss"].to_list() == pytest.approx(expected["train_loss"].to_list(), rel=0.1)
    assert (found["accuracy"] - expected["accuracy"]).abs().max() <= 0.1  # of 50 examples
    assert not list(store.glob(".checkpoints/*"))
