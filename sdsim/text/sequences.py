"""A corpus cut into sequences of equal length, and the order in which a run reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sdsim.seeding import seeded_generator
from sdsim.text.config import Split


class Sequences:
    """A split as sequences of N tokens, end to end; documents run on from one into the next.

    No sequence spans two shards: what is left at the end of a shard is not read.

    Args:
        shards: the tokens of the split.
        seq_len: N.
        split: its name, for the error.

    Raises:
        ValueError: if no shard has N tokens.
    """

    def __init__(
        self, shards: Sequence[npt.NDArray[np.unsignedinteger[Any]]], seq_len: int, split: Split
    ) -> None:
        self.seq_len = seq_len
        self._shards = shards
        self._ends = np.cumsum([len(shard) // seq_len for shard in shards], dtype=np.int64)
        if not len(self):
            longest = max(map(len, shards), default=0)
            hint = "; a smaller validation_every holds out more" if split == "validation" else ""
            raise ValueError(
                f"the corpus's {split} split has {longest} tokens: fewer than a sequence of "
                f"seq_len = {seq_len}{hint}"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """The sequences of these numbers (B,), as tokens int64 (B, N)."""
        sequences = []
        for number in numbers.tolist():
            shard = int(np.searchsorted(self._ends, number, side="right"))
            before = int(self._ends[shard - 1]) if shard else 0
            start = (number - before) * self.seq_len
            sequences.append(self._shards[shard][start : start + self.seq_len].astype(np.int64))
        return torch.from_numpy(np.stack(sequences))


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
