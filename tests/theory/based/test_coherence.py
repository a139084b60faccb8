"""Welch's and Alon's bounds: in closed forms, against kernels that exist, and on bad arguments."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import comb, inf, log

import numpy as np
import pytest

from theory.based.coherence import alon_order, welch_allows, welch_dimension
from theory.based.random_signs import RandomSignKernel, random_sign_dimension

THIRD = Fraction(1, 3)


def coherence(vectors: np.ndarray) -> float:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return float(np.abs(unit @ unit.T - np.eye(len(unit))).max())


def test_configurations_that_attain_it_are_allowed_and_no_smaller_epsilon() -> None:
    """A simplex, six lines through an icosahedron's vertices, 28 lines in seven dimensions."""
    golden = (1 + 5**0.5) / 2
    icosahedron = [(0, 1, golden), (0, 1, -golden), (1, golden, 0), (1, -golden, 0)]
    icosahedron += [(golden, 0, 1), (-golden, 0, 1)]
    lines = np.full((28, 8), -1.0)
    for line, places in zip(lines, combinations(range(8), 2), strict=True):
        line[list(places)] = 3
    simplex = np.eye(6) - 1 / 6
    for vectors, dimension in ((simplex, 5), (np.array(icosahedron), 3), (lines, 7)):
        epsilon = coherence(vectors)
        count = len(vectors)
        assert np.linalg.matrix_rank(vectors) == dimension
        assert welch_allows(count, dimension, Fraction(epsilon + 1e-9))
        assert not welch_allows(count, dimension, Fraction(epsilon - 1e-9))


def test_the_bound_is_the_sum_of_squares_of_inner_products() -> None:
    """For k = 1 and 2, term by term: Σ ⟨x, y⟩^(2k) ≥ n² / C(f + k - 1, k) for any unit vectors."""
    generator = np.random.default_rng(0)
    for count, dimension, power in ((5, 3, 1), (9, 2, 2), (30, 4, 3)):
        vectors = generator.standard_normal((count, dimension))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        total = ((vectors @ vectors.T) ** (2 * power)).sum()
        assert total >= count**2 / comb(dimension + power - 1, power) - 1e-9


@pytest.mark.parametrize("universe", [2, 3, 10, 60, 1000])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_dimension_is_the_least_that_every_power_allows(universe: int, size: int) -> None:
    epsilon = Fraction(1, 3 * size)

    def least(power: int) -> float:
        needed = Fraction(universe) / (1 + (universe - 1) * epsilon ** (2 * power))
        return next(f for f in range(1, universe + 1) if comb(f + power - 1, power) >= needed)

    assert welch_dimension(universe, epsilon) == max(least(power) for power in range(1, 40))


def test_the_square_is_forced_and_no_more_than_n() -> None:
    for size in (4, 10, 30):
        epsilon = Fraction(1, 3 * size)
        wide = welch_dimension(10**7, epsilon)
        assert 8.9 * size**2 < wide < 20 * size**2
        assert wide < random_sign_dimension(10**7, size)
    assert welch_dimension(50, Fraction(0)) == 50
    assert welch_dimension(50, Fraction(1)) == 1
    assert welch_dimension(2, Fraction(1, 2)) == 2


@pytest.mark.parametrize("dimension", [2, 5, 16])
def test_random_kernels_never_beat_it(dimension: int) -> None:
    for seed in range(20):
        kernel = RandomSignKernel(30, 1, seed, dimension=dimension)
        assert welch_allows(30, dimension, kernel.epsilon())
        vectors = np.random.default_rng(seed).standard_normal((30, dimension))
        assert welch_allows(30, dimension, Fraction(coherence(vectors) + 1e-9))
    assert not welch_allows(30, dimension, Fraction(1, 9 * dimension))


def test_alons_order_grows_with_the_logarithm_of_n() -> None:
    epsilon = Fraction(1, 8)
    assert alon_order(10**6, epsilon) == pytest.approx(2 * alon_order(10**3, epsilon))
    assert alon_order(64, epsilon) == pytest.approx(64 * log(64) / log(8))
    assert alon_order(5, Fraction(49, 100)) < alon_order(10**3, Fraction(1, 10)) < inf


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (welch_allows, (1, 1, THIRD), "universe = 1"),
        (welch_allows, (2, 0, THIRD), "dimension = 0"),
        (welch_allows, (2, 1, Fraction(-1, 3)), "epsilon = -1/3"),
        (welch_allows, (2, 1, Fraction(4, 3)), "epsilon = 4/3"),
        (welch_dimension, (1, THIRD), "universe = 1"),
        (alon_order, (1, THIRD), "universe = 1"),
        (alon_order, (9, Fraction(1, 2)), "0 < epsilon < 1/2"),
        (alon_order, (9, Fraction(0)), "0 < epsilon"),
        (alon_order, (8, THIRD), "universe · ε² ≥ 1"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)
