"""A language model as a residual stack of mixers, in a parallel and a recurrent view."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.registry import resolve_mixer
from sdsim.models.state import ModelState

_NORM_EPS = 1e-5


class MLP(nn.Module):
    """Two linear maps with a GELU between them, or a SwiGLU without biases.

    The rows of a SwiGLU's fc1 are those of the value, then those of the gate.
    """

    def __init__(self, width: int, hidden: int, kind: str) -> None:
        super().__init__()
        self.gated = kind == "swiglu"
        self.fc1 = nn.Linear(width, 2 * hidden if self.gated else hidden, bias=not self.gated)
        self.fc2 = nn.Linear(hidden, width, bias=not self.gated)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x)
        if self.gated:
            value, gate = hidden.chunk(2, dim=-1)
            hidden = value * F.silu(gate)
        else:
            hidden = F.gelu(hidden)
        y: Tensor = self.fc2(hidden)
        return y


class Layer(nn.Module):
    """Pre-norm residual layer: ``h += mixer(norm1(h)); h += mlp(norm2(h))``.

    Attributes:
        sees_padding: whether the mixer reads padding like other tokens: it gets no mask.
    """

    sees_padding = False

    def __init__(self, config: ModelConfig, mixer: Mixer) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(config.width, eps=_NORM_EPS)
        self.mixer = mixer
        self.has_mlp = config.mlp != "none"
        if self.has_mlp:
            self.norm2 = nn.RMSNorm(config.width, eps=_NORM_EPS)
            self.mlp = MLP(config.width, round(config.mlp_ratio * config.width), config.mlp)

    def forward(
        self, h: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """h (B, N, width) to the same shape."""
        return self._add(h, self.mixer(self.norm1(h), prefix_len, self._seen(mask)))

    def prefill(
        self, h: Tensor, prefix_len: int | None, mask: Tensor | None
    ) -> tuple[Tensor, MixerState]:
        """As `forward`, and the mixer's state after the last token."""
        mixed, state = self.mixer.prefill(self.norm1(h), prefix_len, self._seen(mask))
        return self._add(h, mixed), state

    def step(self, h: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """One token h (B, width) to the same shape, and the mixer's next state."""
        mixed, state = self.mixer.step(self.norm1(h), state)
        return self._add(h, mixed), state

    def _seen(self, mask: Tensor | None) -> Tensor | None:
        """The mask for the mixer."""
        return None if self.sees_padding else mask

    def _add(self, h: Tensor, mixed: Tensor) -> Tensor:
        h = h + mixed
        return h + self.mlp(self.norm2(h)) if self.has_mlp else h


class LanguageModel(nn.Module):
    """Embedding, layers, norm, and a read-out tied to the embedding.

    Args:
        config: what to build.
        vocab_size: V, tokens.

    Attributes:
        activation_checkpointing: whether training keeps only the inputs of the layers and computes
            the rest again in the backward pass: less memory, more time.

    Raises:
        ValueError: for a mixer that `resolve_mixer` does not find, or that cannot be built.
    """

    activation_checkpointing = False

    def __init__(self, config: ModelConfig, vocab_size: int) -> None:
        super().__init__()
        kinds = [resolve_mixer(name) for name in config.mixers]
        self.config = config
        self.embedding = nn.Embedding(vocab_size, config.width)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        self.layers = nn.ModuleList(
            Layer(config, kinds[i % len(kinds)](config)) for i in range(config.depth)
        )
        self.norm = nn.RMSNorm(config.width, eps=_NORM_EPS)

    @property
    def bidirectional_prefix(self) -> bool:
        """Whether any layer reads the prompt non-causally."""
        return any(layer.mixer.bidirectional_prefix for layer in self._stack())

    def hidden(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        embedding_scale: Tensor | None = None,
    ) -> Tensor:
        """Tokens (B, N) to normed features (B, N, width), ready for `logits`.

        Args:
            tokens: int64 (B, N), N ≥ 1.
            prefix_len: how many leading tokens are the prompt, available at once (None: all N).
            mask: bool (B, N), False on left padding; every row keeps at least one real token.
            embedding_scale: factors on the embeddings, (B, N, width), by which training applies
                dropout; see `sdsim.training.data.embedding_scale`.

        Raises:
            ValueError: for tokens of the wrong shape or type, a prefix longer than N, or padding
                after a real token.
        """
        self._check(tokens, prefix_len, mask)
        h = self._embed(tokens, mask)
        if embedding_scale is not None:
            h = h * embedding_scale
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                h = checkpoint(layer, h, prefix_len, mask, use_reentrant=False)
            else:
                h = layer(h, prefix_len, mask)
        normed: Tensor = self.norm(h)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Features (…, width) to logits of the next token (…, V)."""
        return F.linear(hidden, self.embedding.weight)

    def forward(
        self, tokens: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Tokens (B, N) to logits (B, N, V); arguments and errors as `hidden`."""
        return self.logits(self.hidden(tokens, prefix_len, mask))

    def prefill(
        self, tokens: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, ModelState]:
        """As `forward`, and the state after the last token."""
        hidden, state = self.read(tokens, prefix_len, mask)
        return self.logits(hidden), state

    def read(
        self, tokens: Tensor, prefix_len: int | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, ModelState]:
        """As `hidden`, and the state after the last token."""
        self._check(tokens, prefix_len, mask)
        h = self._embed(tokens, mask)
        states = []
        for layer in self._stack():
            h, state = layer.prefill(h, prefix_len, mask)
            states.append(state)
        return self.norm(h), ModelState(tuple(states))

    def step(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Read one token per sequence (B,); return logits (B, V) and the next state."""
        h = self.embedding(tokens)
        states = []
        for layer, before in zip(self._stack(), state.layers, strict=True):
            h, after = layer.step(h, before)
            states.append(after)
        return self.logits(self.norm(h)), ModelState(tuple(states))

    def _embed(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens (B, N) to what the first layer reads, (B, N, width)."""
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def _stack(self) -> Iterable[Layer]:
        return cast("Iterable[Layer]", self.layers)  # a ModuleList does not know its members

    def _check(self, tokens: Tensor, prefix_len: int | None, mask: Tensor | None) -> None:
        if tokens.ndim != 2 or tokens.shape[1] < 1 or tokens.dtype != torch.int64:
            raise ValueError(
                f"tokens of shape {tuple(tokens.shape)} and type {tokens.dtype}: "
                "must be int64 of shape (B, N) with N ≥ 1"
            )
        length = tokens.shape[1]
        if prefix_len is not None and not 0 <= prefix_len <= length:
            raise ValueError(f"prefix_len = {prefix_len}: must lie between 0 and N = {length}")
        if mask is None:
            return
        if mask.shape != tokens.shape or mask.dtype != torch.bool:
            raise ValueError(
                f"mask of shape {tuple(mask.shape)} and type {mask.dtype}: "
                f"must be bool of shape {tuple(tokens.shape)}"
            )
        if bool((mask[:, :-1] & ~mask[:, 1:]).any()) or not bool(mask[:, -1].all()):
            raise ValueError(
                "mask: padding (False) must come before the real tokens of a row, of which there "
                "must be at least one"
            )
