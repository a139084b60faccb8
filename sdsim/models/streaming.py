"""Streaming algorithms as models: theory's algorithms on the test data of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any

from sdsim.config import AlgorithmConfig
from synthetic import IGNORE_INDEX, SetDisjointness, Task
from theory import (
    Fingerprint,
    JustReadTwice,
    KernelAttention,
    Marker,
    MultiPass,
    OnePass,
    StreamingAlgorithm,
    Token,
    coin_count,
    one_pass_bits,
)


def check_algorithm(config: AlgorithmConfig, task: Task) -> SetDisjointness:
    """The task, if the algorithm can do it; else `ValueError`."""
    if not isinstance(task, SetDisjointness) or task.answer == "all":
        raise ValueError(
            f"model.machine = {config.machine!r}: streaming algorithms do set disjointness with "
            "the answer 'token' or 'decision' only"
        )
    least, most = {"just_read_twice": (2, 2), "multi_pass": (2, None)}.get(
        config.machine, (1, None)
    )
    if task.passes < least or (most is not None and task.passes > most):
        allowed = f"exactly {least}" if least == most else f"at least {least}"
        raise ValueError(f"task.passes = {task.passes}: {allowed} for machine {config.machine!r}")
    header = _hashing(task, 0, seed=0).header_bits
    if config.machine == "fingerprint" and config.budget < header:
        raise ValueError(
            f"model.budget = {config.budget}: at least {header} bits, which its counters and "
            "answer take"
        )
    return task


def run_algorithm(config: AlgorithmConfig, task: Task, examples: int, seed: int) -> tuple[int, int]:
    """Read test examples, the same ones that a network is tested on, token by token.

    Args:
        config, task: as `check_algorithm` allows.
        examples: how many.
        seed: of the test stream and of the algorithm's coins.

    Returns:
        Right answers; the most bits held at any time in any of the examples.
    """
    sets = check_algorithm(config, task)
    algorithm = _BUILDERS[config.machine](config, sets, seed)
    batch = sets.sample(examples, seed=seed, split="test")
    correct, peak_bits = 0, 0
    for row, target in zip(batch.inputs.tolist(), batch.targets[:, -1].tolist(), strict=True):
        outcome = algorithm.run([_token(sets, token) for token in row])
        correct += _named(sets, outcome.answer) == target
        peak_bits = max(peak_bits, outcome.peak_bits)
    return correct, peak_bits


def _token(task: SetDisjointness, token: int) -> Token:
    markers = {
        task.PREFIX: Marker.PREFIX,
        task.SEP: Marker.SEPARATOR,
        task.SEP_ANSWER: Marker.ANSWER,
    }
    return markers.get(token, token - _first_element(task))


def _named(task: SetDisjointness, answer: bool | int | None) -> int:
    """The target token that an answer stands for; `IGNORE_INDEX`, none at all, for no element."""
    if task.answer == "decision":
        return task.INTERSECTING if answer else task.DISJOINT
    return IGNORE_INDEX if answer is None else answer + _first_element(task)


def _first_element(task: SetDisjointness) -> int:
    return task.vocab_size - task.universe_size


_Algorithm = StreamingAlgorithm[Any]


def _one_pass(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return OnePass(task.universe_size, search=task.answer == "token", packed=True)


def _multi_pass(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return MultiPass(
        task.universe_size,
        length=task.size_a + task.size_b + 2,
        passes=task.passes,
        search=task.answer == "token",
        packed=True,
    )


def _just_read_twice(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return JustReadTwice(
        task.universe_size,
        length=task.size_a + task.size_b + 2,
        search=task.answer == "token",
        packed=True,
    )


def _hashing(task: SetDisjointness, bits: int, seed: int) -> Fingerprint:
    return Fingerprint.drawn(
        task.universe_size, bits, seed=seed, search=task.answer == "token", packed=True
    )


def _fingerprint(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    def most_bits(bits: int) -> int:
        most = max(one_pass_bits(1 << bits, k) for k in range(min(task.size_a, 1 << bits) + 1))
        return _hashing(task, bits, seed).header_bits + most

    # The family's prime p has p(p - 1) functions; from 2^bits = p on, no two elements collide.
    longest = isqrt(coin_count(task.universe_size)).bit_length()
    fitting = [bits for bits in range(longest + 1) if most_bits(bits) <= config.budget]
    return _hashing(task, max(fitting), seed)


def _random_kernel(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return KernelAttention(
        task.universe_size, features=config.features, seed=seed, search=task.answer == "token"
    )


_BUILDERS: dict[str, Callable[[AlgorithmConfig, SetDisjointness, int], _Algorithm]] = {
    "one_pass": _one_pass,
    "just_read_twice": _just_read_twice,
    "multi_pass": _multi_pass,
    "fingerprint": _fingerprint,
    "random_kernel": _random_kernel,
}
