from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.reductions import (
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

# Other work shares the processor: no deadline.
many = settings(deadline=None)
sets = st.frozensets(st.integers(0, 50), max_size=12)


@st.composite
def general_recalls(draw):
    values = draw(st.integers(1, 70))
    held = draw(st.dictionaries(st.integers(-3, 15), st.integers(0, values - 1), max_size=10))
    queries = draw(st.lists(st.integers(-3, 15), max_size=12))
    return GeneralRecallInstance(tuple(held.items()), tuple(queries), values)


@st.composite
def indices(draw):
    bits = draw(st.lists(st.integers(0, 1), min_size=1, max_size=40))
    return IndexInstance(tuple(bits), draw(st.integers(0, len(bits) - 1)))


class Counting:
    """A solver that keeps the instances it was asked about."""

    def __init__(self, solve):
        self.solve, self.asked = solve, []

    def __call__(self, instance):
        self.asked.append(instance)
        return self.solve(instance)


@many
@given(first=sets, second=sets)
def test_recall_solves_set_disjointness(first, second):
    solver = Counting(GeneralRecallInstance.solve)
    found = DisjointnessToRecall().solve(DisjointnessInstance(first, second), solver)
    assert found == {x for x in first if x in second}
    assert len(solver.asked) == 1


@many
@given(recall=general_recalls())
def test_set_disjointness_solves_recall(recall):
    solver = Counting(DisjointnessInstance.solve)
    lookup = dict(recall.pairs)
    expected = tuple(lookup.get(query) for query in recall.queries)
    assert RecallToDisjointness().solve(recall, solver) == expected == recall.solve()
    assert len(solver.asked) == ceil(log2(recall.values + 1))
    # Every call is within the keys and the queries: nothing is asked beyond the instance.
    assert all(call.first <= lookup.keys() for call in solver.asked)
    assert all(call.second == set(recall.queries) for call in solver.asked)


@pytest.mark.parametrize(
    ("values", "calls"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (2**40, 41)]
)
def test_how_many_calls_recall_takes(values, calls):
    recall = GeneralRecallInstance(((0, values - 1),), (0, 1), values)
    assert len(RecallToDisjointness().instances(recall)) == calls
    assert RecallToDisjointness().solve(recall, DisjointnessInstance.solve) == (values - 1, None)


@many
@given(first=sets, second=sets)
def test_there_and_back_is_the_identity_on_answers(first, second):
    start = DisjointnessInstance(first, second)
    found = DisjointnessToRecall().solve(
        start, lambda recall: RecallToDisjointness().solve(recall, DisjointnessInstance.solve)
    )
    assert found == start.solve()


@many
@given(recall=general_recalls())
def test_back_and_there_is_the_identity_on_answers(recall):
    def by_recall(instance):
        # Elements are values on the way, so none may be below 0.
        moved = DisjointnessInstance(
            frozenset(x + 3 for x in instance.first), frozenset(x + 3 for x in instance.second)
        )
        return {x - 3 for x in DisjointnessToRecall().solve(moved, GeneralRecallInstance.solve)}

    assert RecallToDisjointness().solve(recall, by_recall) == recall.solve()


@many
@given(x=st.integers(0, 5), y=st.integers(0, 5))
def test_recall_solves_equality(x, y):
    solver = Counting(GeneralRecallInstance.solve)
    assert EqualityToRecall().solve(EqualityInstance(x, y), solver) is (x == y)
    assert EqualityInstance(x, y).solve() is (x == y)
    assert len(solver.asked) == 1


@many
@given(index=indices())
def test_recall_read_twice_solves_index(index):
    def from_tokens(recall):
        return recall_from_tokens(recall.tokens, recall.passes)

    expected = index.bits[index.position]
    assert IndexToRecall().solve(index, from_tokens) == expected == index.solve()
    assert IndexToRecall().solve(index, RecallInstance.solve) == expected


@many
@given(index=indices(), data=st.data())
def test_only_the_query_depends_on_bob(index, data):
    other = IndexInstance(index.bits, data.draw(st.integers(0, len(index.bits) - 1)))
    (mine,), (others,) = IndexToRecall().instances(index), IndexToRecall().instances(other)
    pairs = enumerate(zip(mine.tokens, others.tokens, strict=True))
    differing = {i for i, (x, y) in pairs if x != y}
    assert differing == (set(mine.query_positions) if index != other else set())
    assert [mine.tokens[i] for i in mine.query_positions] == [index.position] * 2
    # Half the prompt is the other half, as it is read twice.
    half = len(mine.tokens) // 2
    assert mine.tokens[:half] == mine.tokens[half:]


@many
@given(first=sets, second=sets, other=sets)
def test_pairs_are_made_from_alices_input_and_queries_from_bobs(first, second, other):
    (one,) = DisjointnessToRecall().instances(DisjointnessInstance(first, second))
    (two,) = DisjointnessToRecall().instances(DisjointnessInstance(first, other))
    assert (one.pairs, one.values) == (two.pairs, two.values)
    (three,) = DisjointnessToRecall().instances(DisjointnessInstance(other, second))
    assert one.queries == three.queries


def test_tokens_are_read_as_they_are_written():
    recall = RecallInstance(((0, 8), (1, 9), (2, 8)), query=1, passes=3)
    assert recall.tokens == (0, 8, 1, 9, 2, 8, 1) * 3
    assert recall.query_positions == (6, 13, 20)
    assert recall_from_tokens(recall.tokens, 3) == recall.solve() == 9


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeneralRecallInstance(((0, 3),), (), 3), "pairs"),
        (lambda: GeneralRecallInstance(((0, -1),), (), 3), "pairs"),
        (lambda: GeneralRecallInstance(((0, 1), (0, 2)), (0,), 3), "queries: 0"),
        (lambda: IndexInstance((0, 2), 0), "bits"),
        (lambda: IndexInstance((0, 1), 2), "position = 2"),
        (lambda: IndexInstance((0, 1), -1), "position = -1"),
        (lambda: RecallInstance(((0, 1), (0, 2)), 0), "pairs"),
        (lambda: RecallInstance(((0, 1),), 1), "query = 1"),
        (lambda: RecallInstance(((0, 1),), 0, 0), "passes = 0"),
        (lambda: recall_from_tokens((0, 1, 0), 0), "passes = 0"),
        (lambda: recall_from_tokens((0, 1, 0, 1), 1), "tokens"),
        (lambda: recall_from_tokens((0, 1, 0, 0, 2, 0), 2), "tokens"),
        (
            lambda: DisjointnessToRecall().instances(
                DisjointnessInstance(frozenset({-1, 2}), frozenset())
            ),
            "pairs",
        ),
    ],
)
def test_what_is_no_instance_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_key_held_twice_is_allowed_while_nobody_asks_for_it():
    recall = GeneralRecallInstance(((0, 1), (0, 2), (1, 0)), (1, 5), 3)
    assert RecallToDisjointness().solve(recall, DisjointnessInstance.solve) == (0, None)
