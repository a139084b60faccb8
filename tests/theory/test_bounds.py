from itertools import combinations
from math import comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import one_pass_bits


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


def _sizes(largest):
    return [
        (n, a, b) for n in range(2, largest + 1) for a in range(1, n) for b in range(1, n - a + 1)
    ]


def test_no_two_first_sets_may_share_a_state_when_deciding():
    for n, a, b in _sizes(7):
        rows = {tuple(bool(A & B) for B in _subsets(n, b)) for A in _subsets(n, a)}
        assert len(rows) == comb(n, a)


def _told_apart(first, second, others):
    """Some B meets each set in one element, and not in the same one."""
    return any(len(first & B) == len(second & B) == 1 and first & B != second & B for B in others)


def test_no_two_first_sets_may_share_a_state_when_naming_the_shared_element():
    for n, a, b in _sizes(6):
        if b >= 2 and n >= 2 * a + b - 2:
            others = _subsets(n, b)
            assert all(_told_apart(x, y, others) for x, y in combinations(_subsets(n, a), 2))


def test_the_condition_on_naming_is_needed():
    others = _subsets(6, 3)
    assert not all(_told_apart(x, y, others) for x, y in combinations(_subsets(6, 3), 2))
