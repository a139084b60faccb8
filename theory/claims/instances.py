"""Small instances that several claims go through one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

Subset = frozenset[int]


def subsets(elements: range, size: int) -> list[Subset]:
    """The subsets of that size, in lexicographic order."""
    return [frozenset(chosen) for chosen in combinations(elements, size)]


def sizes_up_to(largest: int, *, least: int = 1, shared: int = 0) -> Iterator[tuple[int, int, int]]:
    """All (n, a, b) with a, b ≥ least, n ≤ largest and a + b - shared ≤ n."""
    for n in range(1, largest + 1):
        for a in range(least, n + 1):
            for b in range(least, n - a + shared + 1):
                yield n, a, b
