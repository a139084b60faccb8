"""GRU and LSTM layers: torch's own, as mixers."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import Mixer, MixerState, is_transformed


class GRU(Mixer):
    """One GRU layer. State: h (B, width)."""

    kind: ClassVar[type[nn.GRU] | type[nn.LSTM]] = nn.GRU
    tensors: ClassVar[int] = 1

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.rnn = self.kind(config.width, config.width, batch_first=True)

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        if is_transformed(x):
            return self._unrolled(x, state)
        if mask is None or not len(x):
            y, after = self.rnn(x, None if state is None else self._pack(state))
            return y, self._unpack(after)
        # Left padding becomes right padding, which torch's recurrences can leave out.
        length = x.shape[1]
        padding = (~mask).sum(1)  # (B,)
        packed = pack_padded_sequence(
            _shift(x, -padding), (length - padding).cpu(), batch_first=True, enforce_sorted=False
        )
        y, after = self.rnn(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=length)
        return _shift(y, padding), self._unpack(after)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        y, after = self.rnn(x[:, None], self._pack(state))
        return y[:, 0], self._unpack(after)

    def _unrolled(self, x: Tensor, state: MixerState | None) -> tuple[Tensor, MixerState]:
        """The same, token by token: torch's recurrences do not support vmap."""
        (input_weight, hidden_weight, input_bias, hidden_bias), *_ = self.rnn.all_weights
        from_x = F.linear(x, input_weight, input_bias)  # (B, N, gates·width)
        if state is None:
            state = tuple(torch.zeros_like(x[:, 0]) for _ in range(self.tensors))
        y = []
        for token in from_x.unbind(1):
            state = self._cell(token, F.linear(state[0], hidden_weight, hidden_bias), state)
            y.append(state[0])
        return torch.stack(y, dim=1), state

    @staticmethod
    def _cell(from_x: Tensor, from_h: Tensor, state: MixerState) -> MixerState:
        """The next state, given what the token and h contribute to the gates."""
        (h,) = state
        reset_x, update_x, new_x = from_x.chunk(3, -1)
        reset_h, update_h, new_h = from_h.chunk(3, -1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return (torch.lerp(new, h, update),)

    def _unpack(self, state: Tensor) -> MixerState:
        return (state[0],)

    def _pack(self, state: MixerState) -> Tensor | tuple[Tensor, Tensor]:
        return state[0][None]


class LSTM(GRU):
    """One LSTM layer. State: h and c, (B, width) each."""

    kind = nn.LSTM
    tensors = 2

    @staticmethod
    def _cell(from_x: Tensor, from_h: Tensor, state: MixerState) -> MixerState:
        in_gate, forget_gate, new, out_gate = (from_x + from_h).chunk(4, -1)
        c = torch.sigmoid(forget_gate) * state[1] + torch.sigmoid(in_gate) * torch.tanh(new)
        return torch.sigmoid(out_gate) * torch.tanh(c), c

    def _unpack(self, state: Tensor) -> MixerState:
        h, c = state
        return (h[0], c[0])

    def _pack(self, state: MixerState) -> Tensor | tuple[Tensor, Tensor]:
        h, c = state
        return (h[None], c[None])


def _shift(x: Tensor, by: Tensor) -> Tensor:
    """Roll each row of x (B, N, C) by its own number of positions (B,)."""
    length = x.shape[1]
    source = (by.new_tensor(range(length)) - by[:, None]) % length
    return x.gather(1, source[..., None].expand(-1, -1, x.shape[-1]))
