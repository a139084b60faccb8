"""Models as files: our own, and the paper's released ones."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sdsim.models import LanguageModel, ModelConfig
from sdsim.models.mixers.linear_attention import LinearAttention, PrefixLinearAttention
from sdsim.text.presets import PRESETS, preset_of
from sdsim.text.pretrained import PretrainedModel, load_pretrained
from sdsim.text.released import import_released
from sdsim.text.tokenizer import train_tokenizer

KINDS = ["jrt_tiny", "based_tiny", "transformer_tiny"]


def made(preset: str) -> PretrainedModel:
    chosen = preset_of(preset)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PretrainedModel(
            asdict(chosen.config), chosen.vocab_size, chosen.seq_len, chosen.prefix_len
        ).eval()


def logits_of(model: LanguageModel) -> Tensor:
    tokens = torch.arange(40)[None] * 37 % 2048
    with torch.no_grad():
        return model(tokens, 20)


@pytest.mark.parametrize("preset", KINDS)
def test_what_is_saved_is_read_again(preset: str, tmp_path: Path) -> None:
    model = made(preset)
    model.save_with(train_tokenizer(["a text"], 257), tmp_path / "model")
    again = load_pretrained(str(tmp_path / "model"))
    assert torch.equal(logits_of(again), logits_of(model))
    assert again.config == model.config
    assert (again.seq_len, again.prefix_len) == (model.seq_len, model.prefix_len)
    assert again.tokenizer().get_vocab_size() == 257
    file = tmp_path / "model" / "tokenizer.json"
    file.write_text(file.read_text()[:50])
    with pytest.raises(ValueError, match=r"tokenizer.json is damaged"):
        again.tokenizer()
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "tokenizer.json"}


def test_a_model_is_saved_with_the_tokenizer_it_knows(tmp_path: Path) -> None:
    made("jrt_tiny").save_pretrained(tmp_path / "without")
    assert not (tmp_path / "without/tokenizer.json").exists()
    load_pretrained(str(tmp_path / "without")).save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again/tokenizer.json").exists()
    tokenizer = train_tokenizer(["a text"], 257)
    made("jrt_tiny").save_with(tokenizer, tmp_path / "with")
    load_pretrained(str(tmp_path / "with")).save_pretrained(tmp_path / "copy")
    assert load_pretrained(str(tmp_path / "copy")).tokenizer().to_str() == tokenizer.to_str()


def test_what_users_of_transformers_pass_works(tmp_path: Path) -> None:
    made("jrt_tiny").save_pretrained(tmp_path)
    for keywords, dtype in (
        ({"torch_dtype": torch.float64}, torch.float64),
        ({"dtype": "bfloat16"}, torch.bfloat16),
        ({"torch_dtype": "torch.float16"}, torch.float16),
        ({"dtype": "auto"}, torch.float32),
        ({"device_map": "cpu"}, torch.float32),
        ({"device_map": {"": "cpu"}, "dtype": torch.float64}, torch.float64),
        ({"device_map": torch.device("cpu"), "low_cpu_mem_usage": True}, torch.float32),
        ({"map_location": "cpu", "trust_remote_code": True}, torch.float32),
        ({"resume_download": None, "use_safetensors": True, "seq_len": 512}, torch.float32),
        ({"revision": "main", "cache_dir": "x", "token": None}, torch.float32),
    ):
        model = PretrainedModel.from_pretrained(tmp_path, **keywords)
        assert {parameter.dtype for parameter in model.parameters()} == {dtype}
        assert model.seq_len == keywords.get("seq_len", 256)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"proxies": {}}, r"from_pretrained: unknown keyword proxies; .* it takes dtype, "),
        ({"attn_implementation": "x", "quantize": 1}, "unknown keyword attn_implementation, quant"),
        ({"torch_dtype": "int8"}, "dtype = 'int8': must be a floating-point type"),
        ({"dtype": "float7"}, "dtype = 'float7': must be a floating-point type"),
        ({"device_map": "balanced"}, "device_map = 'balanced': must be one device"),
        ({"device_map": {"a": "cpu", "b": "cpu"}}, "device_map = {.*}: must be one device"),
    ],
)
def test_keywords_that_cannot_be_are_named(
    keywords: dict[str, Any], message: str, tmp_path: Path
) -> None:
    made("jrt_tiny").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        PretrainedModel.from_pretrained(tmp_path, **keywords)


def test_sizes_beyond_memory_are_named(tmp_path: Path) -> None:
    made("jrt_tiny").save_pretrained(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**described, "vocab_size": 10**12}))
    with pytest.raises(ValueError, match=r"config.json does not describe a model"):
        load_pretrained(str(tmp_path))


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    made("jrt_tiny").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = load_file(path)

    def read_with(tensors: dict[str, Tensor], message: str) -> None:
        save_file(tensors, path)
        with pytest.raises(ValueError, match=message):
            load_pretrained(str(tmp_path))

    gone = {name: value for name, value in whole.items() if name != "norm.weight"}
    read_with(gone, "norm.weight is missing")
    read_with({**whole, "extra": torch.zeros(1)}, "extra is not the model's")
    small = {**whole, "norm.weight": torch.zeros(3)}
    read_with(small, r"norm.weight is of shape \(3,\) rather than \(128,\)")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"model.safetensors cannot be read"):
        load_pretrained(str(tmp_path))
    config = json.loads((tmp_path / "config.json").read_text())
    model = config["model"]
    for wrong, reason in (
        ({"seq_len": None}, "'seq_len'"),
        ({"model": {**model, "depths": 3}}, "depths = 3: unexpected keyword argument"),
        ({"model": {**model, "heads": 0}}, "heads = 0: must be greater than or equal to 1"),
        ({"model": {**model, "mixers": ["gone"]}}, "model.mixers names gone: .*"),
    ):
        changed = {k: v for k, v in {**config, **wrong}.items() if v is not None}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=f"does not describe a model of sdsim: .*{reason}$"):
            load_pretrained(str(tmp_path))
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"there is no config.json"):
        load_pretrained(str(tmp_path))
    with pytest.raises(ValueError, match="there is no such folder"):
        load_pretrained(str(tmp_path / "gone"))


def released(model: PretrainedModel) -> dict[str, Tensor]:
    """Its tensors by the names and layouts that the paper's files have, written out by hand."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "embedding.weight":
            tensors["transformer.embeddings.word_embeddings.weight"] = tensor
            tensors["lm_head.weight"] = tensor.clone()
        elif name == "norm.weight":
            tensors["transformer.ln_f.weight"] = tensor
        else:
            _, layer, rest = name.split(".", 2)
            if "mixer.conv." in rest:
                rest = rest.replace("mixer.conv.", "mixer.conv.conv.")
            elif rest == "mixer.in_proj.weight" and tensor.shape[0] == 3 * 128:
                rest = "mixer.Wqkv.weight"
            tensors[f"transformer.layers.{layer}.{rest}"] = tensor
    return tensors


