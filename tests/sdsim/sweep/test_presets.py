"""Every preset of a sweep stands for valid runs, each a different one."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra

import sdsim
from sdsim import conf
from sdsim.conf import parse, parse_job
from sdsim.sweep.job import Job
from sdsim.config import AlgorithmConfig
from sdsim.sweep.grid import Grid, expand

PRESETS = sorted(
    path.stem for path in (Path(sdsim.__file__).parent / "conf" / "sweep").glob("*.yaml")
)
NETWORK_RUNS = {"tiny": 38, "paper": 240}


def runs_of(preset: str, *chosen: str) -> tuple[list[list[str]], list[Job]]:
    """All runs as overrides, and some ten of them, first and last included, as configs."""
    conf.register()
    axes = {word.split("=")[0]: word.split("=")[1].split(",") for word in chosen}
    with initialize_config_module("sdsim.conf", version_base="1.3"):
        composed = compose("sweep", overrides=[f"sweep={preset}"], return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        runs = expand(parse(Grid, composed.sweep), axes)
        some = [*runs[:: max(1, len(runs) // 10)], runs[-1]]
        jobs = [parse_job(loader.load_sweep_config(composed, [*run])) for run in some]
    return runs, jobs


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_for_valid_runs(preset: str) -> None:
    runs, jobs = runs_of(preset)
    assert len({tuple(run) for run in runs}) == len(runs)
    assert len(runs) == NETWORK_RUNS.get(preset, len(runs))
    has_machines = preset.split("_")[0] in ("breadth", "bits", "passes")
    assert any(isinstance(job.model, AlgorithmConfig) for job in jobs) == has_machines


def test_settings_of_networks_are_not_for_machines() -> None:
    runs, jobs = runs_of("bits_tiny", "model.width=8", "train.steps=5", "seed=3")
    machines = [job for job in jobs if isinstance(job.model, AlgorithmConfig)]
    assert machines
    assert {job.seed for job in jobs} == {3}
    for run in runs:
        is_network = any(word in run for word in ("model=gru", "model=based", "model=jrt_rnn"))
        assert ("model.width=8" in run) == ("train.steps=5" in run) == is_network


def test_settings_of_machines_are_for_machines_that_have_them() -> None:
    runs, _ = runs_of("bits_tiny", "model.budget=64", "seed=0")
    assert len(runs) == 12 + 3
    (fingerprint,) = [run for run in runs if "model=fingerprint" in run]
    assert [run for run in runs if "model.budget=64" in run] == [fingerprint]


def test_one_model_of_a_preset() -> None:
    runs, _ = runs_of("breadth_tiny", "model=fingerprint")
    assert runs
    assert all("model=fingerprint" in run for run in runs)
    budgets = {word for run in runs for word in run if word.startswith("model.budget")}
    assert len(budgets) == 7
