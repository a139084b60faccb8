"""Layers and whole models of `transformers`, in the form in which a config can name them.

Its classes take a config of their own and more arguments than features, so they are named by two
import paths: that of the class, and that of its config, whose settings are the other arguments::

    mixers: [sdsim.models.adapters.TransformersLayer]
    arguments:
      layer: transformers.models.mamba.modeling_mamba.MambaMixer
      config_class: transformers.MambaConfig
      state_size: 8

What a config of a model here says too (``width``, ``heads``, …) is handed on under the names that
`transformers` has for it. A layer of `fla` needs no adapter: it takes features and returns a tuple,
of which the first part counts.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from sdsim.models.construction import SYNONYMS, first_tensor, import_class

_EXTRA = "transformers is not installed: pip install -e '.[eval]'"


class TransformersLayer(nn.Module):
    """A layer of `transformers` as a module from (B, N, width) to (B, N, width).

    It is called without a cache and without padding. Where it asks for positions, it gets 0 to
    N - 1; where it asks for rotary embeddings, those of the ``…RotaryEmbedding`` of its own module.

    Args:
        layer: import path of its class, called as ``layer(config, layer_idx=0)``.
        config_class: import path of the class of its config.
        width, heads: of the model.
        settings: of its config.

    Raises:
        ValueError: for a path where there is no class, or without `transformers`.
    """

    def __init__(
        self, layer: str, config_class: str, width: int, heads: int, **settings: Any
    ) -> None:
        super().__init__()
        _check_installed(layer)
        kind = import_class("model.arguments.layer", layer)
        own = {"width": width, "heads": heads}
        # Its eager attention is causal only by a mask that whole models make; sdpa's by the layer.
        config = _config(config_class, own, {"attn_implementation": "sdpa"} | settings)
        self.layer = kind(config, layer_idx=0)
        self.takes = frozenset(inspect.signature(self.layer.forward).parameters)
        self.rotary = None
        if "position_embeddings" in self.takes:
            beside = vars(import_module(kind.__module__))
            rotary = [each for name, each in beside.items() if name.endswith("RotaryEmbedding")]
            if not rotary:
                raise ValueError(f"{layer}: it asks for rotary embeddings, of which there are none")
            self.rotary = rotary[0](config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, width) to the same shape."""
        asked: dict[str, Any] = {}
        positions = torch.arange(x.shape[1], device=x.device)[None]
        if "position_ids" in self.takes:
            asked["position_ids"] = positions
        if self.rotary is not None:
            asked["position_embeddings"] = self.rotary(x, positions)
        if "attention_mask" in self.takes:
            asked["attention_mask"] = None
        y: Tensor = first_tensor("model.arguments.layer", "layer", self.layer(x, **asked))
        return y


class TransformersModel(nn.Module):
    """A causal language model of `transformers`, new, from tokens to logits.

    Args:
        config_class: import path of the class of its config, such as ``transformers.MambaConfig``;
            ``AutoModelForCausalLM`` knows the model that belongs to it.
        vocab_size: V.
        settings: of its config, such as ``hidden_size``.

    Raises:
        ValueError: for a path where there is no class, or without `transformers`.
    """

    def __init__(self, config_class: str, vocab_size: int, **settings: Any) -> None:
        super().__init__()
        _check_installed(config_class)
        from transformers import AutoModelForCausalLM

        special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}  # within any vocabulary
        config = _config(config_class, {"vocab_size": vocab_size}, special | settings)
        self.model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens int64 (B, N) to logits (B, N, V)."""
        logits: Tensor = self.model(input_ids=tokens, use_cache=False).logits
        return logits


def _check_installed(path: str) -> None:
    if path.split(".")[0] == "transformers":
        try:
            import transformers  # noqa: F401
        except ImportError as error:
            raise ValueError(_EXTRA) from error


def _config(path: str, own: dict[str, Any], settings: dict[str, Any]) -> Any:
    """The config of a layer or model: `own` under those names that its class has for it."""
    kind = import_class("model.arguments.config_class", path)
    known = set(inspect.signature(kind).parameters) | set(getattr(kind, "attribute_map", ()))
    names = {
        name: value
        for key, value in own.items()
        for name in (key, *SYNONYMS.get(key, ()))
        if name in known
    }
    return kind(**names | settings)
