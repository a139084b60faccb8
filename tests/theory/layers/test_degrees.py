"""Degrees on the cube and on parts of it, against subset sums and least squares."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.layers.strategies import RATIONALS
from theory.layers.degrees import (
    boolean_degree,
    certifies,
    degree_certificate,
    layers_for_degree,
    least_degree,
    multilinear_coefficients,
)

SQUARE = [[0, 0], [0, 1], [1, 0], [1, 1]]


@given(st.integers(1, 10**6))
def test_layers_for_degree_is_the_least_power_of_two(degree: int) -> None:
    layers = layers_for_degree(degree)
    assert 2**layers >= degree
    assert layers == 0 or 2 ** (layers - 1) < degree


@given(st.integers(1, 5), st.data())
@settings(deadline=None)
def test_moebius_inversion_is_undone_by_summing_over_subsets(n: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(RATIONALS, min_size=2**n, max_size=2**n)), dtype=object)
    values = values.reshape((2,) * n)
    before = values.copy()
    coefficients = multilinear_coefficients(values)
    assert (values == before).all()  # the argument is left alone
    for bits in product((0, 1), repeat=n):
        below = product(*(range(b + 1) for b in bits))
        assert sum(coefficients[subset] for subset in below) == values[bits]


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_least_degree_on_the_whole_cube_is_the_interpolants(n: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-2, 2), min_size=2**n, max_size=2**n))
    points = list(product((0, 1), repeat=n))
    degree = boolean_degree(np.reshape(np.array(values, dtype=object), (2,) * n))
    assert least_degree(points, values) == degree


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_certificate_or_polynomial_on_any_part_of_the_cube(n: int, data: st.DataObject) -> None:
    cube = list(product((0, 1), repeat=n))
    points = data.draw(st.lists(st.sampled_from(cube), min_size=1, unique=True))
    values = data.draw(st.lists(st.integers(-2, 2), min_size=len(points), max_size=len(points)))
    degree = data.draw(st.integers(0, n))
    weights = degree_certificate(points, values, degree)
    # Least squares in floating point, the other way round: is there such a polynomial?
    columns = [
        [float(all(point[i] for i in subset)) for point in points]
        for size in range(degree + 1)
        for subset in combinations(range(n), size)
    ]
    matrix, wanted = np.array(columns).T, np.array(values, dtype=float)
    residual = wanted - matrix @ np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    assert (weights is None) == (np.abs(residual).max() < 1e-9)
    if weights is not None:
        assert certifies(weights, points, values, degree)
        assert not certifies(weights, points, values, n)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: layers_for_degree(0), "degree = 0"),
        (lambda: multilinear_coefficients(3), r"values has shape \(\)"),
        (lambda: multilinear_coefficients([1, 2, 3]), r"values has shape \(3,\)"),
        (lambda: boolean_degree([0.5, 1]), "values holds 0.5"),
        (lambda: degree_certificate(SQUARE, [0, 1, 1, 0], -1), "degree = -1"),
        (lambda: degree_certificate(SQUARE, [0, 1, 1], 1), "values has shape"),
        (lambda: degree_certificate([[2]], [0], 1), "points holds"),
        (lambda: degree_certificate(SQUARE, [0, 0.5, 1, 0], 1), "values holds"),
        (lambda: certifies([1, 0.5, 1, 1], SQUARE, [0, 1, 1, 0], 1), "weights holds"),
        (lambda: least_degree([[1], [1]], [0, 1]), "points has a row twice"),
        (lambda: certifies([1], SQUARE, [0, 1, 1, 0], 1), "weights has shape"),
        (lambda: certifies([1] * 4, SQUARE, [0, 1, 1, 0], -1), "degree = -1"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
