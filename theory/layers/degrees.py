"""Degrees of functions on {0, 1}^v, or on a part of it, and the layers that a degree takes.

A task whose polynomial has degree D needs ⌈log₂ D⌉ BaseConv layers (`layers_for_degree`); these
functions find D by interpolation, or certify it by linear algebra. All in exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import lcm
from numbers import Integral

import numpy as np
import numpy.typing as npt
import sympy
from sympy.polys.matrices import DomainMatrix

from ..checks import (
    Exact,
    exact_number,
    require_at_least,
    require_shape,
    with_python_integers,
    zero_one_rows,
)
from ..counting import ceil_log2


@with_python_integers
def layers_for_degree(degree: int) -> int:
    """Layers that a BaseConv stack needs for a polynomial of this degree: ⌈log₂ degree⌉.

    Recall needs those of EQUALITY, read once or twice: of degree 2d for d-bit codes (G.7) and 2p
    for p-hot codes (G.11, which states ⌊log₂ 2p⌋). It holds for outputs that are exact;
    `theory.layers.approximation` is about others.

    >>> [layers_for_degree(degree) for degree in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]

    Raises:
        ValueError: unless degree ≥ 1.

    Source:
        Definition G.1, Theorems G.7 and G.11 of arXiv:2407.05483: L layers reach degree 2^L.
    """
    require_at_least(1, degree=degree)
    return ceil_log2(degree)


def multilinear_coefficients(values: npt.ArrayLike) -> Exact:
    """Interpolate a function on the cube {0, 1}^v exactly, by Möbius inversion.

    The coefficient of the monomial Π_{i ∈ S} x_i is Σ_{T ⊆ S} (-1)^{|S| - |T|} f(1_T); no other
    multilinear polynomial agrees with f on the cube.

    >>> multilinear_coefficients([[0, 1], [1, 0]]).tolist()  # exclusive or: x + y - 2 x y
    [[0, 1], [1, -2]]

    Args:
        values: shape (2,) * v, v ≥ 1; entry [b_1, …, b_v] is f(b_1, …, b_v), an exact number.

    Returns:
        Shape (2,) * v; entry [b_1, …, b_v] is the coefficient of Π_i x_i^{b_i}.

    Raises:
        ValueError: when the shape is another one or an entry is not exact.
    """
    coefficients = np.array(values, dtype=object)
    if coefficients.ndim == 0 or set(coefficients.shape) != {2}:
        raise ValueError(f"values has shape {coefficients.shape}: (2, …, 2) is needed")
    for entry in coefficients.flat:
        exact_number("values", entry)
    for axis in range(coefficients.ndim):
        last_first = np.moveaxis(coefficients, axis, 0)
        last_first[1] -= last_first[0]
    return coefficients


def boolean_degree(values: npt.ArrayLike) -> int:
    """Degree of the one multilinear polynomial that is this function on {0, 1}^v.

    It is also the least degree of any polynomial that agrees with the function on the cube, since
    reducing powers x^k to x never raises a degree.

    >>> boolean_degree([[0, 1], [1, 0]])
    2

    Args:
        values: as in `multilinear_coefficients`.

    Returns:
        The degree; 0 for a constant function, zero included.

    Raises:
        ValueError: as `multilinear_coefficients`.
    """
    support = np.argwhere(multilinear_coefficients(values) != 0)
    return int(support.sum(axis=1).max(initial=0))


@with_python_integers
def degree_certificate(
    points: npt.ArrayLike, values: npt.ArrayLike, degree: int
) -> tuple[int, ...] | None:
    """A certificate that no polynomial of this degree takes these values, or None if one does.

    The monomials of degree ≤ k, restricted to the points, span the functions that such
    polynomials compute. The values lie outside exactly if some weighting of the points sums every
    such monomial to zero but not the values: that weighting is the certificate.

    >>> degree_certificate([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], 1)
    (1, -1, -1, 1)
    >>> degree_certificate([[0, 0], [0, 1], [1, 0]], [0, 1, 1], 1) is None  # x + y
    True

    Args:
        points: (P, v), entries 0 or 1, distinct rows: where the values are wanted.
        values: (P,) integers.
        degree: k ≥ 0.

    Returns:
        P integer weights, or None when a polynomial of degree ≤ k takes the values.

    Raises:
        ValueError: when the points are not distinct rows of 0 and 1, the number of values is
            another one or one is no integer, or degree < 0.
    """
    places, wanted = _points_and_values(points, values)
    require_at_least(0, degree=degree)
    # A column that is zero on the points, or that occurred, adds nothing to the span.
    columns = dict.fromkeys(tuple(c) for c in _monomial_values(places, degree) if c.any())
    rows = [[sympy.QQ(int(entry)) for entry in column] for column in columns]
    matrix = DomainMatrix(rows, (len(rows), len(places)), sympy.QQ)
    for weights in matrix.nullspace().to_list():
        if sum(w * int(v) for w, v in zip(weights, wanted, strict=True)) != 0:
            scale = lcm(*(int(w.denominator) for w in weights))
            return tuple(int(w * scale) for w in weights)
    return None


def certifies(
    weights: npt.ArrayLike, points: npt.ArrayLike, values: npt.ArrayLike, degree: int
) -> bool:
    """Check such a certificate: one sum for each monomial, and no linear algebra.

    >>> certifies([1, -1, -1, 1], [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], 1)
    True

    Args:
        weights: (P,) integers, as `degree_certificate` or `equality_certificate` yields them.
        points: (P, v), entries 0 or 1, distinct rows.
        values: (P,) integers.
        degree: k ≥ 0.

    Returns:
        Whether the weights sum every monomial of degree ≤ k to zero, and the values to non-zero.

    Raises:
        ValueError: as `degree_certificate`, or unless there is one integer weight a point.
    """
    places, wanted = _points_and_values(points, values)
    require_at_least(0, degree=degree)
    exact = _integers("weights", weights, len(places))
    support = np.flatnonzero(exact)
    if exact @ wanted == 0:
        return False
    return all(exact[support] @ column == 0 for column in _monomial_values(places[support], degree))


def least_degree(points: npt.ArrayLike, values: npt.ArrayLike) -> int:
    """Least degree of any polynomial that takes these values at these points.

    >>> least_degree([[0, 1], [1, 0]], [0, 0]), least_degree([[0, 1], [1, 0]], [1, 0])
    (0, 1)

    Args:
        points: (P, v), entries 0 or 1, distinct rows.
        values: (P,) integers.

    Returns:
        The degree, at most v; 0 for constant values, zero included.

    Raises:
        ValueError: as `degree_certificate`.
    """
    variables = _points_and_values(points, values)[0].shape[1]
    # All v variables together interpolate anything, so that one of these degrees is enough.
    degrees = range(variables + 1)
    return next(k for k in degrees if degree_certificate(points, values, k) is None)


@with_python_integers
def monomials(width: int, degree: int) -> Iterator[tuple[int, ...]]:
    """The multilinear monomials of at most this degree in d variables, as sets of variables.

    >>> list(monomials(2, 2))
    [(), (0,), (1,), (0, 1)]
    """
    for size in range(min(width, degree) + 1):
        yield from combinations(range(width), size)


def _monomial_values(points: npt.NDArray[np.int64], degree: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every multilinear monomial of at most this degree, as its value at each point."""
    for variables in monomials(points.shape[1], degree):
        yield np.asarray(points[:, variables].all(axis=1), dtype=np.int64)


def _points_and_values(
    points: npt.ArrayLike, values: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], Exact]:
    places = zero_one_rows("points", points)
    return places, _integers("values", values, len(places))


def _integers(name: str, entries: npt.ArrayLike, count: int) -> Exact:
    array = np.array(entries, dtype=object)
    require_shape(name, array, (count,))
    if not all(isinstance(entry, Integral) for entry in array):
        raise ValueError(f"{name} holds {array.tolist()}: integers are needed")
    return array
