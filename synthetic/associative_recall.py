"""Associative recall: document then question, or question then document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .prompt import Examples
from .recall import TwoSidedRecallTask
from .task import Batch, RecallOrder


@dataclass(frozen=True)
class AssociativeRecall(TwoSidedRecallTask):
    """Key-value pairs and queries; what are the values of the queries?

    One sequence is ``([prefix] k v … k v [sep] q … q) × passes [sep_answer] × queries`` with
    ``order="context_first"``, and has its two sides swapped with ``"query_first"``. The target of
    the i-th [sep_answer] is the value of the i-th query; nothing else carries a loss. The prefix is
    the whole sequence. Example i shows the same pairs and queries in both orders.

    Keys come from one half of the ordinary tokens, values from the other, each without
    replacement; the queries are a random choice of the keys, in random order. A guess among the
    values shown is right with probability 1/pairs.

    Args:
        vocab_size: V, the 4 special tokens included.
        pairs: key-value pairs, from 1 to half of the ordinary tokens.
        queries: from 1 to `pairs`.
        order: ``"context_first"`` or ``"query_first"``.
        passes: how many times the input is shown (p of the JR-p prompt, Def. G.28).

    Raises:
        ValueError: a size does not fit, or the order is unknown.

    Source:
        Sections 1 and 3 and Appendix G (AR) of arXiv:2407.05483.

    Example:
        The pairs (5, 11), (4, 8), (7, 9) and the query 4, whose value is 8 (0 is [prefix],
        1 [sep], 2 [sep_answer]); then the same with the question first:

        >>> batch = AssociativeRecall(vocab_size=12, pairs=3).sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 5, 11, 4, 8, 7, 9, 1, 4, 2]]
        >>> batch.targets.tolist()
        [[-100, -100, -100, -100, -100, -100, -100, -100, -100, 8]]
        >>> AssociativeRecall(12, pairs=3, order="query_first").sample(1, seed=0).inputs.tolist()
        [[0, 4, 1, 5, 11, 4, 8, 7, 9, 2]]
    """

    vocab_size: int
    pairs: int
    queries: int = 1
    order: RecallOrder = "context_first"
    passes: int = 1

    _STREAM: ClassVar[str] = "associative_recall"

    def _make(self, examples: Examples) -> Batch:
        lookups, _ = self._draw(examples)
        return self._lay_out(lookups)
