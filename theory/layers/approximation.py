"""Layers for recall whose outputs are not exact: within ε, or read by their sign.

Theorems G.7 and G.8/G.11 speak of outputs that *are* EQ's values. Where outputs within ε of them
are enough, what counts is the least degree of a polynomial that comes so near: that of EQ of d-bit
strings is twice that of AND of d bits, which is Θ(√d) (Nisan and Szegedy 1994), so that ½ log₂ d
layers are still needed. Where the *sign* is enough, as for a model that is read by its larger
logit, one layer does, whatever d (`theory.layers.equality.sign_equality_stack`): no bound is left.

A polynomial near AND may be taken to depend on the number of ones alone (Minsky and Papert 1969),
so that this is about polynomials in one variable at 0, …, d: how near can one of degree k come to 0
at 0 … d - 1 and to 1 at d? That linear programme is solved by exchange (Remez 1934), in fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

from ..checks import require_at_least, require_between, with_python_integers
from .degrees import layers_for_degree


@dataclass(frozen=True)
class BestApproximation:
    """The best polynomial of a degree for AND of d bits, as a function of the number of ones.

    Attributes:
        width: d.
        degree: k.
        points: k + 2 numbers of ones at which its error is largest, with alternating signs: no
            polynomial of degree k does better on these alone (de la Vallée Poussin 1910).
        error: the largest error.
        values: the polynomial's values at 0, …, d.
    """

    width: int
    degree: int
    points: tuple[int, ...]
    error: Fraction
    values: tuple[Fraction, ...]


@with_python_integers
def best_approximation(width: int, degree: int) -> BestApproximation:
    """How near polynomials of degree k come to AND of d bits.

    >>> best = best_approximation(width=4, degree=2)
    >>> str(best.error), [str(value) for value in best.values]
    ('1/6', ['1/6', '-1/6', '-1/6', '1/6', '5/6'])

    Args:
        width: d ≥ 1.
        degree: k, 0 ≤ k < d; with k = d the product of the bits is AND itself.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_at_least(1, width=width)
    require_between(0, width - 1, degree=degree)
    points = list(range(width - degree - 1, width + 1))
    while True:
        error, values = _levelled(points, width)
        residuals = [int(i == width) - value for i, value in enumerate(values)]
        worst = max(range(width + 1), key=lambda i: abs(residuals[i]))
        if abs(residuals[worst]) == error:
            return BestApproximation(width, degree, tuple(points), error, tuple(values))
        points = _exchanged(points, worst, residuals)


@with_python_integers
def approximate_degree(width: int, error: Fraction) -> int:
    """The least degree of a polynomial within ε of AND of d bits, wherever they are 0 or 1.

    >>> [approximate_degree(width, Fraction(1, 3)) for width in (1, 4, 16, 64)]
    [1, 2, 3, 6]

    Args:
        width: d ≥ 1.
        error: ε, 0 ≤ ε < 1/2.

    Returns:
        k, between 1 and d, which it is for ε = 0.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_at_least(1, width=width)
    require_between(0, Fraction(1, 2), open_high=True, error=error)
    degrees = range(1, width) if error else ()
    return next((k for k in degrees if best_approximation(width, k).error <= error), width)


@with_python_integers
def layers_within(width: int, error: Fraction) -> int:
    """Layers that EQ of d-bit strings takes if outputs are within ε: ⌈log₂ 2k⌉.

    k is the `approximate_degree` of AND; EQ's is 2k. So many layers does recall take, too, read
    once or twice, in binary encoding and in p-hot encoding with p = d digits of base ≥ 2.

    >>> [layers_within(64, error) for error in (Fraction(0), Fraction(1, 3))]
    [7, 4]

    Args:
        width: d ≥ 1.
        error: ε, 0 ≤ ε < 1/2; for 0 this is the bound of Theorems G.7 and G.11.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Ours, after Theorems G.7 and G.11. Averaged over the inputs (x + z, y + z), a polynomial
        in signs keeps the monomials that have the same places of x and of y, so that half its
        degree is that of one near AND; and AND of d comparisons, each of degree 2, is EQ.
    """
    return layers_for_degree(2 * approximate_degree(width, error))


def _levelled(points: list[int], width: int) -> tuple[Fraction, list[Fraction]]:
    """The error ±e of the polynomial that has it, alternating, at k + 2 points; its values."""
    weights = [Fraction(1, prod(x - y for y in points if y != x)) for x in points]
    ones = [int(x == width) for x in points]
    signs = [(-1) ** i for i in range(len(points))]
    error = _weighted(weights, ones) / _weighted(weights, signs)
    wanted = {x: one - sign * error for x, one, sign in zip(points, ones, signs, strict=True)}

    def value(x: int) -> Fraction:
        if x in wanted:
            return Fraction(wanted[x])
        near = [weight / (x - y) for weight, y in zip(weights, points, strict=True)]
        return _weighted(near, list(wanted.values())) / sum(near)

    return abs(error), [value(x) for x in range(width + 1)]


def _weighted(weights: list[Fraction], numbers: Sequence[int | Fraction]) -> Fraction:
    return sum((w * x for w, x in zip(weights, numbers, strict=True)), start=Fraction(0))


def _exchanged(points: list[int], new: int, residuals: list[Fraction]) -> list[int]:
    """The points with the new one for an old one, so that the residuals' signs still alternate."""
    positive = residuals[new] > 0
    below = [i for i, x in enumerate(points) if x < new]
    neighbours = [i for i in (len(below) - 1, len(below)) if 0 <= i < len(points)]
    for i in neighbours:
        if (residuals[points[i]] > 0) == positive:
            return sorted([*points[:i], new, *points[i + 1 :]])
    # Beyond the first or the last point, and of the other sign: the farthest one goes.
    return [new, *points[:-1]] if not below else [*points[1:], new]
