"""Selective copying: repeat the tokens that matter, in order, and leave out the blanks between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .counter_rng import distinct, integers
from .prompt import Examples, PromptTask
from .task import Batch, RecallOrder


@dataclass(frozen=True)
class SelectiveCopying(PromptTask):
    """Items scattered among blanks, a delay, then a position for each item, in their order.

    One sequence is ``([prefix] items and blanks [sep] delay) × passes [sep_answer] × items``; the
    delay is blanks alone. The places of the items are a uniform choice; the items are drawn
    independently, so that nothing but the item itself tells which one it is. The prefix is the
    whole sequence.

    A state that answers all of them tells all lists of items apart: items · log2(n) bits.

    Args:
        vocab_size: V, the 4 special tokens included.
        items: tokens to copy, at least 1.
        delay: tokens between the last of the items and the answer, at least 1.
        passes: how many times the input is shown.
        blanks: tokens among the items, to be left out.

    Raises:
        ValueError: a size does not fit.

    Source:
        Gu and Dao, *Mamba*, arXiv:2312.00752, section 4.1.1; Poli et al., MAD, arXiv:2403.17844.

    Example:
        The items 5, 5, 6 among two blanks (0 is [prefix], 1 [sep], 2 [sep_answer], 3 blank):

        >>> batch = SelectiveCopying(vocab_size=10, items=3, delay=1, blanks=2).sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 5, 3, 5, 6, 3, 1, 3, 2, 2, 2]]
        >>> batch.targets[:, -3:].tolist()
        [[5, 5, 6]]
    """

    vocab_size: int
    items: int
    delay: int
    passes: int = 1
    blanks: int = 8

    BLANK: ClassVar[int] = 3
    order: ClassVar[RecallOrder] = "context_first"

    def __post_init__(self) -> None:
        self._check_counts("vocab_size", "items", "delay", "passes", "blanks")
        if self.universe_size < 2:
            raise ValueError(f"vocab_size = {self.vocab_size}: at least 6, for two kinds of items")

    @property
    def size_a(self) -> int:
        """Number of items."""
        return self.items

    @property
    def size_b(self) -> int:
        """Tokens of the delay."""
        return self.delay

    @property
    def universe_size(self) -> int:
        """Number n of tokens that an item can be."""
        return self.vocab_size - 4

    @property
    def chance(self) -> float:
        """Naming any token: 1/n."""
        return 1 / self.universe_size

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return self.passes * (sum(self._side_lengths) + 2) + self.items

    @property
    def _side_lengths(self) -> tuple[int, int]:
        return self.items + self.blanks, self.delay

    def _make(self, examples: Examples) -> Batch:
        # Without `passes` and `delay`: all of them show the same items.
        stream = ("selective_copying", self.vocab_size, self.items, self.blanks)
        items = 4 + integers(examples.keys(*stream, part="items"), self.items, self.universe_size)
        length = self.items + self.blanks
        places = distinct(examples.keys(*stream, part="places"), self.items, length)
        shown = items.new_full((examples.count, length), self.BLANK)
        shown.scatter_(1, places.sort(1).values, items)
        delay = items.new_full((examples.count, self.delay), self.BLANK)
        return self._asked_at_the_end(shown, delay, items)