def window_of(model: PretrainedModel) -> int | None:
    """What has to be said of the window, since no config.json does."""
    return model.config.window if "sliding_window_attention" in model.config.mixers else None


@pytest.mark.parametrize("prefix", ["", "model."])
@pytest.mark.parametrize("preset", KINDS)
def test_released_names_are_understood(preset: str, prefix: str, tmp_path: Path) -> None:
    model = made(preset)
    tensors = {f"{prefix}{name}": value for name, value in released(model).items()}
    tensors[f"{prefix}metrics.train.count"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors")
    read = import_released(tmp_path, preset, window=window_of(model))
    assert torch.equal(logits_of(read), logits_of(model))
    assert read.padding == "released"


def test_the_names_are_those_of_the_paper() -> None:
    """All four mixers, with the names of the released checkpoints."""
    found = {name.split(".", 3)[3] for name in released(made("jrt_tiny")) if ".mixer." in name}
    assert found == {
        *(f"mixer.{name}.weight" for name in ("proj_q", "proj_k", "proj_v", "out_proj", "Wqkv")),
        *("mixer.proj_k_enc.weight", "mixer.proj_v_enc.weight", "mixer.conv.conv.weight"),
        *("mixer.in_proj.weight", "mixer.in_proj.bias", "mixer.out_proj.bias"),
        "mixer.conv.conv.bias",
    }


def test_a_convolution_without_a_bias_has_none(tmp_path: Path) -> None:
    model = made("based_tiny")
    with torch.no_grad():
        for layer in (0, 3):
            model.layers[layer].mixer.conv.bias.zero_()
    tensors = {n: t for n, t in released(model).items() if not n.endswith("conv.conv.bias")}
    save_file(tensors, tmp_path / "weights.safetensors")
    assert torch.equal(
        logits_of(import_released(tmp_path / "weights.safetensors", "based_tiny", window=32)),
        logits_of(model),
    )


def test_a_pickle_is_read_only_on_request(tmp_path: Path) -> None:
    model = made("jrt_tiny")
    torch.save(released(model), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"is a pickle, .* allow_pickle=true"):
        import_released(tmp_path, "jrt_tiny")
    read = import_released(tmp_path, "jrt_tiny", window=32, allow_pickle=True)
    assert torch.equal(logits_of(read), logits_of(model))

    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"transformer.ln_f.weight": Evil()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="cannot be read"):
        import_released(tmp_path, "jrt_tiny", allow_pickle=True)
    assert not (tmp_path / "harm").exists()


