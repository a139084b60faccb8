"""How fast the runs of a sweep train: one by one, and as ensembles of more and more."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl
import torch
from joblib import Parallel, delayed
from torch.utils.flop_counter import FlopCounterMode

from kernels.bench import Roofline, measure_roofline, threads
from sdsim.bench.config import BenchConfig
from sdsim.bench.measured import Measured, Progress, conditions, table_of
from sdsim.config import ModelConfig, RunConfig, TrainingMode, ensemble_key
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


@dataclass(frozen=True)
class Throughput:
    """One training mode for some runs that differ in learning rate and seed alone.

    Attributes:
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


def measure(config: BenchConfig, progress: Progress) -> Measured:
    """Time the networks of the sweep `config.preset`: a row of `Throughput` for each mode.

    Raises:
        ValueError: for an unknown sweep, and for one without networks.
    """
    device = torch.device(config.device)
    runs = [run for run in runs_of(config.preset) if isinstance(run.model, ModelConfig)]
    with threads(config.threads):
        roofline = measure_roofline(device, torch.float32)
    rows, projection = time_sweep(
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
        roofline=roofline,
        progress=progress,
    )
    found = conditions(config, "sweep", device, roofline) | {"projection": asdict(projection)}
    seconds = "second" if _on_the_wall(config.workers, device) else "second of processor time"
    title = (
        f"sweep={config.preset}: training steps per {seconds}, {config.workers} worker(s) with "
        f"{config.threads} thread(s), on {found['device']}"
    )
    table = table_of(Throughput, rows)
    return Measured(title, found, table)


def display_table(table: pl.DataFrame) -> pl.DataFrame:
    """The table without its reasons, which `notes` lists."""
    return table.drop("reason").rename({"way": "mode"})


def notes(table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]:
    """The meaning of the columns, the projection, and what was not measured."""
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
    progress: Progress = lambda done, total: None,
) -> tuple[list[Throughput], Projection]:
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
        progress: called after each case with the number of cases done and of all cases.

    Raises:
        ValueError: without runs.
    """
    ensembles = _ensembles(runs)
    sizes = _sizes(ensembles, members, count, all_members=all_members)
    total, done = sum(map(len, sizes.values())), 0
    rows: list[Throughput] = []
    seconds_per_step: dict[int, float] = {}  # of a member, by the ensemble's place
    with Parallel(n_jobs=workers) as pool:
        for place, chosen in sizes.items():
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
                found = meter.measure(_members(ensembles[place], size))
                rows += found
                best = max((row.member_steps_per_second or 0.0 for row in found), default=0.0)
                if size == len(ensembles[place]) and best:
                    seconds_per_step[place] = 1 / best
                done += 1
                progress(done, total)
    return rows, _projection(ensembles, seconds_per_step)


def _ensembles(runs: Sequence[RunConfig]) -> list[list[RunConfig]]:
    """The runs, those together that differ in learning rate and seed alone."""
    alike: dict[str, list[RunConfig]] = {}
    for run in runs:
        alike.setdefault(ensemble_key(run), []).append(run)
    if not alike:
        raise ValueError("a sweep without networks has nothing to train")
    return list(alike.values())


def _sizes(
    ensembles: Sequence[Sequence[RunConfig]],
    members: Sequence[int],
    count: int | None,
    *,
    all_members: bool,
) -> dict[int, list[int]]:
    """The places of the ensembles to measure, evenly chosen, and each one's numbers of members."""
    last = len(ensembles) - 1
    count = min(len(ensembles), count or len(ensembles))
    places = sorted({round(i * last / max(1, count - 1)) for i in range(count)})
    return {
        place: sorted(
            {
                len(ensembles[place]),
                *(members if all_members or place in (places[0], places[-1]) else ()),
            }
        )
        for place in places
    }


def _members(runs: Sequence[RunConfig], size: int) -> list[RunConfig]:
    """The first `size` runs of an ensemble; beyond those that there are, with further seeds."""
    return [
        replace(runs[i % len(runs)], seed=runs[i % len(runs)].seed + i // len(runs) * 1000)
        for i in range(size)
    ]


def _projection(
    ensembles: Sequence[Sequence[RunConfig]], seconds_per_step: dict[int, float]
) -> Projection:
    mean = sum(seconds_per_step.values()) / max(1, len(seconds_per_step))
    steps = [sum(run.train.steps for run in runs) for runs in ensembles]
    seconds = sum(seconds_per_step.get(place, mean) * number for place, number in enumerate(steps))
    return Projection(
        sum(map(len, ensembles)),
        sum(steps),
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
