"""Sweeps through other engines: submitit's local executor, and a Ray cluster of two workers."""

import os
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from conftest import StartSweep, finish, measured
from polars.testing import assert_frame_equal

pytestmark = pytest.mark.faults


def test_submitit(undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="pip install 'sdsim[slurm]'")
    finish(start_sweep(tmp_path / "store", "hydra/launcher=slurm_local"))
    assert_frame_equal(measured(tmp_path / "store"), undisturbed)
    assert any((tmp_path / "store" / ".slurm").iterdir())


def test_ray_replaces_a_worker_that_is_killed(
    undisturbed: pl.DataFrame, start_sweep: StartSweep, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="pip install 'sdsim[ray]'")
    store = tmp_path / "store"
    sweep = start_sweep(store, "hydra/launcher=ray", "hydra.launcher.workers=2")
    killed = 0
    while killed == 0:
        assert sweep.poll() is None, "a run must be seen at work"
        found = subprocess.run(["pgrep", "-f", "^ray::_run"], capture_output=True, text=True)
        for worker in found.stdout.split()[:1]:
            os.kill(int(worker), signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    finish(sweep)
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
    assert "pip install 'sdsim[ray]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
