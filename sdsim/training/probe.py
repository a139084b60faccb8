"""What a model's state holds of set A: a lower bound in bits, at any position of the sequence.

A probe reads the state z and spreads probability over all sets of a elements,
q(A|z) = Π_{x∈A} w_x(z) / e_a(w(z)): w > 0 are the outputs of a small network, one for each element,
and e_a, the elementary symmetric polynomial, normalises exactly. With A uniform,

    I(Z; A)  ≥  log₂ C(n, a) − E[−log₂ q(A|Z)]

for every q that was fixed before the examples of the expectation were drawn (Barber and Agakov
2003), so a probe that is trained badly, or whose form does not fit, proves less and never too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from math import comb, log, log2
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdsim.models import LanguageModel, ModelState
from sdsim.seeding import seeded_generator
from synthetic import SetDisjointness, Split

_LEAST_EXAMPLES = 50
_UNIFORM_FRACTION = 2.0**-10  # of q: no example scores below −10 bits, for 0.0014 bits
_HIDDEN = 256
_BATCH = 128
_READ_BATCH = 256
_LEARNING_RATES = (3e-3, 3e-4)
_PATIENCE = 10  # epochs at each rate in which the validation score gains less than this:
_LEAST_GAIN = 0.01  # bits
_MOST_EPOCHS = 200  # at each rate
_WEIGHT_DECAY = 0.1
_BISECTIONS = 24  # to a ten-millionth of the range
_OUTLIER = 100.0  # standard deviations: what is farther from the mean is moved there
_CONFIDENCE = 0.975  # of each end of an interval
_STAKES = (*(2.0**-k for k in range(12, 0, -1)), 0.75, 0.95)


@dataclass(frozen=True)
class HeldBits:
    """A lower bound on I(Z; A), measured on held-out examples.

    Attributes:
        bits: the bound, 0 if the probe does no better than guessing.
        low: I(Z; A) is at least this, with confidence 97.5 %.
        high: with `low`, the 95 % interval of what this probe proves; I(Z; A) may be larger.
        total_bits: log₂ C(n, a), what a state that determines A holds.
    """

    bits: float
    low: float
    high: float
    total_bits: float


def held_bits(states: Tensor, sets: Tensor, universe_size: int, *, seed: int = 0) -> HeldBits:
    """Train a probe that names A from the state, and test it on examples that it never saw.

    Three fifths of the examples train the probe, one fifth chooses when to stop, one fifth is
    reported. The interval is over the latter, and holds for any number of them and any distribution
    of their scores. It is that of one probe: neither its seed nor that of the model is in it.

    Args:
        states: z of each example, real (examples, numbers); at least 50 examples. More examples
            make a better probe where there are many numbers.
        sets: A of each example, int64 (examples, a): distinct elements from 0 to n − 1. Examples
            are independent, and all sets are equally likely.
        universe_size: n > a.
        seed: of the split, the initial weights and the order of training. The global random state
            is neither read nor changed.

    Returns:
        A lower bound on I(Z; A) only: what the probe does not find may still be there. It is
        not what the model still needs, either. A state that has forgotten A, but knows B, holds
        I(A; B) bits of A; with one common element, log₂(C(n, a) / (b·C(n − b, a − 1))).

    Raises:
        ValueError: for states that are complex, not finite or of the wrong shape, sets that are not
            sets of elements, or too few examples.

    Source:
        Barber and Agakov 2003 for the bound, Waudby-Smith and Ramdas 2024 for the interval; the
        probe is ours.
    """
    _check(states, sets, universe_size)
    generator = seeded_generator("probe", seed)
    order = torch.randperm(len(states), generator=generator).to(states.device)
    train, validation, test = order.tensor_split([len(order) * 3 // 5, len(order) * 4 // 5])
    inputs = _standardized(states.double(), train)
    members = torch.zeros(len(sets), universe_size, device=states.device)
    members.scatter_(1, sets.to(states.device), 1)

    probe = _Probe(inputs.shape[1], universe_size, generator).to(states.device)
    examples = _Examples(inputs, members)
    _fit(probe, examples.take(train), examples.take(validation), generator)
    scores = _scores(probe, examples.take(test))
    total_bits = log2(comb(universe_size, sets.shape[1]))
    least = log2(_UNIFORM_FRACTION)
    low = _least_mean(scores, least, total_bits)
    high = -_least_mean(-scores, -total_bits, -least)
    bits = float(scores.mean())
    return HeldBits(max(0.0, bits), max(0.0, low), max(0.0, high), total_bits)


class Reader(Protocol):
    """What reads tokens and has a state: a `LanguageModel`, or what stands for one."""

    def prefill(self, tokens: Tensor, prefix_len: int | None = None) -> tuple[object, ModelState]:
        """Tokens (B, N) to outputs, and the state after the last token."""


def reader_within(model: LanguageModel, task: SetDisjointness) -> Reader:
    """A model as it reads a task: at a boundary its state is what crosses, the codes alone.

    Raises:
        ValueError: for a model that reads its prompt several times (`sdsim.models.budget`): after
            a number of tokens it has several states.
    """
    return _Within(model, task.segment_boundaries) if model.config.has_budget else model


class _Within:
    """Reads segments whose boundaries are crossed within a budget."""

    def __init__(self, model: LanguageModel, boundaries: tuple[int, ...]) -> None:
        if model.bidirectional_prefix:
            raise ValueError(f"{model.config.name} reads its prompt several times")
        self.every_token = model.config.state_quantized_at == "tokens"
        self.model, self.boundaries = model, () if self.every_token else boundaries

    def prefill(self, tokens: Tensor, prefix_len: int | None = None) -> tuple[object, ModelState]:
        """Tokens (B, N) to outputs, and what is carried after the last one."""
        length = tokens.shape[1]
        crossed = [end for end in self.boundaries if end < length]
        y, state = self.model.prefill(tokens, prefix_len, boundaries=crossed)
        if length in self.boundaries:
            codes = self.model.codes(state, len(crossed))
            state = ModelState(((codes.to(y.dtype),),))
        return y, state


class Snapshot(NamedTuple):
    """The states of some examples after the same number of tokens.

    Attributes:
        position: how many tokens have been read.
        states: all numbers carried, (examples, numbers).
        sets: A of each example, int64 (examples, a), elements from 0 to n − 1.
    """

    position: int
    states: Tensor
    sets: Tensor


def states_over_time(
    model: Reader,
    task: SetDisjointness,
    positions: Sequence[int],
    *,
    examples: int,
    seed: int,
    split: Split = "test",
    device: torch.device | str = "cpu",
) -> Iterator[Snapshot]:
    """What a model carries after each of some positions, on the same examples.

    A bidirectional model reads all tokens up to a position as its prompt.

    Args:
        model: on `device`.
        task: gives the examples.
        positions: numbers of tokens read, each from 1 to `task.seq_len`.
        examples: how many.
        seed: of the examples, with `split`.

    Raises:
        ValueError: for a position out of range.
    """
    for position in positions:
        if not 1 <= position <= task.seq_len:
            raise ValueError(f"position = {position}: from 1 to {task.seq_len} tokens are read")
    batch = task.sample(examples, seed=seed, device=device, split=split)
    first_element = task.vocab_size - task.universe_size
    sets = batch.inputs[:, 1 : 1 + task.size_a] - first_element
    for position in positions:
        with torch.no_grad():
            states = [
                _flat(model.prefill(tokens, min(position, batch.prefix_len))[1])
                for tokens in torch.split(batch.inputs[:, :position], _READ_BATCH)
            ]
        yield Snapshot(position, torch.cat(states), sets)


def held_bits_over_time(
    model: Reader,
    task: SetDisjointness,
    positions: Sequence[int],
    *,
    examples: int = 8192,
    seed: int = 0,
    split: Split = "test",
    device: torch.device | str = "cpu",
) -> list[tuple[int, HeldBits]]:
    """`held_bits` after each of some positions; arguments and errors as `states_over_time`.

    At every position it is the whole of A that the probe names, so after t of its elements at most
    log₂ C(n, a) − log₂ C(n − t, a − t) bits can be held.
    """
    snapshots = states_over_time(
        model, task, positions, examples=examples, seed=seed, split=split, device=device
    )
    return [
        (position, held_bits(states, sets, task.universe_size, seed=seed))
        for position, states, sets in snapshots
    ]


def log_elementary(log_w: Tensor, a: int) -> Tensor:
    """log e_a(w), the sum over all sets of `a` elements of the product of their weights.

    With independent coins that choose element x with odds c·w_x, the number chosen is a with
    probability e_a(c·w) / Π(1 + c·w_x). That holds for every c > 0. Here c makes the expected
    number a; then a is the most likely number as well (Darroch 1964), so the probability is at
    least 1 / (n + 1), and a dynamic programme over it neither overflows nor loses digits.

    >>> weights = torch.tensor([[1.0, 2.0, 5.0]])
    >>> log_elementary(weights.log(), 2).exp().round()  # 1·2 + 1·5 + 2·5
    tensor([17.])

    Args:
        log_w: (B, n), finite.
        a: from 1 to n − 1.

    Returns:
        (B,), with gradients.
    """
    log_c = _log_scale(log_w.detach(), a)
    log_odds = log_w + log_c
    coins = (log_odds.sigmoid(), (-log_odds).sigmoid())
    counts = F.pad(torch.ones_like(log_c), (0, a))  # (B, a + 1): P(k chosen so far)
    for chosen, left in zip(*(p[..., None].unbind(1) for p in coins), strict=True):
        counts = counts * left + F.pad(counts, (1, -1)) * chosen
    return counts[:, a].log() + F.softplus(log_odds).sum(1) - a * log_c[:, 0]


def _log_scale(log_w: Tensor, a: int) -> Tensor:
    """log c (B, 1) at which Σ c·w_x / (1 + c·w_x) = a, by bisection."""
    margin = log(log_w.shape[1])  # all coins show less than 1/n, or more than 1 − 1/n
    low = -log_w.amax(1, keepdim=True) - margin
    high = -log_w.amin(1, keepdim=True) + margin
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        too_many = (log_w + middle).sigmoid().sum(1, keepdim=True) > a
        low, high = torch.where(too_many, low, middle), torch.where(too_many, middle, high)
    return (low + high) / 2


class _Examples(NamedTuple):
    """Standardized states (examples, numbers), and A as zeros and ones (examples, n)."""

    inputs: Tensor
    members: Tensor

    def take(self, indices: Tensor) -> _Examples:
        return _Examples(self.inputs[indices], self.members[indices])


class _Probe(nn.Module):
    """log w: a linear map plus one hidden layer. At first all sets are equally likely."""

    def __init__(self, numbers: int, universe_size: int, generator: torch.Generator) -> None:
        super().__init__()
        scale = max(1, numbers) ** -0.5
        self.hidden = nn.Parameter(torch.randn(numbers, _HIDDEN, generator=generator) * scale)
        self.hidden_bias = nn.Parameter(torch.zeros(_HIDDEN))
        self.linear = nn.Parameter(torch.zeros(numbers, universe_size))
        self.out = nn.Parameter(torch.zeros(_HIDDEN, universe_size))
        self.bias = nn.Parameter(torch.zeros(universe_size))

    def log_weights(self, inputs: Tensor) -> Tensor:
        """(B, numbers) to log w, (B, n)."""
        hidden = F.gelu(inputs @ self.hidden + self.hidden_bias)
        return inputs @ self.linear + hidden @ self.out + self.bias


def _gained_bits(log_w: Tensor, members: Tensor) -> Tensor:
    """log₂ C(n, a) + log₂ q(A|z) of each example, (B,), from log w and A, both (B, n)."""
    n, a = members.shape[1], int(members[0].sum())
    log_q = (log_w * members).sum(1) - log_elementary(log_w, a)
    return log2(comb(n, a)) + log_q / log(2)


@torch.no_grad()
def _scores(probe: _Probe, examples: _Examples) -> Tensor:
    """`_gained_bits`, with a small part of q spread evenly over all sets: float64 (B,)."""
    gained = _gained_bits(probe.log_weights(examples.inputs).double(), examples.members)
    even = torch.full_like(gained, log2(_UNIFORM_FRACTION))
    return torch.logaddexp2(gained + log2(1 - _UNIFORM_FRACTION), even)


def _least_mean(scores: Tensor, least: float, most: float) -> float:
    """The mean of scores between `least` and `most` is at least this, with `_CONFIDENCE`.

    Let X be a score, scaled to [0, 1]. If its mean is at most μ, a gambler who stakes a part f of
    her capital on each X/μ plays no favourable game: after all independent scores her capital,
    Π (1 − f + f·X/μ), is on average at most 1, and by Markov's inequality seldom large. So a μ at
    which it is large is ruled out; here capital is the average over several f.
    """
    x = (scores - least) / (most - least)
    stakes = torch.tensor(_STAKES, dtype=x.dtype, device=x.device)[:, None]
    ruled_out, rest = 0.0, 1.0
    for _ in range(_BISECTIONS):
        mean = (ruled_out + rest) / 2
        capital = torch.log1p(stakes * (x / mean - 1)).sum(1).exp().mean()
        if capital >= 1 / (1 - _CONFIDENCE):
            ruled_out = mean
        else:
            rest = mean
    return least + ruled_out * (most - least)


def _fit(
    probe: _Probe, train: _Examples, validation: _Examples, generator: torch.Generator
) -> None:
    """Train the linear map, then all, at falling rates; keep the best on validation examples."""
    best, weights = float(_scores(probe, validation).mean()), deepcopy(probe.state_dict())
    stages = [probe.linear, probe.bias], list(probe.parameters())
    for parameters, rate in product(stages, _LEARNING_RATES):
        optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=_WEIGHT_DECAY)
        stale, to_beat = 0, best + _LEAST_GAIN
        for _ in range(_MOST_EPOCHS):
            _train_epoch(probe, train, optimizer, generator)
            score = float(_scores(probe, validation).mean())
            if score > best:
                best, weights = score, deepcopy(probe.state_dict())
            stale += 1
            if score > to_beat:
                stale, to_beat = 0, score + _LEAST_GAIN
            if stale == _PATIENCE:
                break
        probe.load_state_dict(weights)


def _train_epoch(
    probe: _Probe,
    train: _Examples,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    order = torch.randperm(len(train.inputs), generator=generator).to(train.inputs.device)
    for chosen in torch.split(order, _BATCH):
        batch = train.take(chosen)
        optimizer.zero_grad()
        loss = -_gained_bits(probe.log_weights(batch.inputs), batch.members).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _standardized(states: Tensor, train: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the training examples; what is constant there is left out."""
    states = states[:, states[train].amax(0) > states[train].amin(0)]
    states = states / states[train].abs().amax(0)  # so that squares are finite
    states = states - states[train].mean(0)
    states = states / states[train].square().mean(0).sqrt()
    return states.clamp(-_OUTLIER, _OUTLIER).float()


