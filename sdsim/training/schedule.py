"""The learning-rate schedule of every trainer."""

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
