"""Sweeps through other engines: submitit's local executor, and a Ray cluster of two workers."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from tests.faults.conftest import StartSweep, Sweep, finish, measured

pytestmark = pytest.mark.faults


def test_submitit(undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")
    finish(start_sweep(tmp_path / "store", "hydra/launcher=slurm_local"))
    assert_frame_equal(measured(tmp_path / "store"), undisturbed)
    assert any((tmp_path / "store" / ".slurm").iterdir())


def kill_a_worker(sweep: Sweep, pattern: str) -> None:
    while True:
        assert sweep.poll() is None, "a run must be seen at work"
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
        for worker in found.stdout.split()[:1]:
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                os.kill(int(worker), signal.SIGKILL)
                return
        time.sleep(0.05)


def test_ray_replaces_a_worker_that_is_killed(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="pip install -e '.[ray]'")
    store = tmp_path / "store"
    sweep = start_sweep(store, "hydra/launcher=ray", "hydra.launcher.workers=2")
    kill_a_worker(sweep, "^ray::_run")
    finish(sweep)
    assert_frame_equal(measured(store), undisturbed)


def test_what_submitit_loses_with_a_process_is_launched_again(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path
) -> None:
    pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")
    store = tmp_path / "store"
    sweep = start_sweep(store, "hydra/launcher=slurm_local")
    kill_a_worker(sweep, f"submitit.core._submit.*{tmp_path}")
    assert "trying again" in finish(sweep)
    assert_frame_equal(measured(store), undisturbed)


def test_a_launcher_that_is_not_installed_names_the_extra(tmp_path: Path) -> None:
    import sys

    code = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['sdsim', 'train', '-m', 'seed=0,1', "
        "'hydra/launcher=ray', 'store=there']; from sdsim.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install -e '.[ray]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
