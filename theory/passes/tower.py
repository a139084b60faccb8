"""The hash tower: p passes, errors allowed, and a state of few bits for each element.

A is hashed; the elements of B that fall into occupied cells are hashed in turn, by another
function; and so on: what passes one *level* occupies the cells of the next, 2p - 1 of them. Common
elements pass all levels, others each with a small chance. So few are left after some levels that
the last one may spend many bits on each, and the elements of B that pass it are the answer. Where A
is much the longer set, the first level has few cells and filters little: nothing is gained by
leaving it out.

The functions are public and not counted. Each gives each element a uniform cell, independently;
with that, all chances here are exact, and hold for every pair of sets.

The state does not depend on n: the factor log₂ n of chunks of elements
(`theory.algorithms.multi_pass`) is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import cycle, pairwise
from math import log2
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..checks import (
    make_integers_python,
    require_at_least,
    require_between,
    with_python_integers,
)
from ..counting import subsets_up_to
from ..setting import Problem

LARGEST_SET = 1024
"""Elements of either set at most: towers are then found within a minute."""

LEAST_ERROR = Fraction(1, 10**9)
"""Below, sums of chances would be rounded too much."""

_MOST_CELLS = 2**60  # of a level: as good as infinitely many
_SPILLS = (0.03, 0.003, 0.0001)  # chances to give up at a level, of which the best is chosen

Chances: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """Where the elements of one reading are hashed to.

    Attributes:
        cells: values of the hash function, at least 1.
        capacity: most cells that may be occupied, at least 1; beyond, the tower gives up.
    """

    cells: int
    capacity: int

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_at_least(1, cells=self.cells, capacity=self.capacity)


@dataclass(frozen=True)
class Tower:
    """Levels for sets of given sizes; see the module.

    A tower that gives up takes the sets to meet, and names no element. So it never misses that
    they meet, and `error` is that of disjoint sets, or of naming the one common element.

    >>> levels = (Level(cells=144, capacity=64), Level(255, 34), Level(10438, 13))
    >>> tower = Tower(64, 64, levels)
    >>> tower.passes, round(tower.bits), round(tower.error("decision"), 3)
    (2, 141, 0.036)

    Attributes:
        size_a: a = |A|, 1 … `LARGEST_SET`.
        size_b: b = |B|, the same.
        levels: 2p - 1 of them; the first has room for all of A.

    Raises:
        ValueError: for sizes outside these limits, an even number of levels, or a first level with
            less room.
    """

    size_a: int
    size_b: int
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_between(1, LARGEST_SET, size_a=self.size_a, size_b=self.size_b)
        if len(self.levels) % 2 == 0:
            raise ValueError(f"levels: {len(self.levels)} of them; an odd number is needed")
        require_at_least(self.size_a, first_capacity=self.levels[0].capacity)

    @property
    def passes(self) -> int:
        """p, copies of the prompt."""
        return len(self.levels) // 2 + 1

    @property
    def states(self) -> tuple[int, ...]:
        """How many states the tower may be in at the marker that ends each level's reading.

        A non-empty set of occupied cells on the first; then any set within the capacity, or the
        note that the tower has given up.
        """
        first, *others = self.levels
        return (
            subsets_up_to(first.cells, self.size_a) - 1,
            *(subsets_up_to(level.cells, level.capacity) + 1 for level in others),
        )

    @property
    def bits(self) -> float:
        """log₂ of the most states at a segment boundary."""
        return log2(max(self.states))

    def error(self, problem: Problem) -> float:
        """The chance of a wrong answer, over the hash functions, on the worst sets.

        Deciding, for disjoint sets: sets that meet are never missed. Searching, for sets with one
        common element, the last of B.
        """
        occupied = self._occupied(shared=int(problem == "search"))
        others = self.size_b - int(problem == "search")
        return max(0.0, 1 - float(occupied @ (1 - self._pass_chance()) ** others))

    def accuracy(self, problem: Problem) -> float:
        """Right answers on average: searching, over the order of B; deciding, half are disjoint.

        >>> one_pass = Tower(3, 2, (Level(cells=1, capacity=3),))
        >>> one_pass.accuracy("search"), one_pass.accuracy("decision")
        (0.5, 0.5)
        """
        if problem == "decision":
            return 1 - self.error(problem) / 2
        # One of those that pass is named: of 1 + Binomial(b - 1, q).
        q = self._pass_chance()[1:]
        named = (1 - (1 - q) ** self.size_b) / (self.size_b * q)
        return float(self._occupied(shared=1)[1:] @ named)

    def _pass_chance(self) -> Chances:
        """By the number of occupied cells of the last level: the chance to fall into one."""
        last = self.levels[-1]
        return np.arange(min(last.capacity, last.cells) + 1) / last.cells

    def _occupied(self, shared: int) -> Chances:
        """The chance of each number of occupied cells of the last level; they sum to less than 1.

        What is missing is the chance to have given up.
        """
        occupied = _thrown(_exactly(self.size_a), self.levels[0])
        for size, (before, level) in zip(self._sizes(), pairwise(self.levels), strict=False):
            occupied = _thrown(_passing(occupied, before.cells, size, shared), level)
        return occupied

    def _sizes(self) -> Iterator[int]:
        """Of the sets that the levels after the first take."""
        return cycle((self.size_b, self.size_a))


@with_python_integers
def tower_within(
    size_a: int, size_b: int, passes: int, bits: float, problem: Problem = "search"
) -> Tower:
    """The most accurate of the towers tried whose states at segment boundaries take so many bits.

    Tried are some chances to give up. Each level has the least capacity that these allow, and then
    as many cells as the bits do.

    >>> [round(tower_within(12, 4, passes, 8).accuracy("search"), 2) for passes in (1, 2)]
    [0.3, 0.47]

    Args:
        size_a: a = |A|, 1 … `LARGEST_SET`.
        size_b: b = |B|, the same.
        passes: p ≥ 1.
        bits: at least 0; below log₂ 3, a tower of two states or three is the smallest.
        problem: ``"search"``, one common element; or ``"decision"``, half of the sets disjoint.

    Raises:
        ValueError: unless the arguments are as above.
    """
    if bits < 0:
        raise ValueError(f"bits = {bits}: at least 0 is needed")
    tried = [_tower(size_a, size_b, passes, bits, spill) for spill in _SPILLS]
    return max(tried, key=lambda tower: tower.accuracy(problem))


@with_python_integers
def tower_for(
    size_a: int, size_b: int, passes: int, error: Fraction | float, problem: Problem = "decision"
) -> Tower:
    """The tower with the fewest whole bits, among those tried, that is wrong with chance ≤ δ.

    >>> [round(tower_for(64, 64, passes, 0.05).bits / 64, 1) for passes in (1, 2, 3)]
    [11.7, 2.2, 1.5]

    Args:
        size_a: a = |A|, 1 … `LARGEST_SET`.
        size_b: b = |B|, the same.
        passes: p ≥ 1.
        error: δ, `LEAST_ERROR` ≤ δ < 1, on every instance.
        problem: ``"decision"``, or ``"search"`` for the one common element.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_between(LEAST_ERROR, 1, open_high=True, error=error)
    spill = float(error) / (4 * passes)

    def of(bits: int) -> Tower:
        return _tower(size_a, size_b, passes, bits, spill)

    most = 1
    while of(most).error(problem) > error:
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        if of(middle).error(problem) > error:
            least = middle
        else:
            most = middle
    return of(most)


