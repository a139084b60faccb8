from fractions import Fraction
from math import ceil, comb, e, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.one_pass.filters import (
    false_positive_bound,
    fingerprint_bits,
    fingerprint_bits_for,
    membership_bits,
)
from theory.one_pass.with_error import index_bits

HALF = Fraction(1, 2)
TENTH = Fraction(1, 10)
positive_errors = st.fractions(Fraction(1, 1000), Fraction(49, 100), max_denominator=1000)


@given(st.integers(1, 60), st.integers(1, 60), positive_errors)
@settings(deadline=None)
def test_fingerprints_come_close_to_a_perfect_filter(size_a, size_b, error):
    filtered = membership_bits(2**70, size_a, size_b, error)
    assert filtered == pytest.approx(size_a * log2(size_b / error))
    cells = ceil(size_a * size_b / error)
    bits = fingerprint_bits(size_a, size_b, error)
    states = sum(comb(cells, size) for size in range(1, size_a + 1))
    assert 2**bits >= states > 2**bits // 2
    assert bits <= size_a * log2(e * cells / size_a) + 1
    # The bound that no algorithm with this error beats, in a universe that has room.
    room = 2 * size_a + size_b - 1
    assert bits >= float(index_bits(room, size_a, size_b, error))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 300), positive_errors)
@settings(deadline=None)
def test_no_filter_takes_more_than_storing_a(size_a, size_b, more, error):
    """And each accepts A with what it may take for it: by counting sets."""
    universe = size_a + size_b + more
    filtered = membership_bits(universe, size_a, size_b, error)
    assert 0 < filtered <= log2(comb(universe, size_a)) + 1e-9
    accepted = size_a + int(error * (universe - size_a) / size_b)
    assert 2**filtered * comb(accepted, size_a) == pytest.approx(comb(universe, size_a), rel=1e-6)


@given(error=st.fractions(Fraction(1, 10**6), Fraction(999, 1000)), a=st.integers(0, 50))
def test_the_fewest_bits_for_an_error(error, a):
    bits = fingerprint_bits_for(a, 7, error)
    assert false_positive_bound(bits, a, 7) <= error
    assert bits == 0 or false_positive_bound(bits - 1, a, 7) > error


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (membership_bits, (9, 1, 1, Fraction(0)), "error = 0: 0 < error < 1/2"),
        (membership_bits, (9, 0, 1, TENTH), "size_a = 0: at least 1"),
        (membership_bits, (9, 5, 5, TENTH), "size_a \\+ size_b ≤ universe"),
        (fingerprint_bits, (1, 1, HALF), "error = 1/2: 0 < error < 1/2"),
        (false_positive_bound, (-1, 1, 1), "fingerprint_bits = -1"),
        (false_positive_bound, (1, -1, 1), "size_a = -1"),
        (false_positive_bound, (1, 1, -1), "size_b = -1"),
        (fingerprint_bits_for, (1, 1, Fraction(0)), "error = 0"),
        (fingerprint_bits_for, (1, 1, Fraction(1)), "error = 1"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
