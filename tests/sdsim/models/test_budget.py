"""A state within a budget: sequences read in pieces, exactly so many bits, gradients."""

from dataclasses import replace
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sdsim.config import EvalConfig, RunConfig
from sdsim.models import MIXERS, LanguageModel, ModelConfig
from sdsim.models.budget import StateBudget, budget_of, quantize
from sdsim.models.registry import resolve_mixer

VOCAB_SIZE = 11
GROWING = {"softmax_attention", "rotary_attention", "sliding_window_attention"}
FIXED = sorted(MIXERS.keys() - GROWING)
PLAIN = ModelConfig(name="plain", mixers=("gru",), width=6, depth=2, heads=2, feature_dim=3)


def model_of(
    mixer: str, *, boundaries: int = 1, short_window: bool = False, **changes: object
) -> LanguageModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        window = 2 if short_window else 4
        config = replace(PLAIN, mixers=(mixer,), window=window, **changes)
        model = LanguageModel(config, VOCAB_SIZE, boundaries)
        for parameter in model.parameters():  # biases and steps away from their first values
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model.double().eval()


def some_tokens(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB_SIZE, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mixer", sorted(MIXERS))
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_sequence_can_be_read_in_pieces(mixer: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(2, 12), label="N")
    prefix = data.draw(st.integers(0, length - 1), label="prefix_len")
    cuts = data.draw(st.sets(st.integers(max(1, prefix), length - 1), min_size=1), label="cuts")
    pads = data.draw(st.integers(0, max(0, prefix - 1)), label="pads")
    model, tokens = model_of(mixer), some_tokens(2, length)
    first = min(cuts)
    mask = None
    if pads:
        mask = (torch.arange(length) >= torch.tensor([[pads], [0]])).expand(2, length)
    expected = model(tokens, prefix, mask)
    y, state = model.prefill(tokens[:, :first], prefix, None if mask is None else mask[:, :first])
    pieces = [y]
    for start, end in zip(sorted(cuts), [*sorted(cuts)[1:], length], strict=True):
        y, state = model.prefill(tokens[:, start:end], 0, state=state)
        pieces.append(y)
    real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(torch.cat(pieces, 1)[real], expected[real], rtol=0, atol=1e-8)


@pytest.mark.parametrize("mixer", [name for name in FIXED if MIXERS[name].bidirectional_prefix])
def test_a_prompt_is_encoded_and_then_read_again(mixer: str) -> None:
    layer = resolve_mixer(mixer)(PLAIN).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected, state = layer.prefill(x)
    y, after = layer.reread(x, layer.encode(x))
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(after, state)
    if mixer in ("prefix_linear_attention", "noncausal_linear_attention", "prefix_gla"):
        # No convolution: the pieces of a prompt add up.
        pieces = layer.encode(x[:, 3:], layer.encode(x[:, :3]))
        torch.testing.assert_close(pieces, layer.encode(x))


def test_causal_mixers_encode_nothing() -> None:
    with pytest.raises(NotImplementedError, match="GRU reads causally"):
        resolve_mixer("gru")(PLAIN).encode(torch.zeros(1, 2, 6))


@given(
    st.integers(1, 8),
    st.lists(st.floats(-9, 9), min_size=1, max_size=20),
    st.floats(0.01, 3),
)
def test_quantized_numbers_are_of_2_to_the_b_values(
    bits: int, numbers: list[float], step: float
) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)
    found = quantize(x, torch.tensor(step, dtype=torch.float64), bits)
    levels = (torch.arange(2**bits, dtype=torch.float64) - (2**bits - 1) / 2) * step
    distances = (x[:, None] - levels).abs()
    assert ((found[:, None] - levels).abs().min(1).values < 1e-9).all()
    nearest = distances.min(1).values
    torch.testing.assert_close((found - x).abs(), nearest, rtol=0, atol=1e-9)


