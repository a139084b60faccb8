from itertools import combinations
from math import comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.one_pass.exact import all_told_apart, one_pass_bits, one_pass_search_bits


@st.composite
def universe_and_size(draw):
    universe = draw(st.integers(0, 300))
    return universe, draw(st.integers(0, universe))


@given(universe_and_size())
def test_is_the_least_number_of_bits_that_names_every_subset(case):
    bits = one_pass_bits(*case)
    assert 2**bits >= comb(*case)
    assert bits == 0 or 2 ** (bits - 1) < comb(*case)


@given(universe_and_size())
def test_agrees_with_the_real_logarithm(case):
    assert log2(comb(*case)) - 1e-9 <= one_pass_bits(*case) < log2(comb(*case)) + 1 + 1e-9


def test_is_exact_where_floats_are_not():
    assert one_pass_bits(2**60, 1) == 60
    assert one_pass_bits(2**60 + 1, 1) == 61


@pytest.mark.parametrize(("universe", "size"), [(3, 4), (3, -1), (-1, 0)])
def test_refuses_what_is_no_subset(universe, size):
    with pytest.raises(ValueError, match="0 ≤ size ≤ universe"):
        one_pass_bits(universe, size)


def _subsets(universe, size):
    return [frozenset(chosen) for chosen in combinations(range(universe), size)]


def _sizes(largest, *, shared=0):
    return [
        (n, a, b)
        for n in range(1, largest + 1)
        for a in range(1, n + 1)
        for b in range(1, n - a + shared + 1)
    ]


def test_no_two_first_sets_may_share_a_state_when_deciding():
    for n, a, b in _sizes(7):
        rows = {tuple(bool(A & B) for B in _subsets(n, b)) for A in _subsets(n, a)}
        assert len(rows) == comb(n, a)


def _told_apart(first, second, others):
    """Some B meets each set in one element, and not in the same one."""
    return any(len(first & B) == len(second & B) == 1 and first & B != second & B for B in others)


def test_no_two_first_sets_may_share_a_state_when_naming_under_the_condition_and_only_then():
    for n, a, b in _sizes(6, shared=1):
        others = _subsets(n, b)
        told_apart = all(_told_apart(x, y, others) for x, y in combinations(_subsets(n, a), 2))
        assert told_apart == all_told_apart(n, a, b), (n, a, b)


def test_the_condition_on_naming_is_needed():
    others = _subsets(6, 3)
    assert not all(_told_apart(x, y, others) for x, y in combinations(_subsets(6, 3), 2))
    with pytest.raises(ValueError, match=r"universe ≥ 2 · size_a \+ size_b - 2"):
        one_pass_search_bits(6, 3, 3)


def test_naming_costs_as_much_as_deciding_or_nothing():
    assert one_pass_search_bits(32, 12, 4) == one_pass_bits(32, 12)
    assert one_pass_search_bits(5, 4, 2) == one_pass_bits(5, 4)
    assert one_pass_search_bits(32, 12, 1) == 0


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (all_told_apart, (4, 3, 3), r"size_a \+ size_b - 1 ≤ universe"),
        (one_pass_search_bits, (4, 1, 0), "size_b = 0: at least 1"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
