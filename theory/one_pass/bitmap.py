"""A bitmap of a part of the universe: one bit each says which of k elements are in A.

The plainest code there is for a state that cannot hold all of A, and not the best: see
`theory.one_pass.rate_distortion` for what no code exceeds. Trained networks come to it (see
``docs/findings.md``).
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, log2

from ..checks import require_between, with_python_integers
from ..setting import check_sizes


@with_python_integers
def bitmap_search_accuracy(universe: int, size_a: int, size_b: int, bits: int) -> Fraction:
    """How often a bitmap of k elements names the one common element of A and B.

    Of B's elements the one whose bit is set is common, for certain; if none is, all of B that is
    not in the bitmap is equally likely.

    >>> [str(bitmap_search_accuracy(16, 6, 2, bits)) for bits in (0, 8, 15, 16)]
    ['1/2', '53/60', '1', '1']

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1; the accuracy does not depend on it.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.
        bits: k, from 0 to n: the elements that have a bit.

    Returns:
        The mean over uniform instances with one common element.

    Raises:
        ValueError: unless the arguments are as above.
    """
    check_sizes(universe, size_a, size_b, "search")
    require_between(0, universe, bits=bits)
    n, k, others = universe, bits, size_b - 1
    right = Fraction(k, n)  # the common element has a bit
    for left_out in range(others + 1):  # else: elements of B beside it that have none, either
        ways = comb(n - k - 1, left_out) * comb(k, others - left_out) if k < n else 0
        right += Fraction((n - k) * ways, n * comb(n - 1, others) * (1 + left_out))
    return right


@with_python_integers
def bitmap_held_bits(universe: int, size_a: int, bits: int) -> float:
    """I(bitmap; A) = H(bitmap), in bits, for A uniform: what a bitmap of k elements holds of A.

    >>> [round(bitmap_held_bits(16, 6, bits), 2) for bits in (1, 8, 16)]
    [0.95, 7.51, 12.97]

    Args:
        universe: n, elements to draw from.
        size_a: a = |A|, from 1 to n.
        bits: k, from 0 to n: the elements that have a bit.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_between(1, universe, size_a=size_a)
    require_between(0, universe, bits=bits)
    total, held = comb(universe, size_a), 0.0
    for set_bits in range(min(bits, size_a) + 1):
        # Each of C(k, set_bits) bitmaps stands for so many sets A.
        sets = comb(universe - bits, size_a - set_bits)
        if sets:
            held += comb(bits, set_bits) * sets / total * log2(total / sets)
    return held
