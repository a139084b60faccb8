"""Modules as users write them, which the tests name by import path."""

import torch
from torch import Tensor, nn

from sdsim.models import Mixer, ModelConfig
from sdsim.models.mixers.mixer import MixerState


class RunningMean(nn.Module):
    """Causal."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.write, self.read = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        count = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        y: Tensor = self.read(self.dropout(torch.tanh(self.write(x).cumsum(1) / count)))
        return y


class Stating(RunningMean):
    """Says what it carries, and counts what it has read in a buffer."""

    state_bits = 256

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.seen: Tensor
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += x.shape[1]
        return super().forward(x)


class Centred(nn.Module):
    """Sees the next token."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(d_model, d_model, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.convolution(x.mT).mT
        return y


class AsInFla(RunningMean):
    """The call convention of a layer of flash-linear-attention."""

    def __init__(
        self, mode: str = "chunk", hidden_size: int = 1024, num_heads: int = 4, layer_idx: int = 7
    ) -> None:
        super().__init__(hidden_size)
        assert (mode, num_heads, layer_idx) == ("chunk", 2, 0)

    def forward(  # type: ignore[override]
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: object = None,
        use_cache: bool = False,
    ) -> tuple[Tensor, None, object]:
        return super().forward(hidden_states), None, past_key_values


class BatchSecond(nn.Module):
    """Takes (N, B, width), as torch's recurrences do by default."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.rnn = nn.GRU(width, width)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x)[0]
        return y


class Liar(Mixer):
    """Has both views, says that it is causal, and is not."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.map = nn.Linear(config.width, config.width)

    def prefill(
        self,
        x: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        state: MixerState | None = None,
    ) -> tuple[Tensor, MixerState]:
        y = self.map(x.mean(1, keepdim=True).expand_as(x))
        return y, (y[:, -1],)

    def step(self, x: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        return self.map(x), state


class Whole(nn.Module):
    """From tokens to logits."""

    def __init__(self, vocab_size: int, width: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.tied = self.embedding

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.rnn(self.embedding(tokens))[0]
        return y @ self.tied.weight.T


def halving(width: int, factor: float = 0.5) -> nn.Module:
    """A function in place of a class; its layer maps to another width."""
    return nn.Linear(width, round(width * factor))