def test_gradients_pass_where_the_quantizer_does_not_clip() -> None:
    x = torch.tensor([-5.0, -1.9, 0.3, 1.9, 5.0], requires_grad=True)
    step = torch.tensor(1.0, requires_grad=True)
    quantize(x, step, 2).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]
    # Of the step (arXiv:1902.08153, eq. 3): the value over the step, less x over it within range.
    assert step.grad is not None
    expected = -2 + (-1.5 + 1.9) + (0.5 - 0.3) + (1.5 - 1.9) + 2 + (-1.5 + 2) + (1.5 - 2)
    assert float(step.grad) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("numbers", [(), (5,), (0, 3)])
@pytest.mark.parametrize("mixer", FIXED)
def test_codes_are_all_that_crosses_a_boundary(mixer: str, numbers: tuple[int, ...]) -> None:
    """Segments read one by one, their state carried as integers, give what `hidden` gives."""
    bits = 2
    model = model_of(mixer, boundaries=2, state_bits_per_number=bits, state_numbers=numbers)
    tokens, ends = some_tokens(3, 12), (4, 9)
    expected = model.logits(model.hidden(tokens, 0, boundaries=ends))
    state, outputs, start = None, [], 0
    for number, end in enumerate((*ends, 12)):
        y, state = model.prefill(tokens[:, start:end], 0, state=state)
        outputs.append(y)
        start = end
        if end == 12:
            break
        layers, carried = [], 0
        for layer, before in zip(model.layers, state.layers, strict=True):
            codes = layer.budget.codes(layer.mixer.carried(before), number)
            assert codes.dtype == torch.int64
            assert codes.shape == (3, layer.budget.numel)
            assert not len(codes.flatten()) or 0 <= codes.min() <= codes.max() < 2**bits
            carried += bits * codes.shape[1]
            layers.append(layer.mixer.restored(layer.budget.state(codes, number)))
        state = type(state)(tuple(layers))
        assert bits * sum(layer.budget.numel for layer in model.layers) == carried
        if not model.bidirectional_prefix:
            assert model.budget_bits == carried
    torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("mixer", FIXED)
def test_what_a_segment_says_of_those_before_is_in_the_codes(mixer: str) -> None:
    """Where nothing is carried, other tokens before a boundary change nothing after it."""
    model = model_of(mixer, boundaries=2, state_bits_per_number=1, state_numbers=(0,))
    tokens, other = some_tokens(1, 12), some_tokens(1, 12)
    other[:, :4] = (other[:, :4] + 1) % VOCAB_SIZE
    for prefix in (0, 12):
        own, others = (model.hidden(t, prefix, boundaries=(4, 9)) for t in (tokens, other))
        assert not torch.equal(own[:, :4], others[:, :4])
        torch.testing.assert_close(own[:, 4:], others[:, 4:], rtol=0, atol=0)


@pytest.mark.parametrize("mixer", [name for name in FIXED if not MIXERS[name].bidirectional_prefix])
@pytest.mark.parametrize("numbers", [(), (5,)])
def test_steps_quantize_after_every_token_as_the_parallel_view_does(
    mixer: str, numbers: tuple[int, ...]
) -> None:
    model = model_of(
        mixer,
        state_bits_per_number=3,
        state_numbers=numbers,
        state_quantized_at="tokens",
    )
    tokens = some_tokens(2, 8)
    expected = model(tokens)
    y, state = model.prefill(tokens[:, :3])
    outputs = [y]
    for position in range(3, 8):
        logits, state = model.step(tokens[:, position], state)
        outputs.append(logits[:, None])
    torch.testing.assert_close(torch.cat(outputs, 1), expected, rtol=0, atol=1e-8)
    plain = LanguageModel(
        replace(
            model.config, state_bits_per_number=0, state_numbers=(), state_quantized_at="boundaries"
        ),
        VOCAB_SIZE,
    ).double()
    plain.load_state_dict(model.state_dict(), strict=False)
    assert not torch.allclose(plain(tokens), expected)


