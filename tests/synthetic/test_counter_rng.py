import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic.counter_rng import (
    _first_different,
    bernoulli,
    distinct,
    example_keys,
    integers,
    weighted_distinct,
)


def splitmix64(seed: int, count: int) -> list[int]:
    """The published generator, in plain integers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = seed
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        outputs.append(z ^ (z >> 31))
    return outputs


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 9), st.integers(1, 2**31))
def test_draws_are_the_two_halves_of_splitmix64(key: int, draws: int, below: int) -> None:
    halves = [half for z in splitmix64(key % 2**64, 5) for half in (z % 2**32, z >> 32)]
    expected = [half * below >> 32 for half in halves[:draws]]
    assert integers(torch.tensor([key]), draws, below).tolist() == [expected]


def test_streams_differ() -> None:
    streams: list[tuple[int | str, ...]] = [
        ("train", 0),
        ("train", 1),
        ("test", 0),
        ("test", "0"),
        ("train", 10),
    ]
    keys = torch.stack([example_keys(*stream, start=0, count=100) for stream in streams])
    assert len(set(keys.flatten().tolist())) == keys.numel()


@given(
    population=st.integers(1, 40), share=st.floats(0, 1), rows=st.integers(1, 9), seed=st.integers()
)
def test_distinct_values(population: int, share: float, rows: int, seed: int) -> None:
    count = math.ceil(share * population)
    values = distinct(example_keys(seed, start=0, count=rows), count, population)
    assert values.shape == (rows, count)
    assert all(len(set(row)) == count for row in values.tolist())
    assert not count or (values.min() >= 0 and values.max() < population)


def test_reading_further_leaves_the_values_as_they_are() -> None:
    keys = example_keys("further", start=0, count=500)
    short, enough = _first_different(integers(keys, 12, 10), 8, 10)
    long, all_enough = _first_different(integers(keys, 400, 10), 8, 10)
    assert 0 < enough.sum() < len(keys), "both cases must occur"
    assert all_enough.all()
    assert torch.equal(short[enough], long[enough])
    assert torch.equal(distinct(keys, 8, 10), long)


def test_every_ordered_sample_is_equally_likely() -> None:
    """All 5·4·3 ordered samples, by Pearson's χ² against its 10⁻⁶ quantile (59 degrees)."""
    draws = 60_000
    values = distinct(example_keys("uniform", start=0, count=draws), 3, 5)
    counts = torch.bincount(values @ torch.tensor([25, 5, 1]), minlength=125)
    counts = counts[counts > 0]
    assert len(counts) == 60
    expected = draws / 60
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared < 127.9


@pytest.mark.parametrize("split", [1, 7, 64])
def test_blocks_do_not_matter(split: int) -> None:
    keys = example_keys("blocks", start=0, count=64)
    whole = distinct(keys, 900, 1000)
    assert torch.equal(whole, torch.cat([distinct(k, 900, 1000) for k in torch.split(keys, split)]))


def test_weighted_samples_are_drawn_one_after_the_other() -> None:
    """All 4·3·2 ordered samples: the first by its weight, the next by the weights left, …"""
    weights, draws = (8.0, 4.0, 2.0, 1.0), 60_000
    values = weighted_distinct(example_keys("weighted", start=0, count=draws), 3, weights)
    counts = torch.bincount(values @ torch.tensor([16, 4, 1]), minlength=64)
    chi_squared = 0.0
    for order in itertools.permutations(range(4), 3):
        probability, left = 1.0, sum(weights)
        for index in order:
            probability *= weights[index] / left
            left -= weights[index]
        count = int(counts[order[0] * 16 + order[1] * 4 + order[2]])
        chi_squared += (count - draws * probability) ** 2 / (draws * probability)
    assert counts.sum() == draws
    assert chi_squared < 73.3, "the 10⁻⁶ quantile at 23 degrees"


def test_weighted_samples_do_not_depend_on_the_batch() -> None:
    """Small weights make some rows read on, and some further than others."""
    keys = example_keys("weighted", start=0, count=64)
    weights = [1 / gap for gap in range(1, 31)]
    whole = weighted_distinct(keys, 30, weights)
    assert torch.equal(whole.sort(1).values, torch.arange(30).expand(64, 30))
    assert torch.equal(
        whole, torch.cat([weighted_distinct(k, 30, weights) for k in torch.split(keys, 3)])
    )


def test_coins() -> None:
    keys = example_keys("coins", start=0, count=10_000)
    assert not bernoulli(keys, 3, 0).any()
    assert bernoulli(keys, 3, 1).all()
    share = float(bernoulli(keys, 3, 0.2).double().mean())
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / 30_000) ** 0.5
