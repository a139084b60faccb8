"""Reductions between recall and communication problems, each a pair of maps.

A `Reduction` maps an instance of one problem to one or several of another, and the answers back;
`Reduction.solve` runs it with any solver of the second problem. The arrows:

    DisjointnessToRecall    set disjointness → general associative recall     1 call
    RecallToDisjointness    general associative recall → set disjointness     ⌈log₂(c + 1)⌉ calls
    EqualityToRecall        equality → multi-query associative recall         1 call
    IndexToRecall           index → associative recall, read twice            1 call

Where the source is a communication problem, what Alice has and what Bob has stay apart: pairs are
made from her input, queries from his.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from .checks import make_integers_python, require_at_least, require_between

Source = TypeVar("Source")
Target = TypeVar("Target")
SourceAnswer = TypeVar("SourceAnswer")
TargetAnswer = TypeVar("TargetAnswer")


class Reduction(ABC, Generic[Source, Target, SourceAnswer, TargetAnswer]):
    """Solves one problem by calls to a solver of another."""

    @abstractmethod
    def instances(self, source: Source) -> tuple[Target, ...]:
        """Map an instance to those of the other problem, one for each call."""

    @abstractmethod
    def answer(self, source: Source, answers: tuple[TargetAnswer, ...]) -> SourceAnswer:
        """Map the answers of these calls, in their order, back to the answer for `source`."""

    def solve(self, source: Source, solver: Callable[[Target], TargetAnswer]) -> SourceAnswer:
        """The answer for `source`, got from `solver` alone."""
        return self.answer(source, tuple(map(solver, self.instances(source))))


@dataclass(frozen=True)
class DisjointnessInstance:
    """Two sets; which elements of the second are in the first?

    The streaming algorithm of Theorem G.15 flags every such element, so that is the answer here:
    the sets are disjoint when it is empty.

    Attributes:
        first: A.
        second: B.
    """

    first: frozenset[int]
    second: frozenset[int]

    def solve(self) -> frozenset[int]:
        """The elements in both, by brute force."""
        return self.first & self.second


@dataclass(frozen=True)
class GeneralRecallInstance:
    """Key-value pairs, then queries; each query is answered by its value, or by None (Null).

    Multi-query associative recall (MQAR) is the case where the keys are tokens read along with the
    queries; here all pairs come first.

    >>> GeneralRecallInstance(pairs=((5, 2), (7, 0)), queries=(7, 1, 5, 7), values=3).solve()
    (0, None, 2, 0)

    Attributes:
        pairs: (key, value) in order, 0 ≤ value < values.
        queries: keys to look up; no query matches two pairs, else its answer would not be unique.
        values: c, how many values there are.

    Raises:
        ValueError: if a value is out of range, or a query matches two pairs.

    Source:
        General associative recall, Appendix G (G.24) of arXiv:2407.05483.
    """

    pairs: tuple[tuple[int, int], ...]
    queries: tuple[int, ...]
    values: int

    def __post_init__(self) -> None:
        make_integers_python(self)
        for pair in self.pairs:
            if not 0 <= pair[1] < self.values:
                raise ValueError(f"pairs: {pair}: 0 ≤ value < values = {self.values} is needed")
        keys = [key for key, _ in self.pairs]
        for query in set(self.queries):
            if keys.count(query) > 1:
                raise ValueError(f"queries: {query} matches several pairs; one at most is allowed")

    def solve(self) -> tuple[int | None, ...]:
        """The answers to the queries, by brute force."""
        return tuple(
            next((value for key, value in self.pairs if key == query), None)
            for query in self.queries
        )


@dataclass(frozen=True)
class EqualityInstance:
    """Alice has one number, Bob another; are they equal?

    Attributes:
        first: Alice's.
        second: Bob's.
    """

    first: int
    second: int

    def solve(self) -> bool:
        """Whether the two are equal."""
        return self.first == self.second


@dataclass(frozen=True)
class IndexInstance:
    """Alice has bits, Bob has a position; what is the bit there?

    One message from Alice needs Ω(len(bits)) bits, even if it may err.

    Attributes:
        bits: Alice's, each 0 or 1.
        position: Bob's.

    Raises:
        ValueError: if a bit is neither 0 nor 1, or unless 0 ≤ position < len(bits).
    """

    bits: tuple[int, ...]
    position: int

    def __post_init__(self) -> None:
        make_integers_python(self)
        if not set(self.bits) <= {0, 1}:
            raise ValueError(f"bits = {self.bits}: 0 and 1 are allowed")
        require_between(0, len(self.bits), open_high=True, position=self.position)

    def solve(self) -> int:
        """The bit at the position."""
        return self.bits[self.position]


@dataclass(frozen=True)
class RecallInstance:
    """Key-value pairs and one query that is among the keys, repeated `passes` times.

    >>> RecallInstance(pairs=((0, 8), (1, 9)), query=1, passes=2).tokens
    (0, 8, 1, 9, 1, 0, 8, 1, 9, 1)

    Attributes:
        pairs: (key, value) in order; distinct keys.
        query: one of the keys.
        passes: p; 2 for the JRT prompt.

    Raises:
        ValueError: if a key occurs twice, the query is no key, or passes < 1.

    Source:
        Associative recall, Appendix G; Definition G.4 for the prompt.
    """

    pairs: tuple[tuple[int, int], ...]
    query: int
    passes: int = 1

    def __post_init__(self) -> None:
        make_integers_python(self)
        keys = [key for key, _ in self.pairs]
        if len(set(keys)) < len(keys):
            raise ValueError(f"pairs = {self.pairs}: distinct keys are needed")
        if self.query not in keys:
            raise ValueError(f"query = {self.query}: one of the keys {keys} is needed")
        require_at_least(1, passes=self.passes)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The prompt: (k₁ v₁ … k_m v_m q) × passes."""
        return (*(token for pair in self.pairs for token in pair), self.query) * self.passes

    @property
    def query_positions(self) -> tuple[int, ...]:
        """Where in `tokens` the query stands: all that depends on Bob, `passes` positions."""
        copy_length = 2 * len(self.pairs) + 1
        return tuple(range(copy_length - 1, copy_length * self.passes, copy_length))

    def solve(self) -> int:
        """The query's value, by brute force."""
        return dict(self.pairs)[self.query]


