"""A language model as a residual stack of mixers, in a parallel and a recurrent view."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sdsim.config import ModelConfig
from sdsim.models.budget import StateBudget, budget_of, read_within, state_bits
from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.mixers.module_mixer import ModuleMixer
from sdsim.models.network import Network
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
        budget: of the mixer's state; None: it is carried as it is.
    """

    sees_padding = False

    def __init__(
        self, config: ModelConfig, mixer: Mixer, budget: StateBudget | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(config.width, eps=_NORM_EPS)
        self.mixer, self.budget = mixer, budget
        self.has_mlp = config.mlp != "none"
        if self.has_mlp:
            self.norm2 = nn.RMSNorm(config.width, eps=_NORM_EPS)
            self.mlp = MLP(config.width, round(config.mlp_ratio * config.width), config.mlp)

    def forward(
        self,
        h: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        boundaries: Sequence[int] = (),
    ) -> Tensor:
        """h (B, N, width) to the same shape."""
        if self.budget is not None:
            return self.prefill(h, prefix_len, mask, None, boundaries)[0]
        return self._add(h, self.mixer(self.norm1(h), prefix_len, self._seen(mask)))

    def prefill(
        self,
        h: Tensor,
        prefix_len: int | None,
        mask: Tensor | None,
        state: MixerState | None = None,
        boundaries: Sequence[int] = (),
    ) -> tuple[Tensor, MixerState]:
        """As `forward`, from a state of the mixer on, and its state after the last token."""
        x = self.norm1(h)
        if self.budget is None:
            mixed, after = self.mixer.prefill(x, prefix_len, self._seen(mask), state)
        else:
            mixed, after = read_within(self.budget, self.mixer, x, prefix_len, state, boundaries)
        return self._add(h, mixed), after

    def step(self, h: Tensor, state: MixerState) -> tuple[Tensor, MixerState]:
        """One token h (B, width) to the same shape, and the mixer's next state."""
        mixed, state = self.mixer.step(self.norm1(h), state)
        if self.budget is not None and self.budget.every_token:
            state = self.budget.carry(self.mixer, state, 0)
        return self._add(h, mixed), state

    def carry(self, state: MixerState, boundary: int) -> MixerState:
        """What crosses a segment boundary, and is the mixer's state from there on."""
        return state if self.budget is None else self.budget.carry(self.mixer, state, boundary)

    def _seen(self, mask: Tensor | None) -> Tensor | None:
        """The mask for the mixer."""
        return None if self.sees_padding else mask

    def _add(self, h: Tensor, mixed: Tensor) -> Tensor:
        h = h + mixed
        return h + self.mlp(self.norm2(h)) if self.has_mlp else h


class LanguageModel(Network):
    """Embedding, layers, norm, and a read-out tied to the embedding.

    Args:
        config: what to build.
        vocab_size: V, tokens.
        boundaries: most segment boundaries in an input, where a budget of the state has parameters
            for each.

    Attributes:
        activation_checkpointing: whether training keeps only the inputs of the layers and computes
            the rest again in the backward pass: less memory, more time.

    Raises:
        ValueError: for a mixer that `resolve_mixer` does not find, or that cannot be built.
    """

    config: ModelConfig
    activation_checkpointing = False

    def __init__(self, config: ModelConfig, vocab_size: int, boundaries: int = 1) -> None:
        super().__init__()
        self.config, self._boundaries = config, boundaries
        self.embedding = nn.Embedding(vocab_size, config.width)
        nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
        self.layers = nn.ModuleList(self._layers(boundaries))
        self.norm = nn.RMSNorm(config.width, eps=_NORM_EPS)
        if config.stated_state_bits is not None and (self.measures_state or self._own_bits()):
            who = "every layer's state is measured" if self.measures_state else "the modules do"
            raise ValueError(f"model.stated_state_bits = {config.stated_state_bits}: {who}")

    def _layers(self, boundaries: int) -> Iterator[Layer]:
        config, kinds = self.config, [resolve_mixer(name) for name in self.config.mixers]
        for i in range(config.depth):
            mixer = kinds[i % len(kinds)](config)
            yield Layer(config, mixer, budget_of(mixer, config, i, boundaries))

    @property
    def described(self) -> str:
        layers = f"{self.config.depth} layer{'s' * (self.config.depth != 1)}"
        return f"{layers} of {' and '.join(self.config.mixers)}, width {self.config.width}"

    @property
    def bidirectional_prefix(self) -> bool:
        """Whether any layer reads the prompt non-causally."""
        return any(layer.mixer.bidirectional_prefix for layer in self._stack())

    @property
    def measures_state(self) -> bool:
        return all(layer.mixer.measures_state for layer in self._stack())

    @property
    def stated_state_bits(self) -> int | None:
        """As in the config; without it the sum of what all modules state of themselves."""
        return self.config.stated_state_bits or self._own_bits()

    def _own_bits(self) -> int | None:
        """The sum of what the layers' modules state; None unless all layers are such modules."""
        mixers = [layer.mixer for layer in self._stack()]
        stated = [mixer.state_bits for mixer in mixers if isinstance(mixer, ModuleMixer)]
        known = [bits for bits in stated if bits is not None]
        return sum(known) if len(known) == len(mixers) else None

    @property
    def budget_bits(self) -> int:
        """The most bits that cross any segment boundary, see `sdsim.models.budget.state_bits`."""
        return state_bits((layer.mixer, layer.budget) for layer in self._stack())

    def hidden(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        embedding_scale: Tensor | None = None,
        boundaries: Sequence[int] = (),
    ) -> Tensor:
        """Tokens (B, N) to normed features (B, N, width), ready for `logits`.

        Args:
            tokens: int64 (B, N), N ≥ 1.
            prefix_len: how many leading tokens are the prompt, available at once (None: all N).
            mask: bool (B, N), False on left padding; every row keeps at least one real token.
            embedding_scale: factors on the embeddings, (B, N, width), by which training applies
                dropout; see `sdsim.training.data.embedding_scale`.
            boundaries: after how many tokens a segment ends, in order, each between 1 and N − 1;
                a model with a budget of its state quantizes it there.

        Raises:
            ValueError: for tokens of the wrong shape or type, a prefix longer than N, padding
                after a real token, or padding for a model with a budget.
        """
        self._check(tokens, prefix_len, mask, boundaries)
        h = self._embed(tokens, mask)
        if embedding_scale is not None:
            h = h * embedding_scale
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                h = checkpoint(layer, h, prefix_len, mask, boundaries, use_reentrant=False)
            else:
                h = layer(h, prefix_len, mask, boundaries)
        normed: Tensor = self.norm(h)
        return normed

    def logits(self, hidden: Tensor) -> Tensor:
        """Features (…, width) to logits of the next token (…, V)."""
        return F.linear(hidden, self.embedding.weight)

    def prefill(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        state: ModelState | None = None,
        boundaries: Sequence[int] = (),
    ) -> tuple[Tensor, ModelState]:
        """As `forward`, from a state on, and the state after the last token; see `read`."""
        hidden, after = self.read(tokens, prefix_len, mask, state=state, boundaries=boundaries)
        return self.logits(hidden), after

    def read(
        self,
        tokens: Tensor,
        prefix_len: int | None = None,
        mask: Tensor | None = None,
        *,
        state: ModelState | None = None,
        boundaries: Sequence[int] = (),
    ) -> tuple[Tensor, ModelState]:
        """As `hidden`, and the state after the last token.

        With a `state` these tokens come after those that it holds, and `prefix_len` counts from
        the first of these. A prompt that was padded can be continued, but there is no new mask.
        """
        self._check(tokens, prefix_len, mask, boundaries)
        if state is not None and mask is not None:
            raise ValueError("mask: padding comes first, so there is none after a state")
        h = self._embed(tokens, mask)
        states = []
        for i, layer in enumerate(self._stack()):
            before = None if state is None else state.layers[i]
            h, after = layer.prefill(h, prefix_len, mask, before, boundaries)
            states.append(after)
        return self.norm(h), ModelState(tuple(states))

    def carry(self, state: ModelState, boundary: int) -> ModelState:
        """What crosses segment boundary number `boundary`, and is the state from there on.

        `hidden` does so at its `boundaries`; call it yourself where you read segments one by one
        (by `prefill` or `step`, which quantize nothing at boundaries that they are not told of).

        Raises:
            ValueError: for a model that reads its prompt several times, or that quantizes its state
                after every token.
        """
        self._check_crossed_once()
        pairs = zip(self._stack(), state.layers, strict=True)
        return ModelState(tuple(layer.carry(own, boundary) for layer, own in pairs))

    def step(self, tokens: Tensor, state: ModelState) -> tuple[Tensor, ModelState]:
        """Read one token per sequence (B,); return logits (B, V) and the next state."""
        h = self.embedding(tokens)
        states = []
        for layer, before in zip(self._stack(), state.layers, strict=True):
            h, after = layer.step(h, before)
            states.append(after)
        return self.logits(self.norm(h)), ModelState(tuple(states))

    def codes(self, state: ModelState, boundary: int) -> Tensor:
        """All that crosses segment boundary number `boundary`, int64 (B, numbers).

        Raises:
            ValueError: for a model without a budget; also as `carry`.
        """
        self._check_crossed_once()
        pairs = zip(self._stack(), state.layers, strict=True)
        codes = [
            layer.budget.codes(layer.mixer.carried(own), boundary)
            for layer, own in pairs
            if layer.budget is not None
        ]
        if not codes:
            raise ValueError(f"{self.config.name}: the model has no budget of its state")
        return torch.cat(codes, dim=1)

    def _check_crossed_once(self) -> None:
        if self.bidirectional_prefix:
            raise ValueError(f"{self.config.name}: it reads its prompt several times")
        if self.config.state_quantized_at == "tokens":
            raise ValueError(f"{self.config.name}: its state is quantized after every token")

    def _embed(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        """Tokens (B, N) to what the first layer reads, (B, N, width)."""
        embedded: Tensor = self.embedding(tokens)
        return embedded

    def _stack(self) -> Iterable[Layer]:
        return cast("Iterable[Layer]", self.layers)  # a ModuleList does not know its members

    def _check(
        self,
        tokens: Tensor,
        prefix_len: int | None,
        mask: Tensor | None,
        boundaries: Sequence[int],
    ) -> None:
        if tokens.ndim != 2 or tokens.shape[1] < 1 or tokens.dtype != torch.int64:
            raise ValueError(
                f"tokens of shape {tuple(tokens.shape)} and type {tokens.dtype}: "
                "must be int64 of shape (B, N) with N ≥ 1"
            )
        length = tokens.shape[1]
        if prefix_len is not None and not 0 <= prefix_len <= length:
            raise ValueError(f"prefix_len = {prefix_len}: must lie between 0 and N = {length}")
        if any(end <= start for start, end in pairwise((0, *boundaries, length))):
            raise ValueError(
                f"boundaries = {tuple(boundaries)}: must rise, between 1 and N - 1 = {length - 1}"
            )
        if self.config.has_budget and len(boundaries) > self._boundaries:
            raise ValueError(
                f"boundaries = {tuple(boundaries)}: the model was built for {self._boundaries} "
                "at most"
            )
        if mask is None:
            return
        if self.config.has_budget:
            raise ValueError("mask: a model with a budget of its state takes no padding")
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
