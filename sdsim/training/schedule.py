"""The learning-rate schedules of all trainers."""

from __future__ import annotations

import math


def warmup_cosine(step: int, steps: int, warmup: float, floor: float = 0.0) -> float:
    """The factor on the peak learning rate: linear warm-up, then a cosine.

    Args:
        step: number of the step, from 0.
        steps: of the whole run.
        warmup: fraction of the steps in which the rate rises.
        floor: what the factor falls to after the last step.

    >>> [round(warmup_cosine(step, 10, 0.2, floor=0.1), 2) for step in (0, 1, 2, 6, 9)]
    [0.33, 0.67, 1.0, 0.55, 0.13]
    """
    rising = warmup * steps
    if step < rising:
        return (step + 1) / (rising + 1)
    progress = (step - rising) / max(1, steps - rising)
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return floor + (1 - floor) * cosine


def warmup_constant(step: int, steps: int, warmup: float, decay_from: int | None) -> float:
    """The factor on the peak learning rate: linear warm-up, the peak, then a line to 0.

    Args:
        step, steps, warmup: as in `warmup_cosine`; `steps` are the most that the run may take.
        decay_from: steps after which the rate falls, until `end_of_decay`; None: not yet known.

    >>> [round(warmup_constant(step, 20, 0.1, decay_from=8), 2) for step in (0, 1, 2, 7, 8, 9)]
    [0.33, 0.67, 1.0, 1.0, 0.67, 0.33]
    """
    rising = warmup * steps
    if decay_from is not None and step >= decay_from:
        end = end_of_decay(decay_from)
        return (end - step) / (end - decay_from + 1)
    return min(1.0, (step + 1) / (rising + 1))


def end_of_decay(decay_from: int) -> int:
    """Steps of a whole run: the learning rate falls in the last fifth of them.

    >>> end_of_decay(8)
    10
    """
    return decay_from + max(1, decay_from // 4)