class DisjointnessToRecall(
    Reduction[DisjointnessInstance, GeneralRecallInstance, frozenset[int], tuple[int | None, ...]]
):
    """Set disjointness by one call of general recall: pairs (a, a), queries B.

    >>> sets = DisjointnessInstance(frozenset({1, 4, 6}), frozenset({2, 4}))
    >>> DisjointnessToRecall().instances(sets)[0]
    GeneralRecallInstance(pairs=((1, 1), (4, 4), (6, 6)), queries=(2, 4), values=7)
    >>> DisjointnessToRecall().solve(sets, GeneralRecallInstance.solve)
    frozenset({4})

    Raises:
        ValueError: from `instances`, for an element below 0, which is no value.

    Source:
        G.24-26 of arXiv:2407.05483.
    """

    def instances(self, source: DisjointnessInstance) -> tuple[GeneralRecallInstance]:
        pairs = tuple((element, element) for element in sorted(source.first))
        queries = tuple(sorted(source.second))
        return (GeneralRecallInstance(pairs, queries, values=max(source.first, default=-1) + 1),)

    def answer(
        self, source: DisjointnessInstance, answers: tuple[tuple[int | None, ...], ...]
    ) -> frozenset[int]:
        return frozenset(element for element in answers[0] if element is not None)


