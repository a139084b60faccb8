"""Small instances that several claims go through one by one."""

from __future__ import annotations

from itertools import combinations

Subset = frozenset[int]


def subsets(elements: range, size: int) -> list[Subset]:
    """The subsets of that size, in lexicographic order."""
    return [frozenset(chosen) for chosen in combinations(elements, size)]
