"""Paces of a sweep's runs, on a clock of our own."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from sdsim import sweep_bench
from sdsim.bench.config import BenchConfig
from sdsim.bench.report import bench, notes, shown
from sdsim.bench.sweep import sweep_paces
from sdsim.config import RunConfig, TaskConfig, TrainConfig
from sdsim.models import ModelConfig

CPU = torch.device("cpu")


def some_runs(widths: Sequence[int], seeds: int, steps: int = 100) -> list[RunConfig]:
    return [
        RunConfig(
            ModelConfig("gru", ("gru",), width=width, depth=1, mlp="none"),
            TaskConfig(vocab_size=12, train_sizes=((2, 4), (4, 2))),
            TrainConfig(steps=steps, batch_size=4),
            seed=seed,
        )
        for width in widths
        for seed in range(seeds)
    ]


def a_pace(way: str, configs: Sequence[RunConfig], device: object, rounds: int = 1) -> float:
    """Steps take as long as the model is wide; together, half of it."""
    (width,) = {config.model.width for config in configs}  # type: ignore[union-attr]
    assert len({config.seed for config in configs}) == len(configs)
    return (2 if way == "together" else 1) * 3600 / width


def test_paces_and_what_they_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_bench, "pace", a_pace)
    seen: list[tuple[int, int]] = []
    paces, projection = sweep_paces(
        some_runs([4, 8, 16], seeds=3),
        [1, 6],
        device=CPU,
        progress=lambda done, total: seen.append((done, total)),
    )
    found = {
        (one.width, one.members, one.way): (one.member_steps_per_second, one.speedup)
        for one in paces
    }
    expected = {(8, 3, "plain"): (450, 1), (8, 3, "together"): (900, 2)}
    for width in (4, 16):
        expected |= {(width, members, "plain"): (3600 / width, 1) for members in (1, 3, 6)}
        expected |= {(width, members, "together"): (7200 / width, 2) for members in (3, 6)}
    assert found == expected
    assert all(one.steps_per_second * one.members == one.member_steps_per_second for one in paces)  # type: ignore[operator]
    assert seen == [(done, 7) for done in range(1, 8)]
    hours = 300 * (4 + 8 + 16) / 7200 / 3600
    assert (projection.runs, projection.steps) == (9, 900)
    assert (projection.settings, projection.measured) == (3, 3)
    assert projection.hours == pytest.approx(hours)


def test_settings_that_are_not_measured_take_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_bench, "pace", a_pace)
    _, projection = sweep_paces(some_runs([4, 8, 16], 2), [2], settings=2, device=CPU)
    assert projection.measured == 2
    assert projection.hours == pytest.approx(200 * (4 + 10 + 16) / 7200 / 3600)


def test_what_cannot_be_trained_together_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_vmap(way: str, configs: Sequence[RunConfig], *rest: Any) -> float:
        return 0.0 if way == "together" else a_pace(way, configs, *rest)

    monkeypatch.setattr(sweep_bench, "pace", no_vmap)
    paces, projection = sweep_paces(some_runs([4], 2), [2], device=CPU)
    assert [(one.way, one.speedup, one.reason) for one in paces] == [
        ("plain", 1, None),
        ("together", None, "cannot be done so, or not in this memory"),
    ]
    assert projection.hours == pytest.approx(200 * 4 / 3600 / 3600)


def test_patience_ends_with_what_would_take_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_bench, "pace", a_pace)
    clock = iter(range(0, 10_000, 20))  # each reading 20 s after the last
    monkeypatch.setattr(sweep_bench.time, "perf_counter", lambda: float(next(clock)))
    paces, _ = sweep_paces(some_runs([4], 1), [1, 2, 4], device=CPU, patience=30)
    assert {one.members: one.reason for one in paces if one.way == "together"} == {
        2: None,
        4: "takes too long",
    }


def test_workers_measure_at_the_same_time() -> None:
    """Really: the numbers are this machine's."""
    alone, _ = sweep_paces(some_runs([4], 1), [1], device=CPU, repeats=1)
    both, _ = sweep_paces(some_runs([4], 1), [1], device=CPU, repeats=1, workers=2)
    for (one,) in (alone, both):
        assert one.member_steps_per_second is not None
        assert one.member_steps_per_second > 0


def test_no_network_is_no_sweep() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        sweep_paces([], [1], device=CPU)


def test_the_report_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep_bench, "pace", a_pace)
    monkeypatch.setattr("sdsim.bench.runs_of", lambda preset: some_runs([4, 8], 2))
    config = BenchConfig(
        what=("sweep",), lengths=(64,), batches=(1,), heads=1, feature_dim=2, head_dim=2,
        dtype="float32", device="cpu", threads=1, methods=None, repeats=1, patience=60.0,
        memory_gb=1.0, out=None, preset="mine", members=(1, 2), settings=None, workers=1,
    )  # fmt: skip
    report = bench(config, "sweep")
    assert shown(report).filter(members=2, way="together")["speedup"].to_list() == [2, 2]
    text = " ".join(notes(report))
    assert "all 4 runs, 400 steps" in text
    assert "2 of 2 settings" in text
    assert replace(config, settings=1).settings == 1
