"""How fast the runs of a sweep are trained: each alone, and as ensembles of more and more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from joblib import Parallel, delayed

from sdsim.config import ModelConfig, RunConfig, ensemble_key
from sdsim.training.modes import TrainingMode, modes, throughput

_LEAST_SECONDS = 1.0  # that one measurement takes


@dataclass(frozen=True)
class Pace:
    """One way to train some runs of one setting.

    Attributes:
        model, width, feature_dim: the setting.
        members: runs that are trained side by side by each worker.
        way: the training mode.
        steps_per_second: of each run; null where it was not measured.
        member_steps_per_second: of all runs of all workers: steps per second times runs.
        speedup: that over the plain loop's.
        reason: why it was not measured.
    """

    model: str
    width: int
    feature_dim: int
    members: int
    way: TrainingMode
    steps_per_second: float | None
    member_steps_per_second: float | None
    speedup: float | None
    reason: str | None


@dataclass(frozen=True)
class Projection:
    """What all runs of a preset would take, trained in the fastest way.

    Attributes:
        runs: how many.
        steps: of all of them.
        settings: that there are.
        measured: settings whose pace was measured; the others are taken to have the mean time per
            step of these.
        hours: training alone, without the tests.
    """

    runs: int
    steps: int
    settings: int
    measured: int
    hours: float


def sweep_paces(
    runs: Sequence[RunConfig],
    members: Sequence[int],
    *,
    settings: int | None = None,
    device: torch.device,
    workers: int = 1,
    threads: int = 1,
    repeats: int = 3,
    patience: float = 60.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Pace], Projection]:
    """Measure runs of a sweep, and project what all of them take.

    The first and the last setting are measured at all numbers of members, the others at as many as
    there are runs of it in the sweep. The ways take turns, and the median counts.

    Args:
        runs: of networks.
        members: runs per ensemble to try.
        settings: how many of the sweep's settings to measure, evenly chosen; None: all.
        device: where.
        workers: processes that measure at the same time, as a sweep's do.
        threads: of torch, in each.
        repeats: measurements of each way.
        patience: seconds that one way may take with one number of members; larger ones are then not
            tried.
        progress: told how many cases are done.

    Raises:
        ValueError: without runs.
    """
    alike: dict[str, list[RunConfig]] = {}
    for run in runs:
        alike.setdefault(ensemble_key(run), []).append(run)
    if not alike:
        raise ValueError("a sweep without networks has nothing to train")
    groups = list(alike.values())
    count = min(len(groups), settings or len(groups))
    places = sorted({round(i * (len(groups) - 1) / max(1, count - 1)) for i in range(count)})
    cases = [
        (place, sizes)
        for place in places
        for sizes in [
            sorted({*members, len(groups[place])})
            if place in (places[0], places[-1])
            else [len(groups[place])]
        ]
    ]
    total, done = sum(len(sizes) for _, sizes in cases), 0
    paces: list[Pace] = []
    seconds_per_step: dict[int, float] = {}  # of a member, by place
    with Parallel(n_jobs=workers) as pool:
        for place, sizes in cases:
            impatient: set[TrainingMode] = set()
            for size in sizes:
                started = dict.fromkeys(modes(size, device), 0.0)
                found: dict[TrainingMode, list[float]] = {way: [] for way in started}
                ensemble = _members(groups[place], size)
                for _ in range(repeats):
                    for way in started:
                        if way in impatient:
                            continue
                        before = time.perf_counter()
                        found[way].append(_pace(pool, way, ensemble, device, workers, threads))
                        started[way] += time.perf_counter() - before
                        # The next size takes about twice as long, from one measurement on.
                        if 2 * started[way] / len(found[way]) > patience:
                            impatient.add(way)
                rows = _rows(ensemble, found, workers)
                paces.extend(rows)
                best = max((row.member_steps_per_second or 0.0 for row in rows), default=0.0)
                if size == len(groups[place]) and best:
                    seconds_per_step[place] = 1 / best
                done += 1
                progress(done, total)
    mean = sum(seconds_per_step.values()) / max(1, len(seconds_per_step))
    seconds = sum(
        seconds_per_step.get(place, mean) * sum(run.train.steps for run in group)
        for place, group in enumerate(groups)
    )
    steps = sum(run.train.steps for run in runs)
    projection = Projection(
        len(runs), steps, len(groups), len(seconds_per_step), seconds / 3600 if mean else math.nan
    )
    return paces, projection


def _members(runs: Sequence[RunConfig], size: int) -> list[RunConfig]:
    """So many runs of one setting: those there are, then more seeds."""
    return [
        replace(runs[i % len(runs)], seed=runs[i % len(runs)].seed + i // len(runs) * 1000)
        for i in range(size)
    ]


def _pace(
    pool: Parallel,
    way: TrainingMode,
    configs: list[RunConfig],
    device: torch.device,
    workers: int,
    threads: int,
) -> float:
    """Steps per second times runs, of all workers; 0 where it cannot be done this way."""
    if workers == 1:
        return _pace_here(way, configs, device, threads)
    found = pool(delayed(_pace_here)(way, configs, device, threads) for _ in range(workers))
    return float(sum(found))


def _pace_here(
    way: TrainingMode, configs: list[RunConfig], device: torch.device, threads: int
) -> float:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        # Run by run, the plain loop's pace does not hang on how many there are.
        configs = configs[:1] if way == "sequential" else configs
        found = throughput(way, configs, device)
        seconds = len(configs) * len(configs[0].task.train_sizes) / found if found else math.inf
        if seconds < _LEAST_SECONDS:
            found = throughput(way, configs, device, math.ceil(_LEAST_SECONDS / seconds))
        return found
    finally:
        torch.set_num_threads(before)


def _rows(
    configs: Sequence[RunConfig], found: dict[TrainingMode, list[float]], workers: int
) -> list[Pace]:
    model = configs[0].model
    assert isinstance(model, ModelConfig)  # noqa: S101 (a machine has no pace)
    middle = {
        way: sorted(paces)[len(paces) // 2] if paces else None for way, paces in found.items()
    }
    rows = []
    for way, rate in middle.items():
        plain = middle["sequential"]
        measured = rate is not None and rate > 0
        reason = None
        if not measured:
            reason = (
                "takes too long" if rate is None else "cannot be done so, or not in this memory"
            )
        rows.append(
            Pace(
                model.name,
                model.width,
                model.feature_dim,
                len(configs),
                way,
                rate / len(configs) / workers if rate is not None and measured else None,
                rate if measured else None,
                rate / plain if rate is not None and measured and plain else None,
                reason,
            )
        )
    return rows
