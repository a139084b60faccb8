"""What the recall tasks share: keys and values, and how the queries are drawn."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from .counter_rng import distinct
from .prompt import Examples, PromptTask, check_choice
from .task import Batch, RecallOrder

_SPECIAL_TOKENS = 4


class Lookups(NamedTuple):
    """Key-value pairs and queries, as tokens.

    Attributes:
        context: k v k v …, int64 (B, 2 · pairs).
        queries: int64 (B, queries).
        answers: the values of the queries, int64 (B, queries).
        left_over: bool (B, queries), queries for which no pair is left, since no pair is asked for
            twice; their query and answer are arbitrary.
    """

    context: Tensor
    queries: Tensor
    answers: Tensor
    left_over: Tensor


class RecallTask(PromptTask):
    """A context of key-value pairs, and queries that ask for the values of some of the keys.

    Keys and values come from two fixed halves of the ordinary tokens, as is usual for MQAR. Unlike
    in set disjointness, the half that a token comes from tells nothing new: its position does so
    already. Keys are distinct, so that answers are unique; so are values, so that no value shown is
    likelier than another; and so are queries.
    """

    pairs: int
    queries: int

    _STREAM: ClassVar[str]

    def __post_init__(self) -> None:
        self._check_counts("vocab_size", "pairs", "queries", "passes")
        if self.pairs > self._values:
            raise ValueError(
                f"pairs = {self.pairs} does not fit: vocab_size = {self.vocab_size} leaves "
                f"{self.universe_size} keys and {self._values} values beside the "
                f"{_SPECIAL_TOKENS} special tokens"
            )
        self._check_queries()

    def _check_queries(self) -> None:
        if self.queries > self.pairs:
            raise ValueError(
                f"queries = {self.queries}: at most pairs = {self.pairs}, as they are distinct"
            )

    @property
    def universe_size(self) -> int:
        """Number of keys in the vocabulary."""
        return (self._ordinary_tokens + 1) // 2

    @property
    def _values(self) -> int:
        return self._ordinary_tokens // 2

    @property
    def _ordinary_tokens(self) -> int:
        return max(0, self.vocab_size - _SPECIAL_TOKENS)

    @property
    def chance(self) -> float:
        """Naming any of the values shown: 1/pairs."""
        return 1 / self.pairs

    def _keys(self, examples: Examples, part: str) -> Tensor:
        # Without `passes` and the order: all of them show the same examples.
        return examples.keys(self._STREAM, self.vocab_size, self.pairs, self.queries, part=part)

    def _draw(self, examples: Examples, absent: int = 0) -> tuple[Lookups, Tensor]:
        """Pairs and queries; and `absent` more keys, (B, absent), not in the context."""
        drawn = distinct(self._keys(examples, "keys"), self.pairs + absent, self.universe_size)
        drawn += _SPECIAL_TOKENS
        keys, absent_keys = torch.split(drawn, [self.pairs, absent], dim=1)
        values = distinct(self._keys(examples, "values"), self.pairs, self._values)
        values += _SPECIAL_TOKENS + self.universe_size
        places = max(self.pairs, self.queries)
        asked = distinct(self._keys(examples, "queries"), self.queries, places)
        left_over = asked >= self.pairs
        asked = asked.clamp(max=self.pairs - 1)
        context = torch.stack([keys, values], dim=2).flatten(1)
        queries, answers = keys.gather(1, asked), values.gather(1, asked)
        return Lookups(context, queries, answers, left_over), absent_keys


class TwoSidedRecallTask(RecallTask):
    """Context and queries in either order, then a position for the answer of each query."""

    order: RecallOrder

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("order", self.order, RecallOrder)

    @property
    def size_a(self) -> int:
        """Pairs where the context comes first, else queries."""
        return self.pairs if self.order == "context_first" else self.queries

    @property
    def size_b(self) -> int:
        """Queries where the context comes first, else pairs."""
        return self.queries if self.order == "context_first" else self.pairs

    @property
    def _side_lengths(self) -> tuple[int, int]:
        sides = 2 * self.pairs, self.queries
        return sides if self.order == "context_first" else sides[::-1]

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return self.passes * (2 * self.pairs + self.queries + 2) + self.queries

    def _lay_out(self, lookups: Lookups) -> Batch:
        context, queries, answers, _ = lookups
        if self.order == "context_first":
            return self._asked_at_the_end(context, queries, answers)
        return self._asked_at_the_end(queries, context, answers)