class RecallToDisjointness(
    Reduction[GeneralRecallInstance, DisjointnessInstance, tuple[int | None, ...], frozenset[int]]
):
    """General recall by ⌈log₂(c + 1)⌉ calls of set disjointness, one for each bit of a value.

    Values are coded from 1, so that no bit set means Null; each call compares the queries with the
    keys whose value has its bit set.

    >>> recall = GeneralRecallInstance(pairs=((5, 2), (7, 0)), queries=(7, 1, 5), values=3)
    >>> len(RecallToDisjointness().instances(recall))
    2
    >>> RecallToDisjointness().solve(recall, DisjointnessInstance.solve)
    (0, None, 2)

    Each call has to tell which queries are hit. A solver that only decides whether the sets meet
    serves one query at a time, and m queries then take m times as many calls. Where a query matched
    two pairs, the bits of their values would mix: `GeneralRecallInstance` refuses it.

    Source:
        G.24-26 of arXiv:2407.05483.
    """

    def instances(self, source: GeneralRecallInstance) -> tuple[DisjointnessInstance, ...]:
        queries = frozenset(source.queries)
        return tuple(
            DisjointnessInstance(
                frozenset(key for key, value in source.pairs if (value + 1) >> bit & 1), queries
            )
            for bit in range(source.values.bit_length())
        )

    def answer(
        self, source: GeneralRecallInstance, answers: tuple[frozenset[int], ...]
    ) -> tuple[int | None, ...]:
        codes = (
            sum(1 << bit for bit, hits in enumerate(answers) if query in hits)
            for query in source.queries
        )
        return tuple(code - 1 if code else None for code in codes)


class EqualityToRecall(
    Reduction[EqualityInstance, GeneralRecallInstance, bool, tuple[int | None, ...]]
):
    """Equality by one call of multi-query recall: Alice's number is a key, Bob's a query.

    So a model for recall computes equality, and with it a polynomial of degree 2p in the p-hot
    encoding. Recall has to answer Null to a query that was never a key.

    >>> reduction, recall = EqualityToRecall(), GeneralRecallInstance.solve
    >>> [reduction.solve(EqualityInstance(5, y), recall) for y in (5, 6)]
    [True, False]

    Source:
        G.8 of arXiv:2407.05483.
    """

    def instances(self, source: EqualityInstance) -> tuple[GeneralRecallInstance]:
        return (GeneralRecallInstance(((source.first, 0),), (source.second,), values=1),)

    def answer(self, source: EqualityInstance, answers: tuple[tuple[int | None, ...], ...]) -> bool:
        return answers[0] != (None,)


class IndexToRecall(Reduction[IndexInstance, RecallInstance, int, int]):
    """Index by one call of associative recall on a JRT prompt: keys are positions.

    Of n bits, the keys are tokens 0 … n-1, the values tokens n (for 0) and n + 1 (for 1). Alice
    knows the whole prompt but for the query, which stands in it twice; so she can send Bob what the
    model computes as a polynomial in the query's bits: no short polynomial can do.

    >>> index = IndexInstance(bits=(0, 1, 1), position=1)
    >>> IndexToRecall().instances(index)[0].tokens
    (0, 3, 1, 4, 2, 4, 1, 0, 3, 1, 4, 2, 4, 1)
    >>> IndexToRecall().solve(index, RecallInstance.solve)
    1

    Source:
        Theorem G.6 of arXiv:2407.05483.
    """

    def instances(self, source: IndexInstance) -> tuple[RecallInstance]:
        keys = len(source.bits)
        pairs = tuple((position, keys + bit) for position, bit in enumerate(source.bits))
        return (RecallInstance(pairs, source.position, passes=2),)

    def answer(self, source: IndexInstance, answers: tuple[int, ...]) -> int:
        return answers[0] - len(source.bits)


def recall_from_tokens(tokens: Iterable[int], passes: int) -> int:
    """Read an associative recall prompt back and answer its last token, from the tokens alone.

    >>> recall_from_tokens((0, 8, 1, 9, 1, 0, 8, 1, 9, 1), passes=2)
    9

    Args:
        tokens: (k₁ v₁ … k_m v_m q) × passes, as `RecallInstance.tokens`.
        passes: p ≥ 1.

    Raises:
        ValueError: if the tokens are not such a prompt.
    """
    read = tuple(tokens)
    require_at_least(1, passes=passes)
    copy = read[: len(read) // passes]
    if len(copy) % 2 == 0 or copy * passes != read:
        raise ValueError(f"tokens = {read}: passes = {passes} copies of (k v … q) are needed")
    pairs = tuple(zip(copy[:-1:2], copy[1:-1:2], strict=True))
    return RecallInstance(pairs, copy[-1], passes).solve()
