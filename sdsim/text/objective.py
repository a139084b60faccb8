"""JRT-RNN's loss: masked tokens of the prefix, next tokens after it (paper, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models import LanguageModel
from sdsim.text.config import ObjectiveConfig
from synthetic.counter_rng import bernoulli, distinct, example_keys

NOT_MASKED = -1
"""Stands in a row of masked positions behind the last of them, where other rows have more."""


_NO_TARGET = -100  # of a loss that is not taken


class Losses(NamedTuple):
    """Mean cross-entropies in nats: the weighted loss, and its two parts."""

    loss: Tensor
    ntp: Tensor
    mlm: Tensor


def weighted_loss(config: ObjectiveConfig, ntp: Tensor, mlm: Tensor) -> Tensor:
    """The loss that is minimized, from the next-token loss and that of masked tokens."""
    total = config.ntp_weight * ntp + config.mlm_weight * mlm
    if config.weighting == "released":
        return total
    return total / (config.ntp_weight + config.mlm_weight)


def masked_positions(
    seed: int,
    examples: Tensor,
    prefix_len: int,
    fraction: float,
    device: torch.device | str = "cpu",
    *,
    independent: bool = False,
) -> Tensor:
    """Which tokens of the prefix are masked: int64 (B, K), a row for each example.

    A row is a function of the seed and the example's number alone; where it has fewer than K masked
    tokens, the rest is `NOT_MASKED`.

    Args:
        seed: of the run.
        examples: numbers of the examples (B,), consecutive, counted over the whole run, so that a
            text is masked anew in each epoch.
        prefix_len: M.
        fraction: of the M tokens.
        device: of the result.
        independent: whether each token is masked independently, with probability `fraction`;
            otherwise every row has the same number of masked tokens, and the last token of the
            prefix, which predicts the first one after it, is never masked.
    """
    if independent:
        return _independent(seed, examples, prefix_len, fraction, device)
    count = min(max(1, round(fraction * prefix_len)), prefix_len - 1) if prefix_len > 1 else 0
    if not count:
        return torch.empty(len(examples), 0, dtype=torch.int64, device=device)
    keys = example_keys("mlm", seed, start=int(examples[0]), count=len(examples), device=device)
    return distinct(keys, count, prefix_len - 1)


def _independent(
    seed: int, examples: Tensor, prefix_len: int, fraction: float, device: torch.device | str
) -> Tensor:
    if not prefix_len:
        return torch.empty(len(examples), 0, dtype=torch.int64, device=device)
    keys = example_keys("mlm", seed, start=int(examples[0]), count=len(examples), device=device)
    hidden = bernoulli(keys, prefix_len, fraction)
    most = int(hidden.sum(1).max())
    positions = torch.arange(prefix_len, device=device).expand_as(hidden)
    behind = positions.where(hidden, prefix_len).sort(1).values[:, :most]
    return behind.where(behind < prefix_len, NOT_MASKED)


class Objective(nn.Module):
    """A language model and its loss as one module, which DDP or FSDP can wrap.

    Args:
        model: the model that is trained.
        config: the weights of the losses, and which tokens are predicted.
        prefix_len: M, tokens that are read non-causally; 0: a next-token loss over the sequence.
        mask_id: the token [MASK], which no text holds.
    """

    def __init__(
        self, model: LanguageModel, config: ObjectiveConfig, prefix_len: int, mask_id: int
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.prefix_len, self.mask_id = prefix_len, mask_id

    def forward(self, tokens: Tensor, masked: Tensor) -> Losses:
        """The losses on tokens (B, N), of which those at `masked` are hidden.

        A masked token is predicted at its own position; each token after the prefix at the position
        before it, the first one at the prefix's last, or in the released form not at all. Each loss
        is a mean over all tokens of the batch that it predicts.

        Args:
            tokens: int64 (B, N).
            masked: int64 (B, K), as `masked_positions` gives them.
        """
        length = tokens.shape[1]
        is_masked = masked != NOT_MASKED
        # What is not masked is written behind the sequence.
        places = masked.where(is_masked, length)
        inputs = F.pad(tokens, (0, 1)).scatter(1, places, self.mask_id)[:, :-1]
        hidden = self.model.hidden(inputs, self.prefix_len)
        first = self.config.first_predicted(self.prefix_len)
        features = [hidden[:, first - 1 : -1]]
        targets = [tokens[:, first:]]
        if masked.shape[1]:
            at = masked.clamp(min=0)
            features.append(hidden.gather(1, at[..., None].expand(-1, -1, hidden.shape[-1])))
            targets.append(tokens.gather(1, at).where(is_masked, _NO_TARGET))
        logits = self.model.logits(torch.cat(features, dim=1)).float()
        losses = F.cross_entropy(
            logits.flatten(0, 1),
            torch.cat(targets, dim=1).flatten(),
            reduction="none",
            ignore_index=_NO_TARGET,
        ).view(len(tokens), -1)
        after = length - first
        ntp = losses[:, :after].mean()
        if not masked.shape[1]:
            return Losses(ntp, ntp.detach(), torch.zeros_like(ntp))
        mlm = losses[:, after:].sum() / is_masked.sum().clamp(min=1)
        return Losses(weighted_loss(self.config, ntp, mlm), ntp.detach(), mlm.detach())
