"""Set disjointness as a token task (paper, section 3.2, Algorithm 1 and Figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .counter_rng import distinct, integers
from .prompt import Examples, PromptTask, check_choice
from .task import Batch, Order

Answer = Literal["token", "decision", "all"]


@dataclass(frozen=True)
class SetDisjointness(PromptTask):
    """Two sets, one after the other; which tokens do they share, or do they share one at all?

    One sequence is ``([prefix] A [sep_sets] B) × passes [sep_answer] × common``; only the
    [sep_answer] positions carry a loss. The prefix is the whole sequence.

    * ``answer="token"``: A and B share exactly one token, the target.
    * ``answer="decision"``: they share one token or none, each with probability 1/2; the target is
      the special token `INTERSECTING` or `DISJOINT`.
    * ``answer="all"``: they share exactly `common` tokens; these are the targets, in the order in
      which B has them.

    A and the rest of B are a uniform ordered sample without replacement from all ordinary tokens.
    That is the same distribution as splitting the vocabulary into two random halves *for every
    example* and drawing A from one, B from the other: whatever A holds, no token outside A is more
    likely in B than another, so that only A itself tells which token is shared. (With fixed halves
    it would be the one token of B from A's half.) The shared tokens are a uniform choice from A, at
    a uniform choice of B's positions.

    Args:
        vocab_size: V, the special tokens included (4 of them, 5 for decisions).
        size_a: |A| ≥ 1, tokens.
        size_b: |B| ≥ 1, tokens; |A| + |B| may not exceed the number of ordinary tokens.
        passes: how many times the input is shown (p of the JR-p prompt, Def. G.28).
        answer: ``"token"``, ``"decision"`` or ``"all"``.
        common: k, number of shared tokens, from 1 to min(|A|, |B|); above 1 only for ``"all"``.

    Raises:
        ValueError: a size does not fit, or `answer` is unknown.

    Example:
        Sets {4, 5} and {9, 8, 4}, shared token 4 (0 is [prefix], 1 [sep_sets], 2 [sep_answer]):

        >>> batch = SetDisjointness(vocab_size=12, size_a=2, size_b=3).sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 4, 5, 1, 9, 8, 4, 2]]
        >>> batch.targets.tolist()
        [[-100, -100, -100, -100, -100, -100, -100, 4]]
        >>> batch.prefix_len
        8

        Two shared tokens, in the order of B:

        >>> batch = SetDisjointness(12, 3, 4, answer="all", common=2).sample(1, seed=1)
        >>> batch.inputs.tolist()
        [[0, 5, 10, 7, 1, 6, 5, 7, 9, 2, 2]]
        >>> batch.targets[:, -2:].tolist()
        [[5, 7]]
    """

    vocab_size: int
    size_a: int
    size_b: int
    passes: int = 1
    answer: Answer = "token"
    common: int = 1

    SEP_SETS: ClassVar[int] = PromptTask.SEP
    DISJOINT: ClassVar[int] = 3
    INTERSECTING: ClassVar[int] = 4

    def __post_init__(self) -> None:
        self._check_counts("vocab_size", "size_a", "size_b", "passes", "common")
        check_choice("answer", self.answer, Answer)
        if self.size_a + self.size_b > self.universe_size:
            raise ValueError(
                f"size_a + size_b = {self.size_a} + {self.size_b} does not fit: "
                f"vocab_size = {self.vocab_size} leaves {max(0, self.universe_size)} tokens "
                f"beside the {self._special_tokens} special ones"
            )
        most = min(self.size_a, self.size_b) if self.answer == "all" else 1
        if self.common > most:
            raise ValueError(
                f"common = {self.common}: at most {most} for answer = {self.answer!r} and sets of "
                f"{self.size_a} and {self.size_b}"
            )

    @property
    def _special_tokens(self) -> int:
        return 5 if self.answer == "decision" else 4

    @property
    def universe_size(self) -> int:
        """Number n of tokens that a set can hold."""
        return self.vocab_size - self._special_tokens

    @property
    def _side_lengths(self) -> tuple[int, int]:
        return self.size_a, self.size_b

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return self.passes * (self.size_a + self.size_b + 2) + self.common

    @property
    def order(self) -> Order:
        """``"short_first"`` where |A| < |B|."""
        if self.size_a == self.size_b:
            return "equal"
        return "short_first" if self.size_a < self.size_b else "long_first"

    @property
    def chance(self) -> float:
        """Guessing the token at the best fixed position of A or B; 1/2 for decisions.

        One shared token: any of the smaller set, 1/min(|A|, |B|). Of k shared ones, the i-th is
        at position x of B with probability C(x−1, i−1)·C(|B|−x, k−i)/C(|B|, k), and at any position
        of A with 1/|A|; the largest of these, averaged over i.
        """
        if self.answer == "decision":
            return 0.5
        if self.common == 1:
            return 1 / min(self.size_a, self.size_b)
        return sum(map(self._slot_chance, range(1, self.common + 1))) / self.common

    def _slot_chance(self, i: int) -> float:
        b, k = self.size_b, self.common
        in_b = max(comb(x - 1, i - 1) * comb(b - x, k - i) for x in range(1, b + 1)) / comb(b, k)
        return max(1 / self.size_a, in_b)

    def _make(self, examples: Examples) -> Batch:
        # Without `passes`: a model that reads twice sees the same sets as one that reads once.
        sizes = (self.vocab_size, self.size_a, self.size_b)
        several = () if self.common == 1 else (self.common,)
        stream = ("set_disjointness", self.answer, *sizes, *several)
        tokens = distinct(examples.keys(*stream), self.size_a + self.size_b, self.universe_size)
        tokens += self._special_tokens
        set_a, set_b = torch.split(tokens, [self.size_a, self.size_b], dim=1)
        if self.answer == "all":
            from_a = distinct(examples.keys(*stream, part="from_a"), self.common, self.size_a)
            to_b = distinct(examples.keys(*stream, part="to_b"), self.common, self.size_b)
            label = set_a.gather(1, from_a)
            set_b.scatter_(1, to_b.sort(1).values, label)
        else:
            label = self._put_shared_token_(set_a, set_b, examples.keys(*stream, part="choices"))
        return self._asked_at_the_end(set_a, set_b, label)

    def _put_shared_token_(self, set_a: Tensor, set_b: Tensor, keys: Tensor) -> Tensor:
        """Put a token of A into B, for decisions in half of the examples; return the answers."""
        bounds = torch.tensor([self.size_a, self.size_b, 2], device=keys.device)
        from_a, to_b, coin = torch.split(integers(keys, 3, bounds), 1, dim=1)
        shared = set_a.gather(1, from_a)
        if self.answer == "token":
            set_b.scatter_(1, to_b, shared)
            return shared
        intersects = coin.bool()
        set_b.scatter_(1, to_b, torch.where(intersects, shared, set_b.gather(1, to_b)))
        return torch.where(intersects, self.INTERSECTING, self.DISJOINT)
