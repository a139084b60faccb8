"""Random numbers as a pure function of (seed, stream, example, draw), on any device.

SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) in wrapping int64 arithmetic: each example owns a
64-bit key, and its draws are the generator's outputs from that key. Integer operations alone, so
every device gives the same bits.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor

_GOLDEN_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MULTIPLIER_1 = 0xBF58476D1CE4E5B9 - 2**64
_MULTIPLIER_2 = 0x94D049BB133111EB - 2**64

_CERTAINTY = 2**31
"""The probability 1, where probabilities are integers."""

_Draw = Callable[[Tensor, int], Tensor]
"""From keys and a number n to n independent draws for each key; a larger n only appends."""

# `distinct` works on blocks of keys whose tables and draws fit in a core's own cache.
_BLOCK_ENTRIES = 2**19


def _mix_(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, in place. torch shifts int64 with its sign: mask the copies away."""
    shifted = (x >> 30).bitwise_and_(2**34 - 1)
    x.bitwise_xor_(shifted).mul_(_MULTIPLIER_1)
    torch.bitwise_right_shift(x, 27, out=shifted).bitwise_and_(2**37 - 1)
    x.bitwise_xor_(shifted).mul_(_MULTIPLIER_2)
    torch.bitwise_right_shift(x, 31, out=shifted).bitwise_and_(2**33 - 1)
    return x.bitwise_xor_(shifted)


def example_keys(
    *stream: int | str, start: int, count: int, device: torch.device | str = "cpu"
) -> Tensor:
    """One 64-bit key for each example `start` … `start + count - 1`, int64 (count,).

    `stream` names the stream (seed, split, task, …); different names give unrelated keys.
    """
    digest = hashlib.blake2b(repr(stream).encode(), digest_size=8).digest()
    base = int.from_bytes(digest, "little", signed=True)
    keys = torch.arange(start, start + count, dtype=torch.int64, device=device)
    return _mix_(keys.mul_(_GOLDEN_GAMMA).add_(base))


def integers(keys: Tensor, draws: int, below: int | Tensor) -> Tensor:
    """`draws` uniform integers in [0, below) for each key, int64 (len(keys), draws).

    `below` is one bound ≤ 2^31, or one for each draw. Draw j of a key does not depend on `draws`.
    The bias is at most below / 2^32.
    """
    if not len(keys):  # torch cannot view an empty column as 32-bit words
        return keys.new_empty((0, draws))
    words = (draws + 1) // 2
    steps = torch.arange(1, words + 1, dtype=torch.int64, device=keys.device).mul_(_GOLDEN_GAMMA)
    bits = _mix_(keys[:, None] + steps).view(torch.int32)[:, :draws]
    return bits.to(torch.int64).bitwise_and_(2**32 - 1).mul_(below).bitwise_right_shift_(32)


def bernoulli(keys: Tensor, draws: int, probability: float) -> Tensor:
    """`draws` independent coins for each key, bool (len(keys), draws); exact to 2⁻³¹."""
    return integers(keys, draws, _CERTAINTY) < round(probability * _CERTAINTY)


def distinct(keys: Tensor, count: int, population: int) -> Tensor:
    """`count` distinct integers of [0, population) for each key, in random order.

    Exactly a uniform ordered sample without replacement (up to the bias of `integers`): the first
    `count` different values of a stream of independent draws. Returns int64 (len(keys), count).
    """

    def draw(keys: Tensor, draws: int) -> Tensor:
        return integers(keys, draws, population)

    return _distinct(keys, draw, count, population)


def weighted_distinct(keys: Tensor, count: int, weights: Sequence[float]) -> Tensor:
    """`count` distinct indices of `weights` for each key, drawn one after the other.

    Each draw takes one of the remaining indices, with probability proportional to its weight.
    Weights are rounded to 2⁻³¹ of their sum and must still be positive; the smallest determines the
    time that this takes. Returns int64 (len(keys), count).
    """
    ends = torch.tensor(_interval_ends(tuple(weights)), device=keys.device)

    def draw(keys: Tensor, draws: int) -> Tensor:
        return torch.searchsorted(ends, integers(keys, draws, _CERTAINTY), right=True)

    return _distinct(keys, draw, count, len(weights))


@lru_cache
def _interval_ends(weights: tuple[float, ...]) -> tuple[int, ...]:
    """Where each index's interval ends if [0, 2³¹) is divided in proportion to the weights."""
    sums = list(accumulate(weights))
    return tuple(round(end / sums[-1] * _CERTAINTY) for end in sums)


def _distinct(keys: Tensor, draw: _Draw, count: int, population: int) -> Tensor:
    draws = _draws_that_usually_suffice(count, population)
    blocks = torch.split(keys, max(1, _BLOCK_ENTRIES // (population + 2 * draws)))
    parts = [_read_on(block, draw, draws, count, population) for block in blocks]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _read_on(keys: Tensor, draw: _Draw, draws: int, count: int, population: int) -> Tensor:
    values, enough = _first_different(draw(keys, draws), count, population)
    if not bool(enough.all()):
        # The same streams, read further, so that the examples do not change.
        values[~enough] = _read_on(keys[~enough], draw, 2 * draws, count, population)
    return values


def _first_different(candidates: Tensor, count: int, population: int) -> tuple[Tensor, Tensor]:
    """The first `count` different values of each row, and which rows had that many."""
    rows, draws = candidates.shape
    position = torch.arange(draws, dtype=torch.int32, device=candidates.device)
    position = position.expand_as(candidates)
    first_seen = position.new_full((rows, population), draws)
    first_seen.scatter_reduce_(1, candidates, position, "amin")
    is_new = first_seen.gather(1, candidates) == position
    rank = is_new.cumsum(1)
    enough = rank[:, -1] >= count
    # The r-th new value goes to column r; repeats go to column 0, which is cut off.
    values = candidates.new_empty((rows, draws + 1))
    values.scatter_(1, rank.mul_(is_new), candidates)
    return values[:, 1 : count + 1], enough


@lru_cache
def _draws_that_usually_suffice(count: int, population: int) -> int:
    """Coupon collector: mean and two standard deviations of the draws until `count` are new."""
    fresh = [(population - found) / population for found in range(count)]
    mean = sum(1 / p for p in fresh)
    variance = sum((1 - p) / p**2 for p in fresh)
    return math.ceil(mean + 2 * math.sqrt(variance)) + 1
