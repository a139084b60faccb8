"""Good codes for one pass, found by search: what is possible, beside what is proved impossible.

A code maps each set A to one of a few states; an answer is looked up by state and B. Given the
code, the best answers are the commonest ones; given the answers, the best state of each A is the
one with most right answers. Doing both in turn never makes a code worse (Lloyd 1982). It ends in a
local optimum: the accuracy is reached by the code found, and better codes may exist.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from ..checks import require_at_least, with_python_integers
from ..setting import check_sizes

MOST_CASES = 50_000_000
"""Triples of A, B and an element of B that are kept in memory, four bytes each."""

_ROUNDS = 200


@with_python_integers
def search_accuracy_found(
    universe: int, size_a: int, size_b: int, states: int, *, restarts: int = 8, seed: int = 0
) -> Fraction:
    """How often the best code found names the one common element of A and B.

    The first search starts from a bitmap (`theory.one_pass.bitmap`) where its states are enough for
    one, the others from random codes.

    >>> str(search_accuracy_found(6, 2, 2, 4, restarts=128))
    '17/20'

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.
        states: at least 1.
        restarts: searches, at least 1.
        seed: of the random codes.

    Returns:
        The mean over uniform instances with one common element: a lower bound on the best.

    Raises:
        ValueError: unless the arguments are as above, and for more than `MOST_CASES` cases.
    """
    check_sizes(universe, size_a, size_b, "search")
    require_at_least(1, states=states, restarts=restarts)
    if states >= comb(universe, size_a):
        return Fraction(1)
    cases = comb(universe, size_a) * comb(universe, size_b) * size_b
    if cases > MOST_CASES:
        raise ValueError(f"{cases:,} cases: more than {MOST_CASES:,} are not searched")
    common = _common(universe, size_a, size_b)
    generator = np.random.default_rng(seed)
    starts = [generator.integers(states, size=len(common)) for _ in range(restarts)]
    starts[0] = _bitmap(universe, size_a, states)
    right = max(_search(common, start, states, generator) for start in starts)
    return Fraction(right, int(common.sum(dtype=np.int64)))


def _common(n: int, a: int, b: int) -> npt.NDArray[np.float32]:
    """1 where this element of this B is the only one in this A, (sets A, sets B, b)."""
    firsts, seconds = (np.array(list(combinations(range(n), size))) for size in (a, b))
    members = np.zeros((len(firsts), n), dtype=np.bool_)
    np.put_along_axis(members, firsts, True, axis=1)
    shared = members[:, seconds]
    only = shared & (shared.sum(2, keepdims=True) == 1)
    return np.asarray(only, dtype=np.float32)


def _bitmap(n: int, a: int, states: int) -> npt.NDArray[np.int64]:
    """The states of a bitmap of as many elements as these states are enough for."""
    bits = states.bit_length() - 1
    return np.array(
        [sum(1 << x for x in first if x < bits) for first in combinations(range(n), a)],
        dtype=np.int64,
    )


def _search(
    common: npt.NDArray[np.float32],
    code: npt.NDArray[np.int64],
    states: int,
    generator: np.random.Generator,
) -> int:
    """Right answers, over all A and B, of the code that the search from `code` ends in."""
    firsts, seconds, size_b = common.shape
    flat, best = common.reshape(firsts, -1), 0
    for _ in range(_ROUNDS):
        chosen = np.zeros((states, firsts), dtype=np.float32)
        chosen[code, np.arange(firsts)] = 1
        counts = (chosen @ flat).reshape(states, seconds, size_b)  # whole numbers, exact
        right = int(counts.max(2).sum(dtype=np.float64))
        if right <= best:
            return best
        best = right
        answers = np.zeros_like(counts)
        np.put_along_axis(answers, counts.argmax(2)[:, :, None], 1, axis=2)
        scores = flat @ answers.reshape(states, -1).T
        code = scores.argmax(1)
        # A state that no set has is given to one of those with the fewest right answers.
        empty = np.setdiff1d(np.arange(states), code)
        worst = np.argsort(scores.max(1) + generator.random(firsts), kind="stable")
        code[worst[: len(empty)]] = empty
    return best
