"""GRU and LSTM layers: torch's own, as mixers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sdsim.models.mixer import Mixer, MixerState

if TYPE_CHECKING:
    from typing_extensions import Self

    from sdsim.models.config import ModelConfig


class GRU(Mixer):
    """One GRU layer. State: h (B, width)."""

    cell: ClassVar[type[nn.GRU] | type[nn.LSTM]] = nn.GRU

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = self.cell(width, width, batch_first=True)

    @classmethod
    def from_config(cls, config: ModelConfig) -> Self:
        return cls(config.width)

    def prefill(
        self, x: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, MixerState]:
        if mask is None:
            y, state = self.rnn(x)
            return y, self._unpack(state)
        # Left padding becomes right padding, which torch's recurrences know how to leave out.
        length = x.shape[1]
        padding = (~mask).sum(1)  # (B,)
        packed = pack_padded_sequence(
            _shift(x, -padding), (length - padding).cpu(), batch_first=True, enforce_sorted=False
        )
        y, state = self.rnn(packed)
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=length)
        return _shift(y, padding), self._unpack(state)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        y, after = self.rnn(x[:, None], self._pack(state))
        return y[:, 0], self._unpack(after)

    def _unpack(self, state: Tensor) -> MixerState:
        return (state[0],)

    def _pack(self, state: MixerState) -> Tensor | tuple[Tensor, Tensor]:
        return state[0][None]


class LSTM(GRU):
    """One LSTM layer. State: h and c, (B, width) each."""

    cell = nn.LSTM

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
