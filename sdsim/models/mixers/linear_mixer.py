"""Mixers whose state is a sum, and the prefix encoder that adds to it: the idea of JRT-RNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import MultiHeadMixer, is_transformed


def project(x: Tensor, maps: Sequence[nn.Linear]) -> tuple[Tensor, ...]:
    """Several linear maps of one x, without biases.

    In an ensemble they are one product: those of a small model are too narrow to be fast.
    """
    if not is_transformed(x):
        return tuple(linear(x) for linear in maps)
    together = F.linear(x, torch.cat([linear.weight for linear in maps]))
    return torch.split(together, [linear.out_features for linear in maps], dim=-1)


class LinearMixer(MultiHeadMixer):
    """A mixer whose state is a sum of keys times values, so that an encoder can add to it.

    The encoder is the idea of JRT-RNN (arXiv:2407.05483, section 3), here for any state
    of this kind: with projections of its own, it sums keys and values of the whole prefix into the
    state, without decay. The causal pass then starts from that state and reads all tokens, those of
    the prefix included. The size of the state does not change.

    The state of linear attention never decays, so that the encoder's sum is still whole at the end
    of the prefix; the other mixers forget it on the way, each at its own rate. Where the mixer has
    a short convolution (Mamba-2, Gated DeltaNet), so has its encoder, which thereby sees the order
    of neighbouring tokens.
    """

    def _encoded(
        self, x: Tensor, prefix_len: int | None, mask: Tensor | None
    ) -> tuple[Tensor, ...]:
        """`_encode` of the first `prefix_len` tokens (None: all) of x (B, N, width)."""
        return self._encode(x[:, :prefix_len], None if mask is None else mask[:, :prefix_len])

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """The encoder's keys (B, M, heads, K) and values (B, M, heads, V); () without an encoder.

        Args:
            prefix: the first M tokens, (B, M, width).
            mask: their mask, (B, M). Padding is left out of the sum later; only an encoder that
                mixes tokens before that needs the mask.
        """
        return ()


class ProjectedPrefix(LinearMixer):
    """Adds an encoder to a linear mixer: one projection for its keys, one for its values.

    It comes before the mixer among the base classes.
    """

    bidirectional_prefix = True

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.proj_k_enc = nn.Linear(config.width, config.heads * config.feature_dim, bias=False)
        self.proj_v_enc = nn.Linear(config.width, config.width, bias=False)

    def _encode(self, prefix: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        maps = (self.proj_k_enc, self.proj_v_enc)
        return tuple(self._split_heads(y) for y in project(prefix, maps))
