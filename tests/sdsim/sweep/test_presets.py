"""Every preset of a sweep stands for valid runs, each a different one."""

from pathlib import Path

import pytest

import sdsim
from sdsim.conf.compose import composed
from sdsim.config import AlgorithmConfig
from sdsim.sweep.job import register_jobs
from sdsim.sweep.plan import PlannedRun, make_plan

PRESETS = sorted(
    path.stem for path in (Path(sdsim.__file__).parent / "conf" / "sweep").glob("*.yaml")
)
NETWORK_RUNS = {"tiny": 14, "converged_tiny": 60, "paper": 240}


def runs_of(preset: str, *chosen: str) -> list[PlannedRun]:
    register_jobs()
    with composed("sweep", [f"sweep={preset}"]) as (config, loader):
        return list(make_plan(config, loader, list(chosen)).runs.values())


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_for_valid_runs(preset: str) -> None:
    runs = runs_of(preset)
    assert len({tuple(run.overrides) for run in runs}) == len(runs)
    assert len(runs) == NETWORK_RUNS.get(preset, len(runs))
    has_algorithms = preset.split("_")[0] in ("breadth", "bits", "passes")
    assert any(isinstance(run.config.model, AlgorithmConfig) for run in runs) == has_algorithms


def test_settings_of_networks_are_not_for_algorithms() -> None:
    runs = runs_of("bits_tiny", "model.width=8", "train.steps=5", "seed=3")
    assert {run.config.seed for run in runs} == {3}
    kinds = {isinstance(run.config.model, AlgorithmConfig) for run in runs}
    assert kinds == {True, False}
    for run in runs:
        is_network = not isinstance(run.config.model, AlgorithmConfig)
        for word in ("model.width=8", "train.steps=5"):
            assert (word in run.overrides) == is_network


def test_settings_of_algorithms_are_for_those_that_have_them() -> None:
    runs = runs_of("bits_tiny", "model.budget=64", "seed=0")
    assert len(runs) == 12 + 3
    (fingerprint,) = [run for run in runs if "model=fingerprint" in run.overrides]
    assert [run for run in runs if "model.budget=64" in run.overrides] == [fingerprint]


def test_one_model_of_a_preset() -> None:
    runs = runs_of("breadth_tiny", "model=fingerprint")
    assert all("model=fingerprint" in run.overrides for run in runs)
    budgets = {
        run.config.model.budget for run in runs if isinstance(run.config.model, AlgorithmConfig)
    }
    assert len(budgets) == 7
