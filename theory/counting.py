"""Counts of names and of subsets, in whole numbers."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from math import comb

from .checks import require_at_least, require_subset, with_python_integers

_FACTORS = 1000  # of a binomial coefficient, up to which it is simply computed


@with_python_integers
def ceil_log2(count: int) -> int:
    """⌈log₂ count⌉, exactly: the bits that give each of `count` things a name of its own.

    >>> ceil_log2(252), ceil_log2(256), ceil_log2(257), ceil_log2(1)
    (8, 8, 9, 0)

    Raises:
        ValueError: if count < 1.
    """
    require_at_least(1, count=count)
    return (count - 1).bit_length()


@with_python_integers
def ceil_log2_binomial(universe: int, size: int) -> int:
    """⌈log₂ C(n, k)⌉, exactly, without computing C(n, k) where it has millions of digits.

    >>> ceil_log2_binomial(2048, 256), ceil_log2_binomial(10**9, 10**8)
    (1108, 468995580)

    Raises:
        ValueError: unless 0 ≤ size ≤ universe.

    Source:
        Robbins 1955: ln n! = (n + 1/2) ln n - n + ln √(2π) + r with 1/(12n + 1) < r < 1/(12n).
        Where these bounds of r do not settle the whole number, C(n, k) is computed after all.
    """
    require_subset(universe, size)
    size = min(size, universe - size)
    if size > _FACTORS:
        low, high = _log2_binomial_bounds(universe, size)
        if low == high:
            return low
    return ceil_log2(comb(universe, size))


def _log2_binomial_bounds(n: int, k: int) -> tuple[int, int]:
    """⌈·⌉ of a lower and of an upper bound of log₂ C(n, k), 0 < k < n."""
    with localcontext() as context:
        context.prec = 40 + len(str(n))  # so that no rounding reaches the bounds' difference
        rest = n - k

        def power(x: int) -> Decimal:
            return x * Decimal(x).ln()

        pi = Decimal("3.14159265358979323846264338327950288419716939937511")
        core = power(n) - power(k) - power(rest)
        core += (Decimal(n) / (2 * pi * k * rest)).ln() / 2
        less = [1 / Decimal(12 * x + 1) for x in (n, k, rest)]
        more = [1 / Decimal(12 * x) for x in (n, k, rest)]
        slack = Decimal(10) ** -30  # far above the rounding, far below the bounds' difference
        low = (core + less[0] - more[1] - more[2] - slack) / Decimal(2).ln()
        high = (core + more[0] - less[1] - less[2] + slack) / Decimal(2).ln()
        return math.ceil(low), math.ceil(high)


@with_python_integers
def subsets_up_to(universe: int, size: int) -> int:
    """Σ_{k ≤ size} C(universe, k): the subsets of at most `size` elements, the empty one included.

    >>> subsets_up_to(4, 2), subsets_up_to(4, 9)
    (11, 16)

    Raises:
        ValueError: if universe or size is negative.
    """
    require_at_least(0, universe=universe, size=size)
    total = count = 1
    for chosen in range(min(universe, size)):
        count = count * (universe - chosen) // (chosen + 1)
        total += count
    return total
