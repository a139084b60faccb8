"""How fast examples of set disjointness are made, beside a plain loop over examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import torch

from kernels.bench import seconds_taken, threads
from sdsim.bench.config import BenchConfig
from sdsim.bench.measured import Measured, Progress, conditions, table_of
from synthetic import IGNORE_INDEX, Batch, SetDisjointness

PAPER_VOCAB_SIZE = 2048

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Generation:
    """One pair of sizes of `time_generation`.

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


def measure(config: BenchConfig, progress: Progress) -> Measured:
    """Time it on one thread, as a worker that feeds a model has."""
    with threads(1):
        rows = time_generation(
            repeats=config.repeats, max_seconds=config.max_seconds, progress=progress
        )
        return Measured(
            f"Set disjointness, V = {PAPER_VOCAB_SIZE}: microseconds per example, a loop against "
            "sample(), with one thread",
            conditions(config, "generation", _CPU),
            table_of(Generation, rows),
        )


def display_table(table: pl.DataFrame) -> pl.DataFrame:
    """The table as it is."""
    return table


def notes(table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]:
    """None: the title says it all."""
    return []


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


def time_generation(
    sizes: Sequence[tuple[int, int]] = ((4, 16), (16, 256), (4, 768)),
    *,
    examples: int = 1024,
    repeats: int = 9,
    max_seconds: float = 60.0,
    progress: Progress = lambda done, total: None,
) -> list[Generation]:
    """Time the loop and `SetDisjointness.sample` in turns at V = 2048 on the CPU.

    Args:
        sizes: pairs (|A|, |B|).
        examples: examples per call.
        repeats: calls of each; the median counts.
        max_seconds: that the calls for one pair may take, but for the first of each.
        progress: called after each pair.
    """
    rows = []
    for done, pair in enumerate(sizes, start=1):
        rows.append(
            _time_sizes(SetDisjointness(PAPER_VOCAB_SIZE, *pair), examples, repeats, max_seconds)
        )
        progress(done, len(sizes))
    return rows


def _time_sizes(
    task: SetDisjointness, examples: int, repeats: int, max_seconds: float
) -> Generation:
    rng = np.random.default_rng(0)
    loop_seconds, sample_seconds = [], []
    task.sample(examples, seed=0)
    for _ in range(repeats):
        loop_seconds.append(seconds_taken(lambda: obvious_loop(task, examples, rng), _CPU))
        sample_seconds.append(seconds_taken(lambda: task.sample(examples, seed=0), _CPU))
        if sum(loop_seconds) + sum(sample_seconds) > max_seconds:
            break
    loop, sample = (median(seconds) / examples * 1e6 for seconds in (loop_seconds, sample_seconds))
    return Generation(task.size_a, task.size_b, loop, sample, loop / sample)
