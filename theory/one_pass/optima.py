"""The best that so few states can do, by trying all messages: how tight the bounds are.

Feasible for tiny sizes alone. Public coins do not change it: the accuracy is a mean over uniform
instances, so that some outcome of the coins does as well as they do on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from ..checks import require_at_least, with_python_integers
from ..setting import Problem, check_sizes

MOST_SETS = 15
"""First sets for which all messages are tried: all ways to split 15 of them into classes."""

MOST_SETS_FOR_TWO = 20
"""The same for two states: all ways to split 20 sets in two."""

Counts = npt.NDArray[np.int64]


@with_python_integers
def is_feasible(universe: int, size_a: int, states: int) -> bool:
    """Whether `best_accuracy` answers within seconds."""
    sets = comb(universe, size_a)
    return sets <= MOST_SETS or (states <= 2 and sets <= MOST_SETS_FOR_TWO)


@with_python_integers
def feasible_states(universe: int, size_a: int, most: int) -> int:
    """How many states, of `most` or as many as tell all A's apart, are feasible; 0: none."""
    states = min(most, comb(universe, size_a))
    return next((few for few in (states, 2) if is_feasible(universe, size_a, few)), 0)


@with_python_integers
def best_accuracy(
    universe: int, size_a: int, size_b: int, states: int, problem: Problem = "search"
) -> Fraction:
    """The largest accuracy of one pass that holds one of `states` between A and B.

    >>> [str(best_accuracy(4, 2, 2, states)) for states in (1, 2, 3, 6)]
    ['1/2', '3/4', '7/8', '1']

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        states: S ≥ 1.
        problem: ``"search"``, uniform instances with one common element; or ``"decision"``, half
            of them such, half disjoint.

    Raises:
        ValueError: unless the arguments are as above and `is_feasible`.
    """
    return best_accuracies(universe, size_a, size_b, states, problem)[-1]


@with_python_integers
def best_accuracies(
    universe: int, size_a: int, size_b: int, states: int, problem: Problem = "search"
) -> list[Fraction]:
    """`best_accuracy` for 1, …, `states` states, at once."""
    check_sizes(universe, size_a, size_b, problem)
    require_at_least(1, states=states)
    if not is_feasible(universe, size_a, states):
        raise ValueError(
            f"universe = {universe}, size_a = {size_a}, states = {states}: at most {MOST_SETS} "
            f"first sets are possible, or {MOST_SETS_FOR_TWO} for two states"
        )
    right, total = _right_answers(universe, size_a, size_b, problem)
    return [Fraction(best, total) for best in _best_splits(right, states)]


def _right_answers(universe: int, size_a: int, size_b: int, problem: Problem) -> tuple[Counts, int]:
    """Right answers of the best rule for each class of first sets, and answers in all.

    A class is a bit mask over all A's. For each B the rule gives the answer that is right for most
    of the class; deciding, disjoint and meeting instances weigh the same in total.
    """
    firsts = [frozenset(each) for each in combinations(range(universe), size_a)]
    met = size_a * comb(universe - size_a, size_b - 1)  # B's that meet A in one element
    disjoint = comb(universe - size_a, size_b)
    right = np.zeros(1 << len(firsts), dtype=np.int64)
    for second in map(frozenset, combinations(range(universe), size_b)):
        common = [first & second for first in firsts]
        once = [len(each) == 1 for each in common]
        if problem == "search":
            rights = [[int(each == {x}) for each in common] for x in second]
        else:
            rights = [
                [met * (not each) for each in common],
                [disjoint * meets for meets in once],
            ]
        right += np.max([_sums(each) for each in rights], axis=0)
    whole = met if problem == "search" else 2 * met * disjoint
    return right, whole * len(firsts)


def _sums(numbers: list[int]) -> Counts:
    """The sum of the numbers in each subset, by its bit mask."""
    sums: Counts = np.zeros(1, dtype=np.int64)
    for number in numbers:
        sums = np.concatenate((sums, sums + number))
    return sums


def _best_splits(right: Counts, states: int) -> Iterator[int]:
    """The most right answers when all sets are split into 1, …, `states` classes."""
    whole = len(right) - 1
    yield int(right[whole])
    if states >= 2:
        yield int((right + right[::-1]).max())  # the mask from the end is the complement
    if states < 3:
        return
    best = right  # of each mask, split into the classes so far
    subsets = list(_masks_with_subsets(len(right).bit_length() - 1))
    _, inside_whole = subsets[-1]
    for _ in range(3, states + 1):
        best = np.array([(right[inside] + best[mask ^ inside]).max() for mask, inside in subsets])
        yield int((right[inside_whole] + best[whole ^ inside_whole]).max())


def _masks_with_subsets(bits: int) -> Iterator[tuple[int, Counts]]:
    """Each mask, with its subsets that hold its lowest bit, and the empty one."""
    yield 0, np.zeros(1, dtype=np.int64)
    for mask in range(1, 1 << bits):
        ones = [1 << bit for bit in range(bits) if mask >> bit & 1]
        inside = np.array([ones[0]])
        for one in ones[1:]:
            inside = np.concatenate((inside, inside + one))
        yield mask, np.concatenate((inside, [0]))
