"""Causal depthwise convolutions of a few taps, whose state is their last inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ShortConvolution(nn.Conv1d):
    """A causal depthwise convolution over tokens, its last tap on the current one.

    It acts on a timeline (B, taps - 1 + N, channels): N tokens and the `taps` - 1 before them.
    """

    def __init__(self, channels: int, taps: int, *, bias: bool = True) -> None:
        super().__init__(channels, channels, taps, groups=channels, bias=bias)

    def timeline(self, u: Tensor, past: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Put tokens u (B, N, channels) after the `taps` - 1 before them.

        Args:
            u: the tokens.
            past: what `carried` returned for the tokens before; None at the start of a sequence.
            mask: bool (B, N), False on padding, which later tokens then see as zeros.
        """
        if mask is not None:
            u = u * mask[..., None]
        if past is None:
            past = u.new_zeros(len(u), self.kernel_size[0] - 1, u.shape[-1])
        return torch.cat([past, u], dim=1)

    def forward(self, timeline: Tensor) -> Tensor:
        """Convolve a timeline: (B, N, channels)."""
        # A sum of shifted copies: for a few taps far faster on a CPU than a grouped convolution.
        taps = self.weight[:, 0].unbind(-1)  # (channels,) each
        length = timeline.shape[1] - len(taps) + 1
        first, *others = (timeline[:, shift : shift + length] for shift in range(len(taps)))
        y = first * taps[0] if self.bias is None else torch.addcmul(self.bias, first, taps[0])
        for tokens, tap in zip(others, taps[1:], strict=True):
            y = torch.addcmul(y, tokens, tap)
        return y

    def carried(self, timeline: Tensor) -> Tensor:
        """The last `taps` - 1 tokens of a timeline, copied so that the rest can be freed."""
        return timeline[:, timeline.shape[1] - self.kernel_size[0] + 1 :].clone()


class ConvolvedProjection(nn.Module):
    """A linear map; some of its outputs then pass a short convolution and a SiLU.

    Args:
        width: numbers per token of the input.
        convolved: sizes of the outputs that are convolved.
        plain: sizes of the outputs that are not.
        filter_size: taps of the convolution.
        bias: whether the convolution has a bias; the linear map has none.
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
        self.conv = ShortConvolution(channels, filter_size, bias=bias)

    def forward(
        self, x: Tensor, past: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Project x (B, N, width).

        Args:
            x: the tokens.
            past: the second return value for the tokens before, (B, filter_size - 1,
                sum(convolved)); None at the start of a sequence.
            mask: bool (B, N), False on padding.

        Returns:
            The outputs (B, N, size), `convolved` before `plain`; and the next `past`.
        """
        u, *plain = self.in_proj(x).split([sum(self.convolved), *self.plain], dim=-1)
        timeline = self.conv.timeline(u, past, mask)
        convolved = torch.split(F.silu(self.conv(timeline)), self.convolved, dim=-1)
        return [*convolved, *plain], self.conv.carried(timeline)
