from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import counting
from theory.counting import (
    _log2_binomial_bounds,
    ceil_log2,
    ceil_log2_binomial,
    subsets_up_to,
)


@given(st.integers(1, 2**80))
def test_names_need_as_many_bits_as_the_last_number_has(count):
    assert 2 ** ceil_log2(count) >= count > 2 ** ceil_log2(count) // 2


@given(st.integers(0, 9), st.integers(0, 12))
def test_small_subsets_are_counted_as_listed(universe, size):
    listed = [chosen for k in range(size + 1) for chosen in combinations(range(universe), k)]
    assert subsets_up_to(universe, size) == len(listed)


def test_many_subsets_are_counted_exactly():
    assert subsets_up_to(1000, 3) == 1 + 1000 + comb(1000, 2) + comb(1000, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ceil_log2(0), "count = 0: at least 1"),
        (lambda: subsets_up_to(-1, 0), "universe = -1: at least 0"),
        (lambda: subsets_up_to(1, -1), "size = -1: at least 0"),
    ],
)
def test_counts_refuse_what_counts_nothing(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@given(st.integers(0, 4000), st.data())
def test_the_logarithm_of_a_binomial_coefficient(universe: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(0, universe))
    expected = ceil_log2(comb(universe, size))
    assert ceil_log2_binomial(universe, size) == expected
    if 0 < size < universe:
        low, high = _log2_binomial_bounds(universe, size)
        assert low <= expected <= high


def test_bounds_that_differ_settle_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is computed: the whole number does not rest on luck."""
    monkeypatch.setattr(counting, "_log2_binomial_bounds", lambda n, k: (0, 1))
    assert ceil_log2_binomial(4000, 2000) == ceil_log2(comb(4000, 2000))
