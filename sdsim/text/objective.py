"""JRT-RNN's loss: masked tokens of the prefix, next tokens after it (paper, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models import LanguageModel
from sdsim.text.config import ObjectiveConfig
from synthetic.counter_rng import distinct, example_keys


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
) -> Tensor:
    """Which tokens of the prefix are masked: int64 (B, K), with the same K for all examples.

    A function of the seed and the example's number alone. The last token of the prefix is never
    masked: it predicts the first token after the prefix.

    Args:
        seed: of the run.
        examples: numbers of the examples (B,), consecutive, counted over the whole run, so that a
            text is masked anew in each epoch.
        prefix_len: M.
        fraction: of the M tokens.
        device: of the result.
    """
    count = min(max(1, round(fraction * prefix_len)), prefix_len - 1) if prefix_len > 1 else 0
    if not count:
        return torch.empty(len(examples), 0, dtype=torch.int64, device=device)
    keys = example_keys("mlm", seed, start=int(examples[0]), count=len(examples), device=device)
    return distinct(keys, count, prefix_len - 1)


class Objective(nn.Module):
    """A language model and its loss as one module, which DDP or FSDP can wrap.

    Args:
        model: the model that is trained.
        config: the weights of the losses.
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
        """The losses on tokens (B, N), of which those at `masked` (B, K) are hidden.

        A masked token is predicted at its own position; each token after the prefix at the position
        before it, the first one at the prefix's last.
        """
        inputs = tokens.scatter(1, masked, self.mask_id)
        hidden = self.model.hidden(inputs, self.prefix_len)
        first = max(self.prefix_len, 1)
        features = [hidden[:, first - 1 : -1]]
        targets = [tokens[:, first:]]
        if masked.shape[1]:
            features.append(hidden.gather(1, masked[..., None].expand(-1, -1, hidden.shape[-1])))
            targets.append(tokens.gather(1, masked))
        logits = self.model.logits(torch.cat(features, dim=1)).float()
        losses = F.cross_entropy(
            logits.flatten(0, 1), torch.cat(targets, dim=1).flatten(), reduction="none"
        ).view(len(tokens), -1)
        after = tokens.shape[1] - first
        ntp = losses[:, :after].mean()
        if not masked.shape[1]:
            return Losses(ntp, ntp.detach(), torch.zeros_like(ntp))
        mlm = losses[:, after:].mean()
        return Losses(weighted_loss(self.config, ntp, mlm), ntp.detach(), mlm.detach())
