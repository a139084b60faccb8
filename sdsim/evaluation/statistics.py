"""Two prompts on the same items: what the second one gains, with its uncertainty.

Items are what is sampled: intervals and errors say what other items of the same kind would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
LEAST_DOCUMENTS = 10
"""With fewer, resampled documents say little of others, so that there is no interval."""

RESAMPLED_SEED = 20240705
"""Of the resamples, so that the same answers have the same intervals."""


@dataclass(frozen=True)
class Accuracy:
    """A share of right answers.

    Attributes:
        items: how many were asked.
        right: how many were answered right.
    """

    items: int
    right: int

    @property
    def value(self) -> float:
        """The share."""
        return self.right / self.items

    @property
    def standard_error(self) -> float:
        """Of the share, over items."""
        return sqrt(self.value * (1 - self.value) / self.items)


@dataclass(frozen=True)
class Paired:
    """One prompt against another, on the items that both have answered.

    Attributes:
        before, after: the two accuracies.
        gained: items that only the second answers right.
        lost: items that only the first answers right.
        low, high: bootstrap interval of the difference, at 95 %, over items.
        p_value: of McNemar's exact test, two-sided.
    """

    before: Accuracy
    after: Accuracy
    gained: int
    lost: int
    low: float
    high: float
    p_value: float

    @property
    def difference(self) -> float:
        """How much more the second answers right."""
        return self.after.value - self.before.value

    @property
    def standard_error(self) -> float:
        """Of the difference, over items."""
        items = self.before.items
        return sqrt(max(0.0, (self.gained + self.lost) / items - self.difference**2) / items)


def paired(before: Sequence[bool], after: Sequence[bool]) -> Paired:
    """Compare two prompts by what was right on the same items, in the same order.

    >>> outcome = paired([True] * 5 + [False] * 5, [True] * 4 + [False] * 1 + [True] * 5)
    >>> outcome.gained, outcome.lost, round(outcome.difference, 3), outcome.p_value
    (5, 1, 0.4, 0.21875)

    Raises:
        ValueError: for no items, or not as many of both.
    """
    if not before or len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} items: as many of both, at least one")
    gained = sum(second and not first for first, second in zip(before, after, strict=True))
    lost = sum(first and not second for first, second in zip(before, after, strict=True))
    low, high = bootstrap(gained, lost, len(before))
    return Paired(
        Accuracy(len(before), sum(before)),
        Accuracy(len(after), sum(after)),
        gained,
        lost,
        low,
        high,
        mcnemar(gained, lost),
    )


def mcnemar(gained: int, lost: int) -> float:
    """McNemar's exact test: how likely so uneven a split is, if both prompts are equally good.

    >>> mcnemar(5, 1), mcnemar(0, 0), mcnemar(3, 3)
    (0.21875, 1.0, 1.0)
    """
    changed = gained + lost
    tail, ways = 0, 1
    for count in range(min(gained, lost) + 1):
        tail += ways
        ways = ways * (changed - count) // (count + 1)
    return min(1.0, 2 * tail / (1 << changed))


def bootstrap(gained: int, lost: int, items: int) -> tuple[float, float]:
    """Percentile interval of the difference, at 95 %: items drawn anew, with replacement.

    A resample of the items depends on their outcomes alone, so that three counts are drawn.
    """
    low, high = np.quantile(_resampled(gained, lost, items, 0), (0.025, 0.975))
    return float(low), float(high)


def mean_difference(tasks: Sequence[Paired]) -> tuple[float, float, float]:
    """The mean over tasks of the differences, and its bootstrap interval: items within tasks."""
    drawn = [
        _resampled(task.gained, task.lost, task.before.items, place)
        for place, task in enumerate(tasks)
    ]
    low, high = np.quantile(np.mean(drawn, axis=0), (0.025, 0.975))
    mean = sum(task.difference for task in tasks) / len(tasks)
    return mean, float(low), float(high)


def _resampled(gained: int, lost: int, items: int, stream: int) -> NDArray[np.float64]:
    shares = np.array([gained, lost, items - gained - lost]) / items
    counts = np.random.default_rng((RESAMPLED_SEED, stream)).multinomial(items, shares, RESAMPLES)
    return np.asarray((counts[:, 0] - counts[:, 1]) / items, dtype=np.float64)
