"""How fast the runs of a sweep train: one by one, and as ensembles of more and more."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl
import torch
from joblib import Parallel, delayed
from pydantic import TypeAdapter, ValidationError
from torch.utils.flop_counter import FlopCounterMode

from kernels.bench import Roofline, device_name, measure_roofline, threads
from sdsim.bench.config import BenchConfig
from sdsim.bench.measured import Measured, Progress, conditions, table_of
from sdsim.config import ModelConfig, RunConfig, TrainingMode, ensemble_key
from sdsim.reading import reason
from sdsim.sweep.plan import runs_of
from sdsim.training.ensemble import EnsembleTrainer
from sdsim.training.modes import (
    compile_seconds,
    modes,
    throughput,
    why_not_compiled,
)
from sdsim.training.tasks import train_tasks

_LEAST_SECONDS = 1.0  # that one measurement takes

_RESUMED_WITH = (
    "preset",
    "settings",
    "members",
    "all_members",
    "repeats",
    "max_seconds",
    "compile_seconds",
    "device",
    "threads",
    "workers",
)
"""Settings that the numbers depend on: a report of others is not resumed."""


@dataclass(frozen=True)
class Throughput:
    """One training mode for some runs that differ in learning rate and seed alone.

    Attributes:
        ensemble: `ensemble_key` of these runs.
        model, width, feature_dim: of these runs.
        length: N, tokens of their longest train task.
        members: runs that each worker trains as one ensemble.
        way: the training mode (the stored name of this column).
        steps_per_second: of each run; None where it was not measured.
        member_steps_per_second: of all runs of all workers: steps per second times runs.
        speedup: that over the sequential mode's.
        attained: the matrix products of these steps over what the device's roofline allows in the
            same time; None for several workers.
        compile_seconds: that compiling took, now or before; None in the other modes.
        reason: why it was not measured.
    """

    ensemble: str
    model: str
    width: int
    feature_dim: int
    length: int
    members: int
    way: TrainingMode
    steps_per_second: float | None
    member_steps_per_second: float | None
    speedup: float | None
    attained: float | None
    compile_seconds: float | None
    reason: str | None


@dataclass(frozen=True)
class Projection:
    """What all runs of a preset would take, each trained in its fastest mode.

    Attributes:
        runs: how many.
        steps: of all of them.
        settings: how many ensembles they form: runs that differ in learning rate and seed alone.
        measured: ensembles whose throughput was measured; the others are taken to have the mean
            time per step of these.
        hours: training alone, without the tests; None where nothing was measured.
    """

    runs: int
    steps: int
    settings: int
    measured: int
    hours: float | None


@dataclass(frozen=True)
class SweepTimes:
    """What `time_sweep` has found so far.

    Attributes:
        rows: a row for each mode of each case.
        projection: from these rows.
        done, total: cases that were measured, and all.
    """

    rows: list[Throughput]
    projection: Projection
    done: int
    total: int


def measure(
    config: BenchConfig,
    progress: Progress,
    keep: Callable[[Measured], None] = lambda measured: None,
    so_far: Measured | None = None,
) -> Measured:
    """Time the networks of the sweep `config.preset`: a row of `Throughput` for each mode.

    Args:
        config: of all benchmarks.
        progress: called after each case.
        keep: called after each case with what is measured by then.
        so_far: an incomplete one to resume, without `differences`.

    Raises:
        ValueError: for an unknown sweep, for one without networks, and for one whose runs are not
            those of `so_far`.
    """
    device = torch.device(config.device)
    runs = [
        run
        for run in runs_of(config.preset, config.searchpath)
        if isinstance(run.model, ModelConfig)
    ]
    with threads(config.threads):
        earlier = (
            _Earlier(measure_roofline(device, torch.float32)) if so_far is None else _read(so_far)
        )
    found = conditions(config, "sweep", device, earlier.ceilings)
    found["parts"] = [*earlier.parts, {name: found[name] for name in ("commit", "versions")}]
    seconds = "second" if _on_the_wall(config.workers, device) else "second of processor time"
    title = (
        f"sweep={config.preset}: training steps per {seconds}, {config.workers} worker(s) with "
        f"{config.threads} thread(s), on {found['device']}"
    )

    def measured(times: SweepTimes) -> Measured:
        table = table_of(Throughput, times.rows)
        whole = found | {"projection": asdict(times.projection)}
        if times.done == times.total:
            return Measured(title, whole, table)
        cases = f"{times.done} of {times.total} cases"
        return Measured(f"{title}; incomplete: {cases}", whole | {"incomplete": cases}, table)

    def on_case(times: SweepTimes) -> None:
        keep(measured(times))
        progress(times.done, times.total)

    times = time_sweep(
        runs,
        config.members,
        count=config.settings,
        all_members=config.all_members,
        device=device,
        workers=config.workers,
        num_threads=config.threads,
        repeats=config.repeats,
        max_seconds=config.max_seconds,
        max_compile_seconds=config.compile_seconds,
        roofline=earlier.ceilings,
        earlier=earlier.rows,
        on_case=on_case,
    )
    return measured(times)


def differences(config: BenchConfig, conditions: dict[str, Any]) -> list[str]:
    """In what a report was measured otherwise than it would be now: settings, device; in words."""
    stored = conditions.get("config", {}) | {"device": conditions.get("device")}
    now = asdict(config) | {"device": device_name(torch.device(config.device))}
    found = {
        name: (stored.get(name), list(value) if isinstance(value, tuple) else value)
        for name, value in now.items()
        if name in _RESUMED_WITH
    }
    return [f"{name} = {old}, now {new}" for name, (old, new) in found.items() if old != new]


@dataclass(frozen=True)
class _Earlier:
    """What a resumed report needs of the earlier one, by the names under which it is stored."""

    ceilings: Roofline
    rows: list[Throughput] = field(default_factory=list)
    parts: list[dict[str, Any]] = field(default_factory=list)


def _read(so_far: Measured) -> _Earlier:
    """That of a report, which may be damaged."""
    try:
        return TypeAdapter(_Earlier).validate_python(
            so_far.conditions | {"rows": so_far.table.to_dicts()}
        )
    except ValidationError as error:
        raise ValueError(
            f"out: the report there cannot be resumed: {reason(error)}; delete it"
        ) from error


def display_table(table: pl.DataFrame) -> pl.DataFrame:
    """The table without its reasons, which `notes` lists."""
    return table.drop("reason", *({"ensemble"} & {*table.columns})).rename({"way": "mode"})


def notes(table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]:
    """The meaning of the columns, the projection, what was not measured, in how many parts."""
    cases, parts = conditions.get("incomplete"), conditions.get("parts", [])
    commits = ", ".join(dict.fromkeys(part["commit"] or "unknown" for part in parts))
    columns = ("model", "width", "members", "way", "reason")
    left_out = [
        f"  {model}, width {width}, {members} members, {mode}: {reason}"
        for model, width, members, mode, reason in table.drop_nulls("reason").select(columns).rows()
    ]
    return [
        "member steps per second: steps per second times runs, of all workers together; speedup: "
        "over the sequential mode, one run after another; attained: the fraction of the roofline "
        "that their matrix products alone attain",
        _in_words(Projection(**conditions["projection"])),
        *(["not measured:", *left_out] if left_out else []),
        *([f"incomplete: {cases}; the same command measures the rest"] if cases else []),
        *([f"measured in {len(parts)} parts, at commit {commits}"] if len(parts) > 1 else []),
    ]


def _in_words(whole: Projection) -> str:
    if whole.hours is None:
        return "nothing can be projected: no ensemble was measured at the sweep's number of runs"
    return (
        f"projected from that: all {whole.runs} runs, {whole.steps:,} steps, each in its fastest "
        f"mode, take {whole.hours:,.2f} hours (throughput measured of {whole.measured} of "
        f"{whole.settings} ensembles at the sweep's own number of runs; tests not counted)"
    )


def time_sweep(
    runs: Sequence[RunConfig],
    members: Sequence[int],
    *,
    count: int | None = None,
    all_members: bool = False,
    device: torch.device,
    workers: int = 1,
    num_threads: int = 1,
    repeats: int = 3,
    max_seconds: float = 60.0,
    max_compile_seconds: float = 0.0,
    roofline: Roofline | None = None,
    earlier: Sequence[Throughput] = (),
    on_case: Callable[[SweepTimes], None] = lambda times: None,
) -> SweepTimes:
    """Measure ensembles of a sweep, and project what all of its runs take.

    The first and the last ensemble are measured at all numbers of members, the others at as many as
    the sweep has runs of it. The modes take turns, and the median counts. One worker on a CPU is
    timed by its processor time, all others by the wall clock.

    Args:
        runs: of networks.
        members: runs per ensemble to try.
        count: how many of the sweep's ensembles to measure, evenly chosen; None: all.
        all_members: measure all of these at all numbers of members.
        device: where.
        workers: processes that measure at the same time, as a sweep's do.
        num_threads: of torch, in each.
        repeats: measurements of each mode.
        max_seconds: that one mode may take with one number of members; larger numbers are then not
            tried.
        max_compile_seconds: that compiling may take with one number of members, by estimate.
        roofline: of the device; None: nothing is held against it.
        earlier: rows of a call that was broken off. Ensembles that these have at all numbers of
            members are not measured again. The rows of an ensemble that was broken off are dropped:
            they do not say which modes are too slow for more members, nor what was compiled.
        on_case: called after each case with what was found by then.

    Raises:
        ValueError: without runs, or where `earlier` is of others.
    """
    ensembles = _ensembles(runs)
    sizes = _sizes(ensembles, members, count, all_members=all_members)
    rows = _whole(earlier, sizes)
    known = {row.ensemble for row in rows}
    total, done = sum(map(len, sizes.values())), sum(len(sizes[key]) for key in known)
    with Parallel(n_jobs=workers) as pool:
        for key, chosen in sizes.items():
            if key in known:
                continue
            meter = _Meter(
                pool,
                device,
                workers,
                num_threads,
                repeats,
                max_seconds,
                max_compile_seconds,
                roofline,
            )
            for size in chosen:
                rows += meter.measure(_members(ensembles[key], size))
                done += 1
                on_case(SweepTimes([*rows], _projection(ensembles, rows), done, total))
    return SweepTimes(rows, _projection(ensembles, rows), done, total)


def _ensembles(runs: Sequence[RunConfig]) -> dict[str, list[RunConfig]]:
    """The runs, those together that differ in learning rate and seed alone, by `ensemble_key`."""
    alike: dict[str, list[RunConfig]] = {}
    for run in runs:
        alike.setdefault(ensemble_key(run), []).append(run)
    if not alike:
        raise ValueError("a sweep without networks has nothing to train")
    return alike


def _sizes(
    ensembles: Mapping[str, Sequence[RunConfig]],
    members: Sequence[int],
    count: int | None,
    *,
    all_members: bool,
) -> dict[str, list[int]]:
    """The ensembles to measure, evenly chosen, and each one's numbers of members."""
    keys = list(ensembles)
    count = min(len(keys), count or len(keys))
    chosen = [keys[round(i * (len(keys) - 1) / max(1, count - 1))] for i in range(count)]
    return {
        key: sorted(
            {
                len(ensembles[key]),
                *(members if all_members or key in (chosen[0], chosen[-1]) else ()),
            }
        )
        for key in chosen
    }


