"""`sdsim bench`: how fast examples are made and attention is computed, each beside its baseline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl
import torch

from kernels.bench import Scaling, scaling
from sdsim.models.config import STRICT
from synthetic import IGNORE_INDEX, Batch, SetDisjointness

What = Literal["generation", "attention"]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure, with how many threads of torch."""

    __pydantic_config__: ClassVar[Any] = STRICT

    what: tuple[What, ...]
    threads: int

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ValueError(f"threads = {self.threads}: must be at least 1")


def bench(config: BenchConfig) -> Iterator[tuple[str, pl.DataFrame]]:
    """Measure one thing after another; yields a title and a table for each."""
    for name in config.what:
        title, measure = _MEASUREMENTS[name]
        rows = measure(config.threads)
        yield f"{title}; threads: {config.threads}", pl.DataFrame([asdict(row) for row in rows])


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
    threads: int = 1,
) -> list[Generation]:
    """Time both ways side by side at V = 2048 on the CPU, turn by turn.

    Args:
        sizes: pairs (|A|, |B|).
        examples: examples per call.
        repeats: calls of each; the median counts.
        threads: of torch, set for the measurement and then put back.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        tasks = [SetDisjointness(PAPER_VOCAB_SIZE, *pair) for pair in sizes]
        return [_measure(task, examples, repeats) for task in tasks]
    finally:
        torch.set_num_threads(before)


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


_MEASUREMENTS: dict[What, tuple[str, Callable[[int], Sequence[Generation | Scaling]]]] = {
    "generation": (
        "Set disjointness, V = 2048: microseconds per example, a loop against sample()",
        lambda threads: generation(threads=threads),
    ),
    "attention": (
        "Prefix linear attention, forward, B = 1, H = 2, D = 16, E = 64, float32, on the CPU",
        lambda threads: scaling(threads=threads),
    ),
}
