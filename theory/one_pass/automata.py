"""The exact memory profile of streaming set disjointness: states needed after each token.

The stream is ``[prefix] A [separator] B [answer]``, each set as distinct elements in any order. A
machine may bring two prefixes into one state unless some continuation that is valid after both
calls for different answers: then they *conflict*. Its least number of states after so many tokens
is the least number of classes, free of conflicts, that the prefixes of this length fall into: the
chromatic number of the conflict graph. Prefixes with the same *residual* (the answer to each valid
continuation; after Myhill and Nerode) count as one vertex, so that the order of elements and much
else drops out.

Where all inputs are valid, having no conflict is an equivalence and its classes are the states.
Here inputs carry a promise, in the search version (exactly one common element) and in the decision
version too (an element that has been read does not come again), and "no conflict" is not
transitive. So the number lies between a clique, whose prefixes all conflict, and a colouring, which
says what to merge; both are found greedily, and where they meet the number is exact. At the
separator they always meet in the decision version: every two A's conflict.

>>> at_separator = profile(6, 2, 3).separator
>>> at_separator.lower, at_separator.upper, at_separator.lower_bits
(15, 15, 4)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..checks import with_python_integers
from ..counting import ceil_log2
from ..setting import Problem, check_sizes

Masks = npt.NDArray[np.uint16]  # sets of elements, one bit each
Graph = npt.NDArray[np.bool_]  # (vertices, vertices), symmetric, no loops

_LARGEST_UNIVERSE = 11
_CLIQUES = 30  # grown for each cut, from random ties
_RECOLOURINGS = 12  # of each first colouring
_INVALID = -1


@dataclass(frozen=True)
class Cut:
    """How many states a machine needs that has read so many tokens.

    Attributes:
        tokens: tokens read, markers included.
        lower: states that every machine has here: prefixes that all conflict.
        upper: states that are enough here: classes of prefixes without conflict.
    """

    tokens: int
    lower: int
    upper: int

    @property
    def exact(self) -> bool:
        """Whether the bounds meet."""
        return self.lower == self.upper

    @property
    def lower_bits(self) -> int:
        """⌈log₂ lower⌉."""
        return ceil_log2(self.lower)

    @property
    def upper_bits(self) -> int:
        """⌈log₂ upper⌉."""
        return ceil_log2(self.upper)


@dataclass(frozen=True)
class Profile:
    """States after each prefix of the stream, for fixed sizes that the machine knows.

    Each cut is bounded by itself. The lower bounds hold for a machine at all its cuts; the upper
    bound of one cut says what a machine may do that is as large as it likes elsewhere.

    Attributes:
        universe: n, elements to draw from.
        size_a: a = |A|.
        size_b: b = |B|.
        problem: ``"decision"`` or ``"search"``.
        cuts: after 0, 1, …, a + b + 3 tokens.
    """

    universe: int
    size_a: int
    size_b: int
    problem: Problem
    cuts: tuple[Cut, ...]

    @property
    def separator(self) -> Cut:
        """The cut right after the separator: all of A read, nothing of B."""
        return self.cuts[self.size_a + 2]

    @property
    def peak(self) -> tuple[int, int]:
        """Bounds on the states where they are most: the largest lower and the largest upper one."""
        return max(cut.lower for cut in self.cuts), max(cut.upper for cut in self.cuts)


@with_python_integers
def profile(universe: int, size_a: int, size_b: int, problem: Problem = "decision") -> Profile:
    """The least number of states after each token of a stream with these sizes.

    >>> cuts = profile(5, 2, 2).cuts
    >>> [cut.lower for cut in cuts], all(cut.exact for cut in cuts)
    ([1, 1, 5, 10, 10, 11, 2, 2], True)

    One prefix, then the elements of A that were read: C(5, 1) and C(5, 2) states; one more, "they
    have met", with the first element of B; the answer at the end.

    Args:
        universe: n ≤ 11, elements to draw from; n = 10 takes seconds, n = 11 up to 20 s and 0.8 GB.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        problem: ``"decision"``, whether A and B meet, or ``"search"``, in which one element.

    Returns:
        One `Cut` for each number of tokens from 0 to a + b + 3. Deterministic.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Ours. Myhill 1957 and Nerode 1958 for residuals, Paull and Unger 1959 for machines whose
        inputs are restricted; Culberson 1992 for recolouring.
    """
    check_sizes(universe, size_a, size_b, problem)
    if universe > _LARGEST_UNIVERSE:
        raise ValueError(f"universe = {universe}: at most {_LARGEST_UNIVERSE} is possible")
    stream = _Streams(universe, size_a, size_b, problem)
    in_a = [_state_bounds(*stream.residuals_in_a(read)) for read in range(size_a)]
    in_b = [_state_bounds(*stream.residuals_in_b(read)) for read in range(size_b + 1)]
    # A marker tells nothing that the sizes do not: the states before and after it are the same.
    states = [in_a[0], *in_a, in_b[0], *in_b, in_b[-1]]
    cuts = tuple(Cut(tokens, lower, upper) for tokens, (lower, upper) in enumerate(states))
    return Profile(universe, size_a, size_b, problem, cuts)


# -------------------------------------------------------------------------------- residuals


@dataclass(frozen=True)
class _Streams:
    """All streams of the given sizes, cut in two: prefixes in rows, continuations in columns.

    The answer to a stream depends on A ∩ B alone, and which continuations are valid depends on the
    sets of elements alone; so prefixes and continuations are sets here, not sequences.
    """

    universe: int
    size_a: int
    size_b: int
    problem: Problem

    def residuals_in_a(self, read: int) -> tuple[npt.NDArray[np.int8], Sequence[Masks]]:
        """Distinct residuals after `read` < a elements of A, and what to colour them by."""
        seen = self._subsets(read)
        rest, second = _pairs(self._subsets(self.size_a - read), self._subsets(self.size_b))
        valid = (seen[:, None] & rest) == 0
        answers = self._answers((seen[:, None] | rest) & second, valid)
        rows = _distinct_rows(answers)
        return answers[rows], [seen[rows]]

    def residuals_in_b(self, read: int) -> tuple[npt.NDArray[np.int8], Sequence[Masks]]:
        """Distinct residuals after A and `read` elements of B, and what to colour them by.

        A machine that keeps A, or A with the elements of B, unless the two have met, has one
        state for each value of a colour below; then it keeps their common element, if at all.
        """
        first, seen = _pairs(self._subsets(self.size_a), self._subsets(read))
        rest = self._subsets(self.size_b - read)
        valid = (seen[:, None] & rest) == 0
        answers = self._answers(first[:, None] & (seen[:, None] | rest), valid)
        rows = _distinct_rows(answers)
        first, seen = first[rows], seen[rows]
        common = first & seen
        met = np.full_like(first, 1 << self.universe)  # no set: a state of its own
        if self.problem == "search":
            met |= common
        return answers[rows], [
            np.where(common, met, first),
            np.where(common, met, first | seen),
        ]

    def _subsets(self, size: int) -> Masks:
        members = combinations(range(self.universe), size)
        return np.array([sum(1 << element for element in each) for each in members], np.uint16)

    def _answers(self, common: Masks, valid: Graph) -> npt.NDArray[np.int8]:
        """The answer where A ∩ B = `common` is allowed by the promise and the stream is valid."""
        answer_of = np.zeros(1 << self.universe, np.int8)  # by the mask of A ∩ B
        if self.problem == "decision":
            answer_of[1:] = 1
        else:
            answer_of[:] = _INVALID
            answer_of[1 << np.arange(self.universe)] = np.arange(self.universe)
        return np.where(valid, answer_of[common], np.int8(_INVALID))


def _pairs(first: Masks, second: Masks) -> tuple[Masks, Masks]:
    """Every one of the first with every one of the second."""
    return np.repeat(first, len(second)), np.tile(second, len(first))


def _distinct_rows(answers: npt.NDArray[np.int8]) -> npt.NDArray[np.intp]:
    """One row for each residual, without those that no continuation is valid for."""
    possible = np.flatnonzero((answers != _INVALID).any(axis=1))
    bytes_of_row = np.ascontiguousarray(answers[possible]).view(f"V{answers.shape[1]}").ravel()
    first_of_each: dict[bytes, np.intp] = {}
    for row, residual in zip(possible, bytes_of_row, strict=True):
        first_of_each.setdefault(bytes(residual), row)
    return np.array(list(first_of_each.values()))


# ------------------------------------------------------------------- cliques and colourings


def _state_bounds(residuals: npt.NDArray[np.int8], colour_by: Sequence[Masks]) -> tuple[int, int]:
    """A clique's size and a colouring's number of colours, for the conflicts of residuals."""
    graph = _conflicts(residuals)
    generator = np.random.default_rng(0)
    lower = max(len(clique) for clique in _cliques(graph, generator))
    upper = len(graph)
    for colours in (np.unique(by, return_inverse=True)[1] for by in colour_by):
        if lower == upper:
            break
        upper = min(upper, _fewer_colours(graph, colours, generator))
    return lower, upper


def _conflicts(residuals: npt.NDArray[np.int8]) -> Graph:
    """Which residuals differ in a continuation that is valid for both: those valid less equal."""
    valid = (residuals != _INVALID).astype(np.float32)  # counts are below 2²⁴, so exact
    differing: npt.NDArray[np.float32] = valid @ valid.T
    for answer in range(residuals.max() + 1):
        given = (residuals == answer).astype(np.float32)
        differing -= given @ given.T
    return np.greater(differing, 0)


def _cliques(graph: Graph, generator: np.random.Generator) -> Iterator[list[int]]:
    """Cliques grown by the vertex with most neighbours among the candidates, ties at random."""
    for _ in range(_CLIQUES):
        candidates = np.ones(len(graph), dtype=bool)
        neighbours = graph.sum(axis=1) + generator.random(len(graph))
        clique = []
        while candidates.any():
            vertex = int(np.where(candidates, neighbours, -1).argmax())
            clique.append(vertex)
            dropped = candidates & ~graph[vertex]
            neighbours -= graph[dropped].sum(axis=0)
            candidates &= graph[vertex]
        yield clique


def _fewer_colours(
    graph: Graph, colours: npt.NDArray[np.intp], generator: np.random.Generator
) -> int:
    """Colours left after colouring anew, class by class, again and again: never more."""
    for turn in range(_RECOLOURINGS):
        count = colours.max() + 1
        orders = (
            -np.arange(count),
            -np.bincount(colours, minlength=count),
            generator.permutation(count),
        )
        by_class = np.lexsort((colours, orders[turn % 3][colours]))
        colours = _first_fit(graph, by_class)
    return int(colours.max()) + 1


def _first_fit(graph: Graph, order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Each vertex in turn gets the first colour that none of its neighbours has.

    When the order takes the classes of a colouring one after the other, no more colours than that
    colouring's are used: by induction, its k-th class fits within the first k.
    """
    colours = np.full(len(graph), -1)
    left = order
    colour = 0
    while left.size:  # what gets this colour, then the next: the same as vertex by vertex
        candidates = left
        while candidates.size:
            vertex, others = candidates[0], candidates[1:]
            colours[vertex] = colour
            candidates = others[~graph[vertex, others]]
        left = left[colours[left] < 0]
        colour += 1
    return colours
