"""Set disjointness as a token task (paper, section 3.2, Algorithm 1 and Figure 2)."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from synthetic.counter_rng import distinct, example_keys, integers
from synthetic.task import IGNORE_INDEX, Batch, Order, Split

Answer = Literal["token", "decision"]


@dataclass(frozen=True)
class SetDisjointness:
    """Two sets in a row; which token do they share, or do they share one at all?

    One sequence is ``([prefix] A [sep_sets] B) × passes [sep_answer]``; only the last position
    carries a loss.

    * ``answer="token"``: A and B share exactly one token, the target.
    * ``answer="decision"``: they share one token or none, each with probability 1/2; the target is
      the special token `INTERSECTING` or `DISJOINT`.

    A and the rest of B are a uniform ordered sample without replacement from all ordinary tokens.
    That is the same distribution as splitting the vocabulary into two random halves *for every
    example* and drawing A from one, B from the other: whatever A holds, no token outside A is more
    likely in B than another, so nothing but A's identity tells the shared token. (Halves kept
    fixed would give it away: it would be the one token of B from A's half.)

    Args:
        vocab_size: V, the special tokens included (4 of them, 5 for decisions).
        size_a: |A| ≥ 1, tokens.
        size_b: |B| ≥ 1, tokens; |A| + |B| may not exceed the number of ordinary tokens.
        passes: how many times the input is shown (p of the JR-p prompt, Def. G.28).
        answer: ``"token"`` or ``"decision"``.

    Raises:
        ValueError: when a size does not fit.

    Example:
        Sets {4, 5} and {9, 8, 4}, shared token 4 (0 is [prefix], 1 [sep_sets], 2 [sep_answer]):

        >>> batch = SetDisjointness(vocab_size=12, size_a=2, size_b=3).sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 4, 5, 1, 9, 8, 4, 2]]
        >>> batch.targets.tolist()
        [[-100, -100, -100, -100, -100, -100, -100, 4]]
        >>> batch.prefix_len
        8
    """

    vocab_size: int
    size_a: int
    size_b: int
    passes: int = 1
    answer: Answer = "token"

    PREFIX: ClassVar[int] = 0
    SEP_SETS: ClassVar[int] = 1
    SEP_ANSWER: ClassVar[int] = 2
    DISJOINT: ClassVar[int] = 3
    INTERSECTING: ClassVar[int] = 4

    def __post_init__(self) -> None:
        for name in ("vocab_size", "size_a", "size_b", "passes"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} = {value!r}: a whole number of at least 1 is needed")
        if self.answer not in get_args(Answer):
            raise ValueError(f"answer = {self.answer!r}: one of {', '.join(get_args(Answer))}")
        if self.size_a + self.size_b > self.universe_size:
            raise ValueError(
                f"size_a + size_b = {self.size_a} + {self.size_b} does not fit: "
                f"vocab_size = {self.vocab_size} leaves {max(0, self.universe_size)} tokens "
                f"beside the {self._special_tokens} special ones"
            )

    @property
    def _special_tokens(self) -> int:
        return 4 if self.answer == "token" else 5

    @property
    def universe_size(self) -> int:
        """Number n of tokens that a set can hold."""
        return self.vocab_size - self._special_tokens

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return self.passes * (self.size_a + self.size_b + 2) + 1

    @property
    def order(self) -> Order:
        """``"short_first"`` where |A| < |B|."""
        if self.size_a == self.size_b:
            return "equal"
        return "short_first" if self.size_a < self.size_b else "long_first"

    @property
    def chance(self) -> float:
        """Token: naming any element of the smaller set, 1/min(|A|, |B|). Decision: 1/2."""
        return 1 / min(self.size_a, self.size_b) if self.answer == "token" else 0.5

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

        The prefix is the whole sequence: all of it is given before the answer.

        Args:
            batch_size: B ≥ 0.
            seed: any integer; names the stream.
            start: index of the first example, ≥ 0.
            device: where the tokens are made.
            split: train and test are unrelated streams of the same seed.

        Raises:
            ValueError: for a negative `batch_size` or `start`, or an unknown split.
        """
        if batch_size < 0 or start < 0 or start + batch_size >= 2**63:
            raise ValueError(
                f"batch_size = {batch_size}, start = {start}: neither can be negative, and their "
                "sum must be less than 2^63"
            )
        if split not in get_args(Split):
            raise ValueError(f"split = {split!r}: one of {', '.join(get_args(Split))}")
        # `passes` is left out on purpose: a model that reads twice sees the same sets twice.
        sizes = (self.vocab_size, self.size_a, self.size_b)
        # As an index, so that a NumPy integer names the same stream as Python's.
        stream = ("set_disjointness", self.answer, *sizes, operator.index(seed), split)
        keys = example_keys(*stream, start=start, count=batch_size, device=device)
        tokens = distinct(keys, self.size_a + self.size_b, self.universe_size)
        tokens += self._special_tokens
        set_a, set_b = torch.split(tokens, [self.size_a, self.size_b], dim=1)

        choices = example_keys(*stream, "choices", start=start, count=batch_size, device=device)
        bounds = torch.tensor([self.size_a, self.size_b, 2], device=device)
        from_a, to_b, coin = torch.split(integers(choices, 3, bounds), 1, dim=1)
        shared = set_a.gather(1, from_a)
        if self.answer == "token":
            set_b.scatter_(1, to_b, shared)
            label = shared
        else:
            intersects = coin.bool()
            set_b.scatter_(1, to_b, torch.where(intersects, shared, set_b.gather(1, to_b)))
            label = torch.where(intersects, self.INTERSECTING, self.DISJOINT)
        return self._lay_out(set_a, set_b, label)

    def _lay_out(self, set_a: Tensor, set_b: Tensor, label: Tensor) -> Batch:
        def column(token: int) -> Tensor:
            return set_a.new_full((len(set_a), 1), token)

        one_pass = [column(self.PREFIX), set_a, column(self.SEP_SETS), set_b]
        inputs = torch.cat([*one_pass * self.passes, column(self.SEP_ANSWER)], dim=1)
        targets = torch.full_like(inputs, IGNORE_INDEX)
        targets[:, -1:] = label
        return Batch(inputs, targets, prefix_len=self.seq_len)
