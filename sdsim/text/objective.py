"""JRT-RNN's training loss: masked tokens of the prefix, next tokens after it (paper, section 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models import LanguageModel
from sdsim.text.config import ObjectiveConfig
from synthetic.counter_rng import distinct, example_keys


class Losses(NamedTuple):
    """Mean cross-entropies, nats: what is learned from, and its two parts."""

    loss: Tensor
    ntp: Tensor
    mlm: Tensor


def combined(config: ObjectiveConfig, ntp: Tensor, mlm: Tensor) -> Tensor:
    """The weighted loss of both parts."""
    total = config.ntp_weight * ntp + config.mlm_weight * mlm
    if config.weighting == "released":
        return total
    return total / (config.ntp_weight + config.mlm_weight)


def masked_positions(
    seed: int, examples: Tensor, prefix_len: int, share: float, device: torch.device | str = "cpu"
) -> Tensor:
    """Which tokens of the prefix are masked: int64 (len(examples), K), K the same for all.

    A function of the seed and the number of the example alone. The prefix's last token stays: it
    says the first token after it.

    Args:
        seed: of the run.
        examples: numbers of the examples in the order of training, so that a text that is read
            again is masked anew; consecutive.
        prefix_len: M.
        share: of the M tokens.
        device: of the result.
    """
    count = min(max(1, round(share * prefix_len)), prefix_len - 1) if prefix_len > 1 else 0
    if not count:
        return torch.empty(len(examples), 0, dtype=torch.int64, device=device)
    keys = example_keys("mlm", seed, start=int(examples[0]), count=len(examples), device=device)
    return distinct(keys, count, prefix_len - 1)


class Objective(nn.Module):
    """A language model and its loss, as one module, so that it can be wrapped for many devices.

    Args:
        model: what is trained.
        config: the weights.
        prefix_len: M, tokens that are read non-causally. 0: a plain next-token loss over all.
        mask_id: the token that stands for a masked one; no text holds it.
    """

    def __init__(
        self, model: LanguageModel, config: ObjectiveConfig, prefix_len: int, mask_id: int
    ) -> None:
        super().__init__()
        self.model, self.config = model, config
        self.prefix_len, self.mask_id = prefix_len, mask_id

    def forward(self, tokens: Tensor, masked: Tensor) -> Losses:
        """The losses on tokens (B, N), of which those at `masked` (B, K) are hidden.

        A masked token is to be named where it stood; each token after the prefix by the one before
        it, the first by the prefix's last.
        """
        inputs = tokens.scatter(1, masked, self.mask_id)
        hidden = self.model.hidden(inputs, self.prefix_len)
        first = max(self.prefix_len, 1)
        asked = [hidden[:, first - 1 : -1]]
        targets = [tokens[:, first:]]
        if masked.shape[1]:
            asked.append(hidden.gather(1, masked[..., None].expand(-1, -1, hidden.shape[-1])))
            targets.append(tokens.gather(1, masked))
        logits = self.model.logits(torch.cat(asked, dim=1)).float()
        each = F.cross_entropy(
            logits.flatten(0, 1), torch.cat(targets, dim=1).flatten(), reduction="none"
        ).view(len(tokens), -1)
        after = tokens.shape[1] - first
        ntp = each[:, :after].mean()
        if not masked.shape[1]:
            return Losses(ntp, ntp.detach(), torch.zeros_like(ntp))
        mlm = each[:, after:].mean()
        return Losses(combined(self.config, ntp, mlm), ntp.detach(), mlm.detach())
