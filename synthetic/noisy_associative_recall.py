"""Associative recall with tokens that mean nothing between the pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .counter_rng import integers
from .prompt import Examples
from .recall import TwoSidedRecallTask
from .task import Batch, RecallOrder


@dataclass(frozen=True)
class NoisyAssociativeRecall(TwoSidedRecallTask):
    """Key-value pairs with noise between them, and queries; what are the values of the queries?

    Laid out as `AssociativeRecall`, but that the context has `noise` more tokens, each at a random
    place before, between or behind the pairs, never inside one. Noise tokens are no keys or values.
    Example i shows the same pairs, noise and queries in both orders.

    A state that answers needs no more bits than without the noise; a model has to leave it out.

    Args:
        vocab_size: V, the 4 special tokens and the noise tokens included.
        pairs: key-value pairs, from 1 to half of the ordinary tokens.
        queries: from 1 to `pairs`.
        passes: how many times the input is shown.
        order: ``"context_first"`` or ``"query_first"``.
        noise: tokens that mean nothing in a context.
        noise_tokens: different ones, the last of the vocabulary.

    Raises:
        ValueError: a size does not fit, or the order is unknown.

    Source:
        Noisy recall of MAD, Poli et al., arXiv:2403.17844.

    Example:
        The pairs (4, 10) and (7, 9) with the noise 12, 13, 12 and the query 4, whose value is 10
        (0 is [prefix], 1 [sep], 2 [sep_answer]):

        >>> task = NoisyAssociativeRecall(14, pairs=2, noise=3, noise_tokens=2)
        >>> batch = task.sample(1, seed=0)
        >>> batch.inputs.tolist()
        [[0, 12, 4, 10, 13, 7, 9, 12, 1, 4, 2]]
        >>> batch.targets[0, -1].item()
        10
    """

    vocab_size: int
    pairs: int
    queries: int = 1
    passes: int = 1
    order: RecallOrder = "context_first"
    noise: int = 8
    noise_tokens: int = 4

    _STREAM: ClassVar[str] = "noisy_associative_recall"

    def __post_init__(self) -> None:
        self._check_counts("noise", "noise_tokens")
        super().__post_init__()

    @property
    def _ordinary_tokens(self) -> int:
        return max(0, super()._ordinary_tokens - self.noise_tokens)

    @property
    def _side_lengths(self) -> tuple[int, int]:
        sides = 2 * self.pairs + self.noise, self.queries
        return sides if self.order == "context_first" else sides[::-1]

    @property
    def seq_len(self) -> int:
        """Tokens in a sequence."""
        return super().seq_len + self.passes * self.noise

    def _keys(self, examples: Examples, part: str) -> Tensor:
        sizes = (self.pairs, self.queries, self.noise, self.noise_tokens)
        return examples.keys(self._STREAM, self.vocab_size, *sizes, part=part)

    def _make(self, examples: Examples) -> Batch:
        lookups, _ = self._draw(examples)
        noise = integers(self._keys(examples, "noise"), self.noise, self.noise_tokens)
        noise += self.vocab_size - self.noise_tokens
        gaps = integers(self._keys(examples, "gaps"), self.noise, self.pairs + 1)
        # A pair has an odd place, the gap before it the even one below.
        pairs = 1 + 2 * torch.arange(self.pairs, device=gaps.device).repeat_interleave(2)
        places = torch.cat([pairs.expand(examples.count, -1), 2 * gaps], dim=1)
        tokens = torch.cat([lookups.context, noise], dim=1)
        context = tokens.gather(1, places.sort(dim=1, stable=True).indices)
        return self._lay_out(lookups._replace(context=context))
