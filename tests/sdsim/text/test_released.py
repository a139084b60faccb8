"""Released checkpoints against the formulas of the paper's models, written out in float64.

The files are made here, by the released names of their tensors, and read by `import_released`; the
reference knows these tensors alone. Sections 3 and 4 of the paper, and what its released configs
say: padding on the left with token 220, `window_size` w for w // 2 + 1 keys, rotary positions on
int(E / 2) numbers of a Transformer's head.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from sdsim.text.config import SamplingConfig, Strategy
from sdsim.text.generate import generate
from sdsim.text.presets import PRESETS, Preset, _model, build
from sdsim.text.pretrained import PretrainedModel, load_pretrained
from sdsim.text.released import import_released, rename

VOCAB, SPACE = 240, 220
WIDTH, HEADS, FEATURES, PREFIX = 128, 4, 8, 128  # of jrt_tiny
WINDOW_SIZE = 16
KEYS = 9  # WINDOW_SIZE // 2 before a token, and itself

MIXERS = {
    "conv": {
        "in_proj.weight": (4, 1),
        "in_proj.bias": (4,),
        "conv.conv.weight": (2, "taps"),
        "conv.conv.bias": (2,),
        "out_proj.weight": (1, 2),
        "out_proj.bias": (1,),
    },
    "window": {"Wqkv.weight": (3, 1), "out_proj.weight": (1, 1)},
    "based": {
        "proj_q.weight": ("keys", 1),
        "proj_k.weight": ("keys", 1),
        "proj_v.weight": (1, 1),
        "out_proj.weight": (1, 1),
    },
}
MIXERS["jrt"] = MIXERS["based"] | {"proj_k_enc.weight": ("keys", 1), "proj_v_enc.weight": (1, 1)}
MIXERS["full"] = MIXERS["window"]

Shapes = dict[str, tuple[int, ...]]


def released_shapes(
    layers: Sequence[str], width: int, keys: int, hidden: int, vocab_size: int
) -> Shapes:
    """Names and shapes of a released file; `keys` is heads · feature_dim."""
    shapes: Shapes = {
        "transformer.embeddings.word_embeddings.weight": (vocab_size, width),
        "transformer.ln_f.weight": (width,),
    }
    for i, kind in enumerate(layers):
        start = f"transformer.layers.{i}"
        shapes[f"{start}.norm1.weight"] = shapes[f"{start}.norm2.weight"] = (width,)
        shapes[f"{start}.mlp.fc1.weight"] = (2 * hidden, width)
        shapes[f"{start}.mlp.fc2.weight"] = (width, hidden)
        for name, sizes in MIXERS[kind].items():
            shape: list[int] = []
            for size in sizes:
                if size == "taps":
                    shape += [1, 3]
                else:
                    shape.append(keys if size == "keys" else int(size) * width)
            shapes[f"{start}.mixer.{name}"] = tuple(shape)
    return shapes


def random_tensors(shapes: Shapes) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) * (0.5 if "conv" in name else 0.12)
        for name, shape in shapes.items()
    }
    return {name: 1 + x if "norm" in name or "ln_f" in name else x for name, x in tensors.items()}


def norm(x: Tensor, gain: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * gain


def rotary(x: Tensor, count: int) -> Tensor:
    """x (N, heads, E): the first numbers of a head turned, as `count` of them say."""
    pairs = math.ceil(count / 2)
    y = x.clone()
    for position in range(len(x)):
        for i in range(pairs):
            angle = position * 10_000.0 ** (-2 * i / count)
            a, b = x[position, :, i], x[position, :, i + pairs]
            y[position, :, i] = a * math.cos(angle) - b * math.sin(angle)
            y[position, :, i + pairs] = b * math.cos(angle) + a * math.sin(angle)
    return y


def softmax_attention(x: Tensor, w: dict[str, Tensor], heads: int, count: int, keys: int) -> Tensor:
    n, width = x.shape
    q, k, v = (x @ w["Wqkv.weight"].T).view(n, 3, heads, width // heads).unbind(1)
    q, k = rotary(q, count), rotary(k, count)
    scores = torch.einsum("ihe,jhe->hij", q, k) / (width // heads) ** 0.5
    distance = torch.arange(n)[:, None] - torch.arange(n)
    scores = scores.masked_fill((distance < 0) | (distance >= keys), -math.inf)
    y = torch.einsum("hij,jhe->ihe", scores.softmax(-1), v)
    return y.reshape(n, width) @ w["out_proj.weight"].T


def base_conv(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    u, gate = (x @ w["in_proj.weight"].T + w["in_proj.bias"]).chunk(2, dim=-1)
    taps = w["conv.conv.weight"][:, 0]
    before = F.pad(u, (0, 0, 2, 0))
    conv = sum(before[t : t + len(u)] * taps[:, t] for t in range(3)) + w["conv.conv.bias"]
    return (F.silu(conv) * gate) @ w["out_proj.weight"].T + w["out_proj.bias"]


def linear_attention(x: Tensor, w: dict[str, Tensor], padding: int, prefix: int) -> Tensor:
    """Weights 1 + s + s²/2; the keys of the first `padding` tokens are zero; `prefix` 0: Based."""
    n = len(x)
    real = (torch.arange(n) >= padding)[:, None]

    def project(name: str) -> Tensor:
        return (x @ w[f"{name}.weight"].T).view(n, HEADS, -1)

    def weights(keys: Tensor) -> Tensor:
        s = torch.einsum("ihd,jhd->hij", q, keys * real[..., None]) / FEATURES**0.5
        return 1 + s + s.square() / 2

    q = project("proj_q")
    causal = weights(project("proj_k")).tril()
    above = torch.einsum("hij,jhe->ihe", causal, project("proj_v"))
    below = causal.sum(-1)
    if prefix:
        encoder = weights(project("proj_k_enc"))[..., :prefix]
        above = above + torch.einsum("hij,jhe->ihe", encoder, project("proj_v_enc")[:prefix])
        below = below + encoder.sum(-1)
    return (above / below.T[..., None]).reshape(n, -1) @ w["out_proj.weight"].T


def reference(
    tensors: dict[str, Tensor],
    layers: Sequence[str],
    tokens: Sequence[int],
    *,
    heads: int = HEADS,
    prompt: int | None = None,
) -> Tensor:
    """Scores (N, V) of all tokens of one text, of which the first `prompt` (None: all) were read
    at once: with linear attention that reads a prefix, padded to it where they are fewer."""
    double = {name: tensor.double() for name, tensor in tensors.items()}
    prefix = PREFIX if "jrt" in layers else 0
    padding = max(0, prefix - (len(tokens) if prompt is None else prompt))
    embedding = double["transformer.embeddings.word_embeddings.weight"]
    h = embedding[torch.tensor([SPACE] * padding + list(tokens))]
    size = h.shape[1] // heads
    for i, kind in enumerate(layers):
        start = f"transformer.layers.{i}."
        w = {name.removeprefix(start): x for name, x in double.items() if name.startswith(start)}
        mixer = {n.removeprefix("mixer."): x for n, x in w.items() if n.startswith("mixer.")}
        x = norm(h, w["norm1.weight"])
        if kind == "conv":
            mixed = base_conv(x, mixer)
        elif kind == "window":
            mixed = softmax_attention(x, mixer, heads, size, KEYS)
        elif kind == "full":
            mixed = softmax_attention(x, mixer, heads, int(0.5 * size), len(x))
        else:
            mixed = linear_attention(x, mixer, padding, prefix if kind == "jrt" else 0)
        h = h + mixed
        value, gate = (norm(h, w["norm2.weight"]) @ w["mlp.fc1.weight"].T).chunk(2, dim=-1)
        h = h + (value * F.silu(gate)) @ w["mlp.fc2.weight"].T
    return (norm(h, double["transformer.ln_f.weight"]) @ embedding.T)[padding:]


def text(length: int, seed: int = 0) -> list[int]:
    generator = torch.Generator().manual_seed(1000 * length + seed)
    return torch.randint(VOCAB - 1, (length,), generator=generator).tolist()


def hybrid(kind: str) -> list[str]:
    return ["conv", kind, "window", "conv"]


def written(tensors: dict[str, Tensor], folder: Path, window_size: object = WINDOW_SIZE) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {"n_layer": 4, "alt_mixer_2": {"window_size": window_size}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def imported(kind: str, folder: Path) -> tuple[PretrainedModel, dict[str, Tensor]]:
    shapes = released_shapes(hybrid(kind), WIDTH, HEADS * FEATURES, 2 * WIDTH, VOCAB)
    tensors = random_tensors(shapes)
    model = import_released(written(tensors, folder), f"{kind}_tiny")
    return model.double().eval(), tensors


@torch.no_grad()
def test_short_prompts_of_an_imported_model_have_the_released_scores(tmp_path: Path) -> None:
    """Padding, windows, convolutions: read at once, then token by token, in one batch."""
    model, tensors = imported("jrt", tmp_path / "file")
    assert model.padding == "released"
    assert model.config.window == KEYS
    prompts = [text(length) for length in (1, 5, 20, 31, 100, 127, 128)]
    tokens = torch.zeros(len(prompts), PREFIX, dtype=torch.int64)  # whatever stands there
    mask = torch.zeros(len(prompts), PREFIX, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, PREFIX - len(prompt) :] = torch.tensor(prompt)
        mask[row, PREFIX - len(prompt) :] = True
    rest = torch.tensor([text(6, seed=1)] * len(prompts))
    scores, state = model.prefill(tokens, PREFIX, mask)
    parallel = model(torch.cat([tokens, rest], 1), PREFIX, F.pad(mask, (0, 6), value=True))
    steps = []
    for column in rest.T:
        after, state = model.step(column, state)
        steps.append(after)
    for row, prompt in enumerate(prompts):
        n = len(prompt)
        expected = reference(tensors, hybrid("jrt"), prompt + rest[0].tolist(), prompt=n)
        close = {"rtol": 0, "atol": 1e-12}
        torch.testing.assert_close(scores[row, PREFIX - n :], expected[:n], **close)
        torch.testing.assert_close(parallel[row, PREFIX - n :], expected, **close)
        torch.testing.assert_close(torch.stack(steps)[:, row], expected[n:], **close)
    excluded = PretrainedModel(
        {**vars(model.config)}, VOCAB, model.seq_len, PREFIX, "excluded"
    ).double()
    excluded.load_state_dict(model.state_dict())
    assert (excluded(tokens, PREFIX, mask)[1, -1] - scores[1, -1]).abs().max() > 0.01


@torch.no_grad()
def test_longer_prompts_need_no_padding(tmp_path: Path) -> None:
    for kind, length in (("jrt", 150), ("based", 40)):
        model, tensors = imported(kind, tmp_path / kind)
        prompt = text(length)
        found = model(torch.tensor([prompt]), min(length, model.prefix_len))[0]
        expected = reference(tensors, hybrid(kind), prompt)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def greedily(tensors: dict[str, Tensor], kind: str, prompt: list[int], strategy: str) -> list[int]:
    """Four tokens by the reference alone."""
    made: list[int] = []
    if strategy == "read_twice" and kind == "jrt":
        prompt = (prompt * PREFIX)[-PREFIX * len(prompt) :][-max(PREFIX, len(prompt)) :]
    for _ in range(4):
        read = len(prompt) + (len(made) if strategy == "iterate" else 0)
        scores = reference(tensors, hybrid(kind), prompt + made, prompt=read)
        made.append(int(scores[-1, :-1].argmax()))
    return made


@pytest.mark.parametrize("strategy", ["left_pad", "read_twice", "iterate"])
@pytest.mark.parametrize("kind", ["jrt", "based"])
def test_generation_pads_as_released_whoever_else_is_in_the_batch(
    kind: str, strategy: Strategy, tmp_path: Path
) -> None:
    model, tensors = imported(kind, tmp_path / "file")
    prompts = [text(3), text(20), text(130)]
    together: list[list[int]] = [[] for _ in prompts]
    for row, token in generate(model, prompts, SamplingConfig(4), strategy=strategy):
        together[row].append(token)
    assert together == [greedily(tensors, kind, prompt, strategy) for prompt in prompts]
    for row, prompt in enumerate(prompts):
        alone = generate(model, [prompt], SamplingConfig(4), strategy=strategy)
        assert [token for _, token in alone] == together[row]


@torch.no_grad()
@pytest.mark.parametrize("hidden", [384, 448])
def test_a_transformer_with_heads_of_70(
    hidden: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rotary positions by 35 numbers turn 36; the MLP is as wide as the tensors say."""
    config = _model("small", ("rotary_attention",) * 2, 140, heads=2, mlp_ratio=8 / 3)
    monkeypatch.setitem(PRESETS, "small", Preset(config, seq_len=64))
    tensors = random_tensors(released_shapes(["full"] * 2, 140, 0, hidden, VOCAB))
    save_file(tensors, tmp_path / "model.safetensors")
    model = import_released(tmp_path, "small").double().eval()
    assert model.layers[1].mlp.fc2.in_features == hidden
    tokens = text(40)
    expected = reference(tensors, ["full"] * 2, tokens, heads=2)
    torch.testing.assert_close(model(torch.tensor([tokens]))[0], expected, rtol=0, atol=1e-12)
    model.save_pretrained(tmp_path / "again")
    assert load_pretrained(str(tmp_path / "again")).config == model.config


