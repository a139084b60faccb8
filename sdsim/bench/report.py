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
from typing import Any, get_args

import numpy as np
import polars as pl
import torch

from kernels import bench as kernels_bench
from kernels.bench import Case, Roofline
from sdsim.bench.config import Attention, BenchConfig, ModelTask, What
from sdsim.bench.models import time_models
from sdsim.bench.sweep import Projection, sweep_paces
from sdsim.files import write_text
from sdsim.models import ModelConfig
from sdsim.store.provenance import commit
from sdsim.sweep.plan import runs_of
from sdsim.text.flops import peak_tflops
from synthetic import IGNORE_INDEX, Batch, SetDisjointness


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

    @property
    def is_drawn(self) -> bool:
        """Whether there is a figure of it; of some, the table says it all."""
        return self.what not in ("generation", "sweep")

    def save(self, out: Path) -> list[Path]:
        """Write ``<what>.json`` (all of it) and ``<what>.csv`` (the table); their paths."""
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / f"{self.what}{suffix}" for suffix in (".json", ".csv")]
        whole = {"title": self.title, **self.settings, "rows": self.table.to_dicts()}
        texts = [json.dumps(whole, indent=1, ensure_ascii=False) + "\n", self.table.write_csv()]
        for path, text in zip(paths, texts, strict=True):
            write_text(path, text)
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
    if report.what in get_args(ModelTask):
        return _models_shown(report)
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
    if report.what in get_args(ModelTask):
        return _model_notes(report)
    reached = Roofline(**report.settings["ceilings"])
    work = [
        f"  batch {row['batch']}, length {row['length']}: {row['needed_bytes'] / 1e6:,.1f} MB, "
        f"{row['needed_operations'] / 1e9:,.3g} GFLOP, so at least {row['limit'] * 1e3:.3f} ms"
        for row in report.table.unique(["batch", "length"], maintain_order=True).to_dicts()
    ]
    left_out = _left_out(report.table, len(work))
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


def _left_out(table: pl.DataFrame, cases_in_all: int) -> list[str]:
    return [
        f"  {method}: {reason}"
        + (f" (batch by length: {', '.join(cases)})" if len(cases) < cases_in_all else "")
        for method, reason, cases in table.filter(pl.col("reason").is_not_null())
        .group_by("method", "reason", maintain_order=True)
        .agg(pl.format("{} by {}", "batch", "length"))
        .iter_rows()
    ]


def measure(
    config: BenchConfig, what: What, progress: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Measure one thing; `progress` is told how many cases are done."""
    if what == "generation":
        with kernels_bench.threads(1):  # as a worker that feeds a model has
            return _generation_report(config)
    if what == "sweep":
        return _sweep_report(config, progress)
    with kernels_bench.threads(config.threads):
        if what == "prefill" or what == "decode" or what == "train":
            return _attention_report(config, what, progress)
        return _model_report(config, what, progress)


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
        patience=config.max_seconds,
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
    what: Attention,
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
    ceilings = kernels_bench.measure_roofline(device, dtype)
    timings = kernels_bench.measure(
        cases,
        ceilings,
        methods=config.methods,
        repeats=config.repeats,
        max_seconds=config.max_seconds,
        max_bytes=config.memory_gb * 1e9,
        progress=progress,
    )
    settings = _settings(config, what, device, ceilings)
    title = (
        f"{what}: H = {config.heads}, D = {config.feature_dim}, E = {config.head_dim}, "
        f"{config.dtype}, on {settings['device']}"
    )
    return Report(what, title, settings, pl.DataFrame([asdict(row) for row in timings]))


def _model_report(
    config: BenchConfig, what: ModelTask, progress: Callable[[int, int], None]
) -> Report:
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    ceilings = kernels_bench.measure_roofline(device, dtype)
    known = peak_tflops(device) if dtype == torch.bfloat16 else None
    timings = time_models(
        what,
        config.presets,
        sorted(product(set(config.batches), set(config.lengths)), key=lambda sizes: sizes[::-1]),
        device=device,
        dtype=dtype,
        peak_flops=known * 1e12 if known else ceilings.operations_per_second,
        repeats=config.repeats,
        patience=config.max_seconds,
        progress=progress,
    )
    settings = _settings(config, what, device, ceilings) | {"peak_tflops": known}
    doing = {
        "model_prefill": "reading a prompt of N tokens",
        "model_decode": "writing a token after N others",
        "model_train": "a forward and a backward pass",
    }
    title = f"Whole models, {doing[what]}: {config.dtype}, on {settings['device']}"
    return Report(what, title, settings, pl.DataFrame([asdict(row) for row in timings]))


def _models_shown(report: Report) -> pl.DataFrame:
    columns = [
        pl.col(f"seconds{end}").mul(1e3).alias(f"milliseconds{end}")
        for end in ("", "_low", "_high")
    ]
    table = report.table.filter(pl.col("seconds").is_not_null())
    speed = pl.col("tokens_per_second").round(0).cast(pl.Int64)
    chosen = table.select("batch", "length", "method", *columns, "calls", speed, "speedup", "mfu")
    return chosen if report.what == "model_train" else chosen.drop("mfu")


def _model_notes(report: Report) -> list[str]:
    lines = ["milliseconds: median [quartiles]; speedup: over the Transformer"]
    if report.what == "model_train":
        peak = report.settings["peak_tflops"]
        reached = report.settings["ceilings"]["operations_per_second"] / 1e12
        of = f"{peak:g} TFLOP/s, the data sheet's" if peak else f"a matrix product's {reached:.3g}"
        lines.append(f"mfu: the model's TFLOP/s over {of}")
    cases = report.table.select("batch", "length").n_unique()
    left_out = _left_out(report.table, cases)
    return [*lines, *(["not run:", *left_out] if left_out else [])]


def _settings(
    config: BenchConfig, what: What, device: torch.device, ceilings: Roofline | None
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
