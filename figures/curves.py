"""Theory's bounds as curves: real numbers before any rounding up, for arrays of sizes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import comb, log2

import numpy as np
import numpy.typing as npt

from figures.style import Floats
from theory.checks import require_at_least, require_between, require_subset
from theory.one_pass.with_error import fano_bits, index_length
from theory.setting import Problem, check_sizes


def one_pass_curve(universe: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """log₂ C(n, a), which `theory.one_pass_bits` rounds up.

    >>> one_pass_curve(32, [4, 12]).round(2)
    array([15.13, 27.75])

    Args, errors: as `theory.one_pass_bits`, integers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """
    return _vectorised(_one_pass, universe, size)


def multi_pass_curve(
    universe: npt.ArrayLike, size_a: npt.ArrayLike, size_b: npt.ArrayLike, passes: npt.ArrayLike
) -> Floats:
    """log₂ C(n, a) for one pass, log₂ C(n, min(a, b)) / (2p - 1) for p: `theory.multi_pass_bits`.

    >>> multi_pass_curve(32, 12, 4, [1, 2, 3]).round(2)
    array([27.75,  5.04,  3.03])

    Args, errors: as `theory.multi_pass_bits`, integers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(n: int, a: int, b: int, p: int) -> float:
        check_sizes(n, a, b)
        require_at_least(1, passes=p)
        return _one_pass(n, a if p == 1 else min(a, b)) / (2 * p - 1)

    return _vectorised(real, universe, size_a, size_b, passes)


def index_curve(
    universe: npt.ArrayLike,
    size_a: npt.ArrayLike,
    size_b: npt.ArrayLike,
    error: npt.ArrayLike,
    problem: Problem = "decision",
) -> Floats:
    """(1 - H₂(δ)) · `index_length`: `theory.index_bits` in floating point.

    >>> index_curve(64, [8, 16], 4, 0.1).round(2)
    array([4.25, 8.5 ])

    Args, errors: as `theory.index_bits`, numbers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(n: int, a: int, b: int, delta: float) -> float:
        require_between(0, Fraction(1, 2), open_high=True, error=delta)
        return fano_bits(index_length(n, a, b, problem), 2, delta)

    return _vectorised(real, universe, size_a, size_b, error)


def membership_curve(size_a: npt.ArrayLike, size_b: npt.ArrayLike, error: npt.ArrayLike) -> Floats:
    """a · log₂(b/δ): `theory.one_pass.filters.membership_bits` in floating point.

    >>> membership_curve([64, 128], 16, 0.0625)
    array([ 512., 1024.])

    Args, errors: as `membership_bits`, numbers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(a: int, b: int, delta: float) -> float:
        require_at_least(1, size_a=a, size_b=b)
        require_between(0, Fraction(1, 2), open_low=True, open_high=True, error=delta)
        return a * log2(b / delta)

    return _vectorised(real, size_a, size_b, error)


def _one_pass(universe: int, size: int) -> float:
    require_subset(universe, size)
    return log2(comb(universe, size))  # of a whole number of any length, to the last digit


def _vectorised(real: Callable[..., float], *arguments: npt.ArrayLike) -> Floats:
    """The function of each element: Python's own numbers go in, whose integers do not overflow."""
    broadcast = np.broadcast_arrays(*arguments)
    values = [
        real(*each) for each in zip(*(array.ravel().tolist() for array in broadcast), strict=True)
    ]
    return np.array(values, dtype=np.float64).reshape(broadcast[0].shape)
