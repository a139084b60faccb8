"""States quantized to a few bits: their values, their error, their size."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sdsim.models import LanguageModel, ModelConfig, ModelState
from sdsim.models.quantization import quantized, quantized_bits

WIDTH, HEADS, FEATURE_DIM, LENGTH = 12, 3, 2, 7
FEATURES = 1 + FEATURE_DIM + FEATURE_DIM * (FEATURE_DIM + 1) // 2


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def quantize(x: Tensor, *bits: int) -> Tensor:
    """One tensor quantized as a state, each row to its own b, or all to the same."""
    widths = torch.tensor(bits).expand(len(x))
    ((y,),) = quantized(ModelState(((x,),)), widths).layers
    return y


def relative_error(x: Tensor, bits: int) -> float:
    return float((quantize(x, bits) - x).norm() / x.norm())


# --- values ---


@pytest.mark.parametrize("bits", range(1, 9))
def test_a_head_has_as_many_values_as_its_bits_can_name(bits: int) -> None:
    y = quantize(draw(3, 4, 40, 50), bits)
    for head in y.flatten(0, 1):
        values = head.unique()
        assert 2 <= len(values) <= 2**bits
        gaps = values.diff() / values.diff().min()
        assert torch.allclose(gaps, gaps.round(), atol=1e-3), "evenly spaced"
        assert len((values.abs() / values.abs().max()).mul(2**20).round().unique()) <= 2**bits / 2


def test_small_numbers_of_bits_use_all_their_values() -> None:
    for bits in (1, 2, 3):
        assert len(quantize(draw(1, 5000), bits).unique()) == 2**bits


def test_each_row_is_quantized_to_its_own_bits() -> None:
    x = draw(3, 2, 30)
    together = quantize(x, 1, 4, 9)
    for row, bits in enumerate((1, 4, 9)):
        assert torch.equal(together[row], quantize(x[row : row + 1], bits)[0])


@pytest.mark.parametrize("shape", [(2, 8), (2, 3, 8), (2, 3, 4, 5)])
def test_each_head_of_each_example_has_a_scale_of_its_own(shape: tuple[int, ...]) -> None:
    x = draw(*shape)
    heads = x.view(2, 1, -1) if x.ndim == 2 else x.flatten(2)
    scales = 2.0 ** torch.arange(heads.shape[0] * heads.shape[1]).view(*heads.shape[:2], 1)
    scaled = quantize((heads * scales).view(shape), 3)
    assert torch.equal(scaled, (quantize(heads, 3) * scales).view(shape))


@given(st.integers(1, 16), st.integers(0, 2**30))
def test_no_number_is_further_off_than_half_a_step_unless_that_pays(bits: int, seed: int) -> None:
    """A single number is known to the precision of its scale."""
    x = draw(5, 1, seed=seed)
    assert ((quantize(x, bits) - x).abs() <= x.abs() * 2**-7).all()


def test_extremes_stay_finite() -> None:
    smallest = torch.finfo(torch.float32).tiny
    for x in (torch.zeros(2, 3, 4), torch.full((2, 3, 4), smallest), torch.full((2, 5), 1e30)):
        for bits in (1, 16):
            y = quantize(x, bits)
            assert torch.isfinite(y).all()
            assert ((y - x).abs() <= x.abs() * 2**-7 + smallest).all()


def test_signs_are_kept_and_nothing_is_changed_in_place() -> None:
    x = draw(2, 3, 20)
    before = x.clone()
    y = quantize(x, 1)
    assert torch.equal(x, before)
    assert torch.equal(y.sign(), x.sign())
    assert torch.equal(quantize(-x, 3), -quantize(x, 3))


# --- error ---


@pytest.mark.parametrize("spread", ["normal", "saturated", "heavy"])
def test_the_error_falls_with_every_bit_until_hardly_any_is_left(spread: str) -> None:
    x = draw(8, 4, 200)
    x = {"normal": x, "saturated": (3 * x).tanh(), "heavy": x**3}[spread]
    errors = [relative_error(x, bits) for bits in range(1, 17)]
    assert all(after < 0.85 * before for before, after in pairwise(errors))
    assert errors[0] < 1, "better than forgetting everything"
    assert errors[15] < 2**-13


def test_one_bit_is_nearly_optimal() -> None:
    """Among all ±c, the mean absolute value has the least squared error."""
    for x in (draw(1, 30), draw(1, 3000), (3 * draw(1, 500)).tanh()):
        best = x.abs().mean() * x.sign()
        least = float((best - x).norm() / x.norm())
        assert least <= relative_error(x, 1) < least + 0.03


def test_a_scale_that_is_stored_in_fewer_bits_clips_nothing() -> None:
    """Just above a bfloat16, rounding to the nearest would shrink the range by 2⁻⁸."""
    x = torch.tensor([[1 + 2**-8 - 2**-12, -0.5, 0.25]])
    assert abs(float((quantize(x, 16) - x).abs().max())) < 2**-14


# --- the size ---


def state_after(mixer: str, mask: Tensor | None = None, filter_size: int = 3) -> ModelState:
    config = ModelConfig(
        name="test",
        mixers=(mixer,),
        width=WIDTH,
        depth=1,
        heads=HEADS,
        feature_dim=FEATURE_DIM,
        filter_size=filter_size,
        mlp="none",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LanguageModel(config, 16)
        tokens = torch.randint(16, (2, LENGTH))
    return model.prefill(tokens, LENGTH, mask)[1]


@pytest.mark.parametrize(
    ("mixer", "numbers", "scales"),
    [
        ("gru", WIDTH, 1),
        ("lstm", 2 * WIDTH, 2),
        # Sums of features times values, and of features, in each head.
        ("linear_attention", FEATURES * WIDTH + FEATURES * HEADS, 2 * HEADS),
        # Two taps, each with a scale, of 2·width channels.
        ("base_conv", 2 * 2 * WIDTH, 2),
        ("softmax_attention", 2 * LENGTH * WIDTH, 2 * HEADS),
    ],
)
@pytest.mark.parametrize("bits", [1, 5, 16])
def test_bits_are_those_of_all_numbers_and_scales(
    mixer: str, numbers: int, scales: int, bits: int
) -> None:
    assert quantized_bits(state_after(mixer), bits) == numbers * bits + scales * 16


def test_a_mask_is_carried_as_it_is_at_a_bit_per_token() -> None:
    mask = torch.ones(2, LENGTH, dtype=torch.bool)
    mask[1, :2] = False
    state = state_after("softmax_attention", mask)
    assert quantized_bits(state, 4) == 2 * LENGTH * WIDTH * 4 + 2 * HEADS * 16 + LENGTH
    ((_, _, after),) = quantized(state, torch.tensor([4, 4])).layers
    assert torch.equal(after, mask)


def test_a_counter_is_carried_whole_and_complex_numbers_are_refused() -> None:
    counter = ModelState(((torch.tensor([[3, 70_000], [5, 6]]),),))
    assert quantized_bits(counter, 4) == 2 * 64
    assert torch.equal(quantized(counter, torch.tensor([4, 4])).layers[0][0], counter.layers[0][0])
    with pytest.raises(TypeError, match=r"torch\.complex64 cannot be quantized"):
        quantized(ModelState(((torch.zeros(2, 3, dtype=torch.complex64),),)), torch.tensor([4, 4]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_numbers_whose_squares_overflow_are_quantized_too(dtype: torch.dtype) -> None:
    x = torch.tensor([[1.0, -0.9, 0.2, 0.1]], dtype=dtype) * (torch.finfo(dtype).max / 4)
    assert len(quantize(x, 1).unique()) == 2
    assert len(quantize(x, 2).unique()) <= 4


def test_no_number_takes_no_bit() -> None:
    state = state_after("base_conv", filter_size=1)
    assert quantized_bits(state, 4) == 0
    assert quantized(state, torch.tensor([4, 4])).numel == 0


@pytest.mark.parametrize("mixer", ["gru", "lstm", "linear_attention", "base_conv"])
def test_a_quantized_state_is_a_state(mixer: str) -> None:
    before = state_after(mixer)
    after = quantized(before, torch.tensor([4, 4]))
    assert [x.shape for x in after.tensors()] == [x.shape for x in before.tensors()]
    assert [x.dtype for x in after.tensors()] == [x.dtype for x in before.tensors()]
    for x, y in zip(before.tensors(), after.tensors(), strict=True):
        assert torch.equal(y, quantize(x, 4))