def _tower(size_a: int, size_b: int, passes: int, bits: float, spill: float) -> Tower:
    """With as many cells as the bits allow, and at each level this chance to give up."""
    require_between(1, LARGEST_SET, size_a=size_a, size_b=size_b)
    require_at_least(1, passes=passes)
    levels = [Level(_most_cells(size_a, bits), size_a)]
    occupied = _thrown(_exactly(size_a), levels[0])
    for size in (size_b, size_a) * (passes - 1):
        passing = _passing(occupied, levels[-1].cells, size, shared=1)
        more = 1 - np.cumsum(passing)  # the chance that more than so many pass, or it gave up
        capacity = max(1, int(np.argmax(more <= more[-1] + spill)))
        levels.append(Level(_most_cells(capacity, bits), capacity))
        occupied = _thrown(passing, levels[-1])
    return Tower(size_a, size_b, tuple(levels))


def _most_cells(capacity: int, bits: float) -> int:
    """The most cells whose sets of at most so many take so many bits, with one for giving up."""

    def fits(cells: int) -> bool:
        return log2(subsets_up_to(cells, capacity) + 1) <= max(bits, log2(3))

    most = 1
    while most < _MOST_CELLS and fits(2 * most):
        most *= 2
    step = most if most < _MOST_CELLS else 0
    while step := step // 2:
        if fits(most + step):
            most += step
    return most


def _exactly(elements: int) -> Chances:
    """The chances of each number of elements, if it is known."""
    chances: Chances = np.zeros(elements + 1)
    chances[-1] = 1
    return chances


def _passing(occupied: Chances, cells: int, size: int, shared: int) -> Chances:
    """The chances of how many elements fall into occupied cells: the shared ones, and others."""
    chances = np.arange(len(occupied)) / cells
    return np.concatenate((np.zeros(shared), occupied @ _binomial(size - shared, chances)))


def _thrown(elements: Chances, level: Level) -> Chances:
    """Chances of each number of occupied cells, from those of each number of elements."""
    room = min(level.capacity, level.cells)
    k = np.arange(room + 1)
    occupied: Chances = np.zeros(room + 1)
    for chance in elements[::-1]:  # Horner's rule, in the matrix that throws one element more
        grown = occupied * (1 - k / level.cells)
        occupied = occupied * k / level.cells
        occupied[1:] += grown[:-1]
        occupied[0] += chance
    return occupied


def _binomial(trials: int, chances: Chances) -> Chances:
    """The chances of 0 … trials successes, a row for each chance of one."""
    k = np.arange(trials + 1)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials + 1)))))
    log_choices = log_factorial[-1] - log_factorial - log_factorial[::-1]
    tiny = np.finfo(np.float64).tiny
    success = np.log(np.maximum(chances, tiny))[:, None]
    failure = np.log(np.maximum(1 - chances, tiny))[:, None]
    result: Chances = np.exp(log_choices + k * success + (trials - k) * failure)
    return result