def test_what_is_not_a_released_model_is_named(tmp_path: Path) -> None:
    whole = released(made("jrt_tiny"))
    embedding = "transformer.embeddings.word_embeddings.weight"

    def read_with(tensors: dict[str, Tensor], message: str, preset: str = "jrt_tiny") -> None:
        save_file(tensors, tmp_path / "model.safetensors")
        with pytest.raises(ValueError, match=message):
            import_released(tmp_path, preset)

    def without(name: str) -> dict[str, Tensor]:
        return {other: tensor for other, tensor in whole.items() if other != name}

    read_with({**whole, "decoder.weight": torch.zeros(1)}, "has a tensor decoder.weight")
    read_with(without(embedding), f"{embedding} is missing")
    read_with(without("transformer.layers.1.norm1.weight"), r"layers.1.norm1.weight is missing")
    read_with(without("transformer.layers.0.mixer.in_proj.bias"), r"in_proj.bias is missing")
    read_with(
        {**whole, "lm_head.weight": torch.ones(2048, 128)},
        "lm_head.weight differs from the embedding",
    )
    read_with(whole, r"proj_k_enc.weight is not the model's", "based_tiny")
    wrong = {**whole, "transformer.layers.1.mixer.proj_q.weight": torch.zeros(2, 128)}
    read_with(wrong, r"proj_q.weight is of shape \(2, 128\) rather than \(32, 128\)")
    with pytest.raises(ValueError, match="no such folder or file"):
        import_released(tmp_path / "gone", "jrt_tiny")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds neither model.safetensors nor pytorch_model.bin"):
        import_released(tmp_path / "empty", "jrt_tiny")


@pytest.mark.parametrize("kind", [LinearAttention, PrefixLinearAttention])
@torch.no_grad()
def test_zeroed_keys_of_padding_add_their_values(kind: type[LinearAttention]) -> None:
    """As written: φ(0) = (1, 0, …), so each padded position adds 1·v above and 1 below."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig("test", ("gru",), width=8, heads=2, feature_dim=3)
        mixer = kind(config).double()
        x = torch.randn(1, 7, 8, dtype=torch.float64)
    mask = torch.arange(7)[None] >= 3
    mixer.zeroes_padding = True
    q, k, v = (batch[0] for batch in mixer._project(x))  # (N, H, …)
    encoded = [batch[0] for batch in mixer._encode(x[:, :5], None)]
    scale = 3**-0.5
    for i in range(3, 7):
        for h in range(2):
            pairs = [(k[j, h] * mask[0, j], v[j, h]) for j in range(i + 1)]
            if encoded:
                ke, ve = encoded
                pairs += [(ke[j, h] * mask[0, j], ve[j, h]) for j in range(5)]
            similar = [float(q[i, h] @ key) * scale for key, _ in pairs]
            weights = [1 + s + s * s / 2 for s in similar]
            total = sum(w * value for w, (_, value) in zip(weights, pairs, strict=True))
            y = total / sum(weights)
            merged = mixer.prefill(x, 5, mask)[0]
            if h == 0:
                heads = [y]
            else:
                heads.append(y)
        expected = mixer.out_proj(torch.cat(heads))
        torch.testing.assert_close(merged[0, i], expected)
        torch.testing.assert_close(mixer(x, 5, mask)[0, i], expected)
    mixer.zeroes_padding = False
    assert not torch.allclose(mixer(x, 5, mask)[0, 6], merged[0, 6])


def test_a_config_is_plain_json(tmp_path: Path) -> None:
    made("jrt_tiny").save_pretrained(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    described["model"]["mixers"] = tuple(described["model"]["mixers"])
    assert ModelConfig(**described["model"]) == PRESETS["jrt_tiny"].config
