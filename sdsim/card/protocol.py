"""The protocol of a card: the runs by which all architectures are compared.

Set disjointness over 16 tokens with |A| + |B| = 8, and associative recall of 6 keys and 6 values,
each within budgets of bits. One layer of the model carries numbers of one bit across each segment
boundary, the layers beside it carry nothing. (A model whose state grows with the tokens read can
have no budget; its runs are without.) All runs train until accuracy no longer rises.

* A learning rate is chosen first, on validation examples, with the long set first and 8 bits.
* Then, at this rate: accuracy by bits for each pair of sizes and one reading; with few bits and
  more readings; recall with the document first.

The quick form is a part of the full one, so that its runs are taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

VERSION = 1
"""Of the protocol; it changes with anything that changes a run or what is concluded from it."""

Size: TypeAlias = Literal["quick", "full"]
Numbers: TypeAlias = Callable[[int], list[int]]
Block: TypeAlias = dict[str, Any]
"""Override keys, and the values that each takes: see `sdsim.sweep.grid.Grid`."""

LONG_FIRST = (6, 2)
"""(|A|, |B|) at which the learning rate is chosen."""

BITS = 8
"""The budget at which the learning rate is chosen, orders are compared and states are probed."""

VOCAB_SIZE = 20
"""Of set disjointness: 16 elements and four special tokens."""


@dataclass(frozen=True)
class Protocol:
    """What one size of card takes.

    Attributes:
        seeds: of all runs.
        rates: learning rates that are compared.
        pairs: (|A|, |B|) for one reading.
        bits: budgets for one reading.
        passes: how often the input is shown, beside once.
        passes_pairs, passes_bits: pairs and budgets for these.
        recall_bits: budgets for associative recall.
        max_steps: of a run of set disjointness; recall has twice as many.
        test_examples, validation_examples: of each run.
        probe_examples: that a probe is trained and tested on.
    """

    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    pairs: tuple[tuple[int, int], ...]
    bits: tuple[int, ...]
    passes: tuple[int, ...]
    passes_pairs: tuple[tuple[int, int], ...]
    passes_bits: tuple[int, ...]
    recall_bits: tuple[int, ...]
    max_steps: int = 16_000
    test_examples: int = 2000
    validation_examples: int = 1000
    probe_examples: int = 4096

    def common(self) -> Block:
        """What all runs share."""
        return {
            "train.batch_size": 32,
            "train.until": "converged",
            "train.warmup": 0.02,
            "test.examples": self.test_examples,
            "test.validation": self.validation_examples,
            "seed": list(self.seeds),
        }

    def rate_blocks(self, numbers: Numbers | None) -> list[Block]:
        """The runs by which the learning rate is chosen.

        Args:
            numbers: ``model.state_numbers`` for a budget in bits; None: the model has no budget.
        """
        disjointness = self._disjointness((LONG_FIRST,)) | _budgets((BITS,), numbers)
        return [disjointness | {"train.lr": list(self.rates)}]

    def memory_blocks(self, numbers: Numbers | None, lr: float) -> list[Block]:
        """All other runs, at the chosen rate; argument `numbers` as in `rate_blocks`."""
        rate = {"train.lr": lr}
        once = self._disjointness(self.pairs) | _budgets(self.bits, numbers)
        again = self._disjointness(self.passes_pairs) | _budgets(self.passes_bits, numbers)
        recall = {
            "task": "associative_recall",
            "task.vocab_size": 16,  # six keys, six values
            "task.train_sizes": [[[2, 1], [4, 1]]],  # pairs, queries; four alone are not learned
            "task.order": "context_first",
            "train.steps": 2 * self.max_steps,
        }
        return [
            once | rate,
            again | rate | {"task.passes": list(self.passes)},
            recall | rate | _budgets(self.recall_bits, numbers),
        ]

    def _disjointness(self, pairs: tuple[tuple[int, int], ...]) -> Block:
        return {
            "task": "set_disjointness",
            "task.vocab_size": VOCAB_SIZE,
            "task.train_sizes": [[list(pair)] for pair in pairs],
            "train.steps": self.max_steps,
        }


def _budgets(bits: tuple[int, ...], numbers: Numbers | None) -> Block:
    if numbers is None:
        return {}
    return {
        "model.state_bits_per_number": 1,
        "model.state_numbers": [numbers(budget) for budget in bits],
    }


PROTOCOLS: dict[Size, Protocol] = {
    "quick": Protocol(
        seeds=(0, 1, 2),
        rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
        pairs=((2, 6), LONG_FIRST),
        bits=(4, 8, 12),
        passes=(2,),
        passes_pairs=(LONG_FIRST,),
        passes_bits=(4,),
        recall_bits=(4, 12),
    ),
    "full": Protocol(
        seeds=(0, 1, 2, 3, 4),
        rates=(5e-4, 1e-3, 2e-3, 4e-3, 8e-3),
        pairs=((2, 6), (3, 5), (4, 4), (5, 3), LONG_FIRST),
        bits=(2, 4, 6, 8, 10, 12, 16),
        passes=(2, 3),
        passes_pairs=((2, 6), (4, 4), LONG_FIRST),
        passes_bits=(2, 4, 6),
        recall_bits=(2, 4, 8, 12, 16),
    ),
}
"""The sizes of a card."""
