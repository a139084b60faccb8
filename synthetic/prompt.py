"""What all prompts share: special tokens, layout, and the stream of examples."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar, get_args

import torch
from torch import Tensor

from .counter_rng import example_keys
from .task import IGNORE_INDEX, Batch, Split


@dataclass(frozen=True)
class Examples:
    """Examples `start` … `start + count - 1` of the stream (seed, split), yet to be made.

    Attributes:
        count: B ≥ 0.
        start: index of the first, ≥ 0.
        seed: any integer.
        split: train, validation and test are unrelated streams of the same seed.
        device: where the tokens are made.

    Raises:
        ValueError: for a negative `count` or `start`, or an unknown split.
    """

    count: int
    start: int
    seed: int
    split: Split
    device: torch.device | str

    def __post_init__(self) -> None:
        for name in ("count", "start", "seed"):
            object.__setattr__(self, name, operator.index(getattr(self, name)))
        if self.count < 0 or self.start < 0 or self.start + self.count >= 2**63:
            raise ValueError(
                f"batch_size = {self.count}, start = {self.start}: neither can be negative, and "
                "their sum must be less than 2^63"
            )
        check_choice("split", self.split, Split)

    def keys(self, *task: int | str, part: str | None = None) -> Tensor:
        """One key for each example, int64 (count,).

        Args:
            task: its name and all the options that its examples depend on.
            part: distinguishes several draws for one example.
        """
        stream = (*task, self.seed, self.split)
        parts = () if part is None else (part,)
        return example_keys(*stream, *parts, start=self.start, count=self.count, device=self.device)


class PromptTask(ABC):
    """A task whose input has two sides: ``([prefix] A [sep] B) × passes``.

    A subclass is a frozen dataclass with at least these two fields, and makes its examples in
    `_make`.
    """

    vocab_size: int
    passes: int

    PREFIX: ClassVar[int] = 0
    SEP: ClassVar[int] = 1
    SEP_ANSWER: ClassVar[int] = 2

    def sample(
        self,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        device: torch.device | str = "cpu",
        split: Split = "train",
    ) -> Batch:
        """Examples `start` … `start + batch_size - 1` of the stream (seed, split).

        Args:
            batch_size: B ≥ 0.
            seed: any integer; names the stream.
            start: index of the first example, ≥ 0.
            device: where the tokens are made.
            split: train, validation and test are unrelated streams of the same seed.

        Returns:
            Inputs and targets, int64 (B, `seq_len`).

        Raises:
            ValueError: for a negative `batch_size` or `start`, or an unknown split.
        """
        return self._make(Examples(batch_size, start, seed, split, device))

    @property
    def segment_boundaries(self) -> tuple[int, ...]:
        """After how many tokens the input changes from one side to the other, 2·passes − 1."""
        side_a, side_b = self._side_lengths
        pass_len = side_a + side_b + 2
        starts = range(0, self.passes * pass_len, pass_len)
        return tuple(start + end for start in starts for end in (side_a + 2, pass_len))[:-1]

    @property
    @abstractmethod
    def _side_lengths(self) -> tuple[int, int]:
        """Tokens of the first side and of the second."""

    @abstractmethod
    def _make(self, examples: Examples) -> Batch:
        """Make the examples."""

    def _check_counts(self, *names: str) -> None:
        """Make them Python's integers, as the arithmetic needs that sizes and streams go into."""
        for name in names:
            value = getattr(self, name)
            if not isinstance(value, Integral) or value < 1:
                raise ValueError(f"{name} = {value!r}: a whole number of at least 1 is needed")
            object.__setattr__(self, name, int(value))

    def _shown(self, side_a: Tensor, side_b: Tensor) -> list[Tensor]:
        """Sides (B, a) and (B, b), `passes` times, in pieces to concatenate."""
        prefix, separator = (_column(side_a, token) for token in (self.PREFIX, self.SEP))
        return [prefix, side_a, separator, side_b] * self.passes

    def _asked_at_the_end(self, side_a: Tensor, side_b: Tensor, answers: Tensor) -> Batch:
        """The sides, then one [sep_answer] for each of the answers (B, m), its target.

        The prefix is the whole sequence: no answer is part of the input.
        """
        slots = _column(answers, self.SEP_ANSWER).expand_as(answers)
        inputs = torch.cat([*self._shown(side_a, side_b), slots], dim=1)
        targets = torch.full_like(inputs, IGNORE_INDEX)
        targets[:, -answers.shape[1] :] = answers
        return Batch(inputs, targets, prefix_len=inputs.shape[1])


def check_choice(name: str, value: str, choices: object) -> None:
    """Raise `ValueError` unless `value` is one of the strings of the Literal type `choices`."""
    if value not in get_args(choices):
        raise ValueError(f"{name} = {value!r}: one of {', '.join(get_args(choices))}")


def _column(like: Tensor, token: int) -> Tensor:
    return like.new_full((len(like), 1), token)