def test_readings_of_a_prompt_are_counted() -> None:
    """Two layers with an encoder read three times; the sum of the first is kept for the third."""
    one = {"state_bits_per_number": 2, "state_numbers": (5, 7), "boundaries": 1}
    assert model_of("gru", **one).budget_bits == 2 * 12
    assert model_of("prefix_gla", **one).budget_bits == 2 * (5 + 5 + 7)
    first = one | {"state_numbers": (5,)}
    assert model_of("prefix_gla", depth=1, **first).budget_bits == 2 * 5
    assert model_of("prefix_gla", depth=3, **one).budget_bits == 2 * (5 + 7 + 5 + 7 + 5)


@pytest.mark.parametrize("numbers", [(), (6,)])
def test_all_parameters_of_a_budget_learn(numbers: tuple[int, ...]) -> None:
    model = model_of("gla", boundaries=1, state_bits_per_number=1, state_numbers=numbers)
    model.hidden(some_tokens(8, 12), boundaries=(5,))[:, -1].square().sum().backward()
    for name, parameter in model.layers[0].budget.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("mixer", sorted(GROWING))
def test_a_state_that_grows_has_no_budget(mixer: str) -> None:
    with pytest.raises(ValueError, match="grows with the tokens read"):
        model_of(mixer, state_bits_per_number=1, state_numbers=(4,))


def test_errors_name_the_option() -> None:
    with pytest.raises(ValueError, match=r"model.state_bits_per_number = 0"):
        replace(PLAIN, state_numbers=(3,))
    with pytest.raises(ValueError, match="take boundaries"):
        model_of("prefix_gla", state_bits_per_number=1, state_quantized_at="tokens")
    model = model_of("gru", state_bits_per_number=1)
    with pytest.raises(ValueError, match="takes no padding"):
        model(some_tokens(1, 4), None, torch.ones(1, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="boundaries"):
        model.hidden(some_tokens(1, 4), boundaries=(2, 2))
    with pytest.raises(ValueError, match="boundaries"):
        model.hidden(some_tokens(1, 4), boundaries=(1, 2))
    plain = model_of("gru")
    _, state = plain.prefill(some_tokens(1, 4))
    with pytest.raises(ValueError, match="padding comes first"):
        plain.prefill(some_tokens(1, 4), None, torch.ones(1, 4, dtype=torch.bool), state=state)
    with pytest.raises(ValueError, match=r"there are only model.depth = 2 layers"):
        replace(PLAIN, state_bits_per_number=1, state_numbers=(1, 2, 3))
    with pytest.raises(ValueError, match="some layer has to carry a number"):
        RunConfig(replace(PLAIN, state_bits_per_number=1, state_numbers=(0, 0)))
    with pytest.raises(ValueError, match="or counts them"):
        model_of("sliding_window_attention", state_bits_per_number=1, short_window=True)
    state = LanguageModel(PLAIN, VOCAB_SIZE).prefill(some_tokens(1, 4))[1]
    for mixer, at, message in (
        ("prefix_gla", "boundaries", "several times"),
        ("gru", "tokens", "after every token"),
    ):
        other = model_of(mixer, state_bits_per_number=1, state_quantized_at=at)
        for crossing in (other.carry, other.codes):
            with pytest.raises(ValueError, match=message):
                crossing(state, 0)
    quantized = replace(PLAIN, state_bits_per_number=1)
    with pytest.raises(ValueError, match="already"):
        RunConfig(quantized, test=EvalConfig(bits=(2,)))


def test_numbers_of_a_budget() -> None:
    """The state's own numbers, or those asked for; the maps are linear in both."""
    mixer = resolve_mixer("gated_deltanet")(PLAIN)
    own = budget_of(mixer, replace(PLAIN, state_bits_per_number=4), 0, 1)
    assert own is not None
    _, state = mixer.prefill(torch.zeros(1, 3, 6))
    assert own.numel == sum(prod(tensor.shape[1:]) for tensor in state)
    few = StateBudget([torch.Size([2, 3])], 1, 4, 3)
    assert few.encode.shape == (3, 4, 6)
    assert few.decode.shape == (3, 6, 4)