def layout(depth: int, linear: str, places: Sequence[int]) -> list[str]:
    layers = ["conv"] * depth
    for place in places:
        layers[place], layers[place + 1] = linear, "window"
    return layers


@pytest.mark.parametrize(
    ("preset", "layers", "width", "hidden", "vocab_size"),
    [
        ("jrt_360m", layout(26, "jrt", (1, 6, 11, 16, 21)), 1024, 2048, 50_264),
        ("based_360m", layout(27, "based", (1, 6, 11, 16, 21)), 1024, 2048, 50_264),
        ("jrt_1b3", layout(36, "jrt", (1, 6, 11, 16, 21, 27, 33)), 1792, 3584, 50_264),
        ("based_1b3", layout(36, "based", (1, 6, 11, 16, 21, 27, 33)), 1792, 3584, 50_264),
        ("transformer_360m", ["full"] * 24, 1024, 2816, 50_272),
        ("transformer_1b3", ["full"] * 36, 1680, 4480, 50_272),
    ],
)
def test_the_presets_have_the_tensors_of_the_released_files(
    preset: str, layers: list[str], width: int, hidden: int, vocab_size: int
) -> None:
    shapes = released_shapes(layers, width, 16 * 16, hidden, vocab_size)
    with torch.device("meta"):
        theirs = rename({name: torch.empty(shape) for name, shape in shapes.items()}, "file")
        ours = build(preset).state_dict()
    assert {n: tuple(x.shape) for n, x in theirs.items()} == {
        n: tuple(x.shape) for n, x in ours.items()
    }


