"""BaseConv: a gated short convolution (paper, Def. G.1 and Table 15)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.mixers.short_convolution import ShortConvolution


class BaseConv(Mixer):
    """``out_proj(SiLU(conv(u1)) · u2)`` with (u1, u2) the two halves of ``in_proj(x)``.

    State: the last `filter_size` - 1 values of u1, (B, filter_size - 1, 2·width).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.in_proj = nn.Linear(config.width, 4 * config.width)
        self.conv = ShortConvolution(2 * config.width, config.filter_size)
        self.out_proj = nn.Linear(2 * config.width, config.width)

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        past = None if state is None else state[0]
        return self._read(x, past, x.shape[1] if prefix_len is None else prefix_len, mask)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        y, after = self._read(x[:, None], state[0])
        return y[:, 0], after

    def _read(
        self, x: Tensor, past: Tensor | None, prefix_len: int = 0, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        u1, gate = self.in_proj(x).chunk(2, dim=-1)  # (B, N, 2·width) each
        timeline = self.conv.timeline(u1, past, mask)
        y = self.out_proj(F.silu(self._convolved(timeline, prefix_len, mask)) * gate)
        return y, (self.conv.carried(timeline),)

    def _convolved(self, timeline: Tensor, prefix_len: int, mask: Tensor | None) -> Tensor:
        y: Tensor = self.conv(timeline)
        return y


class CircularBaseConv(BaseConv):
    """BaseConv of the paper's non-causal model: its convolution is circular over the prefix.

    Inside the prefix, taps that would fall before the first token fall on the last ones, also where
    a state holds the tokens before.
    """

    bidirectional_prefix = True

    def encode(self, x: Tensor, state: MixerState | None = None) -> MixerState:
        """The last tokens: taps that would fall before the first fall on them."""
        return self._read(x, None if state is None else state[0])[1]

    def _convolved(self, timeline: Tensor, prefix_len: int, mask: Tensor | None) -> Tensor:
        y = super()._convolved(timeline, prefix_len, mask)
        if prefix_len == 0:
            return y
        circular = self.conv(self._wrapped(timeline, prefix_len, mask))
        return torch.cat([circular, y[:, prefix_len:]], dim=1)

    def _wrapped(self, timeline: Tensor, prefix_len: int, mask: Tensor | None) -> Tensor:
        """The prefix's part of a timeline, its last tokens copied before its first real one."""
        reach = self.conv.kernel_size[0] - 1
        prefix = timeline[:, : reach + prefix_len]
        back = torch.arange(reach, 0, -1, device=timeline.device)  # distance before the start
        if mask is None:
            source = reach + prefix_len - 1 - (back - 1) % prefix_len
            return torch.cat([prefix[:, source], prefix[:, reach:]], dim=1)
        padding = (~mask[:, :prefix_len]).sum(1, keepdim=True)  # (B, 1)
        source = reach + prefix_len - 1 - (back - 1) % (prefix_len - padding).clamp(min=1)
        target = reach + padding - back
        channels = (-1, -1, timeline.shape[-1])
        moved = prefix.gather(1, source[..., None].expand(channels))
        return prefix.scatter(1, target[..., None].expand(channels), moved)
