"""The state's size and the feature map behind it."""

import pytest
import torch

from kernels import PrefixState, prefix_linear_attention, prefix_linear_attention_step
from kernels.taylor import features, num_features, weight


@pytest.mark.parametrize(("feature_dim", "size"), [(1, 3), (2, 6), (8, 45), (16, 153), (24, 325)])
def test_packed_size(feature_dim: int, size: int) -> None:
    assert num_features(feature_dim) == size
    assert size == 1 + feature_dim + feature_dim * (feature_dim + 1) // 2
    assert features(torch.zeros(2, feature_dim)).shape == (2, size)


@pytest.mark.parametrize("feature_dim", [1, 2, 5, 16])
def test_features_and_weight_agree(feature_dim: int) -> None:
    generator = torch.Generator().manual_seed(feature_dim)
    q, k = torch.randn(2, 50, feature_dim, generator=generator, dtype=torch.float64)
    s = (q * k).sum(-1)
    actual = (features(q) * features(k)).sum(-1)
    torch.testing.assert_close(actual, 1 + s + s**2 / 2, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(weight(s), actual, atol=1e-12, rtol=1e-12)
    assert (weight(torch.linspace(-9, 9, 999)) >= 0.5).all()


@pytest.mark.parametrize(
    ("dtype", "size"), [(torch.float64, 8), (torch.float32, 4), (torch.bfloat16, 4)]
)
def test_size_of_the_state(dtype: torch.dtype, size: int) -> None:
    state = PrefixState.zeros(3, 2, 16, 64, dtype=dtype, device="cpu")
    assert state.kv.shape == (3, 2, 153, 64)
    assert state.k.shape == (3, 2, 153)
    assert state.numel == 3 * 2 * 153 * 65
    assert state.nbytes == size * state.numel


def test_the_returned_state_is_as_small_as_a_new_one() -> None:
    x, v = torch.randn(1, 300, 2, 4), torch.randn(1, 300, 2, 3)
    _, state = prefix_linear_attention(x, x, v, x, v, return_state=True)
    fresh = PrefixState.zeros(1, 2, 4, 3)
    assert (state.numel, state.nbytes) == (fresh.numel, fresh.nbytes)
    assert state.kv.untyped_storage().nbytes() + state.k.untyped_storage().nbytes() == fresh.nbytes


def test_a_step_leaves_the_old_state_alone() -> None:
    state = PrefixState.zeros(1, 2, 4, 3)
    x, v = torch.randn(1, 2, 4), torch.randn(1, 2, 3)
    _, after = prefix_linear_attention_step(x, x, v, state)
    assert not state.kv.any()
    assert not state.k.any()
    assert after.kv.any()


def test_return_state_decides_what_is_returned() -> None:
    x = torch.randn(1, 3, 1, 2)
    assert isinstance(prefix_linear_attention(x, x, x), torch.Tensor)
    y, state = prefix_linear_attention(x, x, x, return_state=True)
    assert isinstance(y, torch.Tensor)
    assert isinstance(state, PrefixState)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": -1}, "batch must be at least 0, got -1"),
        ({"dtype": torch.int64}, r"dtype must be one of .*float32.*, got torch\.int64"),
    ],
)
def test_errors_of_zeros(arguments: dict[str, object], message: str) -> None:
    sizes = {"batch": 1, "heads": 1, "feature_dim": 2, "head_dim": 2}
    with pytest.raises(ValueError, match=message):
        PrefixState.zeros(**{**sizes, **arguments})