def test_the_window_is_read_from_the_config_or_said(tmp_path: Path) -> None:
    """A window_size of w is w // 2 + 1 keys; without a config.json there is no default."""
    shapes = released_shapes(hybrid("jrt"), WIDTH, HEADS * FEATURES, 2 * WIDTH, VOCAB)
    tensors = random_tensors(shapes)
    for window_size, keys in ((256, 129), (128, 65), (64, 33), (7, 4), (0, 1)):
        folder = written(tensors, tmp_path, window_size)
        assert import_released(folder, "jrt_tiny").config.window == keys
        assert import_released(folder / "model.safetensors", "jrt_tiny").config.window == keys
    written(tensors, tmp_path, 128)
    assert import_released(tmp_path, "jrt_tiny", window=65).config.window == 65
    with pytest.raises(ValueError, match=r"^window = 64: .*config.json has .* = 128, .* 65 keys"):
        import_released(tmp_path, "jrt_tiny", window=64)
    for wrong in (-1, True, "128", 12.5):
        written(tensors, tmp_path, wrong)
        with pytest.raises(ValueError, match=r"alt_mixer_2.window_size = .*: must be a whole"):
            import_released(tmp_path, "jrt_tiny")
    (tmp_path / "config.json").write_text('{"alt_mixer_2": ')
    with pytest.raises(ValueError, match=r"config.json cannot be read: "):
        import_released(tmp_path, "jrt_tiny", window=65)
    for unsaid in ("{}", '{"alt_mixer_2": null}', "[]"):
        (tmp_path / "config.json").write_text(unsaid)
        assert import_released(tmp_path, "jrt_tiny", window=12).config.window == 12
        with pytest.raises(ValueError, match=r"^window: say how many keys .* no tensor .* 65 for"):
            import_released(tmp_path, "jrt_tiny")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"^window: say how many keys"):
        import_released(tmp_path, "jrt_tiny")
    full = random_tensors(released_shapes(["full"] * 4, WIDTH, 0, 2 * WIDTH, VOCAB))
    written(full, tmp_path)
    with pytest.raises(ValueError, match=r"^window = 8: transformer_tiny has no sliding-window"):
        import_released(tmp_path, "transformer_tiny", window=8)


