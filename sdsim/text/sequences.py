"""A corpus cut into sequences of equal length, and the order in which a run reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdsim.seeding import seeded_generator

TOKENS_REMEDY = "delete the folder to have its tokens made again"


class Sequences:
    """Text as sequences of N tokens, end to end; documents run on from one into the next.

    No sequence spans two shards: what is left at the end of a shard is not read.

    Args:
        shards: the tokens.
        seq_len: N.
        vocab_size: V; a token that is none of these was not written by us.
        numbers: which of the sequences; None: all.
    """

    def __init__(
        self,
        shards: Sequence[npt.NDArray[np.unsignedinteger[Any]]],
        seq_len: int,
        vocab_size: int,
        numbers: range | None = None,
    ) -> None:
        self.seq_len = seq_len
        self._vocab_size = vocab_size
        self._shards = shards
        self._ends = np.cumsum([len(shard) // seq_len for shard in shards], dtype=np.int64)
        self._numbers = range(int(self._ends[-1])) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """The sequences of these numbers (B,), as tokens int64 (B, N).

        Raises:
            ValueError: naming a shard that is damaged.
        """
        sequences = []
        for number in (self._numbers[index] for index in numbers.tolist()):
            shard = int(np.searchsorted(self._ends, number, side="right"))
            before = int(self._ends[shard - 1]) if shard else 0
            start = (number - before) * self.seq_len
            sequence = self._shards[shard][start : start + self.seq_len].astype(np.int64)
            if sequence.max() >= self._vocab_size:
                where = getattr(self._shards[shard], "filename", "the corpus")
                raise ValueError(
                    f"{where} is damaged: it holds a token {sequence.max()} where there are "
                    f"{self._vocab_size}; {TOKENS_REMEDY}"
                )
            sequences.append(sequence)
        return torch.from_numpy(np.stack(sequences))


def held_out(
    shards: Sequence[npt.NDArray[np.unsignedinteger[Any]]],
    seq_len: int,
    vocab_size: int,
    every: int,
) -> tuple[Sequences, Sequences]:
    """Text to train on, and one sequence of `every`, at least one, held out at its end.

    Raises:
        ValueError: if there are fewer than two sequences.
    """
    if sum(len(shard) // seq_len for shard in shards) < 2 and shards:
        shards = [np.concatenate(shards)]
    count = sum(len(shard) // seq_len for shard in shards)
    if count < 2:
        raise ValueError(
            f"the corpus has {sum(map(len, shards))} tokens: fewer than a sequence of seq_len = "
            f"{seq_len} to train on and another to hold out"
        )
    kept = max(1, count // every)
    return (
        Sequences(shards, seq_len, vocab_size, range(count - kept)),
        Sequences(shards, seq_len, vocab_size, range(count - kept, count)),
    )


class Order:
    """The order in which a run reads its sequences: all of them once an epoch, shuffled anew.

    Args:
        count: number of sequences.
        seed: of the run.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, examples: Tensor) -> Tensor:
        """The sequences that these examples of the run are, int64 of the same shape."""
        epochs = examples // self.count
        chosen = torch.empty_like(examples)
        for epoch in set(epochs.tolist()):
            inside = epochs == epoch
            chosen[inside] = self._shuffled(epoch)[examples[inside] % self.count]
        return chosen

    def _shuffled(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            generator = seeded_generator(self.seed, epoch)
            self._permutation = torch.randperm(self.count, generator=generator)
            self._epoch = epoch
        return self._permutation
