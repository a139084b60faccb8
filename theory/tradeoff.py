"""Accuracy against bits, both orders: what is proved, conjectured, best and reached.

The bounds are those of one pass; what reads several times may be above them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, comb, log2
from typing import Literal

import numpy as np

from .algorithms.multi_pass import MultiPass
from .checks import require_at_least, with_python_integers
from .one_pass.exact import all_told_apart
from .one_pass.optima import best_accuracies, feasible_states
from .one_pass.rate_distortion import (
    decision_accuracy,
    ranking_search_accuracy,
    search_accuracy,
)
from .passes.tower import LARGEST_SET, Level, Tower, tower_within
from .setting import Problem, check_sizes, sizes_up_to

Kind = Literal["at most", "conjectured", "optimum", "filter", "tower", "stored exactly"]

_MOST_STATES = 8  # whose optimum is searched

_PROVED: dict[Problem, Callable[[int, int, int, float], float]] = {
    "search": search_accuracy,
    "decision": decision_accuracy,
}


@dataclass(frozen=True)
class Point:
    """An accuracy that so many bits, held at the segment boundaries, are about.

    Attributes:
        first: which set comes first, ``"A"`` or ``"B"``.
        kind: ``"at most"``, a proved upper bound; ``"conjectured"``, the same if rankings are the
            best rules; ``"optimum"``, the best of all messages; ``"filter"``, what a set of hash
            values reaches; ``"tower"``, what several levels of them do; ``"stored exactly"``, the
            first set by its number; read several times, the smaller set, or a part of it at a time.
        passes: how often the prompt is read.
        bits: log₂ of the number of states at a segment boundary, the largest.
        accuracy: mean over uniform instances.
    """

    first: Literal["A", "B"]
    kind: Kind
    passes: int
    bits: float
    accuracy: float


@with_python_integers
def tradeoff(
    universe: int,
    size_a: int,
    size_b: int,
    problem: Problem = "search",
    steps: int = 40,
    passes: int = 2,
) -> list[Point]:
    """The points of all curves, both orders, by kind and bits.

    Hash values are left out where a set has more than `theory.passes.tower.LARGEST_SET` elements.

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        problem: ``"search"``, to name the one common element; ``"decision"``, whether there is one,
            half of the time.
        steps: points of the bounds, from 0 bits to those that store the larger set.
        passes: p ≥ 1: what reads so often is shown beside what reads once.

    Raises:
        ValueError: unless the arguments are as above.
    """
    check_sizes(universe, size_a, size_b, problem)
    require_at_least(1, steps=steps, passes=passes)
    most = max(log2(comb(universe, size)) for size in (size_a, size_b))
    bits = [float(held) for held in np.linspace(0, ceil(most), steps + 1)]
    points: list[Point] = []
    orders: tuple[tuple[Literal["A", "B"], int, int], ...]
    orders = (("A", size_a, size_b), ("B", size_b, size_a))
    for first, a, b in orders:
        for kind, held, accuracy in _curves(universe, a, b, problem, bits):
            points.append(Point(first, kind, 1, held, accuracy))
        if passes > 1:
            for kind, held, accuracy in _several_passes(universe, a, b, problem, bits, passes):
                points.append(Point(first, kind, passes, held, accuracy))
    return points


def _curves(
    n: int, a: int, b: int, problem: Problem, bits: list[float]
) -> Iterator[tuple[Kind, float, float]]:
    yield from (("at most", held, _PROVED[problem](n, a, b, held)) for held in bits)
    if problem == "search" and b > 2 and all_told_apart(n, a, b):
        for held in bits:
            yield "conjectured", held, ranking_search_accuracy(n, a, b, held)
    if states := feasible_states(n, a, _MOST_STATES):
        for count, best in enumerate(best_accuracies(n, a, b, states, problem), start=1):
            yield "optimum", log2(count), float(best)
    cells = 1
    while max(a, b) <= LARGEST_SET:
        one_level = Tower(a, b, (Level(cells, capacity=a),))
        if one_level.bits > bits[-1]:
            break
        yield "filter", one_level.bits, one_level.accuracy(problem)
        cells += max(1, cells // 4)
    yield "stored exactly", log2(comb(n, a)), 1.0


def _several_passes(
    n: int, a: int, b: int, problem: Problem, bits: list[float], passes: int
) -> Iterator[tuple[Kind, float, float]]:
    best = 0.0
    for held in bits if max(a, b) <= LARGEST_SET else []:
        tower = tower_within(a, b, passes, held, problem)
        if tower.bits <= held and tower.accuracy(problem) > best:
            best = tower.accuracy(problem)
            yield "tower", tower.bits, best
    chunk = MultiPass(n, length=a + b + 2, passes=passes, size_a=a).chunk_size(a)
    # What earlier chunks have met is held beside the next one; the smaller set at once needs none.
    answers = {"search": n + 1, "decision": 2}[problem]
    yield "stored exactly", log2(min(comb(n, min(a, b)), comb(n, chunk) * answers)), 1.0


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
    for problem, proved in _PROVED.items():
        shared = int(problem == "search")
        for n, a, b in sizes_up_to(largest_universe, shared=shared):
            states = feasible_states(n, a, most_states)
            if a == n or b == shared or not states:  # searching with b = 1 takes no memory
                continue
            ranked = shared and all_told_apart(n, a, b)
            for count, best in enumerate(best_accuracies(n, a, b, states, problem), start=1):
                held = log2(count)
                conjectured = ranking_search_accuracy(n, a, b, held) if ranked else None
                at_most = proved(n, a, b, held)
                yield Optimum(problem, n, a, b, count, held, best, at_most, conjectured)
