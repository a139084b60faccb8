"""A budget of bits: what a layer carries from segment to segment, in numbers of a few bits each.

A state of float32 numbers holds far more than any set that a small task shows, so that its size
limits nothing. With a budget the state is quantized where the input goes from one side to the
other, in training as well: what the model knows of the first side is then in exactly that many
bits. Two kinds of budget:

* of the state itself: each of its numbers is quantized;
* of a few numbers in its place: a learned linear map of the state, quantized, from which another
  one makes the state that the next segment starts from. So memory is a knob of its own, at a fixed
  width of the model.

Gradients pass the quantizer as if it only clipped (Bengio, Léonard and Courville 2013,
arXiv:1308.3432), and its step sizes are learned (Esser et al. 2020, arXiv:1902.08153). Steps and
maps are parameters, each boundary's its own: a model knows, as a program does, which segment it
reads. Nothing that depends on an example is carried but the codes.

A causal mixer reads each segment from what crossed the boundary before it, all its tokens at once.
A mixer with a bidirectional prefix is the algorithm of several passes that it is: it sums up the
prompt first, segment by segment, and then reads it from what it has summed up. So each boundary
within the prompt is crossed twice, with parameters of their own, and the end of the prompt once,
back to its beginning. See `state_bits` for what is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor, nn

from sdsim.config import ModelConfig
from sdsim.models.mixers.mixer import Mixer, MixerState

_RANGE = 2.0
"""Numbers from -2 to 2 are told apart at first: those of a normed map have standard deviation 1."""


def quantize(x: Tensor, step: Tensor, bits: int) -> Tensor:
    """The nearest of 2^bits values, odd multiples of step / 2 around 0; straight-through.

    >>> quantize(torch.tensor([-9.0, -0.1, 0.1, 0.9, 9.0]), torch.tensor(1.0), 2)
    tensor([-1.5000, -0.5000,  0.5000,  0.5000,  1.5000])
    """
    half = 2.0 ** (bits - 1)
    clipped = (x / step).clamp(-half, half)
    nearest = _level(clipped, bits) + 0.5
    return (clipped + (nearest - clipped).detach()) * step


def _level(x: Tensor, bits: int) -> Tensor:
    """Which of the 2^bits steps around 0 holds x: a whole number, from -2^(bits - 1)."""
    half = 2.0 ** (bits - 1)
    return x.floor().clamp(-half, half - 1)


class StateBudget(nn.Module):
    """Quantizes the state of one layer at segment boundaries.

    Args:
        shapes: of the state's tensors, without the batch.
        bits: per number, b ≥ 1.
        numbers: carried in place of the state; 0: nothing; None: the state itself is carried.
        boundaries: crossings that have parameters of their own, at least 1.
        every_token: whether the state is quantized after every token rather than at boundaries;
            then there is one crossing.

    Attributes:
        numel: numbers that are carried.
    """

    def __init__(
        self,
        shapes: Sequence[torch.Size],
        bits: int,
        numbers: int | None,
        boundaries: int,
        *,
        every_token: bool = False,
    ) -> None:
        super().__init__()
        self.shapes, self.bits, self.every_token = list(shapes), bits, every_token
        size = sum(map(prod, self.shapes))
        self.is_projected = numbers is not None
        self.numel = size if numbers is None else numbers
        if self.is_projected:
            self.decode_bias = nn.Parameter(torch.zeros(boundaries, size))
        if not self.numel:
            return
        # Log of the step over its first value, so that weight decay draws it there.
        self.log_step = nn.Parameter(torch.zeros(boundaries, self.numel))
        if self.is_projected:
            encode = torch.randn(boundaries, self.numel, size) * size**-0.5
            decode = torch.randn(boundaries, size, self.numel) * self.numel**-0.5
            self.encode, self.decode = nn.Parameter(encode), nn.Parameter(decode)
            self.encode_bias = nn.Parameter(torch.zeros(boundaries, self.numel))

    def forward(self, state: MixerState, boundary: int) -> MixerState:
        """What the next segment starts from, after boundary number `boundary`."""
        if not self.numel:
            return self._decoded(state[0].new_zeros(len(state[0]), 0), boundary)
        return self._decoded(quantize(*self._encoded(state, boundary), self.bits), boundary)

    def carry(self, mixer: Mixer, state: MixerState, boundary: int) -> MixerState:
        """The mixer's state after a boundary, given that before it."""
        return mixer.restored(self(mixer.carried(state), boundary))

    def codes(self, state: MixerState, boundary: int) -> Tensor:
        """All that is carried, int64 (B, numel), each from 0 to 2^bits - 1."""
        if not self.numel:
            return torch.zeros(len(state[0]), 0, dtype=torch.int64, device=state[0].device)
        x, step = self._encoded(state, boundary)
        return _level(x / step, self.bits).long() + (1 << (self.bits - 1))

    def state(self, codes: Tensor, boundary: int) -> MixerState:
        """What the next segment starts from, given `codes`: as `forward` has it."""
        if not self.numel:
            return self._decoded(codes.to(self.decode_bias.dtype), boundary)
        values = codes + (0.5 - 2 ** (self.bits - 1))
        return self._decoded(values * self._step(boundary), boundary)

    def _step(self, boundary: int) -> Tensor:
        step: Tensor = self.log_step[boundary].exp() * (_RANGE * 2.0 ** (1 - self.bits))
        return step

    def _encoded(self, state: MixerState, boundary: int) -> tuple[Tensor, Tensor]:
        """The numbers to quantize (B, numel), and their steps."""
        x = torch.cat([tensor.flatten(1) for tensor in state], dim=1)
        if self.is_projected:
            x = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)
            x = x @ self.encode[boundary].mT + self.encode_bias[boundary]
        return x, self._step(boundary)

    def _decoded(self, x: Tensor, boundary: int) -> MixerState:
        if self.is_projected:
            bias = self.decode_bias[boundary]
            x = x @ self.decode[boundary].mT + bias if self.numel else bias.expand(len(x), -1)
        parts = torch.split(x, [prod(shape) for shape in self.shapes], dim=1)
        return tuple(
            torch.unflatten(part, 1, shape) for part, shape in zip(parts, self.shapes, strict=True)
        )


