"""The best approximations, against all sets of points, and the degrees that follow."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise, product
from math import prod

import numpy as np
import pytest

from theory.layers import approximation
from theory.layers.approximation import approximate_degree, best_approximation, layers_within
from theory.layers.degrees import boolean_degree, layers_for_degree, multilinear_coefficients

THIRD = Fraction(1, 3)


def error_on(points: tuple[int, ...], width: int) -> Fraction:
    """The least largest error on k + 2 points alone: of a divided difference, over its weights."""
    weights = [Fraction(1, prod(x - y for y in points if y != x)) for x in points]
    difference = sum(w for w, x in zip(weights, points, strict=True) if x == width)
    return abs(difference) / sum(map(abs, weights))


@pytest.mark.parametrize("width", range(1, 9))
def test_the_error_is_the_largest_over_all_sets_of_points(width: int) -> None:
    for degree in range(width):
        best = best_approximation(width, degree)
        least = max(
            error_on(points, width) for points in combinations(range(width + 1), degree + 2)
        )
        assert best.error == least == error_on(best.points, width)


@pytest.mark.parametrize(("width", "degree"), [(1, 0), (5, 2), (9, 4), (20, 5), (40, 7)])
def test_the_values_are_those_of_a_polynomial_with_that_error(width: int, degree: int) -> None:
    best = best_approximation(width, degree)
    errors = [int(x == width) - value for x, value in enumerate(best.values)]
    assert len(best.values) == width + 1
    assert max(map(abs, errors)) == best.error
    signs = [errors[x] > 0 for x in best.points]
    assert len(best.points) == degree + 2
    assert all(abs(errors[x]) == best.error for x in best.points)
    assert all(first != second for first, second in pairwise(signs))
    differences = np.array(best.values, dtype=object)
    for _ in range(degree + 1):
        differences = np.diff(differences)
    assert not differences.any()


def test_known_errors() -> None:
    """A constant is ½ away; a line (d - 1)/(2d), a polynomial of degree d - 1, 2⁻ᵈ."""
    for width in range(1, 12):
        assert best_approximation(width, 0).error == Fraction(1, 2)
        if width > 1:
            assert best_approximation(width, 1).error == Fraction(width - 1, 2 * width)
        assert best_approximation(width, width - 1).error == Fraction(1, 2**width)


def test_no_polynomial_in_two_or_three_bits_is_nearer() -> None:
    """Not symmetric ones either: a grid of all multilinear ones of degree 1 in two bits."""
    grid = [Fraction(i, 8) for i in range(-12, 13)]
    nearest = min(
        max(abs(c + a * x + b * y - x * y) for x, y in product((0, 1), repeat=2))
        for c, a, b in product(grid, repeat=3)
    )
    assert nearest == best_approximation(2, 1).error == Fraction(1, 4)


def test_degrees_fall_with_the_error() -> None:
    for width in (1, 3, 6, 10):
        errors = [best_approximation(width, degree).error for degree in range(width)]
        assert errors == sorted(errors, reverse=True)
        for degree in range(1, width):
            assert approximate_degree(width, errors[degree]) == degree
            below = errors[degree] - Fraction(1, 10**9)
            assert approximate_degree(width, below) == degree + 1
        assert approximate_degree(width, Fraction(0)) == width


def test_layers_grow_by_one_for_four_times_the_bits() -> None:
    assert [layers_within(4**power, THIRD) for power in range(4)] == [1, 2, 3, 4]
    for width in (1, 5, 16, 100):
        assert layers_within(width, Fraction(0)) == layers_for_degree(2 * width)
    assert layers_within(128, THIRD) < layers_within(128, Fraction(0))


def test_equality_is_composed_of_the_polynomial_and_of_comparisons() -> None:
    for width, degree in ((2, 1), (3, 1), (4, 2)):
        best = best_approximation(width, degree)
        cube = np.array(list(product((0, 1), repeat=2 * width)))
        agreeing = (cube[:, :width] == cube[:, width:]).sum(axis=1)
        values = np.array(best.values, dtype=object)[agreeing].reshape((2,) * (2 * width))
        assert boolean_degree(values) == 2 * degree
        assert multilinear_coefficients(values).shape == values.shape


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (best_approximation, (0, 0), "width = 0"),
        (best_approximation, (3, 3), "degree = 3"),
        (best_approximation, (3, -1), "degree = -1"),
        (approximate_degree, (0, THIRD), "width = 0"),
        (approximate_degree, (3, Fraction(1, 2)), "0 ≤ error < 1/2"),
        (layers_within, (3, Fraction(-1, 2)), "error = -1/2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_an_exchange_keeps_the_signs_alternating() -> None:
    """Beyond the ends, a point of the other sign takes the place of the farthest one."""
    points = [2, 4, 6]
    signs = {0: -1, 2: 1, 4: -1, 5: 1, 6: 1, 8: -1}
    residuals = [Fraction(signs.get(x, 0)) for x in range(9)]
    assert approximation._exchanged(points, 0, residuals) == [0, 2, 4]
    assert approximation._exchanged(points, 8, residuals) == [4, 6, 8]
    assert approximation._exchanged(points, 5, residuals) == [2, 4, 5]
