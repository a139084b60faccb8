from fractions import Fraction
from math import ceil, comb, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures.curves import index_curve, membership_curve, multi_pass_curve, one_pass_curve
from theory import index_bits, multi_pass_bits, one_pass_bits
from theory.one_pass.filters import membership_bits

positive_errors = st.fractions(Fraction(1, 1000), Fraction(49, 100), max_denominator=1000)


sizes_of_disjoint_sets = st.tuples(
    st.integers(1, 200), st.integers(1, 200), st.integers(0, 200)
).map(lambda drawn: (sum(drawn), *drawn[:2]))  # (n, a, b)


@given(sizes_of_disjoint_sets, st.integers(1, 9), positive_errors)
@settings(deadline=None)
def test_curves_are_the_bounds_before_rounding(case, passes, error):
    n, a, b = case
    assert ceil(one_pass_curve(n, a) - 1e-9) <= one_pass_bits(n, a) < one_pass_curve(n, a) + 1
    curve = multi_pass_curve(n, a, b, passes)
    assert ceil(curve - 1e-9) <= multi_pass_bits(n, a, b, passes) < curve + 1
    for problem in ("decision", "search"):
        exact = float(index_bits(n, a, b, error, problem))
        assert index_curve(n, a, b, float(error), problem) == pytest.approx(exact, abs=1e-9)
    assert membership_curve(a, b, float(error)) == pytest.approx(
        float(membership_bits(a, b, error))
    )


def test_curves_broadcast_and_do_not_overflow():
    curve = multi_pass_curve(2**62, np.array([[1], [2]]), 4, np.array([1, 2, 3]))
    assert curve.shape == (2, 3)
    assert curve.dtype == np.float64
    assert curve[0].tolist() == pytest.approx([62, 62 / 3, 62 / 5])
    assert one_pass_curve(2**40, 3) == pytest.approx(log2(comb(2**40, 3)))
    assert one_pass_curve([], []).shape == (0,)
    assert index_curve(64, 16, 4, [0.0]).tolist() == [16]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (one_pass_curve, (4, [1, 5]), "size = 5: 0 ≤ size ≤ universe"),
        (multi_pass_curve, (4, 2, [2, 3], 1), r"size_a \+ size_b ≤ universe"),
        (multi_pass_curve, (4, 2, 2, [1, 0]), "passes = 0: at least 1"),
        (index_curve, (8, 2, 2, [0.1, 0.5]), "error = 0.5: 0 ≤ error < 1/2"),
        (membership_curve, (2, 2, [0.1, 0.0]), "error = 0.0: 0 < error < 1/2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