def budget_of(mixer: Mixer, config: ModelConfig, layer: int, boundaries: int) -> StateBudget | None:
    """The budget of a model's layer; None where the config has none.

    Args:
        mixer: of the layer.
        config: of the model.
        layer: its number.
        boundaries: most segment boundaries in an input.

    Raises:
        ValueError: where the mixer has no state to reach, or one that grows with the tokens read or
            holds other than floating-point numbers, or the mixer has a bidirectional prefix and
            the state is to be quantized at every token.
    """
    if not config.has_budget:
        return None
    every_token = config.state_quantized_at == "tokens"
    name = type(mixer).__name__
    if not mixer.measures_state:
        raise ValueError(
            f"model.state_bits_per_number = {config.state_bits_per_number}: layer {layer} has no "
            "prefill and step, so that its state cannot be reached"
        )
    if mixer.bidirectional_prefix and every_token:
        raise ValueError(
            f"model.state_quantized_at = tokens: {name} reads a prompt as a whole; take boundaries"
        )
    one, two = (_carried(mixer, config.width, tokens) for tokens in (1, 2))
    shapes = [tensor.shape[1:] for tensor in one]
    counts = not all(tensor.is_floating_point() for tensor in one)
    if counts or shapes != [tensor.shape[1:] for tensor in two]:
        raise ValueError(
            f"model.state_bits_per_number = {config.state_bits_per_number}: the state of {name} "
            "grows with the tokens read, or counts them, so that it has no budget"
        )
    numbers = config.state_numbers
    crossings = 2 * boundaries + 1 if mixer.bidirectional_prefix else boundaries
    return StateBudget(
        shapes,
        config.state_bits_per_number,
        numbers[layer % len(numbers)] if numbers else None,
        1 if every_token else max(1, crossings),
        every_token=every_token,
    )


@torch.no_grad()
def _carried(mixer: Mixer, width: int, tokens: int) -> MixerState:
    x = next(mixer.parameters()).new_zeros(1, tokens, width)
    return mixer.carried(mixer.prefill(x, 0)[1])


def read_within(
    budget: StateBudget,
    mixer: Mixer,
    x: Tensor,
    prefix_len: int | None,
    state: MixerState | None,
    boundaries: Sequence[int],
) -> tuple[Tensor, MixerState]:
    """What `Mixer.prefill` does, with the state quantized between segments.

    Args:
        budget: of the mixer's state.
        mixer: reads x.
        x: (B, N, width).
        prefix_len: tokens of the prompt, for mixers with a bidirectional prefix; None: all N.
        state: before x.
        boundaries: after how many tokens a segment ends.

    Returns:
        Outputs (B, N, width); the state after the last token, quantized only where every token is.
    """
    after: MixerState = state or ()
    outputs = []
    if budget.every_token:
        for token in torch.split(x, 1, dim=1):
            y, after = mixer.prefill(token, 0, None, after or None)
            after = budget.carry(mixer, after, 0)
            outputs.append(y)
        return torch.cat(outputs, dim=1), after
    prompt = crossing = start = 0
    if mixer.bidirectional_prefix:
        prompt = x.shape[1] if prefix_len is None else prefix_len
        for segment in _segments(x[:, :prompt], boundaries):
            after = budget.carry(mixer, mixer.encode(segment, after or None), crossing)
            crossing += 1
    for end in sorted({*boundaries, prompt, x.shape[1]} - {0}):
        if start in boundaries:
            after, crossing = budget.carry(mixer, after, crossing), crossing + 1
        segment = x[:, start:end]
        if start < prompt:
            y, after = mixer.reread(segment, after)
        else:
            y, after = mixer.prefill(segment, 0, None, after or None)
        outputs.append(y)
        start = end
    return torch.cat(outputs, dim=1), after


def _segments(x: Tensor, boundaries: Sequence[int]) -> tuple[Tensor, ...]:
    """The parts of x (B, N, width) between the boundaries that lie in it; () if N is 0."""
    within = [end for end in boundaries if end < x.shape[1]]
    return torch.tensor_split(x, within, dim=1) if x.shape[1] else ()


def state_bits(layers: Iterable[tuple[Mixer, StateBudget | None]]) -> int:
    """The most bits that cross any segment boundary, of a model whose layers have budgets.

    What crosses in one reading is the codes of all layers. Where L layers have a bidirectional
    prefix, the model is an algorithm of L + 1 readings of the prompt: in each, the next of these
    layers sums up what the layers below it say, which read anew, those with a prefix from the sums
    of their own, of which a copy is kept for the readings to come.
    """
    below = copies = 0
    most = 0
    for mixer, budget in layers:
        own = budget.bits * budget.numel if budget else 0
        if mixer.bidirectional_prefix:
            most = max(most, below + copies + own)
            copies += own
        below += own
    return max(most, below)
