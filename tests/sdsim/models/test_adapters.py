"""Layers and whole models of transformers, as a config names them, against transformers itself."""

from dataclasses import replace

import pytest
import torch

transformers = pytest.importorskip("transformers")

from sdsim.config import ModelConfig, ModuleConfig, RunConfig  # noqa: E402
from sdsim.models.adapters import TransformersLayer, TransformersModel  # noqa: E402
from sdsim.models.lookahead import earlier_outputs, reached  # noqa: E402
from sdsim.training.run import execute  # noqa: E402

LLAMA = "transformers.models.llama.modeling_llama"
MAMBA = {
    "layer": "transformers.models.mamba.modeling_mamba.MambaMixer",
    "config_class": "transformers.MambaConfig",
    "state_size": 2,
}


@pytest.mark.parametrize(
    ("layer", "config", "looks_ahead"),
    [
        (MAMBA["layer"], "MambaConfig", False),
        (f"{LLAMA}.LlamaDecoderLayer", "LlamaConfig", False),
        (f"{LLAMA}.LlamaAttention", "LlamaConfig", False),
        ("transformers.models.gpt2.modeling_gpt2.GPT2Block", "GPT2Config", False),
        ("transformers.models.bert.modeling_bert.BertLayer", "BertConfig", True),
    ],
)
def test_a_layer_maps_features_to_features(layer: str, config: str, looks_ahead: bool) -> None:
    settings = {"intermediate_size": 16} if config != "GPT2Config" else {}
    adapted = TransformersLayer(layer, f"transformers.{config}", 8, 2, **settings).eval()
    x, other = torch.randn(2, 2, 5, 8).unbind()
    assert adapted(x).shape == x.shape
    assert bool(earlier_outputs(reached(adapted, x, other))) is looks_ahead


def test_rotary_embeddings_are_those_of_the_whole_model() -> None:
    config = transformers.LlamaConfig(
        vocab_size=10,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    whole = transformers.LlamaModel(config).eval()
    settings = {"intermediate_size": 16}
    adapted = TransformersLayer(
        f"{LLAMA}.LlamaDecoderLayer", "transformers.LlamaConfig", 8, 2, **settings
    ).eval()
    adapted.layer.load_state_dict(whole.layers[0].state_dict())
    tokens = torch.randint(10, (2, 6))
    expected = whole(tokens).last_hidden_state
    torch.testing.assert_close(whole.norm(adapted(whole.embed_tokens(tokens))), expected)


def test_they_train_like_any_other(small_run: RunConfig) -> None:
    run = replace(small_run, train=replace(small_run.train, steps=2))
    mixer = ModelConfig(
        "mamba",
        ("sdsim.models.adapters.TransformersLayer",),
        width=8,
        depth=1,
        mlp="none",
        arguments=MAMBA,
    )
    assert execute(replace(run, model=mixer)).reader == "causal"
    settings = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = ModuleConfig(
        "llama",
        "sdsim.models.adapters.TransformersModel",
        {"config_class": "transformers.LlamaConfig", "intermediate_size": 8, **settings},
    )
    result = execute(replace(run, model=whole))
    assert (result.reader, result.state_source) == ("causal", "unknown")


def test_a_path_where_there_is_nothing_is_said() -> None:
    with pytest.raises(ValueError, match="has no Nothing"):
        TransformersModel("transformers.Nothing", 10)
    with pytest.raises(ValueError, match="it asks for rotary embeddings"):
        TransformersLayer(f"{__name__}.Asking", "transformers.LlamaConfig", 8, 2)


class Asking(torch.nn.Module):
    """A layer that asks for rotary embeddings that its module has none of."""

    def __init__(self, config: object, layer_idx: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, position_embeddings: torch.Tensor) -> torch.Tensor:
        return x
