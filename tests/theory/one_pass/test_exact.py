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


def test_naming_costs_as_much_as_deciding_or_nothing():
    assert one_pass_search_bits(32, 12, 4) == one_pass_bits(32, 12)
    assert one_pass_search_bits(5, 4, 2) == one_pass_bits(5, 4)
    assert one_pass_search_bits(32, 12, 1) == 0


def test_all_are_told_apart_from_the_least_universe_on():
    for a, b in ((3, 3), (2, 4), (4, 5)):
        assert all_told_apart(2 * a + b - 2, a, b)
        assert not all_told_apart(2 * a + b - 3, a, b)
    assert all_told_apart(3, 2, 2)  # b = 2: in every universe
    assert not all_told_apart(4, 3, 1)  # the element of B is the answer
    assert all_told_apart(4, 4, 1)  # but there is one A only


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (all_told_apart, (4, 3, 3), r"size_a \+ size_b - 1 ≤ universe"),
        (one_pass_search_bits, (4, 1, 0), "size_b = 0: at least 1"),
        (one_pass_search_bits, (6, 3, 3), r"universe ≥ 2 · size_a \+ size_b - 2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
