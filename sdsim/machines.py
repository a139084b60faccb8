"""Machines of known memory as models: theory's streaming algorithms on the test data of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt
from typing import Any, ClassVar, Literal, get_args

from sdsim.models.config import STRICT
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

MachineKind = Literal["one_pass", "just_read_twice", "multi_pass", "fingerprint", "random_kernel"]


@dataclass(frozen=True)
class MachineConfig:
    """A streaming algorithm in place of a model: nothing is trained, every bit held is counted.

    Attributes:
        name: what the runs and figures call it.
        machine: the algorithm. one_pass stores all of A; just_read_twice (Algorithm 3) the smaller
            set, on two passes; multi_pass a part of it at a time, on two passes or more;
            fingerprint a hash value for each element of A; random_kernel is linear attention with
            random features (G.23).
        budget: of fingerprint, bits: the longest hash values with which the state fits.
        features: f of random_kernel.

    Raises:
        ValueError: naming the field, its value and what is allowed.

    Source:
        `theory.algorithms`.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    machine: MachineKind
    budget: int = 0
    features: int = 0

    def __post_init__(self) -> None:
        if self.machine not in get_args(MachineKind):
            kinds = ", ".join(get_args(MachineKind))
            raise ValueError(f"model.machine = {self.machine!r}: one of {kinds}")
        for field, user in (("budget", "fingerprint"), ("features", "random_kernel")):
            value = getattr(self, field)
            if (value < 1) == (self.machine == user) or value < 0:
                raise ValueError(
                    f"model.{field} = {value}: at least 1 for machine {user!r}, 0 for the others"
                )

    def check(self, task: Task) -> SetDisjointness:
        """The task, if the machine can do it; else `ValueError`."""
        if not isinstance(task, SetDisjointness) or task.answer == "all":
            raise ValueError(
                f"model.machine = {self.machine!r}: machines do set disjointness with the answer "
                "'token' or 'decision' only"
            )
        least, most = {"just_read_twice": (2, 2), "multi_pass": (2, None)}.get(
            self.machine, (1, None)
        )
        if task.passes < least or (most is not None and task.passes > most):
            allowed = f"exactly {least}" if least == most else f"at least {least}"
            raise ValueError(f"task.passes = {task.passes}: {allowed} for machine {self.machine!r}")
        header = _hashing(task, 0, seed=0).header_bits
        if self.machine == "fingerprint" and self.budget < header:
            raise ValueError(
                f"model.budget = {self.budget}: at least {header} bits, which its counters and "
                "answer take"
            )
        return task


def run_machine(config: MachineConfig, task: Task, examples: int, seed: int) -> tuple[int, int]:
    """Read test examples, the same ones that a network is tested on, token by token.

    Args:
        config, task: as `MachineConfig.check` allows.
        examples: how many.
        seed: of the test stream and of the machine's coins.

    Returns:
        Right answers; the most bits held at any time in any of the examples.
    """
    sets = config.check(task)
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


def _one_pass(config: MachineConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return OnePass(task.universe_size, search=task.answer == "token", packed=True)


def _multi_pass(config: MachineConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return MultiPass(
        task.universe_size,
        length=task.size_a + task.size_b + 2,
        passes=task.passes,
        search=task.answer == "token",
        packed=True,
    )


def _just_read_twice(config: MachineConfig, task: SetDisjointness, seed: int) -> _Algorithm:
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


def _fingerprint(config: MachineConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    def most_bits(bits: int) -> int:
        most = max(one_pass_bits(1 << bits, k) for k in range(min(task.size_a, 1 << bits) + 1))
        return _hashing(task, bits, seed).header_bits + most

    # The family's prime p has p(p - 1) functions; from 2^bits = p on, no two elements collide.
    longest = isqrt(coin_count(task.universe_size)).bit_length()
    fitting = [bits for bits in range(longest + 1) if most_bits(bits) <= config.budget]
    return _hashing(task, max(fitting), seed)


def _random_kernel(config: MachineConfig, task: SetDisjointness, seed: int) -> _Algorithm:
    return KernelAttention(
        task.universe_size, features=config.features, seed=seed, search=task.answer == "token"
    )


_BUILDERS: dict[str, Callable[[MachineConfig, SetDisjointness, int], _Algorithm]] = {
    "one_pass": _one_pass,
    "just_read_twice": _just_read_twice,
    "multi_pass": _multi_pass,
    "fingerprint": _fingerprint,
    "random_kernel": _random_kernel,
}
