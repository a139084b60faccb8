"""The profile against machines built token by token, from streams of ordered elements."""

from itertools import combinations, permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.one_pass import automata
from theory.one_pass.automata import Cut, profile
from theory.one_pass.exact import all_told_apart, one_pass_bits, one_pass_search_bits


def _streams(n, a, b, problem):
    """Every valid stream and its answer, markers and order included."""
    for first in permutations(range(n), a):
        for second in permutations(range(n), b):
            common = set(first) & set(second)
            stream = ("prefix", *first, "separator", *second, "answer")
            if problem == "decision":
                yield stream, bool(common)
            elif len(common) == 1:
                yield stream, common.pop()


def _conflict_graph(streams, length):
    residuals = {}
    for stream, answer in streams:
        residuals.setdefault(stream[:length], {})[stream[length:]] = answer
    distinct = [dict(items) for items in {frozenset(r.items()) for r in residuals.values()}]
    graph = np.zeros((len(distinct), len(distinct)), dtype=bool)
    for i, j in combinations(range(len(distinct)), 2):
        small, large = sorted((distinct[i], distinct[j]), key=len)
        if any(rest in large and large[rest] != answer for rest, answer in small.items()):
            graph[i, j] = graph[j, i] = True
    return graph


def _colourable(graph, count):
    """Backtracking, the most constrained vertex first, new colours in order."""
    colours = {}

    def extend():
        if len(colours) == len(graph):
            return True
        left = [v for v in range(len(graph)) if v not in colours]
        taken = {v: {colours[w] for w in colours if graph[v, w]} for v in left}
        vertex = max(left, key=lambda v: (len(taken[v]), graph[v].sum()))
        used = max(colours.values(), default=-1) + 1
        for colour in range(min(used + 1, count)):
            if colour not in taken[vertex]:
                colours[vertex] = colour
                if extend():
                    return True
                del colours[vertex]
        return False

    return extend()


CASES = [
    (n, a, b, problem)
    for problem in ("decision", "search")
    for n in range(2, 5)
    for a in range(1, n + 1)
    for b in range(1, n - a + (2 if problem == "search" else 1))
]


@pytest.mark.parametrize(
    ("n", "a", "b", "problem"), [*CASES, (5, 2, 2, "decision"), (5, 2, 3, "search")]
)
def test_the_least_number_of_states_lies_between_the_bounds(n, a, b, problem):
    streams = list(_streams(n, a, b, problem))
    cuts = profile(n, a, b, problem).cuts
    assert [cut.tokens for cut in cuts] == list(range(a + b + 4))
    for cut in cuts:
        graph = _conflict_graph(streams, cut.tokens)
        assert _colourable(graph, cut.upper), cut
        assert not _colourable(graph, cut.lower - 1), cut


@st.composite
def instances(draw):
    problem = draw(st.sampled_from(["decision", "search"]))
    shared = 1 if problem == "search" else 0
    n = draw(st.integers(2, 7))
    a = draw(st.integers(1, n - 1 + shared))
    return n, a, draw(st.integers(1, n - a + shared)), problem


@given(instances())
@settings(max_examples=40, deadline=None)
def test_profiles_are_sane(case):
    n, a, b, problem = case
    found = profile(*case)
    assert len(found.cuts) == a + b + 4
    assert all(1 <= cut.lower <= cut.upper for cut in found.cuts)
    assert found.cuts[0].upper == found.cuts[1].upper == 1
    # A marker, or its absence, changes nothing.
    for before in (0, a + 1, a + b + 2):
        assert found.cuts[before].lower == found.cuts[before + 1].lower
        assert found.cuts[before].upper == found.cuts[before + 1].upper
    answers = n if problem == "search" else 2
    assert found.cuts[-1] == Cut(a + b + 3, answers, answers)
    assert found.peak == (max(c.lower for c in found.cuts), max(c.upper for c in found.cuts))
    # A machine that keeps A, then whether or in what it met B.
    while_b = found.cuts[a + 2 :]
    assert max(cut.upper for cut in while_b) <= comb(n, a) + (1 if problem == "decision" else n)
    # One that keeps what it has seen of A.
    assert all(found.cuts[1 + read].upper <= comb(n, read) for read in range(a + 1))


