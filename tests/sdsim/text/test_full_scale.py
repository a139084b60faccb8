"""The full-scale presets: sizes, layouts, positions."""

import pytest
import torch
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sdsim.models import MIXERS, LanguageModel, ModelConfig
from sdsim.models.mixers.rotary_attention import rotate
from sdsim.text.presets import PRESETS, build, preset_of

SMALL = ("transformer", "jrt", "based", "mamba2", "gated_deltanet", "gru")


@pytest.mark.parametrize(
    ("name", "millions", "within"),
    [
        ("jrt_360m", 356, 0.005),
        ("based_360m", 363, 0.005),
        ("transformer_360m", 360, 0.005),
        ("jrt_1b3", 1300, 0.06),
        ("based_1b3", 1300, 0.06),
        ("transformer_1b3", 1300, 0.06),
        ("jrt_tiny", 1, 0.1),
        ("based_tiny", 1, 0.1),
        ("transformer_tiny", 1, 0.1),
        *((f"{kind}_1m", 1.1, 0.1) for kind in SMALL),
    ],
)
def test_parameters(name: str, millions: float, within: float) -> None:
    with torch.device("meta"):
        model = build(name)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert count == pytest.approx(millions * 1e6, rel=within)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_the_layers_are_those_of_table_15() -> None:
    small, large = [1, 6, 11, 16, 21], [1, 6, 11, 16, 21, 27, 33]
    for name, depth, places in (
        ("jrt_360m", 26, small),
        ("based_360m", 27, small),
        ("jrt_1b3", 36, large),
        ("based_1b3", 36, large),
    ):
        mixers = PRESETS[name].config.mixers
        assert len(mixers) == depth
        linear = [i for i, mixer in enumerate(mixers) if "linear" in mixer]
        window = [i for i, mixer in enumerate(mixers) if "window" in mixer]
        assert linear == places
        assert window == [place + 1 for place in places]
        assert mixers.count("base_conv") == depth - 2 * len(places)
    large_transformer = PRESETS["transformer_1b3"].config
    assert (large_transformer.depth, large_transformer.width, large_transformer.heads) == (
        36,
        1680,
        24,
    )
    assert set(PRESETS["transformer_360m"].config.mixers) == {"rotary_attention"}
    assert {mixer for preset in PRESETS.values() for mixer in preset.config.mixers} <= set(MIXERS)


def test_the_error_for_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="preset = 'jrt_7b': one of jrt_360m, jrt_1b3"):
        preset_of("jrt_7b")


def test_rotary_positions_are_those_of_transformers() -> None:
    x, positions = torch.randn(2, 3, 9, 8), torch.arange(4, 13)
    angles = positions[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    cos, sin = (f(torch.cat([angles, angles], dim=-1))[None] for f in (torch.cos, torch.sin))
    theirs, _ = apply_rotary_pos_emb(x, x, cos, sin)
    torch.testing.assert_close(rotate(x, positions), theirs)
    half = rotate(x, positions, 0.5)
    torch.testing.assert_close(half[..., :4], rotate(x[..., :4], positions))
    assert torch.equal(half[..., 4:], x[..., 4:])


def test_rotary_positions_of_an_odd_count_turn_one_number_more() -> None:
    """Heads of 70, half of them turned: 18 frequencies base^(-2i/35), 36 numbers."""
    x, positions = torch.randn(5, 70, dtype=torch.float64), torch.arange(5)
    found = rotate(x, positions, 0.5)
    assert torch.equal(found[:, 36:], x[:, 36:])
    for i in range(18):
        angle = positions.double() * 10_000.0 ** (-2 * i / 35)
        expected = x[:, i] * angle.cos() - x[:, i + 18] * angle.sin()
        torch.testing.assert_close(found[:, i], expected)
        expected = x[:, i + 18] * angle.cos() + x[:, i] * angle.sin()
        torch.testing.assert_close(found[:, i + 18], expected)
    whole = rotate(x[:, :5], positions)  # all of an odd number: the last one has no partner
    torch.testing.assert_close(whole[:, :4], rotate(x[:, :4], positions))
    assert torch.equal(whole[:, 4], x[:, 4])
    assert torch.equal(rotate(x[:, :1], positions), x[:, :1])


@pytest.mark.parametrize("mixer", ["rotary_attention", "sliding_window_attention"])
def test_only_differences_of_positions_matter(mixer: str) -> None:
    """Padding on the left, which shifts all positions, changes nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig("m", (mixer,), width=16, depth=2, heads=2, mlp="swiglu", window=4)
        model = LanguageModel(config, 11).double()
        tokens = torch.randint(11, (1, 9))
    padded = torch.cat([torch.zeros(1, 5, dtype=torch.int64), tokens], dim=1)
    mask = torch.arange(14)[None] >= 5
    torch.testing.assert_close(model(padded, None, mask)[:, 5:], model(tokens), rtol=0, atol=1e-12)
    permuted = model(tokens.flip(1))[:, -1]
    assert (permuted - model(tokens)[:, -1]).abs().max() > 1e-3, "positions do matter"


def test_a_window_keeps_its_state_small() -> None:
    config = ModelConfig("m", ("sliding_window_attention",), width=8, depth=1, heads=2, window=4)
    model = LanguageModel(config, 11)
    _, state = model.prefill(torch.zeros(2, 9, dtype=torch.int64))
    sizes = [state.nbytes]
    for _ in range(5):
        _, state = model.step(torch.zeros(2, dtype=torch.int64), state)
        sizes.append(state.nbytes)
    assert set(sizes) == {2 * 3 * 8 * 4 + 8}  # keys and values of three tokens, the position