def test_other_names_of_the_convolution(tmp_path: Path) -> None:
    model, tensors = imported("based", tmp_path / "file")
    renamed = {name.replace(".conv.conv.", ".conv1.conv."): x for name, x in tensors.items()}
    again = import_released(written(renamed, tmp_path / "other"), "based_tiny").double()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    both = tensors | {name: x.clone() for name, x in renamed.items()}
    with pytest.raises(
        ValueError, match=r"conv1?\.conv\.(weight|bias) is there under another name too"
    ):
        import_released(written(both, tmp_path / "both"), "based_tiny")


@pytest.mark.parametrize(
    "name", ["transformer.decay.decay", "model.transformer.layers.1.mixer.decay_proj.weight"]
)
def test_a_decay_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    shapes = released_shapes(hybrid("based"), WIDTH, HEADS * FEATURES, 2 * WIDTH, VOCAB)
    tensors = random_tensors(shapes) | {name: torch.zeros(HEADS, WIDTH)}
    with pytest.raises(ValueError, match=rf"{name}: the linear attention .* decays with distance"):
        import_released(written(tensors, tmp_path), "based_tiny")


def test_the_padding_of_a_model_is_saved_and_of_older_folders_understood(tmp_path: Path) -> None:
    model, _ = imported("jrt", tmp_path / "file")
    model.float().save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    assert config.pop("padding") == "released"
    assert load_pretrained(str(tmp_path / "model")).padding == "released"
    for older, padding in (
        ({"zeroes_padding": True}, "released"),
        ({"zeroes_padding": False}, "excluded"),
        ({}, "excluded"),
    ):
        path.write_text(json.dumps({**config, **older}))
        assert load_pretrained(str(tmp_path / "model")).padding == padding
    path.write_text(json.dumps({**config, "padding": "left"}))
    with pytest.raises(ValueError, match="padding = 'left': must be 'excluded' or 'released'"):
        load_pretrained(str(tmp_path / "model"))


def test_padding_as_released_is_for_released_models_alone() -> None:
    tiny = PRESETS["jrt_tiny"].config
    for mixer, name in (
        ("noncausal_linear_attention", "NonCausalLinearAttention"),
        ("circular_base_conv", "CircularBaseConv"),
        ("prefix_gla", "PrefixGLA"),
    ):
        config = vars(replace(tiny, mixers=("base_conv", mixer)))
        with pytest.raises(ValueError, match=f"no released model has a mixer {name}"):
            PretrainedModel(config, VOCAB, 64, 16, "released")
    with pytest.raises(ValueError, match="token 220, which a vocab_size of 220 does not have"):
        PretrainedModel(vars(tiny), 220, 64, 16, "released")
