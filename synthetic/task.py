"""What every task has in common: its batches, orders and splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

IGNORE_INDEX = -100
"""Target value of the positions that carry no loss (torch's own default)."""

RecallOrder = Literal["context_first", "query_first"]
Order = Literal["short_first", "long_first", "equal", RecallOrder]
Split = Literal["train", "validation", "test"]
"""Unrelated streams of one seed: to learn from, to choose learning rates by, to report."""


@dataclass(frozen=True, repr=False)
class Batch:
    """Token sequences and what to predict at each position.

    Attributes:
        inputs: tokens, int64 (B, N).
        targets: int64 (B, N); the token to predict *at the same position*, or `IGNORE_INDEX`.
        prefix_len: the number M of leading tokens, 0 ≤ M ≤ N, that come before the first answer; a
            prefix model may read them non-causally.
    """

    inputs: Tensor
    targets: Tensor
    prefix_len: int

    def __repr__(self) -> str:
        kind = str(self.inputs.dtype).removeprefix("torch.")
        return f"Batch(inputs {kind} {tuple(self.inputs.shape)}, prefix_len={self.prefix_len})"


class Task(Protocol):
    """A distribution over sequences of one length, whose input has two sides.

    Example i of a seed is the same whatever the batch size, the start, the worker or the device.
    """

    @property
    def vocab_size(self) -> int:
        """Number of distinct tokens, the special ones included."""

    @property
    def size_a(self) -> int:
        """Elements on the side that comes first."""

    @property
    def size_b(self) -> int:
        """Elements on the side that comes second."""

    @property
    def universe_size(self) -> int:
        """Number of elements to draw from."""

    @property
    def passes(self) -> int:
        """How many times the input is shown (p)."""

    @property
    def seq_len(self) -> int:
        """Length N of every sequence, in tokens."""

    @property
    def segment_boundaries(self) -> tuple[int, ...]:
        """After how many tokens the input changes from one side to the other, in order.

        What a one-pass reader knows of the first side is in its state at the first boundary. With
        p passes there are 2p − 1, where the two parties of Theorem G.29 exchange messages.
        """

    @property
    def chance(self) -> float:
        """Fraction of right answers of the best guess that compares no elements."""

    @property
    def order(self) -> Order:
        """Which side of the input comes first: the shorter or longer set, or context or queries."""

    def sample(
        self,
        batch_size: int,
        *,
        seed: int,
        start: int = 0,
        device: torch.device | str = "cpu",
        split: Split = "train",
    ) -> Batch:
        """Examples `start` to `start + batch_size - 1` of the stream (seed, split)."""
