"""Every mixer: its two views agree, padding is left out, its state is measured."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sdsim import conf
from sdsim.models import MIXERS, LanguageModel, ModelConfig, resolve_mixer

VOCAB_SIZE = 11
CONFIGS = Path(conf.__file__).parent / "model"
CAUSAL = ["base_conv", "linear_attention", "mamba2", "gla", "gated_deltanet"]
CAUSAL += ["gru", "lstm", "softmax_attention", "rotary_attention", "sliding_window_attention"]
WHOLE_PREFIX = ["noncausal_linear_attention", "prefix_linear_attention"]
WHOLE_PREFIX += ["prefix_mamba2", "prefix_gla", "prefix_gated_deltanet"]
BIDIRECTIONAL = ["circular_base_conv", *WHOLE_PREFIX]


def model_of(*mixers: str, **changes: object) -> LanguageModel:
    config = ModelConfig(
        name="test", mixers=mixers, width=6, depth=2, heads=2, feature_dim=3, mlp="gelu", window=4
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LanguageModel(replace(config, **changes), VOCAB_SIZE)
        for parameter in model.parameters():  # biases and norms away from their trivial values
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model.double().eval()


def some_tokens(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCAB_SIZE, (batch, length), generator=generator)


def test_all_mixers_are_tested() -> None:
    assert set(CAUSAL + BIDIRECTIONAL) == set(MIXERS)


@pytest.mark.parametrize("mixer", MIXERS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_prefill_and_steps_equal_the_parallel_view(mixer: str, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, 12), label="N")
    prompt = data.draw(st.integers(1, length), label="prompt")
    prefix = data.draw(st.integers(0, prompt), label="prefix_len")
    padding = data.draw(st.lists(st.integers(0, prompt - 1), min_size=2, max_size=2), label="pads")
    mlp = data.draw(st.sampled_from(["gelu", "swiglu", "none"]), label="mlp")
    model, tokens = model_of(mixer, mlp=mlp), some_tokens(2, length)
    mask = None
    if any(padding):
        mask = torch.arange(length) >= torch.tensor(padding)[:, None]

    parallel = model(tokens, prefix, mask)
    prompt_mask = None if mask is None else mask[:, :prompt]
    some, state = model.prefill(tokens[:, :prompt], prefix, prompt_mask)
    outputs = [some]
    for position in range(prompt, length):
        logits, state = model.step(tokens[:, position], state)
        outputs.append(logits[:, None])
    together = torch.cat(outputs, dim=1)
    real = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
    torch.testing.assert_close(together[real], parallel[real], rtol=0, atol=1e-8)


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize(("length", "prefix"), [(9, 9), (9, 5), (4, 1), (3, 0)])
def test_left_padding_changes_nothing(mixer: str, length: int, prefix: int) -> None:
    model, tokens = model_of(mixer), some_tokens(3, length)
    expected = model(tokens, prefix)
    for pads in (1, 4):
        padded = torch.cat([some_tokens(3, pads, seed=1), tokens], dim=1)
        mask = torch.arange(pads + length).expand_as(padded) >= pads
        actual = model(padded, pads + prefix, mask)[:, pads:]
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-10)


def influence(model: LanguageModel, length: int, prefix: int) -> torch.Tensor:
    """Which input positions (columns) change which outputs (rows), bool (N, N)."""
    tokens = some_tokens(1, length)
    before = model(tokens, prefix)
    changed = torch.zeros(length, length, dtype=torch.bool)
    for position in range(length):
        other = tokens.clone()
        other[0, position] = (other[0, position] + 1) % VOCAB_SIZE
        changed[:, position] = (model(other, prefix) != before).any(-1)[0]
    return changed


@pytest.mark.parametrize("mixer", CAUSAL)
def test_causal_mixers_never_look_ahead(mixer: str) -> None:
    model = model_of(mixer)
    assert not model.bidirectional_prefix
    seen = influence(model, length=8, prefix=8)
    assert not seen.triu(1).any()
    assert seen.tril().any(0).all()


@pytest.mark.parametrize("mixer", BIDIRECTIONAL)
def test_a_model_with_a_bidirectional_prefix_says_so(mixer: str) -> None:
    assert model_of(mixer, depth=1).bidirectional_prefix
    assert model_of("gru", mixer).bidirectional_prefix


@pytest.mark.parametrize("mixer", WHOLE_PREFIX)
def test_bidirectional_mixers_look_ahead_within_the_prefix_only(mixer: str) -> None:
    seen = influence(model_of(mixer, depth=1), length=8, prefix=5)
    positions = torch.arange(8)
    allowed = positions <= positions[:, None].clamp(min=4)
    assert torch.equal(seen, allowed)


def test_circular_convolution_wraps_around_the_prefix() -> None:
    seen = influence(model_of("circular_base_conv", depth=1), length=8, prefix=5)
    taps = torch.arange(8)[:, None] - torch.arange(3)
    taps[:5] %= 5
    expected = torch.zeros(8, 8, dtype=torch.bool).scatter(1, taps, True)
    assert torch.equal(seen, expected)


def test_base_conv_against_torch() -> None:
    model = model_of("base_conv", depth=1)
    mixer = model.layers[0].mixer
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u1, gate = mixer.in_proj(x).chunk(2, dim=-1)
    conv, padded = mixer.conv, F.pad(u1.mT, (2, 0))
    convolved = F.conv1d(padded, conv.weight, conv.bias, groups=12).mT
    expected = mixer.out_proj(F.silu(convolved) * gate)
    torch.testing.assert_close(mixer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("causal", ["linear_attention", "mamba2", "gla", "gated_deltanet"])
def test_prefix_versions_are_the_causal_mixers_and_an_encoder(causal: str) -> None:
    prefix_model, causal_model = model_of(f"prefix_{causal}"), model_of(causal)
    own = causal_model.state_dict()
    given = prefix_model.state_dict()
    assert {name for name in given if "_enc" not in name} == set(own)
    causal_model.load_state_dict({name: given[name] for name in own})
    tokens = some_tokens(2, 7)
    torch.testing.assert_close(prefix_model(tokens, 0), causal_model(tokens), rtol=0, atol=1e-12)
    assert not torch.allclose(prefix_model(tokens, 1), causal_model(tokens))
    state, smaller = (m.prefill(tokens, 7)[1] for m in (prefix_model, causal_model))
    assert state.numel == smaller.numel


@pytest.mark.parametrize("prefix", [0, 1, 4, 7])
@pytest.mark.parametrize(
    "mixer", ["linear_attention", "noncausal_linear_attention", "prefix_linear_attention"]
)
def test_linear_attention_against_the_formula(mixer: str, prefix: int) -> None:
    """Section 3's formula, with each projection in its own place."""
    layer = model_of(mixer, depth=1).layers[0].mixer
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def heads(projection: torch.nn.Linear) -> torch.Tensor:
        return (x @ projection.weight.T).unflatten(-1, (2, -1)).transpose(1, 2)

    def weights(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        scores = q @ k.mT / 3**0.5
        return 1 + scores + scores**2 / 2

    q, k, v = heads(layer.proj_q), heads(layer.proj_k), heads(layer.proj_v)
    seen = torch.ones(7, 7).tril()
    if mixer == "noncausal_linear_attention":
        seen[:prefix, :prefix] = 1
    decoder = weights(q, k) * seen
    numerator, denominator = decoder @ v, decoder.sum(-1, keepdim=True)
    if mixer == "prefix_linear_attention":
        k_enc, v_enc = heads(layer.proj_k_enc), heads(layer.proj_v_enc)
        encoder = weights(q, k_enc)[..., :prefix]
        numerator = numerator + encoder @ v_enc[:, :, :prefix]
        denominator = denominator + encoder.sum(-1, keepdim=True)
    expected = layer.out_proj((numerator / denominator).transpose(1, 2).flatten(-2))
    torch.testing.assert_close(layer(x, prefix), expected, rtol=0, atol=1e-12)


def test_heads_matter_only_where_there_are_heads() -> None:
    assert model_of("gru", width=5)(some_tokens(1, 3)).shape == (1, 3, VOCAB_SIZE)


def test_recurrent_layers_against_torch() -> None:
    for mixer in ("gru", "lstm"):
        layer = model_of(mixer, depth=1).layers[0].mixer
        x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(layer(x), layer.rnn(x)[0], rtol=0, atol=1e-12)


def test_softmax_attention_against_the_formula() -> None:
    layer = model_of("softmax_attention", depth=1).layers[0].mixer
    x = torch.randn(2, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    q, k, v = (t.unflatten(-1, (2, 3)).transpose(1, 2) for t in layer.in_proj(x).chunk(3, -1))
    scores = (q @ k.mT / 3**0.5).masked_fill(torch.ones(7, 7).triu(1).bool(), float("-inf"))
    expected = layer.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("mixer", "numbers"),
    [
        ("base_conv", 2 * 12),  # filter_size - 1 inputs of the 2·width convolved channels
        ("circular_base_conv", 2 * 12),
        ("linear_attention", 2 * 10 * (3 + 1)),  # heads · (1 + D + D(D + 1)/2) · (head_dim + 1)
        ("noncausal_linear_attention", 2 * 10 * (3 + 1)),
        ("prefix_linear_attention", 2 * 10 * (3 + 1)),
        # heads · D · head_dim, and filter_size - 1 inputs of the convolved channels
        ("mamba2", 2 * 3 * 6 + 2 * (12 + 2 * 3)),
        ("prefix_mamba2", 2 * 3 * 6 + 2 * (12 + 2 * 3)),
        ("gla", 2 * 3 * 3),
        ("prefix_gla", 2 * 3 * 3),
        ("gated_deltanet", 2 * 3 * 3 + 2 * (2 * 6 + 6)),
        ("prefix_gated_deltanet", 2 * 3 * 3 + 2 * (2 * 6 + 6)),
        ("gru", 6),
        ("lstm", 12),
        ("softmax_attention", 2 * 6 * 5),  # keys and values of 5 tokens
    ],
)
def test_measured_state_against_the_formula(mixer: str, numbers: int) -> None:
    model = model_of(mixer, depth=2).float()
    for batch in (1, 3):
        _, state = model.prefill(some_tokens(batch, 5))
        assert state.numel == 2 * numbers
        assert state.nbytes == 4 * 2 * numbers
        # Nothing more is kept alive by it than is counted.
        kept = {tensor.untyped_storage() for tensor in state.tensors()}
        assert sum(storage.nbytes() for storage in kept) == batch * state.nbytes
    _, after = model.step(some_tokens(3, 1)[:, 0], state)
    grown = 2 * 2 * 6 if mixer == "softmax_attention" else 0
    assert after.numel == 2 * numbers + grown


@pytest.mark.parametrize(
    "mixer", ["linear_attention", "prefix_linear_attention", "softmax_attention"]
)
def test_training_builds_no_state_where_that_costs_extra(mixer: str) -> None:
    layer = model_of(mixer, depth=1).layers[0].mixer
    layer.prefill = lambda *_: pytest.fail("a state was built")
    assert layer(torch.zeros(1, 3, 6, dtype=torch.float64)).shape == (1, 3, 6)


def test_layers_cycle_through_the_mixers() -> None:
    model = model_of("base_conv", "linear_attention", depth=5)
    kinds = [type(layer.mixer) for layer in model.layers]
    pair = (MIXERS["base_conv"], MIXERS["linear_attention"])
    assert kinds == list(itertools.islice(itertools.cycle(pair), 5))


def test_configs_name_mixers() -> None:
    configs = {path.stem: OmegaConf.load(path) for path in CONFIGS.glob("*.yaml")}
    networks = {name: config for name, config in configs.items() if "mixers" in config}
    assert {"base_conv", "prefix_mamba2", "prefix_gla", "prefix_gated_deltanet"} < set(networks)
    for name, config in networks.items():
        assert config.name == name
        assert all(resolve_mixer(mixer) in MIXERS.values() for mixer in config.mixers)


def test_a_mixer_by_its_import_path() -> None:
    layers = model_of("sdsim.models.mixers.gla.PrefixGLA", "gru").layers
    assert [type(layer.mixer) for layer in layers] == [MIXERS["prefix_gla"], MIXERS["gru"]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": -4}, r"width\n +Input should be greater than or equal to 1 .*input_value=-4"),
        (
            {"heads": 4, "mixers": ("linear_attention",)},
            "model.heads = 4 does not divide model.width = 6",
        ),
        (
            {"heads": 4, "mixers": ("softmax_attention",)},
            "model.heads = 4 does not divide model.width = 6",
        ),
        ({"feature_dim": 0}, r"feature_dim\n +Input should be greater than or equal to 1"),
        ({"embedding_dropout": 1.0}, r"embedding_dropout\n +Input should be less than 1"),
        ({"mlp": "relu"}, r"mlp\n +Input should be 'gelu', 'swiglu' or 'none'"),
        ({"mixers": ()}, r"mixers\n +Tuple should have at least 1 item"),
        ({"mixers": ("mamba",)}, r"model\.mixers names mamba: must be one of base_conv, "),
        ({"mixers": ("..gru",)}, r"model\.mixers names \.\.gru: must be one of base_conv, "),
        (
            {"mixers": ("gru", "no.such.Mixer")},
            r"model\.mixers = 'no\.such\.Mixer': cannot be imported",
        ),
        ({"mixers": ("sdsim.models.mixers.gla.Gla",)}, r"models\.mixers\.gla has no Gla"),
        ({"mixers": ("torch.nn.Linear",)}, r"'torch\.nn\.Linear': it needs in_features"),
        ({"mixers": ("sdsim.models.Mixer",)}, r"'sdsim\.models\.Mixer': a mixer without prefill"),
    ],
)
def test_bad_configs(change: dict[str, object], words: str) -> None:
    good = {"name": "test", "mixers": ("gru",), "width": 6}
    with pytest.raises(ValueError, match=words):
        LanguageModel(ModelConfig(**good | change), VOCAB_SIZE)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((torch.zeros(2, 3),), "float32"),
        ((torch.zeros(3, dtype=torch.int64),), r"shape \(3,\)"),
        ((torch.zeros(2, 0, dtype=torch.int64),), "N ≥ 1"),
        ((torch.zeros(2, 3, dtype=torch.int64), 4), "prefix_len = 4: must lie between 0 and N = 3"),
        ((torch.zeros(2, 3, dtype=torch.int64), -1), "prefix_len = -1"),
        ((torch.zeros(1, 2, dtype=torch.int64), 2, torch.ones(1, 2)), "mask of shape"),
        ((torch.zeros(1, 2, dtype=torch.int64), 2, torch.tensor([[True, False]])), "padding"),
        ((torch.zeros(1, 2, dtype=torch.int64), 2, torch.tensor([[False, False]])), "padding"),
    ],
)
def test_bad_inputs(arguments: tuple[object, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        model_of("gru")(*arguments)


@pytest.mark.parametrize("mixer", CAUSAL)
def test_a_batch_may_be_empty(mixer: str) -> None:
    model = model_of(mixer)
    tokens, mask = some_tokens(0, 5), torch.ones(0, 5, dtype=torch.bool)
    assert model(tokens).shape == (0, 5, VOCAB_SIZE)
    assert model(tokens, mask=mask).shape == (0, 5, VOCAB_SIZE)
    logits, state = model.prefill(tokens, mask=mask)
    assert logits.shape == (0, 5, VOCAB_SIZE)
    assert model.step(tokens[:, 0], state)[0].shape == (0, VOCAB_SIZE)
