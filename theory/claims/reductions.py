"""Claims about reductions, run on every small instance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import ceil, log2

from ..algorithms.multi_pass import JustReadTwice
from ..reductions import (
    DisjointnessInstance,
    DisjointnessToRecall,
    EqualityInstance,
    EqualityToRecall,
    GeneralRecallInstance,
    IndexInstance,
    IndexToRecall,
    RecallInstance,
    RecallToDisjointness,
    recall_from_tokens,
)
from ..setting import prompt
from .claim import Claim, Evidence, require


def _check_disjointness_to_recall() -> Evidence:
    instances = 0
    reduction = DisjointnessToRecall()
    subsets = [frozenset(c) for size in range(6) for c in combinations(range(5), size)]
    for first in subsets:
        for second in subsets:
            sets = DisjointnessInstance(first, second)
            found = reduction.solve(sets, GeneralRecallInstance.solve)
            require(found == first & second, f"A = {first}, B = {second}: {found} by recall")
            calls = len(reduction.instances(sets))
            require(calls == 1, f"A = {first}, B = {second}: {calls} calls")
            instances += 1
    return Evidence(instances, "all A, B within 5 elements, the empty set too")


def _check_recall_to_disjointness() -> Evidence:
    instances = 0
    reduction = RecallToDisjointness()
    for recall in _recalls():
        answers = recall.solve()
        found = reduction.solve(recall, DisjointnessInstance.solve)
        require(found == answers, f"{recall}: {found} by set disjointness, not {answers}")
        calls = len(reduction.instances(recall))
        # Few enough values for the float logarithm to be exact at powers of two.
        expected = ceil(log2(recall.values + 1))
        require(calls == expected, f"{recall}: {calls} calls, not {expected}")
        instances += 1
    return Evidence(instances, "keys and queries among 3 tokens, 1 to 8 values")


def _check_round_trip() -> Evidence:
    instances = 0
    for recall in _recalls():
        through = RecallToDisjointness().solve(
            recall, lambda sets: DisjointnessToRecall().solve(sets, GeneralRecallInstance.solve)
        )
        require(through == recall.solve(), f"{recall}: {through} by way of sets and back")
        streamed = RecallToDisjointness().solve(recall, _hits_by_streaming)
        require(streamed == recall.solve(), f"{recall}: {streamed} by Algorithm 3")
        instances += 1
    return Evidence(instances, "keys and queries among 3 tokens, 1 to 8 values")


def _hits_by_streaming(sets: DisjointnessInstance) -> frozenset[int]:
    """Algorithm 3 decides one query at a time."""
    model = JustReadTwice(universe=3, length=len(sets.first) + 3)
    return frozenset(
        query for query in sets.second if model.run(prompt(sets.first, [query], passes=2)).answer
    )


def _check_equality_to_recall() -> Evidence:
    numbers = range(30)
    for x, y in product(numbers, numbers):
        equality = EqualityInstance(x, y)
        recalls = EqualityToRecall().instances(equality)
        require(len(recalls) == 1, f"{equality}: {len(recalls)} calls")
        key = [pair[0] for pair in recalls[0].pairs]
        apart = key == [x] and recalls[0].queries == (y,)
        require(apart, f"{equality}: {recalls[0]} mixes what Alice and Bob have")
        equal = EqualityToRecall().solve(equality, GeneralRecallInstance.solve)
        require(equal == (x == y), f"{equality}: {equal} by recall")
        by_sets = EqualityToRecall().solve(
            equality,
            lambda recall: RecallToDisjointness().solve(recall, DisjointnessInstance.solve),
        )
        require(by_sets == (x == y), f"{equality}: {by_sets} by set disjointness")
    return Evidence(len(numbers) ** 2, "all pairs of numbers below 30")


def _check_index_to_recall() -> Evidence:
    instances = 0
    for size in range(1, 8):
        for bits in product((0, 1), repeat=size):
            prompts = []
            for position in range(size):
                index = IndexInstance(bits, position)
                (recall,) = IndexToRecall().instances(index)
                prompts.append(recall.tokens)
                read = IndexToRecall().solve(index, _recall_from_its_tokens)
                require(read == bits[position], f"{index}: {read} by recall")
                instances += 1
            differing = {
                i for i, column in enumerate(zip(*prompts, strict=True)) if len({*column}) > 1
            }
            bobs = set(recall.query_positions) if size > 1 else set()
            case = f"bits = {bits}: prompts differ at {sorted(differing)}"
            require(differing == bobs, f"{case}, the query stands at {recall.query_positions}")
            require(len(recall.query_positions) == 2, f"{case}: not read twice")
    return Evidence(instances, "all bit strings of 1 to 7 bits, all positions")


def _recall_from_its_tokens(recall: RecallInstance) -> int:
    return recall_from_tokens(recall.tokens, recall.passes)


def _recalls() -> Iterator[GeneralRecallInstance]:
    tokens = range(3)
    for values in range(1, 9):
        for held in product((None, *range(values)), repeat=len(tokens)):
            pairs = tuple((key, value) for key, value in enumerate(held) if value is not None)
            yield GeneralRecallInstance(pairs, queries=(2, 0, 1, 0), values=values)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.24-26, SD to GAR",
        "General recall with pairs (a, a) and queries B finds all of A ∩ B in one call.",
        _check_disjointness_to_recall,
        hypotheses="none",
        strength="construction",
    ),
    Claim(
        "G.24-26, GAR to SD",
        "⌈log₂(c + 1)⌉ calls of set disjointness answer all queries of general associative recall.",
        _check_recall_to_disjointness,
        hypotheses="c values; no query matches two pairs; calls return the common elements",
        strength="construction",
    ),
    Claim(
        "G.24-26, there and back",
        "Recall solved by sets that are solved by recall, or by Algorithm 3, comes out the same.",
        _check_round_trip,
        hypotheses="no query matches two pairs",
        strength="construction",
    ),
    Claim(
        "G.8, EQ to MQAR",
        "Multi-query recall of one pair, Alice's key and Bob's query, solves equality in one call.",
        _check_equality_to_recall,
        hypotheses="a key that is not there is answered by Null",
        strength="construction",
    ),
    Claim(
        "G.6, INDEX to AR",
        "Associative recall on a JRT prompt solves index; only the two places of the query depend "
        "on Bob.",
        _check_index_to_recall,
        hypotheses="distinct keys, all of them known to both",
        strength="construction",
    ),
)
