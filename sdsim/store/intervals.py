"""Confidence intervals, at 95 %, for measured accuracies and their differences.

An accuracy that is measured with several seeds varies for two reasons: which examples were drawn,
and which seed was trained. What the seeds differ by holds both, and its quantile is Student's, with
one degree of freedom less than there are seeds. Few seeds may agree by chance, so that no interval
is shorter than that of the pooled examples alone; of one seed there is no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin, sqrt, tan
from statistics import fmean, stdev
from typing import TypeAlias

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

LEAST_SEEDS = 5
"""With fewer, an interval is no ground for a verdict: the spread of seeds is hardly known."""

Interval: TypeAlias = tuple[float, float]
Counts: TypeAlias = tuple[float, int]
"""Right answers, and of how many examples."""


def accuracy_interval(seeds: Sequence[Counts]) -> Interval:
    """Interval of the mean accuracy over seeds, as (low, high).

    Wilson's, with the standard error of the mean over seeds in place of that of the examples (which
    is that of fewer examples, the effective ones) and Student's quantile in place of the normal
    one: Franco, Little, Louis and Slud, J. Survey Statistics and Methodology 7 (2019). Near 1,
    where seeds lie skewed, it covers better than mean ± t standard errors.

    Args:
        seeds: the counts of each seed, at least one; as many examples of each.

    >>> [round(bound, 3) for bound in accuracy_interval([(90, 100), (70, 100), (80, 100)])]
    [0.49, 0.943]
    >>> accuracy_interval([(90, 100)]) == wilson(90, 100)
    True
    """
    correct, examples = _pooled(seeds)
    variance = correct / examples * (1 - correct / examples) / examples
    z = Z_95
    if variance and len(seeds) > 1:
        over_seeds = reach([right / of for right, of in seeds])
        z = max(z, over_seeds / sqrt(variance))
    return wilson(correct, examples, z)


def difference_interval(seeds_1: Sequence[Counts], seeds_2: Sequence[Counts]) -> Interval:
    """Interval of the mean over seeds of share 1 - share 2, paired: both of the same seed.

    Student's, or Newcombe's of the pooled examples where that reaches further.

    Args:
        seeds_1, seeds_2: the counts of each seed, at least one, in the same order.

    >>> once, twice = [(60, 100), (70, 100), (80, 100)], [(65, 100), (76, 100), (86, 100)]
    >>> [round(bound, 3) for bound in difference_interval(twice, once)]
    [-0.015, 0.127]
    """
    pairs = zip(seeds_1, seeds_2, strict=True)
    gaps = [right_1 / all_1 - right_2 / all_2 for (right_1, all_1), (right_2, all_2) in pairs]
    low, high = difference(*_pooled(seeds_1), *_pooled(seeds_2))
    if len(gaps) > 1:
        mean, half = fmean(gaps), reach(gaps)
        low, high = min(low, mean - half), max(high, mean + half)
    return max(-1.0, low), min(1.0, high)


def _pooled(seeds: Sequence[Counts]) -> Counts:
    return sum(correct for correct, _ in seeds), sum(examples for _, examples in seeds)


def reach(values: Sequence[float]) -> float:
    """From the mean of two values or more to the ends of its Student's interval."""
    return student_t(len(values) - 1) * stdev(values) / sqrt(len(values))


@lru_cache
def student_t(degrees: int, share: float = 0.95) -> float:
    """The t that Student's distribution exceeds, to both sides, with probability 1 - share.

    >>> [round(student_t(degrees), 3) for degrees in (1, 2, 4, 30)]
    [12.706, 4.303, 2.776, 2.042]

    Args:
        degrees: of freedom, at least 1.
        share: in (0, 1).
    """
    low, high = 0.0, pi / 2
    while low < (angle := (low + high) / 2) < high:
        if _student_share(angle, degrees) < share:
            low = angle
        else:
            high = angle
    return sqrt(degrees) * tan(low)


def _student_share(angle: float, degrees: int) -> float:
    """P(|T| ≤ √degrees · tan(angle)), a finite sum (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    is_odd = degrees % 2
    term, total = (cos(angle) if is_odd else 1.0), 0.0
    for factor in range(1 + is_odd, degrees, 2):
        total += term
        term *= factor / (factor + 1) * cos(angle) ** 2
    return 2 / pi * (angle + sin(angle) * total) if is_odd else sin(angle) * total


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
