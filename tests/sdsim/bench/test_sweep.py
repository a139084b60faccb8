"""The throughput of a sweep's runs, on a clock of our own."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from kernels.bench import Roofline
from sdsim.bench import sweep
from sdsim.bench.config import BenchConfig
from sdsim.bench.report import display_table, measure, notes
from sdsim.bench.sweep import time_sweep
from sdsim.config import ModelConfig, RunConfig, TaskConfig, TrainConfig

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsim.training.modes.why_not", lambda: "not here")


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


def invented(
    mode: str,
    configs: Sequence[RunConfig],
    device: object,
    rounds: int = 1,
    max_seconds: float = math.inf,
    clock: object = None,
) -> float:
    """Steps take as long as the model is wide; with vmap, half of it."""
    (width,) = {config.model.width for config in configs if isinstance(config.model, ModelConfig)}
    assert len({config.seed for config in configs}) == len(configs)
    return (2 if mode == "vmap" else 1) * 3600 / width


def test_throughput_and_what_it_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "throughput", invented)
    seen: list[tuple[int, int]] = []
    times = time_sweep(
        some_runs([4, 8, 16], seeds=3),
        [1, 6],
        device=CPU,
        on_case=lambda times: seen.append((times.done, times.total)),
    )
    found = {
        (row.width, row.members, row.way): (row.member_steps_per_second, row.speedup)
        for row in times.rows
    }
    expected = {(8, 3, "sequential"): (450, 1), (8, 3, "vmap"): (900, 2)}
    for width in (4, 16):
        expected |= {(width, members, "sequential"): (3600 / width, 1) for members in (1, 3, 6)}
        expected |= {(width, members, "vmap"): (7200 / width, 2) for members in (3, 6)}
    assert found == expected
    for row in times.rows:
        assert row.steps_per_second is not None
        assert row.steps_per_second * row.members == row.member_steps_per_second
    assert seen == [(done, 7) for done in range(1, 8)]
    hours = 300 * (4 + 8 + 16) / 7200 / 3600
    projection = times.projection
    assert (projection.runs, projection.steps) == (9, 900)
    assert (projection.settings, projection.measured) == (3, 3)
    assert projection.hours == pytest.approx(hours)


def test_ensembles_that_are_not_measured_take_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "throughput", invented)
    projection = time_sweep(some_runs([4, 8, 16], 2), [2], count=2, device=CPU).projection
    assert projection.measured == 2
    assert projection.hours == pytest.approx(200 * (4 + 10 + 16) / 7200 / 3600)


def test_what_cannot_be_trained_with_vmap_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_vmap(mode: str, configs: Sequence[RunConfig], *rest: Any, **others: Any) -> float:
        return 0.0 if mode == "vmap" else invented(mode, configs, *rest, **others)

    monkeypatch.setattr(sweep, "throughput", no_vmap)
    times = time_sweep(some_runs([4], 2), [2], device=CPU)
    assert [(row.way, row.speedup, row.reason) for row in times.rows] == [
        ("sequential", 1, None),
        ("vmap", None, "cannot be done so, or not in this memory"),
    ]
    assert times.projection.hours == pytest.approx(200 * 4 / 3600 / 3600)


def test_a_mode_that_timed_out_is_not_tried_at_larger_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count(0, 20)
    monkeypatch.setattr(sweep, "throughput", invented)
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    rows = time_sweep(some_runs([4], 1), [1, 2, 4], device=CPU, max_seconds=30).rows
    assert {row.members: row.reason for row in rows if row.way == "vmap"} == {
        2: None,
        4: "takes too long",
    }


def test_a_measurement_ends_with_the_step_that_exceeds_the_limit() -> None:
    """Really: not one round of two train tasks is done."""
    times = time_sweep(some_runs([4], 1), [1, 2], device=CPU, max_seconds=1e-6)
    assert [row.reason for row in times.rows] == ["takes too long"] * 3
    assert times.projection.hours is None


def test_compiled_programs_are_measured_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where compiling takes less than it may; against the roofline, at any number of members."""
    monkeypatch.setattr("sdsim.training.modes.why_not", lambda: None)
    monkeypatch.setattr(sweep, "throughput", invented)
    monkeypatch.setattr(sweep, "compile_seconds", lambda configs: 31.0)
    asked: list[tuple[int, float]] = []

    def why_not_compiled(configs: Sequence[RunConfig], device: object, most: float) -> str | None:
        asked.append((len(configs), most))
        return "too long" if len(configs) == 4 else None

    monkeypatch.setattr(sweep, "why_not_compiled", why_not_compiled)
    rows = time_sweep(
        some_runs([4, 8, 16], 1),
        [4],
        all_members=True,
        device=CPU,
        max_compile_seconds=50,
        roofline=Roofline(1e9, 1e9),
    ).rows
    assert asked == [(1, 50), (4, 50)] * 3
    found = {(row.width, row.members): row for row in rows if row.way == "compiled"}
    assert {key: row.reason for key, row in found.items()} == {
        (width, members): "too long" if members == 4 else None
        for width in (4, 8, 16)
        for members in (1, 4)
    }
    assert found[8, 1].compile_seconds == 31
    assert found[8, 1].length == 9
    # Inputs and states through the three gates, forth and twice back but for what is constant.
    tokens = 4 * 9
    least = 3 * 2 * tokens * 2 * 8 * 24
    assert found[8, 1].attained == pytest.approx(3600 / 8 * least / 1e9, rel=0.15)


def test_workers_measure_at_the_same_time() -> None:
    """Really: the numbers are this machine's."""
    alone = time_sweep(some_runs([4], 1), [1], device=CPU, repeats=1)
    both = time_sweep(some_runs([4], 1), [1], device=CPU, repeats=1, workers=2)
    for (row,) in (alone.rows, both.rows):
        assert row.member_steps_per_second is not None
        assert row.member_steps_per_second > 0


def test_no_network_is_no_sweep() -> None:
    with pytest.raises(ValueError, match="nothing to train"):
        time_sweep([], [1], device=CPU)


def test_the_report_of_a_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "throughput", invented)
    monkeypatch.setattr(
        "sdsim.bench.sweep.runs_of", lambda preset, searchpath: some_runs([4, 8], 2)
    )
    config = BenchConfig(
        what=("sweep",), lengths=(64,), batches=(1,), heads=1, feature_dim=2, head_dim=2,
        dtype="float32", device="cpu", threads=1, methods=None, repeats=1, max_seconds=60.0,
        memory_gb=1.0, out=None, preset="mine", members=(1, 2), settings=None, workers=1,
    )  # fmt: skip
    report = measure(config, "sweep")
    displayed = display_table(report)
    assert "ensemble" not in displayed.columns
    assert displayed.filter(members=2, mode="vmap")["speedup"].to_list() == [2, 2]
    text = " ".join(notes(report))
    assert "all 4 runs, 400 steps" in text
    assert "2 of 2 ensembles" in text
    assert replace(config, settings=1).settings == 1
