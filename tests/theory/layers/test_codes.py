"""Elements as 0 and 1: against int's own digits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.layers.codes import binary_code, p_hot_code


@given(st.integers(1, 40), st.data())
def test_binary_code_is_pythons_own_lowest_bit_first(bits, data):
    elements = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=1))
    expected = [[int(digit) for digit in reversed(f"{x:0{bits}b}")] for x in elements]
    assert binary_code(elements, bits).tolist() == expected


@pytest.mark.parametrize(("digits", "base"), [(1, 5), (2, 3), (3, 2), (2, 1)])
def test_p_hot_code_has_one_hot_digits_of_their_place_values(digits, base):
    codes = p_hot_code(range(base**digits), digits, base)
    assert codes.shape == (base**digits, digits * base)
    blocks = codes.reshape(-1, digits, base)
    assert (blocks.sum(axis=2) == 1).all()
    place_values = base ** np.arange(digits)
    assert (blocks.argmax(axis=2) @ place_values == np.arange(base**digits)).all()


def test_no_elements_have_no_rows():
    assert binary_code([], 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: binary_code([8], 3), r"elements = \[8\]: 0 … 7 fit 3 digits"),
        (lambda: binary_code([-1], 3), r"elements = \[-1\]"),
        (lambda: p_hot_code([9], 2, 3), r"elements = \[9\]: 0 … 8"),
        (lambda: p_hot_code([0], 0, 2), "digits = 0"),
        (lambda: p_hot_code([0], 1, 0), "base = 0"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