def _whole(rows: Sequence[Throughput], sizes: Mapping[str, Sequence[int]]) -> list[Throughput]:
    """The rows of the ensembles that were measured at all their numbers of members."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        found[row.ensemble].add(row.members)
    if found.keys() - sizes.keys():
        raise ValueError(
            "out: the report there is of runs that the sweep no longer has; choose another folder, "
            "or delete it"
        )
    return [row for row in rows if found[row.ensemble] == {*sizes[row.ensemble]}]


def _members(runs: Sequence[RunConfig], size: int) -> list[RunConfig]:
    """The first `size` runs of an ensemble; beyond those that there are, with further seeds."""
    return [
        replace(runs[i % len(runs)], seed=runs[i % len(runs)].seed + i // len(runs) * 1000)
        for i in range(size)
    ]


def _projection(
    ensembles: Mapping[str, Sequence[RunConfig]], rows: Sequence[Throughput]
) -> Projection:
    best: dict[str, float] = {}  # steps per second of all members
    for row in rows:
        if row.member_steps_per_second and row.members == len(ensembles[row.ensemble]):
            rate = row.member_steps_per_second
            best[row.ensemble] = max(rate, best.get(row.ensemble, 0.0))
    seconds_per_step = {key: 1 / rate for key, rate in best.items()}
    mean = sum(seconds_per_step.values()) / max(1, len(seconds_per_step))
    steps = {key: sum(run.train.steps for run in runs) for key, runs in ensembles.items()}
    seconds = sum(seconds_per_step.get(key, mean) * number for key, number in steps.items())
    return Projection(
        sum(map(len, ensembles.values())),
        sum(steps.values()),
        len(ensembles),
        len(seconds_per_step),
        seconds / 3600 if mean else None,
    )


@dataclass
class _Meter:
    """Measures an ensemble at growing sizes, without the modes that timed out at a smaller one."""

    pool: Parallel
    device: torch.device
    workers: int
    num_threads: int
    repeats: int
    max_seconds: float
    max_compile_seconds: float
    roofline: Roofline | None
    timed_out: set[TrainingMode] = field(default_factory=set)

    def measure(self, configs: list[RunConfig]) -> list[Throughput]:
        """A row for each mode in which these runs can train."""
        found: dict[TrainingMode, list[float]] = {
            mode: [] for mode in modes(len(configs), self.device)
        }
        reasons: dict[TrainingMode, str] = {}
        seconds = dict.fromkeys(found, 0.0)
        for _ in range(self.repeats):
            for mode, rates in found.items():
                if mode in reasons or mode in self.timed_out or seconds[mode] > self.max_seconds:
                    continue
                if mode == "compiled" and not rates:
                    if found.keys() - {mode} <= self.timed_out:  # before any time is spent on it
                        self.timed_out.add(mode)
                        continue
                    if reason := self._compile(configs):
                        reasons[mode] = reason
                        continue
                started = time.monotonic()
                rate = self._rate(mode, configs)
                seconds[mode] += time.monotonic() - started
                if rate is None:
                    self.timed_out.add(mode)
                    continue
                rates.append(rate)
                # The next size takes about twice as long, from one measurement on.
                if 2 * seconds[mode] / len(rates) > self.max_seconds:
                    self.timed_out.add(mode)
        return [self._row(configs, mode, found, reasons.get(mode)) for mode in found]

    def _compile(self, configs: list[RunConfig]) -> str | None:
        """`why_not_compiled`, in all workers."""
        arguments = (configs, self.device, self.num_threads, self.max_compile_seconds)
        if self.workers == 1:
            return _compile_here(*arguments)
        found = self.pool(delayed(_compile_here)(*arguments) for _ in range(self.workers))
        return next((reason for reason in found if reason), None)

    def _rate(self, mode: TrainingMode, configs: list[RunConfig]) -> float | None:
        """Steps per second times runs, of all workers; 0 where this mode cannot train them.

        None if it takes too long.
        """
        wall = _on_the_wall(self.workers, self.device)
        arguments = (mode, configs, self.device, self.num_threads, self.max_seconds, wall)
        try:
            if self.workers == 1:
                return _rate_here(*arguments)
            job = delayed(_rate_here)(*arguments)
            return float(sum(self.pool(job for _ in range(self.workers))))
        except TimeoutError:
            return None

    def _row(
        self,
        configs: Sequence[RunConfig],
        mode: TrainingMode,
        found: dict[TrainingMode, list[float]],
        reason: str | None,
    ) -> Throughput:
        model = configs[0].model
        if not isinstance(model, ModelConfig):
            raise TypeError(f"{model.name} is a streaming algorithm: nothing is trained")
        rate, sequential = _median(found[mode]), _median(found["sequential"])
        if not rate and reason is None:
            reason = (
                "takes too long" if rate is None else "cannot be done so, or not in this memory"
            )
        attained = None
        if rate and self.roofline is not None and self.workers == 1:
            attained = rate * operations(configs[0]) / self.roofline.operations_per_second
        return Throughput(
            ensemble_key(configs[0]),
            model.name,
            model.width,
            model.feature_dim,
            max(task.seq_len for task in train_tasks(configs[0].task).tasks),
            len(configs),
            mode,
            steps_per_second=rate / len(configs) / self.workers if rate else None,
            member_steps_per_second=rate or None,
            speedup=rate / sequential if rate and sequential else None,
            attained=attained,
            compile_seconds=compile_seconds(configs) if rate and mode == "compiled" else None,
            reason=reason,
        )


def operations(config: RunConfig) -> float:
    """Floating-point operations of the matrix products in a run's training step.

    The mean over its train tasks; counted as an ensemble of one executes them. Products inside of
    operators of our own (`kernels`) are not counted.
    """
    trainer = EnsembleTrainer([config], torch.device("cpu"))
    counts = []
    for _, update, inputs in trainer.examples():
        with FlopCounterMode(display=False) as counter:
            update(*inputs)
        counts.append(counter.get_total_flops())
    return float(sum(counts) / len(counts))


def _on_the_wall(workers: int, device: torch.device) -> bool:
    """Whether seconds are those of the wall clock, rather than of the processor."""
    return workers > 1 or device.type != "cpu"


def _median(rates: Sequence[float]) -> float | None:
    return sorted(rates)[len(rates) // 2] if rates else None


def _compile_here(
    configs: list[RunConfig], device: torch.device, num_threads: int, max_seconds: float
) -> str | None:
    with threads(num_threads):
        return why_not_compiled(configs, device, max_seconds)


def _rate_here(
    mode: TrainingMode,
    configs: list[RunConfig],
    device: torch.device,
    num_threads: int,
    max_seconds: float,
    wall: bool,
) -> float:
    """`_Meter._rate` of this process; `TimeoutError` if it takes too long."""
    clock = time.perf_counter if wall else time.process_time
    with threads(num_threads):
        # Run by run, the throughput does not depend on how many there are.
        configs = configs[:1] if mode == "sequential" else configs
        rate = throughput(mode, configs, device, max_seconds=max_seconds, clock=clock)
        seconds = len(configs) * len(configs[0].task.train_sizes) / rate if rate else math.inf
        if seconds < _LEAST_SECONDS:
            rounds = math.ceil(_LEAST_SECONDS / seconds)
            rate = throughput(mode, configs, device, rounds, clock=clock)
        return rate