def _flat(state: ModelState) -> Tensor:
    return torch.cat([tensor.flatten(1) for tensor in state.tensors()], dim=1)


def _check(states: Tensor, sets: Tensor, universe_size: int) -> None:
    if states.ndim != 2 or states.is_complex() or not bool(states.isfinite().all()):
        raise ValueError(
            f"states of shape {tuple(states.shape)} and type {states.dtype}: must be finite real "
            "numbers, (examples, numbers)"
        )
    if sets.ndim != 2 or len(sets) != len(states) or len(sets) < _LEAST_EXAMPLES:
        raise ValueError(
            f"sets of shape {tuple(sets.shape)} for {len(states)} states: must be (examples, a), "
            f"with at least {_LEAST_EXAMPLES} examples"
        )
    if sets.dtype != torch.int64 or not 1 <= sets.shape[1] < universe_size:
        raise ValueError(
            f"sets of {sets.shape[1]} elements and type {sets.dtype}: must be int64, of at least 1 "
            f"and fewer than universe_size = {universe_size} elements"
        )
    in_order = sets.sort(1).values
    if (
        int(in_order[:, 0].min()) < 0
        or int(in_order[:, -1].max()) >= universe_size
        or bool((in_order.diff(dim=1) == 0).any())
    ):
        raise ValueError(f"sets: elements must be distinct, from 0 to {universe_size - 1}")
