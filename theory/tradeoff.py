"""Accuracy against bits of one pass, both orders: what is proved, conjectured, best and reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, comb, log2
from typing import Literal

import numpy as np
import numpy.typing as npt

from .checks import require_at_least, with_python_integers
from .counting import subsets_up_to
from .one_pass.optima import best_accuracies, is_feasible
from .one_pass.rate_distortion import (
    decision_accuracy,
    ranking_search_accuracy,
    search_accuracy,
)
from .setting import Problem, check_sizes

Kind = Literal["at most", "conjectured", "optimum", "filter", "stored exactly"]

_MOST_STATES = 8  # whose optimum is searched


@dataclass(frozen=True)
class Point:
    """An accuracy that so many bits, held between the first and the second set, are about.

    Attributes:
        first: which set comes first, ``"A"`` or ``"B"``.
        kind: ``"at most"``, a proved upper bound; ``"conjectured"``, the same if rankings are the
            best rules; ``"optimum"``, the best of all messages; ``"filter"``, what a set of hash
            values reaches; ``"stored exactly"``, the first set by its number.
        bits: log₂ of the number of states.
        accuracy: mean over uniform instances.
    """

    first: Literal["A", "B"]
    kind: Kind
    bits: float
    accuracy: float


@with_python_integers
def tradeoff(
    universe: int, size_a: int, size_b: int, problem: Problem = "search", steps: int = 40
) -> list[Point]:
    """The points of all curves, both orders, by kind and bits.

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        problem: ``"search"``, to name the one common element; ``"decision"``, whether there is one,
            half of the time.
        steps: points of the bounds, from 0 bits to those that store the larger set.

    Raises:
        ValueError: unless the arguments are as above.
    """
    check_sizes(universe, size_a, size_b, problem)
    require_at_least(1, steps=steps)
    most = max(log2(comb(universe, size)) for size in (size_a, size_b))
    bits = [float(held) for held in np.linspace(0, ceil(most), steps + 1)]
    points: list[Point] = []
    orders: tuple[tuple[Literal["A", "B"], int, int], ...]
    orders = (("A", size_a, size_b), ("B", size_b, size_a))
    for first, a, b in orders:
        for kind, held, accuracy in _curves(universe, a, b, problem, bits):
            points.append(Point(first, kind, held, accuracy))
    return points


def _curves(
    n: int, a: int, b: int, problem: Problem, bits: list[float]
) -> Iterator[tuple[Kind, float, float]]:
    bound: Callable[[int, int, int, float], float]
    bound = search_accuracy if problem == "search" else decision_accuracy
    yield from (("at most", held, bound(n, a, b, held)) for held in bits)
    if problem == "search" and b > 2 and n >= 2 * a + b - 2:
        for held in bits:
            yield "conjectured", held, ranking_search_accuracy(n, a, b, held)
    states = min(_MOST_STATES, comb(n, a))
    if not is_feasible(n, a, states):
        states = 2
    if is_feasible(n, a, states):
        for count, best in enumerate(best_accuracies(n, a, b, states, problem), start=1):
            yield "optimum", log2(count), float(best)
    cells = 1
    while (held := filter_bits(cells, a)) <= bits[-1]:
        yield "filter", held, filter_accuracy(cells, a, b, problem)
        cells += max(1, cells // 4)
    yield "stored exactly", log2(comb(n, a)), 1.0


@dataclass(frozen=True)
class Optimum:
    """The best that so many states can do, beside what is proved of them.

    Attributes:
        problem: ``"search"`` or ``"decision"``.
        universe, size_a, size_b: the sizes, A first.
        states: how many.
        bits: log₂ of them.
        optimum: the accuracy of the best message, exactly.
        at_most: the proved bound.
        conjectured: that of rankings; None where it is not conjectured.
    """

    problem: Problem
    universe: int
    size_a: int
    size_b: int
    states: int
    bits: float
    optimum: Fraction
    at_most: float
    conjectured: float | None


def optima(largest_universe: int = 6, most_states: int = _MOST_STATES) -> Iterator[Optimum]:
    """All sizes in universes of at most so many elements at which messages can all be tried.

    >>> second = list(optima(3))[1]
    >>> second.problem, second.universe, second.states, str(second.optimum)
    ('search', 2, 2, '1')
    """
    problems: tuple[Problem, ...] = ("search", "decision")
    for problem in problems:
        shared = int(problem == "search")
        bound = search_accuracy if shared else decision_accuracy
        sizes = [
            (n, a, b)
            for n in range(1, largest_universe + 1)
            for a in range(1, n)
            for b in range(1 + shared, n - a + shared + 1)  # searching with b = 1 takes no memory
        ]
        for n, a, b in sizes:
            states = min(most_states, comb(n, a))
            states = states if is_feasible(n, a, states) else 2
            if not is_feasible(n, a, states):
                continue
            ranked = shared and (b == 2 or n >= 2 * a + b - 2)
            for count, best in enumerate(best_accuracies(n, a, b, states, problem), start=1):
                held = log2(count)
                conjectured = ranking_search_accuracy(n, a, b, held) if ranked else None
                proved = bound(n, a, b, held)
                yield Optimum(problem, n, a, b, count, held, best, proved, conjectured)


def filter_bits(cells: int, size_a: int) -> float:
    """log₂ of how many sets the hash values of A may be: non-empty, at most a of m cells."""
    return log2(subsets_up_to(cells, min(size_a, cells)) - 1)


@with_python_integers
def filter_accuracy(cells: int, size_a: int, size_b: int, problem: Problem) -> float:
    """The accuracy of a filter with a random hash function.

    With k of m cells occupied, each element of B outside A seems to be in A with chance q = k/m.
    Deciding, sets that meet are found to, and disjoint ones with chance (1 - q)^b. Searching, one
    of those that seem to be in A is named, 1 of 1 + Binomial(b - 1, q), so that the chance to be
    right is (1 - (1 - q)^b)/(b q).

    >>> filter_accuracy(1, 3, 2, "search"), filter_accuracy(1, 3, 2, "decision")
    (0.5, 0.5)

    Args:
        cells: m ≥ 1, hash values.
        size_a: a ≥ 1.
        size_b: b ≥ 1.
        problem: ``"search"`` or ``"decision"``.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_at_least(1, cells=cells, size_a=size_a, size_b=size_b)
    # The chance of each number of occupied cells.
    occupied: npt.NDArray[np.float64] = np.zeros(cells + 1)
    occupied[0] = 1
    k = np.arange(cells + 1)
    for _ in range(size_a):
        grown = occupied * (1 - k / cells)
        occupied = occupied * k / cells
        occupied[1:] += grown[:-1]
    q = k[1:] / cells
    missed = (1 - q) ** size_b
    right = (1 - missed) / (size_b * q) if problem == "search" else (1 + missed) / 2
    return float(occupied[1:] @ right)
