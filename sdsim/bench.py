"""`sdsim bench`: how fast examples are made and attention is computed, beside their baselines."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import polars as pl
import torch

from kernels import bench as kernels_bench
from kernels.bench import METHODS, Case, Ceilings
from sdsim.models import ModelConfig
from sdsim.models.config import STRICT
from sdsim.results import commit
from sdsim.sweep import runs_of
from sdsim.sweep_bench import Projection, sweep_paces
from synthetic import IGNORE_INDEX, Batch, SetDisjointness

What = Literal["generation", "sweep", "prefill", "decode", "train"]
DType = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure, and where; see ``sdsim bench --help``."""

    __pydantic_config__: ClassVar[Any] = STRICT

    what: tuple[What, ...]
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    heads: int
    feature_dim: int
    head_dim: int
    dtype: DType
    device: str
    threads: int
    methods: tuple[str, ...] | None
    repeats: int
    patience: float
    memory_gb: float
    out: str | None
    preset: str
    members: tuple[int, ...]
    settings: int | None
    workers: int

    def __post_init__(self) -> None:
        for name in ("threads", "heads", "feature_dim", "head_dim", "repeats", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least 1")
        if self.settings is not None and self.settings < 1:
            raise ValueError(f"settings = {self.settings}: must be at least 1")
        for name in ("lengths", "batches", "members"):
            numbers = getattr(self, name)
            if not numbers or min(numbers) < (2 if name == "lengths" else 1):
                least = 2 if name == "lengths" else 1
                raise ValueError(f"{name} = {list(numbers)}: one or more numbers from {least}")
        for name in ("patience", "memory_gb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in ("what", "methods"):
            if getattr(self, name) == ():
                raise ValueError(f"{name} = []: name at least one")
        for method in self.methods or ():
            if method not in METHODS:
                allowed = ", ".join(repr(name) for name in METHODS)
                raise ValueError(f"methods: {method!r} is not one of {allowed}")


@dataclass(frozen=True)
class Report:
    """What one measurement found.

    Attributes:
        what: its name.
        title: what was measured, on what.
        settings: of the measurement, the device, versions and ceilings, ready for JSON.
        table: the numbers, a row per method and case.
    """

    what: What
    title: str
    settings: dict[str, Any]
    table: pl.DataFrame

    def save(self, out: Path) -> list[Path]:
        """Write ``<what>.json`` (all of it) and ``<what>.csv`` (the table); their paths."""
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / f"{self.what}{suffix}" for suffix in (".json", ".csv")]
        whole = {"title": self.title, **self.settings, "rows": self.table.to_dicts()}
        texts = [json.dumps(whole, indent=1, ensure_ascii=False) + "\n", self.table.write_csv()]
        for path, text in zip(paths, texts, strict=True):
            partial = path.with_name(f"{path.name}.partial")
            partial.write_text(text)
            partial.replace(path)
        return paths


def load_reports(folder: Path) -> list[Report]:
    """The reports that `Report.save` wrote there.

    Raises:
        ValueError: if there are none, or one is damaged.
    """
    paths = [path for what in get_args(What) if (path := folder / f"{what}.json").is_file()]
    if not paths:
        raise ValueError(f"bench = {str(folder)!r}: no reports of `sdsim bench` there")
    return [_load(path) for path in paths]


def _load(path: Path) -> Report:
    try:
        whole = json.loads(path.read_text())
        title, rows = whole.pop("title"), whole.pop("rows")
        return Report(whole["what"], title, whole, pl.DataFrame(rows, infer_schema_length=None))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not a report of `sdsim bench`: {error}") from None


def shown(report: Report) -> pl.DataFrame:
    """The table as a person reads it: milliseconds, megabytes."""
    if report.what == "generation":
        return report.table
    if report.what == "sweep":
        return report.table.drop("reason")
    milliseconds = {
        new: pl.col(old) * 1e3
        for new, old in (
            ("milliseconds", "seconds"),
            ("milliseconds_low", "seconds_low"),
            ("milliseconds_high", "seconds_high"),
        )
    }
    return report.table.filter(pl.col("seconds").is_not_null()).select(
        "batch",
        "length",
        "method",
        **milliseconds,
        calls="calls",
        speedup="speedup",
        of_limit="attained",
        peak_megabytes=pl.col("peak_bytes") / 1e6,
    )


def notes(report: Report) -> list[str]:
    """What was not run, and what the table's columns stand on: ceilings and work."""
    if report.what == "generation":
        return []
    if report.what == "sweep":
        return _sweep_notes(report)
    reached = Ceilings(**report.settings["ceilings"])
    work = [
        f"  batch {row['batch']}, length {row['length']}: {row['needed_bytes'] / 1e6:,.1f} MB, "
        f"{row['needed_operations'] / 1e9:,.3g} GFLOP, so at least {row['limit'] * 1e3:.3f} ms"
        for row in report.table.unique(["batch", "length"], maintain_order=True).to_dicts()
    ]
    cases_in_all = len(work)
    left_out = [
        f"  {method}: {reason}"
        + (f" (batch by length: {', '.join(cases)})" if len(cases) < cases_in_all else "")
        for method, reason, cases in report.table.filter(pl.col("reason").is_not_null())
        .group_by("method", "reason", maintain_order=True)
        .agg(pl.format("{} by {}", "batch", "length"))
        .iter_rows()
    ]
    return [
        "milliseconds: median [quartiles]; speedup: over the fastest softmax attention that ran; "
        "peak megabytes: tensors between operators, results included",
        f"ceilings measured on this device: {reached.bytes_per_second / 1e9:,.1f} GB/s and "
        f"{reached.operations_per_second / 1e9:,.0f} GFLOP/s; of limit: the time that JRT-RNN's "
        "bytes or operations take at the ceiling, over the time taken",
        "JRT-RNN needs:",
        *work,
        *(["not run:", *left_out] if left_out else []),
    ]


def bench(
    config: BenchConfig, what: What, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Measure one thing; `progress` is told how many cases are done."""
    if what == "generation":
        with kernels_bench.threads(1):  # as a worker that feeds a model has
            return _generation_report(config)
    if what == "sweep":
        return _sweep_report(config, progress)
    with kernels_bench.threads(config.threads):
        return _attention_report(config, what, progress)


def _sweep_report(config: BenchConfig, progress: Callable[[int, int], None]) -> Report:
    device = torch.device(config.device)
    runs = [run for run in runs_of(config.preset) if isinstance(run.model, ModelConfig)]
    paces, projection = sweep_paces(
        runs,
        config.members,
        settings=config.settings,
        device=device,
        workers=config.workers,
        threads=config.threads,
        repeats=config.repeats,
        patience=config.patience,
        progress=progress,
    )
    settings = _settings(config, "sweep", device, None) | {"projection": asdict(projection)}
    title = (
        f"sweep={config.preset}: training steps per second, {config.workers} worker(s) with "
        f"{config.threads} thread(s), on {settings['device']}"
    )
    table = pl.DataFrame([asdict(one) for one in paces], infer_schema_length=None)
    return Report("sweep", title, settings, table)


def _sweep_notes(report: Report) -> list[str]:
    reached = Projection(**report.settings["projection"])
    left_out = [
        f"  {model}, width {width}, {members} members, {way}: {reason}"
        for model, width, members, way, reason in report.table.filter(
            pl.col("reason").is_not_null()
        )
        .select("model", "width", "members", "way", "reason")
        .rows()
    ]
    return [
        "member steps: steps per second times runs, of all workers together; speedup: over the "
        "plain loop; plain: one run after another",
        f"projected from that: all {reached.runs} runs, {reached.steps:,} steps in the fastest "
        f"way, take {reached.hours:,.2f} hours (pace measured of {reached.measured} of "
        f"{reached.settings} settings at the sweep's own number of runs; tests not counted)",
        *(["not measured:", *left_out] if left_out else []),
    ]


def _generation_report(config: BenchConfig) -> Report:
    rows = generation(repeats=config.repeats)
    return Report(
        "generation",
        f"Set disjointness, V = {PAPER_VOCAB_SIZE}: microseconds per example, a loop against "
        "sample(), with one thread",
        _settings(config, "generation", torch.device("cpu"), None),
        pl.DataFrame([asdict(row) for row in rows]),
    )


def _attention_report(
    config: BenchConfig,
    what: Literal["prefill", "decode", "train"],
    progress: Callable[[int, int], None],
) -> Report:
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    cases = [
        Case(
            what,
            batch,
            length,
            dtype,
            device,
            config.heads,
            config.feature_dim,
            config.head_dim,
        )
        for batch, length in sorted(
            product(set(config.batches), set(config.lengths)), key=lambda sizes: sizes[::-1]
        )
    ]
    ceilings = kernels_bench.ceilings(device, dtype)
    timings = kernels_bench.measure(
        cases,
        ceilings,
        methods=config.methods,
        repeats=config.repeats,
        patience=config.patience,
        memory=config.memory_gb * 1e9,
        progress=progress,
    )
    settings = _settings(config, what, device, ceilings)
    title = (
        f"{what}: H = {config.heads}, D = {config.feature_dim}, E = {config.head_dim}, "
        f"{config.dtype}, on {settings['device']}"
    )
    return Report(what, title, settings, pl.DataFrame([asdict(row) for row in timings]))


def _settings(
    config: BenchConfig, what: What, device: torch.device, ceilings: Ceilings | None
) -> dict[str, Any]:
    return {
        "what": what,
        "device": kernels_bench.device_name(device),
        "threads": config.threads,
        "commit": commit(),
        "versions": kernels_bench.versions(),
        "command": shlex.join(["sdsim", "bench", *sys.argv[1:]]),
        "ceilings": None if ceilings is None else asdict(ceilings),
        "config": asdict(config),
    }


PAPER_VOCAB_SIZE = 2048


@dataclass(frozen=True)
class Generation:
    """One pair of sizes of `generation`.

    Attributes:
        size_a, size_b: tokens in the sets.
        loop_us, sample_us: median microseconds per example of `obvious_loop` and of
            `SetDisjointness.sample`.
        speedup: loop_us / sample_us.
    """

    size_a: int
    size_b: int
    loop_us: float
    sample_us: float
    speedup: float


def obvious_loop(task: SetDisjointness, batch_size: int, rng: np.random.Generator) -> Batch:
    """Section 2's recipe for the shared-token task, word by word, one example after another."""
    inputs = torch.empty(batch_size, task.seq_len, dtype=torch.int64)
    targets = torch.full_like(inputs, IGNORE_INDEX)
    for row in range(batch_size):
        vocabulary = rng.permutation(np.arange(4, task.vocab_size))
        half = len(vocabulary) // 2
        set_a = rng.choice(vocabulary[:half], task.size_a, replace=False)
        set_b = rng.choice(vocabulary[half:], task.size_b, replace=False)
        shared = rng.choice(set_a)
        set_b[rng.integers(task.size_b)] = shared
        once = [[task.PREFIX], set_a, [task.SEP_SETS], set_b]
        inputs[row] = torch.from_numpy(np.concatenate([*once * task.passes, [task.SEP_ANSWER]]))
        targets[row, -1] = int(shared)
    return Batch(inputs, targets, prefix_len=task.seq_len)


def generation(
    sizes: Sequence[tuple[int, int]] = ((4, 16), (16, 256), (4, 768)),
    *,
    examples: int = 1024,
    repeats: int = 9,
) -> list[Generation]:
    """Time both ways side by side at V = 2048 on the CPU, turn by turn.

    Args:
        sizes: pairs (|A|, |B|).
        examples: examples per call.
        repeats: calls of each; the median counts.
    """
    tasks = [SetDisjointness(PAPER_VOCAB_SIZE, *pair) for pair in sizes]
    return [_measure(task, examples, repeats) for task in tasks]


def _measure(task: SetDisjointness, examples: int, repeats: int) -> Generation:
    rng = np.random.default_rng(0)
    ways = {
        "loop": lambda: obvious_loop(task, examples, rng),
        "sample": lambda: task.sample(examples, seed=0),
    }
    task.sample(examples, seed=0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            seconds[name].append(_seconds(way))
    loop, sample = (median(seconds[name]) / examples * 1e6 for name in ("loop", "sample"))
    return Generation(task.size_a, task.size_b, loop, sample, loop / sample)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
