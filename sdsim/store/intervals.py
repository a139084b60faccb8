"""Confidence intervals for measured accuracies and their differences."""

from __future__ import annotations

from math import sqrt

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson(correct: float, examples: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (Wilson 1927), as (low, high).

    >>> [round(bound, 3) for bound in wilson(90, 100)]
    [0.826, 0.945]

    Raises:
        ValueError: unless 0 ≤ correct ≤ examples and examples ≥ 1.
    """
    if not 0 <= correct <= examples or examples < 1:
        raise ValueError(f"correct = {correct}, examples = {examples}: 0 ≤ correct ≤ examples ≥ 1")
    share = correct / examples
    scale = 1 + z**2 / examples
    centre = (share + z**2 / (2 * examples)) / scale
    half = z * sqrt(share * (1 - share) / examples + z**2 / (4 * examples**2)) / scale
    # At 0 and 1 a bound is the share itself, but for rounding.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def difference(
    correct_1: float, examples_1: int, correct_2: float, examples_2: int, z: float = Z_95
) -> tuple[float, float]:
    """Interval of share 1 - share 2, from the two Wilson intervals (Newcombe 1998, method 10).

    >>> [round(bound, 3) for bound in difference(56, 70, 48, 80)]
    [0.052, 0.334]
    """
    share_1, share_2 = correct_1 / examples_1, correct_2 / examples_2
    low_1, high_1 = wilson(correct_1, examples_1, z)
    low_2, high_2 = wilson(correct_2, examples_2, z)
    gap = share_1 - share_2
    return (
        gap - sqrt((share_1 - low_1) ** 2 + (high_2 - share_2) ** 2),
        gap + sqrt((high_1 - share_1) ** 2 + (share_2 - low_2) ** 2),
    )
