"""Counts of names and of subsets, in whole numbers."""

from __future__ import annotations

from .checks import require_at_least


def ceil_log2(count: int) -> int:
    """⌈log₂ count⌉, exactly: the bits that give each of `count` things a name of its own.

    >>> ceil_log2(252), ceil_log2(256), ceil_log2(257), ceil_log2(1)
    (8, 8, 9, 0)

    Raises:
        ValueError: if count < 1.
    """
    require_at_least(1, count=count)
    return (count - 1).bit_length()


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
