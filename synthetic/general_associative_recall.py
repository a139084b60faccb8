"""General associative recall: queries whose key may be absent (paper, Appendix G)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from .counter_rng import bernoulli
from .prompt import Examples
from .recall import TwoSidedRecallTask
from .task import Batch, RecallOrder


@dataclass(frozen=True)
class GeneralAssociativeRecall(TwoSidedRecallTask):
    """Key-value pairs and queries; the value of each query, or Null if it has none.

    Laid out as `AssociativeRecall`: ``([prefix] k v … k v [sep] q … q) × passes [sep_answer] ×
    queries``, or with the two sides swapped. Each query is absent from the context with
    probability `null_share`, independently of the others; its answer is then the special token
    `NULL`. If there are more queries than pairs, the surplus, drawn at random, is always absent.
    The prefix is the whole sequence. Example i shows the same pairs and queries in both orders.

    The queries are distinct, absent ones included, so that the queries alone do not tell which of
    them the context holds. Hence the best guess without looking at the keys is either Null or one
    of the values shown: if a fraction ν of all queries is absent, it is right with probability
    max(ν, (1 − ν)/pairs).

    Args:
        vocab_size: V, the 4 special tokens included.
        pairs: key-value pairs, from 1 to half of the ordinary tokens.
        queries: at least 1; pairs + queries may not exceed the number of keys.
        passes: how many times the input is shown (p of the JR-p prompt, Def. G.28).
        order: ``"context_first"`` or ``"query_first"``.
        null_share: probability that a query is absent, in [0, 1], exact to 2⁻³¹.

    Raises:
        ValueError: a size or `null_share` does not fit, or the order is unknown.

    Source:
        General associative recall (GAR), G.24 of arXiv:2407.05483; `null_share` is ours.

    Example:
        The pairs (5, 12), (9, 10), (7, 13); no pair has the key 6, and 7 has the value 13 (0 is
        [prefix], 1 [sep], 2 [sep_answer], 3 Null):

        >>> batch = GeneralAssociativeRecall(vocab_size=16, pairs=3, queries=2).sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 5, 12, 9, 10, 7, 13, 1, 6, 7, 2, 2]]
        >>> batch.targets[:, -2:].tolist()
        [[3, 13]]
    """

    vocab_size: int
    pairs: int
    queries: int
    passes: int = 1
    order: RecallOrder = "context_first"
    null_share: float = 0.5

    NULL: ClassVar[int] = 3
    _STREAM: ClassVar[str] = "general_associative_recall"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.null_share <= 1:
            raise ValueError(f"null_share = {self.null_share}: must lie in [0, 1]")

    def _check_queries(self) -> None:
        if self.pairs + self.queries > self.universe_size:
            raise ValueError(
                f"pairs + queries = {self.pairs} + {self.queries} does not fit: "
                f"vocab_size = {self.vocab_size} has {self.universe_size} keys"
            )

    @property
    def chance(self) -> float:
        """The better guess of Null and a value shown."""
        present = (1 - self.null_share) * min(1, self.pairs / self.queries)
        return max(1 - present, present / self.pairs)

    def _make(self, examples: Examples) -> Batch:
        lookups, absent_keys = self._draw(examples, absent=self.queries)
        is_absent = bernoulli(self._keys(examples, "nulls"), self.queries, self.null_share)
        is_absent |= lookups.left_over
        return self._lay_out(
            lookups._replace(
                queries=torch.where(is_absent, absent_keys, lookups.queries),
                answers=torch.where(is_absent, self.NULL, lookups.answers),
            )
        )
