"""EQUALITY in binary and p-hot codes: polynomials, stacks and certificates on all pairs."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from theory.layers.codes import p_hot_code
from theory.layers.degrees import certifies, layers_for_degree, least_degree
from theory.layers.equality import (
    binary_equality,
    binary_equality_stack,
    equality_certificate,
    equality_on_pairs,
    p_hot_equality,
    p_hot_equality_stack,
    sign_equality_stack,
)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_binary_equality_is_equality(width: int) -> None:
    polynomial = binary_equality(width)
    stack = binary_equality_stack(width)
    assert polynomial.total_degree() == 2 * width
    assert len(stack.layers) == layers_for_degree(2 * width)
    for x, y in product(product((0, 1), repeat=width), repeat=2):
        assert polynomial(*x, *y) == (x == y)
        assert stack([x, y])[1, 0] == (x == y)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_one_layer_counts_equal_bits(width: int) -> None:
    stack = sign_equality_stack(width)
    assert len(stack.layers) == 1
    for x, y in product(product((0, 1), repeat=width), repeat=2):
        equal = [int(a == b) for a, b in zip(x, y, strict=True)]
        assert stack([x, y])[1].tolist() == equal


@pytest.mark.parametrize("width", [5, 6, 7, 8])
def test_binary_equality_stack_for_longer_strings(width: int) -> None:
    stack = binary_equality_stack(width)
    assert len(stack.layers) == 4
    rng = np.random.default_rng(width)
    for x in rng.integers(0, 2, (8, width)):
        assert stack([x, x])[1, 0] == 1
        for place in range(width):
            y = x.copy()
            y[place] ^= 1
            assert stack([x, y])[1, 0] == 0


@pytest.mark.parametrize(("digits", "base"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2)])
def test_p_hot_equality_is_equality(digits: int, base: int) -> None:
    polynomial = p_hot_equality(digits, base)
    stack = p_hot_equality_stack(digits, base)
    assert polynomial.total_degree() == 2 * digits
    assert len(polynomial.terms()) == base**digits
    assert len(stack.layers) == layers_for_degree(2 * digits)
    rows = p_hot_code(range(base**digits), digits, base)
    for (i, x), (j, y) in product(enumerate(rows), repeat=2):
        assert polynomial(*x, *y) == (i == j)
        assert stack([x, y])[1, :base].sum() == (i == j)


@pytest.mark.parametrize(
    ("digits", "base", "degree"),
    # One symbol a digit leaves one element: EQ is constant, and degree 2p is not needed.
    [(1, 1, 0), (2, 1, 0), (1, 2, 2), (1, 4, 2), (2, 2, 4), (3, 2, 6)],
)
def test_least_degree_of_p_hot_equality(digits: int, base: int, degree: int) -> None:
    rows = p_hot_code(range(base**digits), digits, base)
    assert least_degree(*equality_on_pairs(rows)) == degree


@pytest.mark.parametrize(("digits", "base"), [(1, 2), (1, 5), (2, 2), (2, 4), (3, 2)])
def test_equality_certificate(digits: int, base: int) -> None:
    rows = p_hot_code(range(base**digits), digits, base)
    points, values = equality_on_pairs(rows)
    weights = equality_certificate(digits, base)
    assert certifies(weights, points, values, 2 * digits - 1)
    assert not certifies(weights, points, values, 2 * digits)
    assert np.array(weights) @ values == 2**digits
    assert not certifies(0 * values, points, values, 0)
    # Any other weighting of one pair spoils it: the check looks at every monomial.
    spoilt = np.array(weights)
    spoilt[0] += 1
    assert not certifies(spoilt, points, values, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: equality_on_pairs([[1], [1]]), "encodings has a row twice"),
        (lambda: equality_on_pairs([1, 0]), "encodings has shape"),
        (lambda: binary_equality(0), "width = 0"),
        (lambda: p_hot_equality(0, 2), "digits = 0"),
        (lambda: equality_certificate(1, 1), "base = 1"),
        (lambda: equality_certificate(0, 2), "digits = 0"),
        (lambda: binary_equality_stack(0), "width = 0"),
        (lambda: p_hot_equality_stack(1, 0), "base = 0"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
