"""Streaming algorithms as models: theory's algorithms on the test examples of a sweep."""

from __future__ import annotations

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
    """Return the task if the algorithm can do it.

    Raises:
        ValueError: for another task or answer, too few or too many passes, or a budget below what
            the algorithm holds whatever it reads.
    """
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
    if config.machine == "fingerprint":
        header = _fingerprint(task, 0, seed=0).header_bits
        if config.budget < header:
            raise ValueError(
                f"model.budget = {config.budget}: at least {header} bits, which its counters and "
                "answer take"
            )
    return task


def run_algorithm(config: AlgorithmConfig, task: Task, examples: int, seed: int) -> tuple[int, int]:
    """Read test examples, the same ones that a network is tested on, token by token.

    Args:
        config: the algorithm.
        task: one that `check_algorithm` allows.
        examples: how many to read.
        seed: of the test stream and of the algorithm's coins.

    Returns:
        The number of correct answers, and the most bits held at any time in any of the examples.

    Raises:
        ValueError: as `check_algorithm`.
    """
    sets = check_algorithm(config, task)
    algorithm = _build(config, sets, seed)
    batch = sets.sample(examples, seed=seed, split="test")
    correct, peak_bits = 0, 0
    for row, target in zip(batch.inputs.tolist(), batch.targets[:, -1].tolist(), strict=True):
        outcome = algorithm.run([_token(sets, token) for token in row])
        correct += _target(sets, outcome.answer) == target
        peak_bits = max(peak_bits, outcome.peak_bits)
    return correct, peak_bits


def _build(config: AlgorithmConfig, task: SetDisjointness, seed: int) -> StreamingAlgorithm[Any]:
    n, search = task.universe_size, task.answer == "token"
    length = task.size_a + task.size_b + 2  # of one pass
    match config.machine:
        case "one_pass":
            return OnePass(n, search=search, packed=True)
        case "just_read_twice":
            return JustReadTwice(n, length=length, search=search, packed=True)
        case "multi_pass":
            return MultiPass(n, length=length, passes=task.passes, search=search, packed=True)
        case "fingerprint":
            return _longest_fingerprint(config.budget, task, seed)
        case "random_kernel":
            return KernelAttention(n, features=config.features, seed=seed, search=search)


def _fingerprint(task: SetDisjointness, bits: int, seed: int) -> Fingerprint:
    return Fingerprint.drawn(
        task.universe_size, bits, seed=seed, search=task.answer == "token", packed=True
    )


def _longest_fingerprint(budget: int, task: SetDisjointness, seed: int) -> Fingerprint:
    """The fingerprint with the longest hash values that fit the budget, in bits."""

    def most_bits(bits: int) -> int:
        most = max(one_pass_bits(1 << bits, k) for k in range(min(task.size_a, 1 << bits) + 1))
        return _fingerprint(task, bits, seed).header_bits + most

    # The family's prime p has p(p - 1) functions; from 2^bits = p on, no two elements collide.
    longest = isqrt(coin_count(task.universe_size)).bit_length()
    fitting = [bits for bits in range(longest + 1) if most_bits(bits) <= budget]
    return _fingerprint(task, max(fitting), seed)


def _token(task: SetDisjointness, token: int) -> Token:
    """Theory's name for a token of the task: a marker, or an element from 0 on."""
    markers = {
        task.PREFIX: Marker.PREFIX,
        task.SEP: Marker.SEPARATOR,
        task.SEP_ANSWER: Marker.ANSWER,
    }
    return markers.get(token, token - _first_element(task))


def _target(task: SetDisjointness, answer: bool | int | None) -> int:
    """The target token that an answer stands for; `IGNORE_INDEX`, never a target, for None."""
    if task.answer == "decision":
        return task.INTERSECTING if answer else task.DISJOINT
    return IGNORE_INDEX if answer is None else answer + _first_element(task)


def _first_element(task: SetDisjointness) -> int:
    return task.vocab_size - task.universe_size
