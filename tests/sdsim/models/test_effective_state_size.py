"""Tests of the effective state size, on mixers whose state is known."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from sdsim.models import LanguageModel, Mixer, ModelConfig, resolve_mixer
from sdsim.models.effective_state_size import effective_state_size

WIDTH = 4


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(torch.float32)


def mixer_of(name: str, **changes: int) -> Mixer:
    return resolve_mixer(name)(ModelConfig("test", (name,), width=WIDTH, mlp="none", **changes))


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("gru", 0),
        ("lstm", 0),
        ("gla", 0),
        # A counter, and two sums over keys that are, with one key a head, linear in the values.
        ("linear_attention", 3),
    ],
)
def test_all_numbers_of_a_state_are_used(name: str, lost: int) -> None:
    mixer = mixer_of(name, heads=1, feature_dim=1)
    x = torch.randn(3, 32, WIDTH)
    _, state = mixer.prefill(x[:, :16])
    numbers = sum(tensor[0].numel() for tensor in state)
    found = effective_state_size(mixer, x, 16)
    assert found.rank.tolist() == [numbers - lost] * 3
    assert bool((found.entropy <= found.rank).all())
    assert bool((found.entropy > 1).all())


@pytest.mark.parametrize("position", [1, 2, 10, 11])
def test_a_short_past_or_future_fills_little(position: int) -> None:
    x = torch.randn(1, 12, WIDTH)
    found = effective_state_size(mixer_of("lstm"), x, position, tolerance=1e-10)
    assert found.rank.tolist() == [min(2, position, 12 - position) * WIDTH]


def test_layers_add_up() -> None:
    model = LanguageModel(ModelConfig("test", ("gru",), WIDTH, depth=2, mlp="none"), 9)
    x = model.embedding(torch.randint(9, (2, 24)))
    found = effective_state_size(nn.Sequential(*model.layers, model.norm), x, 12)
    assert found.rank.tolist() == [2 * WIDTH] * 2


def fading(x: Tensor) -> Tensor:
    """y_t = x_t + x_{t−1} · (1, 0.1, 0.001): of the past, three numbers of unequal weight."""
    return x + torch.tensor([1, 0.1, 0.001]) * x.roll(1, dims=1)


def test_the_two_measures() -> None:
    x = torch.randn(2, 6, 3)
    p = torch.tensor([1, 0.1, 0.001]) / 1.101
    expected = torch.exp(-(p * p.log()).sum()).expand(2)
    torch.testing.assert_close(effective_state_size(fading, x, 3).entropy, expected)
    for tolerance, rank in ((1e-5, 3), (1e-2, 2), (0.5, 1)):
        scaled = effective_state_size(lambda y: 1e-8 * fading(y), x, 3, tolerance=tolerance)
        assert scaled.rank.tolist() == [rank, rank]


def test_no_memory_no_state() -> None:
    found = effective_state_size(torch.sin, torch.randn(2, 6, 3), 3)
    assert found.rank.tolist() == [0, 0]
    assert found.entropy.tolist() == [0, 0]


@pytest.mark.parametrize("position", [0, 6])
def test_the_cut_has_two_sides(position: int) -> None:
    with pytest.raises(ValueError, match=f"position = {position}: must lie between 1 and 5"):
        effective_state_size(torch.sin, torch.randn(2, 6, 3), position)