@given(instances())
@settings(max_examples=40, deadline=None)
def test_the_separator_is_where_the_bounds_say(case):
    n, a, b, problem = case
    separator = profile(*case).separator
    assert separator.tokens == a + 2
    if problem == "decision":
        assert separator.exact
        assert separator.lower_bits == separator.upper_bits == one_pass_bits(n, a)
    elif b == 1 or all_told_apart(n, a, b):
        assert separator.exact
        assert separator.lower_bits == one_pass_search_bits(n, a, b)
    else:
        assert separator.upper < comb(n, a)


def test_a_wide_enough_universe_makes_the_decision_exact_while_a_is_read():
    found = profile(10, 5, 5)
    cuts = found.cuts
    assert [cut.lower for cut in cuts[1:8]] == [1, 10, 45, 120, 210, 252, 252]
    assert all(cut.exact for cut in cuts[:8])
    assert found.peak == (252, 252)


@pytest.mark.parametrize(
    ("case", "lower", "upper"),
    [
        ((5, 3, 2, "decision"), 46, 46),
        ((7, 4, 3, "decision"), 164, 167),
        ((7, 5, 2, "decision"), 113, 119),
        ((5, 3, 3, "search"), 39, 43),
        ((6, 2, 4, "search"), 85, 88),
    ],
)
def test_the_bounds_are_as_near_as_they_were(case, lower, upper):
    """Over all cuts: fewer recolourings leave more colours; better bounds may replace these."""
    cuts = profile(*case).cuts
    assert (sum(cut.lower for cut in cuts), sum(cut.upper for cut in cuts)) == (lower, upper)


def test_the_promise_saves_states():
    """More than half of all elements in A: keeping what was seen of it would take C(7, 4) = 35."""
    middle = profile(7, 5, 2).cuts[1 + 4]
    assert middle.upper < comb(7, 4)
    assert profile(8, 4, 4, "search").separator.upper_bits < one_pass_bits(8, 4)


def test_bits_of_a_cut_are_rounded_up():
    cut = Cut(tokens=3, lower=4, upper=5)
    assert (cut.lower_bits, cut.upper_bits, cut.exact) == (2, 3, False)


def test_is_deterministic():
    assert profile(6, 3, 3, "search") == profile(6, 3, 3, "search")


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 9))
    upper = draw(st.lists(st.booleans(), min_size=size * size, max_size=size * size))
    graph = np.triu(np.array(upper).reshape(size, size), 1)
    return graph | graph.T


@given(graphs(), st.integers(0, 5))
@settings(deadline=None)
def test_cliques_are_cliques_and_colourings_have_no_conflict(graph, seed):
    for clique in automata._cliques(graph, np.random.default_rng(seed)):
        assert clique
        assert all(graph[v, w] for v, w in combinations(clique, 2))
    order = np.random.default_rng(seed).permutation(len(graph))
    colours = automata._first_fit(graph, order)
    assert not (graph & (colours[:, None] == colours)).any()
    # First fit: every lower colour is taken by an earlier neighbour.
    for place, vertex in enumerate(order):
        earlier = {colours[w] for w in order[:place] if graph[vertex, w]}
        assert colours[vertex] == min(set(range(len(graph) + 1)) - earlier)


@given(graphs())
@settings(deadline=None)
def test_recolouring_never_takes_more_colours(graph):
    colours = automata._first_fit(graph, np.arange(len(graph))[::-1])
    fewer = automata._fewer_colours(graph, colours, np.random.default_rng(0))
    assert fewer <= colours.max() + 1
    assert _colourable(graph, fewer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4, 3, 2), r"universe = 4, size_a = 3, size_b = 2: size_a \+ size_b ≤ universe"),
        ((4, 3, 3, "search"), r"size_a \+ size_b - 1 ≤ universe"),
        ((4, 0, 2), "size_a = 0: at least 1"),
        ((4, 1, 1, "count"), "problem = 'count'"),
        ((12, 1, 1), "universe = 12: at most 11"),
    ],
)
def test_what_is_out_of_the_domain_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        profile(*arguments)
