"""`sdsim confirm` in full: it trains eight models, so it is slow."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdsim.store.table import load

pytestmark = pytest.mark.faults


def test_the_full_scale_layouts_show_what_the_small_ones_do(tmp_path: Path) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "sdsim", "confirm", f"store={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 600
    table = load(tmp_path)
    both = table.filter(task="set_disjointness").group_by("model").mean()
    accuracy = dict(both.select("model", "accuracy").rows())
    assert accuracy["jrt_tiny"] > 0.9
    assert accuracy["jrt_tiny"] > accuracy["based_tiny"]
    assert (tmp_path / "figures" / "order.png").exists()
    assert (tmp_path / "figures" / "model_prefill.json").exists()
