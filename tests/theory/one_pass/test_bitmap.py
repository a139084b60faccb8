from fractions import Fraction
from math import comb, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.one_pass.bitmap import bitmap_held_bits, bitmap_search_accuracy
from theory.one_pass.rate_distortion import search_accuracy


@st.composite
def sizes(draw):
    n = draw(st.integers(2, 40))
    a = draw(st.integers(1, n - 1))
    return n, a, draw(st.integers(1, n - a + 1)), draw(st.integers(0, n))


@given(sizes())
def test_no_bitmap_beats_the_bound(chosen):
    n, a, b, bits = chosen
    accuracy = bitmap_search_accuracy(n, a, b, bits)
    assert 0 <= accuracy <= 1
    assert float(accuracy) <= search_accuracy(n, a, b, bits) + 1e-9
    held = bitmap_held_bits(n, a, bits)
    assert held <= min(bits, log2(comb(n, a))) + 1e-9
    # The information alone does not allow more, either.
    assert float(accuracy) <= search_accuracy(n, a, b, held) + 1e-9


@given(sizes())
def test_one_more_bit_never_harms(chosen):
    n, a, b, bits = chosen
    if bits < n:
        fewer, more = (bitmap_search_accuracy(n, a, b, held) for held in (bits, bits + 1))
        assert fewer <= more
        assert bitmap_held_bits(n, a, bits) <= bitmap_held_bits(n, a, bits + 1) + 1e-9


def test_nothing_and_all():
    assert bitmap_search_accuracy(16, 4, 5, 0) == Fraction(1, 5)
    assert bitmap_search_accuracy(16, 4, 5, 15) == bitmap_search_accuracy(16, 4, 5, 16) == 1
    assert bitmap_held_bits(16, 4, 0) == 0
    assert bitmap_held_bits(16, 4, 16) == pytest.approx(log2(comb(16, 4)))


@pytest.mark.parametrize("bits", [-1, 17])
def test_more_bits_than_elements(bits):
    with pytest.raises(ValueError, match=f"bits = {bits}"):
        bitmap_search_accuracy(16, 4, 4, bits)
    with pytest.raises(ValueError, match=f"bits = {bits}"):
        bitmap_held_bits(16, 4, bits)
