"""Exact memory bounds in bits; whole numbers throughout, so that nothing is rounded."""

from __future__ import annotations

from math import comb


def one_pass_bits(universe: int, size: int) -> int:
    """Bits that a zero-error one-pass algorithm holds between A and B: ⌈log₂ C(n, a)⌉.

    It has read A, an a-subset of n possible elements, and not yet B. The rows of the disjointness
    matrix (a-subsets against b-subsets) are distinct when a + b ≤ n, so that no two A's may share
    a state; naming A's number among all C(n, a) is enough. To name the one common element, rather
    than say whether there is one, takes the same number when b ≥ 2 and n ≥ 2a + b - 2.

    >>> one_pass_bits(32, 4), one_pass_bits(32, 12)
    (16, 28)

    Args:
        universe: n, how many elements there are to draw from.
        size: a = |A|, the size of the set that comes first.

    Returns:
        Bits, at least 0.

    Raises:
        ValueError: unless 0 ≤ size ≤ universe.

    Source:
        Counting, beyond the paper (arXiv:2407.05483, Appendix G): it bounds the memory in order of
        magnitude, by Ω(min(|A|, |B|)) for two-way protocols.
    """
    if not 0 <= size <= universe:
        raise ValueError(f"universe = {universe}, size = {size}: 0 ≤ size ≤ universe is needed")
    return (comb(universe, size) - 1).bit_length()
