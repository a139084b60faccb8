from fractions import Fraction

import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.one_pass.exact import one_pass_bits
from theory.one_pass.with_error import (
    binary_entropy,
    index_bits,
    index_length,
)
from theory.setting import sizes_up_to

HALF = Fraction(1, 2)
TENTH = Fraction(1, 10)
errors = st.fractions(0, Fraction(49, 100), max_denominator=1000)


sizes_of_disjoint_sets = st.tuples(
    st.integers(1, 200), st.integers(1, 200), st.integers(0, 200)
).map(lambda drawn: (sum(drawn), *drawn[:2]))  # (n, a, b)


@given(st.fractions(0, 1, max_denominator=1000))
def test_entropy_is_symmetric_and_below_one(p):
    value = float(binary_entropy(p))
    assert value == pytest.approx(float(binary_entropy(1 - p)), abs=1e-12)
    assert (value == 1) == (p == HALF)
    assert (value == 0) == (p in (0, 1))
    assert 4 * p * (1 - p) - 1e-12 <= value <= 1  # its usual lower bound


def test_entropy_is_exact():
    three_quarters = binary_entropy(Fraction(1, 4)) - (2 - Fraction(3, 4) * sympy.log(3, 2))
    assert sympy.simplify(three_quarters) == 0


@pytest.mark.parametrize("p", [Fraction(-1, 2), Fraction(3, 2)])
def test_entropy_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="0 ≤ probability ≤ 1"):
        binary_entropy(p)


def _room(n, a, b, pairs, problem):
    """Elements that the reduction from INDEX uses: the pairs, the rest of A, the rest of B."""
    return 2 * pairs + (a - pairs) + (b - (1 if problem == "decision" else 2)) <= n


@pytest.mark.parametrize("problem", ["decision", "search"])
def test_as_long_a_string_fits_as_there_is_room_for(problem):
    for n, a, b in sizes_up_to(12, shared=int(problem == "search")):
        fitting = [k for k in range(a + 1) if _room(n, a, b, k, problem)]
        expected = 0 if problem == "search" and b == 1 else max(fitting)
        assert index_length(n, a, b, problem) == expected


@given(sizes_of_disjoint_sets, errors)
@settings(deadline=None)
def test_error_saves_bits_and_none_without_it(case, error):
    n, a, b = case
    assert index_bits(n, a, b, Fraction(0)) == index_length(n, a, b) <= one_pass_bits(n, a)
    assert float(index_bits(n, a, b, error)) <= index_length(n, a, b)
    wide = 2 * a + b - 1
    assert index_bits(wide, a, b, Fraction(0)) == a
    assert index_bits(max(n, wide), a, b, Fraction(1, 4)) == a * (
        1 - binary_entropy(Fraction(1, 4))
    )


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (index_length, (4, 2, 3), r"size_a \+ size_b ≤ universe"),
        (index_bits, (4, 2, 2, HALF), "error = 1/2: 0 ≤ error < 1/2"),
        (index_bits, (4, 2, 2, -TENTH), "error = -1/10: 0 ≤ error < 1/2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
