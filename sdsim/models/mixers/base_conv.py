"""BaseConv: a gated short convolution (paper, Def. G.1 and Table 15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.mixers.short_convolution import convolve

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.config import ModelConfig


class BaseConv(Mixer):
    """``out_proj(SiLU(conv(u1)) · u2)`` with (u1, u2) two halves of ``in_proj(x)``.

    The convolution is depthwise and causal, its last tap on the current token. With `circular`
    it is the paper's non-causal one: inside the prefix, the taps before the first token fall on
    the prefix's last tokens.

    State: the last `filter_size` - 1 values of u1, (B, filter_size - 1, 2·width).
    """

    def __init__(self, width: int, filter_size: int = 3, *, circular: bool = False) -> None:
        super().__init__()
        self.circular = circular
        self.filter_size = filter_size
        self.in_proj = nn.Linear(width, 4 * width)
        self.conv = nn.Conv1d(2 * width, 2 * width, filter_size, groups=2 * width)
        self.out_proj = nn.Linear(2 * width, width)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.filter_size)

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        u1, gate = self.in_proj(x).chunk(2, dim=-1)  # (B, N, 2·width) each
        if mask is not None:
            u1 = u1 * mask[..., None]
        past = u1.new_zeros(len(u1), self.filter_size - 1, u1.shape[-1])
        timeline = torch.cat([past, u1], dim=1)  # (B, filter_size - 1 + N, 2·width)
        convolved = convolve(timeline, self.conv)
        prefix_len = x.shape[1] if prefix_len is None else prefix_len
        if self.circular and prefix_len:
            wrapped = self._wrap(timeline, prefix_len, mask)
            convolved = torch.cat([convolve(wrapped, self.conv), convolved[:, prefix_len:]], dim=1)
        y = self.out_proj(F.silu(convolved) * gate)
        # A copy, lest the state keep alive the whole timeline that it is the end of.
        return y, (timeline[:, x.shape[1] :].clone(),)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        (past,) = state
        u1, gate = self.in_proj(x[:, None]).chunk(2, dim=-1)
        timeline = torch.cat([past, u1], dim=1)
        y = self.out_proj(F.silu(convolve(timeline, self.conv)) * gate)
        return y[:, 0], (timeline[:, 1:].clone(),)

    def _wrap(self, timeline: Tensor, prefix_len: int, mask: Tensor | None) -> Tensor:
        """Put the prefix's last tokens before its first real one."""
        reach = self.filter_size - 1
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


class CircularBaseConv(BaseConv):
    """BaseConv as the paper's non-causal model has it: circular over the prefix."""

    looks_ahead = True

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width, config.filter_size, circular=True)
