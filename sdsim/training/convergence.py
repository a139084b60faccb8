"""When a run has converged: its accuracy no longer rises.

The rule, for ``train.until=converged``: accuracy over the last fifth of the steps so far is less
than `LEAST_RISE` above that of the fifth before it. It is checked after each twentieth of
``train.steps``, from the fourth one on, on the training examples, none of which was seen before.
The learning rate is at its peak from the end of the warm-up on: a rate that falls would flatten any
curve. Once the rule holds, the rate falls to 0 in a last fifth of the run, in which accuracy often
rises once more. If the rule does not hold after four fifths of the steps, the rate falls all the
same, and the run has not converged; nor has one whose loss is not finite.

A plateau is all that the rule sees: a run that has not begun to learn is on one too, so compare its
accuracy with guessing; and a longer run, or another learning rate, may end higher.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean

LEAST_RISE = 0.005
"""In accuracy; a smaller one counts as none."""

_TWENTIETHS_BEFORE = 4
_TWENTIETHS_AT_MOST = 16  # then the last fifth begins


@dataclass(frozen=True)
class Verdict:
    """What the rule says of a run.

    Attributes:
        point: of its curve, the last one at the peak of the learning rate.
        converged: whether accuracy no longer rose, and the loss is finite.
    """

    point: int
    converged: bool


def verdict(
    accuracies: Sequence[float], points: int, losses: Sequence[float] = ()
) -> Verdict | None:
    """The first verdict that the rule comes to; None: not yet.

    Args:
        accuracies: the points of a run's curve so far.
        losses: its losses there; none given: all finite.
        points: of the whole curve, if the run takes all its steps; at least 20.

    >>> rising = [k / 100 for k in range(100)]
    >>> verdict(rising[:79], 100), verdict(rising[:80], 100)
    (None, Verdict(point=80, converged=False))
    >>> verdict(rising[:30] + [0.3] * 30, 100)
    Verdict(point=50, converged=True)
    """
    for twentieths in range(_TWENTIETHS_BEFORE, _TWENTIETHS_AT_MOST + 1):
        point = twentieths * points // 20
        if point > len(accuracies):
            return None
        fifth = point // 5
        before = fmean(accuracies[point - 2 * fifth : point - fifth])
        if fmean(accuracies[point - fifth : point]) - before < LEAST_RISE:
            return Verdict(point, converged=all(map(isfinite, losses[:point])))
    return Verdict(point, converged=False)
