"""Sizes may be NumPy's integers: the results are those of Python's, whatever would overflow."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import theory
from theory.based.coherence import alon_order, welch_allows, welch_dimension
from theory.based.kernels import DataDependentKernel, ExponentialKernel
from theory.based.random_signs import RandomSignKernel
from theory.based.theorem_g22 import PromptLayout
from theory.counting import ceil_log2, ceil_log2_binomial, subsets_up_to
from theory.layers.approximation import approximate_degree, best_approximation, layers_within
from theory.layers.equality import binary_equality, p_hot_equality
from theory.layers.index import index_recall_stack, recall_layers
from theory.one_pass.filters import (
    false_positive_bound,
    fingerprint_bits,
    fingerprint_bits_for,
    membership_bits,
)
from theory.one_pass.optima import best_accuracy
from theory.one_pass.rate_distortion import ranking_search_bits
from theory.one_pass.with_error import index_length
from theory.passes.exhaustive import fewest_recurrent_states, fewest_states
from theory.passes.protocols import examine
from theory.passes.rank import disjointness_matrix
from theory.passes.tower import tower_for, tower_within

TENTH = Fraction(1, 10)
CALLS: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (ceil_log2, (2**62,)),
    (ceil_log2_binomial, (2**62, 2**61)),
    (subsets_up_to, (1000, 30)),
    (theory.all_told_apart, (32, 4, 12)),
    (theory.recall_bits, (8, 16, 0.1)),
    (theory.recall_accuracy, (8, 16, 10)),
    (theory.search_bits, (32, 12, 4, 0.1)),
    (theory.search_accuracy, (32, 12, 4, 10)),
    (theory.decision_bits, (32, 12, 4, 0.1)),
    (theory.decision_accuracy, (32, 12, 4, 10)),
    (ranking_search_bits, (32, 12, 4, 0.1)),
    (best_accuracy, (5, 2, 2, 3)),
    (theory.coin_count, (2**40,)),
    (theory.index_bits, (32, 4, 12, TENTH)),
    (theory.memory_needs, (2048, 4, 256, 3)),
    (theory.multi_pass_bits, (2048, 40, 256, 2)),
    (theory.one_pass_bits, (2**62, 2**61)),
    (theory.one_pass_search_bits, (32, 4, 12)),
    (theory.profile, (8, 3, 3)),
    (theory.two_way_bits, (2048, 40, 256)),
    (theory.prompt, ([3, 1], [2], 2)),
    (false_positive_bound, (70, 2**40, 2**40)),
    (fingerprint_bits, (2**10, 2**12, TENTH)),
    (fingerprint_bits_for, (2**40, 2**40, TENTH)),
    (membership_bits, (256, 64, 64, TENTH)),
    (index_length, (32, 4, 12)),
    (fewest_states, (4, 1, 1, 2)),
    (fewest_recurrent_states, (4, 1, 1, 2)),
    (tower_within, (4, 6, 2, 9)),
    (tower_for, (4, 6, 2, 0.1)),
    (examine, (theory.OnePass(5), 5, 3, 2)),
    (disjointness_matrix, (5, 2, 2)),
    (recall_layers, (64, 16, 8)),
    (approximate_degree, (6, TENTH)),
    (best_approximation, (6, 2)),
    (layers_within, (6, TENTH)),
    (welch_allows, (28, 7, TENTH)),
    (welch_dimension, (10**6, TENTH)),
    (alon_order, (10**6, TENTH)),
    (binary_equality, (3,)),
    (p_hot_equality, (2, 3)),
    (index_recall_stack, (4,)),
]


def numpy_like(value: Any) -> Any:
    if isinstance(value, list):
        return [numpy_like(entry) for entry in value]
    return np.int64(value) if isinstance(value, int) else value


@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_function_takes_them(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    given, expected = function(*map(numpy_like, arguments)), function(*arguments)
    assert str(given) == str(expected)


def test_an_algorithm_takes_them() -> None:
    first, second = np.array([3, 31]), np.arange(12)
    makers: list[Callable[[Any], theory.StreamingAlgorithm[Any]]] = [
        lambda to: theory.OnePass(to(2**62), search=True, packed=True),
        lambda to: theory.Fingerprint(to(2**62), fingerprint_bits=to(20), coins=to(5)),
        lambda to: theory.Fingerprint.drawn(to(2**62), to(20), seed=to(1)),
        lambda to: theory.JustReadTwice(to(2**62), length=to(16)),
        lambda to: theory.MultiPass(to(64), length=to(16), passes=to(2), size_a=to(2)),
        lambda to: theory.KernelAttention(to(64), features=to(8), seed=to(0)),
    ]
    for make in makers:
        numpy_made, made = make(np.int64), make(int)
        assert numpy_made == made
        numpy_stream = theory.prompt(first, second, np.int64(2))
        stream = theory.prompt(first.tolist(), second.tolist(), 2)
        if isinstance(made, theory.KernelAttention):
            numpy_stream, stream = numpy_stream[16:], stream[16:]
        assert numpy_made.run(numpy_stream) == made.run(stream)


@pytest.mark.parametrize(
    "make",
    [
        lambda to: ExponentialKernel(to(8), to(3)),
        lambda to: DataDependentKernel(to(8), (to(3), to(1))),
        lambda to: RandomSignKernel(to(8), to(3), seed=to(0)),
        lambda to: PromptLayout(to(4), to(8)),
    ],
)
def test_a_construction_takes_them(make: Callable[[Any], Any]) -> None:
    assert repr(vars(make(np.int64))) == repr(vars(make(int)))
