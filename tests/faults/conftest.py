"""Real sweeps in processes of their own, to be disturbed; run by `make test-faults`."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from sdsim.store.table import load

GRID = [
    *("task.vocab_size=12", "task.train_sizes=[[2,4],[4,2]]", "model.width=8", "model.depth=1"),
    *("train.steps=60", "train.batch_size=8", "test.examples=50", "test.bits=[2,8]"),
    *("model=gru,jrt_rnn", "seed=0,1,2", "-m"),
]
RUNS = 6

Sweep = subprocess.Popen[str]
StartSweep = Callable[..., Sweep]


@pytest.fixture
def start_sweep() -> Iterator[StartSweep]:
    """Start a sweep; whatever is left of it is killed in the end."""
    started: list[Sweep] = []

    def start(store: Path, *more: str) -> Sweep:
        command = [sys.executable, "-m", "sdsim", "train", f"store={store}", *GRID, *more]
        started.append(
            subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # so that a signal reaches its workers too
            )
        )
        return started[-1]

    yield start
    for sweep in started:
        if sweep.poll() is None:
            os.killpg(sweep.pid, signal.SIGKILL)


def finish(sweep: Sweep) -> str:
    output, _ = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, output
    return output


def measured(store: Path) -> pl.DataFrame:
    """All that a run measures but its time, wherever it is stored."""
    return load(store).drop("store", "seconds", "commit")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    command = [sys.executable, "-m", "sdsim", "train", f"store={store}", *GRID]
    subprocess.run(command, check=True, capture_output=True)
    return measured(store)
