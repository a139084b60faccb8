"""What each step of pretraining reads: sequences of tokens, and which tokens are masked."""

from __future__ import annotations

import torch
from torch import Tensor

from sdsim.text.config import PretrainConfig
from sdsim.text.corpus import Corpus
from sdsim.text.objective import masked_positions
from sdsim.text.sequences import Order

_VALIDATION_SEED = 1 << 40
"""Seed of the masks of held-out text, which are the same for all runs."""


class Batches:
    """Examples by their numbers: functions of the config, the corpus and the number alone.

    So training that resumes from a checkpoint reads what unbroken training would.

    Args:
        config: the run.
        corpus: its tokens.
        device: of the batches.

    Attributes:
        predicted: positions of a sequence at which a token is predicted, on average.
        validation_count: held-out sequences that a validation reads.

    Raises:
        ValueError: if a split of the corpus is shorter than a sequence.
    """

    def __init__(self, config: PretrainConfig, corpus: Corpus, device: torch.device) -> None:
        self._config, self._device = config, device
        self._train = corpus.sequences("train", config.length)
        self._validation = corpus.sequences("validation", config.length)
        self._order = Order(len(self._train), config.seed)
        if config.objective.form == "released":
            masked = round(config.objective.mask_share * config.prefix)
        else:
            masked = self._masked(0, 1, config.seed).shape[1]
        self.predicted = masked + config.length - config.objective.first_predicted(config.prefix)
        self.validation_count = min(len(self._validation), config.validation_windows)

    def train(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Training examples `start` to ``start + count - 1``, counted over the whole run.

        Returns:
            Tokens (count, N), and the masked positions (count, K) among them, as
            `masked_positions` gives them.
        """
        numbers = self._order[torch.arange(start, start + count)]
        tokens = self._train[numbers].to(self._device, non_blocking=True)
        return tokens, self._masked(start, count, self._config.seed)

    def validation(self, number: int) -> tuple[Tensor, Tensor]:
        """One held-out sequence, as `train` with a count of 1; the same whenever it is read."""
        tokens = self._validation[torch.tensor([number])].to(self._device, non_blocking=True)
        return tokens, self._masked(number, 1, _VALIDATION_SEED)

    def _masked(self, start: int, count: int, seed: int) -> Tensor:
        examples = torch.arange(start, start + count)
        objective = self._config.objective
        return masked_positions(
            seed,
            examples,
            self._config.prefix,
            objective.mask_share,
            self._device,
            independent=objective.form == "released",
        )
