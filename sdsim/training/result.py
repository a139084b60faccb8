"""What a run measures: the same classes when it is measured, stored and read.

This module imports no torch, so stored runs can be read without it.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count, Reader, StateSource

if TYPE_CHECKING:
    from synthetic import Task


@dataclass(frozen=True, config=STRICT)
class QuantizedResult:
    """The same test with the carried state quantized.

    Attributes:
        bits: per number of the state.
        state_bits: all that is carried per sequence, scales included, at that many bits per number;
            the most after any token of the quantized part (at the end, for states that grow).
            Between two quantizations the numbers have full precision.
        correct: right answers.
    """

    bits: int
    state_bits: int
    correct: int


@dataclass(frozen=True, repr=False, config=STRICT)
class SliceResult:
    """What a run measures on one test task.

    Attributes:
        size_a, size_b, universe_size, order, chance, seq_len: of the task, see `synthetic.Task`.
        examples: how many were drawn.
        answers: how many answers each asks for.
        correct: how many of all answers were right.
        loss: mean cross-entropy of the answers, nats; None if it is not finite, or where there are
            no probabilities.
        state_numel: numbers that `step` carries per sequence after the input, or that cross a
            segment boundary, where a budget is set; None of a streaming algorithm, and where the
            state is not measured.
        state_bits: bits carried per sequence: of a network those tensors', or all that crosses a
            segment boundary within its budget; of a streaming algorithm the most that it held; of a
            state that is not measured what is stated of it, None where nothing is.
        quantized: the test again, with quantized states.
        validation_correct: how many of all answers to the validation examples were right; None
            where there were none, and of a streaming algorithm, of which nothing is chosen.
    """

    size_a: Count
    size_b: Count
    universe_size: Count
    order: Literal["short_first", "long_first", "equal", "context_first", "query_first"]
    chance: Annotated[float, Field(gt=0, le=1)]
    seq_len: Count
    examples: Count
    answers: Count
    correct: int
    loss: float | None
    state_numel: int | None
    state_bits: Count | None
    quantized: list[QuantizedResult]
    validation_correct: Annotated[int, Field(ge=0)] | None = None

    @classmethod
    def of(cls, task: Task, **measured: Any) -> SliceResult:
        """A result on a task; a loss that is not finite becomes None."""
        loss = measured.pop("loss")
        described = {
            name: getattr(task, name)
            for name in ("size_a", "size_b", "universe_size", "order", "chance", "seq_len")
        }
        return cls(**described, **measured, loss=finite_or_none(loss))

    def __post_init__(self) -> None:
        counts = [self.correct, *(less.correct for less in self.quantized)]
        if not 0 <= min(counts) <= max(counts) <= self.examples * self.answers:
            raise ValueError("a count of right answers is out of range")

    @property
    def accuracy(self) -> float:
        """Right answers over all answers."""
        return self.correct / (self.examples * self.answers)

    def __repr__(self) -> str:
        bits = "state unknown" if self.state_bits is None else f"{self.state_bits:,} bits"
        sizes = f"|A| = {self.size_a}, |B| = {self.size_b}"
        return f"SliceResult({sizes}: accuracy {self.accuracy:.3f}, {bits})"


class CurvePoint(NamedTuple):
    """Training up to a step.

    Attributes:
        step: how many steps were done.
        loss: mean over the last hundredth of the steps, nats; None if it is not finite.
        accuracy: mean over the same.
        by_task: the accuracy on each train task, if there are several; None where none of these
            steps was on that one.
    """

    step: int
    loss: float | None
    accuracy: float
    by_task: tuple[float | None, ...] = ()


@dataclass(frozen=True, repr=False, config=STRICT)
class RunResult:
    """What one run measures.

    Attributes:
        slices: one result for each test task.
        params: trainable numbers.
        train_loss: mean loss of the last hundredth of the steps, nats; None if the run diverged, or
            where nothing was trained.
        steps_done: fewer than the config's if the run ended earlier, by its stopping accuracy or
            as converged; 0 where nothing was trained.
        ensemble: how many runs were trained as one, this one included.
        seconds: wall-clock time of training and testing; of an ensemble's training, its share.
        bidirectional_prefix: whether a layer of the network reads its prompt non-causally; None of
            a streaming algorithm, and of runs that were stored before this was.
        state_source: whether the size of the state is measured, stated or unknown.
        reader: how the network reads its prompt, as `sdsim.models.lookahead` measures it of
            networks with modules given by import paths; None of others.
        converged: whether accuracy had stopped rising, see `sdsim.training.convergence`; None where
            this was not asked.
        curve: over each hundredth of the steps.
    """

    slices: list[SliceResult]
    params: int
    train_loss: float | None
    steps_done: int
    ensemble: int
    seconds: float
    bidirectional_prefix: bool | None = None
    state_source: StateSource = "measured"
    reader: Reader | None = None
    converged: bool | None = None
    curve: list[CurvePoint] = field(default_factory=list)

    def __repr__(self) -> str:
        accuracies = [measured.accuracy for measured in self.slices]
        mean = sum(accuracies) / len(accuracies)
        return (
            f"RunResult({len(self.slices)} slices, mean accuracy {mean:.3f}, {self.params:,} "
            f"parameters, {self.steps_done:,} steps, {self.seconds:.1f} s)"
        )


def finite_or_none(value: float | None) -> float | None:
    """The value, None where it is infinite or NaN: JSON has neither."""
    return value if value is not None and math.isfinite(value) else None
