"""Multi-query associative recall (MQAR): each query is answered at its own position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from .counter_rng import weighted_distinct
from .prompt import Examples, check_choice
from .recall import RecallTask
from .task import IGNORE_INDEX, Batch, RecallOrder

Gaps = Literal["dense", "power_law"]


@dataclass(frozen=True)
class MultiQueryAssociativeRecall(RecallTask):
    """Key-value pairs, then queries, each answered at its own position.

    One sequence is ``([prefix] k v … k v [sep] query part) × passes``; the loss is at the queries
    of the last pass, whose targets are their values.

    * ``gaps="dense"``: the query part is the queries, one after the other.
    * ``gaps="power_law"``: the query part has `query_len` tokens; a query is `gap` tokens after
      the [sep], with P(gap) ∝ gap^(exponent − 1) for gap = 1 … query_len, drawn one query after
      the other without replacement. The rest is the special token `FILLER`. A small exponent puts
      most queries close to the context and a few far away.

    Keys come from one half of the ordinary tokens, values from the other, each without
    replacement; the queries are a random choice of the keys, in random order. A guess among the
    values shown is right with probability 1/pairs. The prefix ends with the last pass's [sep].

    Args:
        vocab_size: V, the 4 special tokens included.
        pairs: key-value pairs, from 1 to half of the ordinary tokens.
        queries: from 1 to `pairs`.
        passes: how many times the input is shown (p of the JR-p prompt, Def. G.28).
        gaps: ``"dense"`` or ``"power_law"``.
        query_len: tokens of the query part, at least `queries`; only for ``"power_law"``.
        exponent: of the power law, in (0, 1]; 1 makes all gaps equally likely.

    Raises:
        ValueError: a size does not fit, `gaps` is unknown, or the exponent out of range.

    Source:
        The task and the power law: Arora et al., *Zoology*, arXiv:2312.04927, whose code uses
        exponent 0.01 and puts queries at every second position only; Appendix G of
        arXiv:2407.05483.

    Example:
        The pairs (4, 9), (5, 10), (6, 8); the query 4 at 1 token after the [sep], 5 at
        5 tokens (0 is [prefix], 1 [sep], 3 filler):

        >>> task = MultiQueryAssociativeRecall(12, 3, queries=2, gaps="power_law", query_len=5)
        >>> batch = task.sample(1, seed=0, start=2)
        >>> batch.inputs.tolist()
        [[0, 4, 9, 5, 10, 6, 8, 1, 4, 3, 3, 3, 5]]
        >>> batch.targets[:, -5:].tolist()
        [[9, -100, -100, -100, 10]]
        >>> batch.prefix_len
        8
    """

    vocab_size: int
    pairs: int
    queries: int
    passes: int = 1
    gaps: Gaps = "dense"
    query_len: int | None = None
    exponent: float = 0.01

    FILLER: ClassVar[int] = 3
    _STREAM: ClassVar[str] = "multi_query_associative_recall"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("gaps", self.gaps, Gaps)
        if self.gaps == "dense" and self.query_len is not None:
            raise ValueError(f"query_len = {self.query_len}: only gaps = 'power_law' has one")
        if self.gaps == "power_law":
            self._check_counts("query_len")
        if self._query_len < self.queries:
            raise ValueError(f"query_len = {self.query_len}: at least queries = {self.queries}")
        if not 0 < self.exponent <= 1:
            raise ValueError(f"exponent = {self.exponent}: must lie in (0, 1]")

    @property
    def size_a(self) -> int:
        """Number of pairs."""
        return self.pairs

    @property
    def size_b(self) -> int:
        """Number of queries."""
        return self.queries

    @property
    def order(self) -> RecallOrder:
        """Always the context first: a query is answered as it is read."""
        return "context_first"

    @property
    def _side_lengths(self) -> tuple[int, int]:
        return 2 * self.pairs, self._query_len

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return self.passes * (2 * self.pairs + 2 + self._query_len)

    @property
    def _query_len(self) -> int:
        return self.queries if self.query_len is None else self.query_len

    def _make(self, examples: Examples) -> Batch:
        lookups, _ = self._draw(examples)
        query_part, answers = lookups.queries, lookups.answers
        if self.gaps == "power_law":
            weights = [gap ** (self.exponent - 1) for gap in range(1, self._query_len + 1)]
            places = weighted_distinct(self._keys(examples, "gaps"), self.queries, weights)
            size = (examples.count, self._query_len)
            query_part = query_part.new_full(size, self.FILLER).scatter_(1, places, query_part)
            answers = answers.new_full(size, IGNORE_INDEX).scatter_(1, places, answers)
        inputs = torch.cat(self._shown(lookups.context, query_part), dim=1)
        targets = torch.full_like(inputs, IGNORE_INDEX)
        targets[:, -self._query_len :] = answers
        return Batch(inputs, targets, prefix_len=self.seq_len - self._query_len)
