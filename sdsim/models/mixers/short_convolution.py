"""Causal depthwise convolutions of a few taps, as short recurrences carry them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def convolve(timeline: Tensor, conv: nn.Conv1d) -> Tensor:
    """Depthwise convolution over the second axis, without padding of its own.

    Args:
        timeline: (B, taps - 1 + N, C), the past first.
        conv: holds the weight (C, 1, taps), its last tap on the current token, and the bias (C,),
            if there is one.

    Returns:
        (B, N, C).
    """
    # A sum of shifted copies: for a few taps far faster on a CPU than a grouped convolution.
    taps = conv.weight[:, 0].unbind(-1)  # (C,) each
    length = timeline.shape[1] - len(taps) + 1
    shifted = [timeline[:, shift : shift + length] for shift in range(len(taps))]
    y = shifted[0] * taps[0] if conv.bias is None else torch.addcmul(conv.bias, shifted[0], taps[0])
    for tokens, tap in zip(shifted[1:], taps[1:], strict=True):
        y = torch.addcmul(y, tokens, tap)
    return y


class ConvolvedProjection(nn.Module):
    """A linear map; some of its outputs then pass a short causal convolution and a SiLU.

    Args:
        width: numbers per token of the input.
        convolved: sizes of the outputs that are convolved.
        plain: sizes of the outputs that are not.
        filter_size: taps of the convolution.
        bias: whether the convolution has one; the linear map has none.
    """

    def __init__(
        self,
        width: int,
        convolved: Sequence[int],
        plain: Sequence[int],
        filter_size: int,
        *,
        bias: bool,
    ) -> None:
        super().__init__()
        self.convolved, self.plain = list(convolved), list(plain)
        channels = sum(convolved)
        self.in_proj = nn.Linear(width, channels + sum(plain), bias=False)
        self.conv = nn.Conv1d(channels, channels, filter_size, groups=channels, bias=bias)

    def forward(
        self, x: Tensor, past: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Project x (B, N, width).

        Args:
            x: the tokens.
            past: what the convolution saw before them, (B, filter_size - 1, sum(convolved)); None
                at the start of a sequence.
            mask: bool (B, N), False on tokens that no later one may see.

        Returns:
            The outputs (B, N, size), `convolved` before `plain`, and the next `past`.
        """
        u, *plain = self.in_proj(x).split([sum(self.convolved), *self.plain], dim=-1)
        if mask is not None:
            u = u * mask[..., None]
        if past is None:
            past = u.new_zeros(len(u), self.conv.kernel_size[0] - 1, u.shape[-1])
        timeline = torch.cat([past, u], dim=1)
        convolved = torch.split(F.silu(convolve(timeline, self.conv)), self.convolved, dim=-1)
        # A copy, lest the past keep alive the whole timeline that it is the end of.
        return [*convolved, *plain], timeline[:, x.shape[1] :].clone()
