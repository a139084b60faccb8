"""Several tasks that take turns in training, in fixed or changing proportions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise

from .task import Task

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Mixture:
    """Which of several tasks trains at which step.

    Every step credits each task with its weight; the task with the most credit (the first of them
    on a tie) takes the turn and pays the sum of the weights for it. So nothing is random, a task's
    turns are evenly spaced, no task is ever a whole turn ahead of its proportion, and equal weights
    give 0, 1, 2, 0, 1, 2, … Each stage of a curriculum starts without credit.

    Args:
        tasks: at least one; all of one vocabulary, whatever their lengths.
        weights: how much of the training each task gets, up to a factor; empty: equal weights.
        curriculum: stages (start, weights); a stage replaces the weights from the fraction `start`
            of the steps on, 0 < start < 1, in increasing order.

    Raises:
        ValueError: there is no task; vocabularies differ; the weights are not one for each task, or
            are negative, not finite or all 0; or the stages are out of order.

    Example:
        The first task twice as often; from half of the steps on, only the second:

        >>> from . import AssociativeRecall, SetDisjointness
        >>> tasks = SetDisjointness(36, 4, 12), AssociativeRecall(36, pairs=8)
        >>> Mixture(tasks, weights=(2, 1), curriculum=((0.5, (0, 1)),)).schedule(12)
        [0, 1, 0, 0, 1, 0, 1, 1, 1, 1, 1, 1]
    """

    tasks: tuple[Task, ...]
    weights: Weights = ()
    curriculum: tuple[tuple[float, Weights], ...] = ()

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("tasks is empty: give at least one")
        sizes = [task.vocab_size for task in self.tasks]
        if len(set(sizes)) > 1:
            raise ValueError(f"tasks: their vocab_size are {sizes}: all must be equal")
        if self.weights:
            self._check_weights("weights", self.weights)
        for _, weights in self.curriculum:
            self._check_weights("curriculum: weights", weights)
        starts = [start for start, _ in self.curriculum]
        if not all(0 < start < 1 for start in starts) or any(a >= b for a, b in pairwise(starts)):
            raise ValueError(
                f"curriculum: the stages start at {starts}: they must lie between 0 and 1, in "
                "increasing order (`weights` hold until the first)"
            )

    def _check_weights(self, name: str, weights: Weights) -> None:
        if len(weights) != len(self.tasks):
            raise ValueError(f"{name} = {weights}: {len(self.tasks)} are needed, one for each task")
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not any(weights):
            raise ValueError(f"{name} = {weights}: they must be finite, not negative, not all 0")

    @property
    def vocab_size(self) -> int:
        """Number of distinct tokens, the same for all tasks."""
        return self.tasks[0].vocab_size

    def schedule(self, steps: int) -> list[int]:
        """The index into `tasks` of each step's task.

        Raises:
            ValueError: for negative `steps`.
        """
        if steps < 0:
            raise ValueError(f"steps = {steps}: at least 0 is needed")
        equal = (1.0,) * len(self.tasks)
        stages = [(0.0, self.weights or equal), *self.curriculum]
        starts = [math.ceil(_exact(start) * steps) for start, _ in stages]
        return [
            turn
            for (_, weights), (start, end) in zip(stages, pairwise([*starts, steps]), strict=True)
            for turn in islice(_turns(weights), end - start)
        ]


def _turns(weights: Weights) -> Iterator[int]:
    """Whose turn it is at each step, forever."""
    exact = [_exact(weight) for weight in weights]
    unit = math.lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * unit) for weight in exact]
    price = sum(whole)
    credit = [0] * len(whole)
    while True:
        credit = [have + more for have, more in zip(credit, whole, strict=True)]
        turn = credit.index(max(credit))
        credit[turn] -= price
        yield turn


def _exact(number: float) -> Fraction:
    # As written in decimal: 0.1 of 10 steps is 1 step, which the binary value slightly exceeds.
    return Fraction(str(number))
