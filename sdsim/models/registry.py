"""The mixers that a config refers to: by short names, or any other by its import path."""

from __future__ import annotations

from collections.abc import Callable
from inspect import isabstract
from typing import TypeGuard

from sdsim.config import ModelConfig
from sdsim.models.construction import construct, import_object, known_arguments
from sdsim.models.mixers.base_conv import BaseConv, CircularBaseConv
from sdsim.models.mixers.gated_deltanet import GatedDeltaNet, PrefixGatedDeltaNet
from sdsim.models.mixers.gla import GLA, PrefixGLA
from sdsim.models.mixers.gru_lstm import GRU, LSTM
from sdsim.models.mixers.linear_attention import (
    LinearAttention,
    NonCausalLinearAttention,
    PrefixLinearAttention,
)
from sdsim.models.mixers.mamba2 import Mamba2, PrefixMamba2
from sdsim.models.mixers.mixer import Mixer
from sdsim.models.mixers.module_mixer import ModuleMixer
from sdsim.models.mixers.rotary_attention import RotaryAttention
from sdsim.models.mixers.sliding_window_attention import SlidingWindowAttention
from sdsim.models.mixers.softmax_attention import SoftmaxAttention

MIXERS: dict[str, type[Mixer]] = {
    "base_conv": BaseConv,
    "circular_base_conv": CircularBaseConv,
    "linear_attention": LinearAttention,
    "noncausal_linear_attention": NonCausalLinearAttention,
    "prefix_linear_attention": PrefixLinearAttention,
    "mamba2": Mamba2,
    "prefix_mamba2": PrefixMamba2,
    "gla": GLA,
    "prefix_gla": PrefixGLA,
    "gated_deltanet": GatedDeltaNet,
    "prefix_gated_deltanet": PrefixGatedDeltaNet,
    "gru": GRU,
    "lstm": LSTM,
    "softmax_attention": SoftmaxAttention,
    "rotary_attention": RotaryAttention,
    "sliding_window_attention": SlidingWindowAttention,
}
"""The sequence mixers by their short names; a config may name any other by its import path."""


def resolve_mixer(name: str) -> Callable[[ModelConfig], Mixer]:
    """What makes the mixer of a name in `ModelConfig.mixers`, given the model's config.

    Args:
        name: a key of `MIXERS`, or the import path of a class or function,
            ``"package.module.ClassName"``. A subclass of `Mixer` is built from the config; any
            other makes a `torch.nn.Module` (`sdsim.models.construction`), which becomes a
            `ModuleMixer`.

    Raises:
        ValueError: for a name that is neither, and for a `Mixer` that is not concrete; what is
            returned raises it where the module cannot be built.
    """
    if name in MIXERS:
        return MIXERS[name]
    if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
        raise ValueError(
            f"model.mixers names {name}: must be one of {', '.join(MIXERS)}, "
            "or an import path package.module.ClassName"
        )
    found = import_object("model.mixers", name)
    if _is_mixer(found):
        if isabstract(found):
            missing = ", ".join(sorted(found.__abstractmethods__))
            raise ValueError(f"model.mixers = {name!r}: a mixer without {missing}")
        return found

    def make(config: ModelConfig) -> Mixer:
        known = known_arguments(config, layer_idx=0)  # of `fla`, for caches, which are not used
        module = construct("model.mixers", name, found, known, config.arguments)
        return ModuleMixer(config, name, module)

    return make


def is_mixer(name: str) -> bool:
    """Whether a name stands for a class of mixers, which have `prefill` and `step`.

    Raises:
        ValueError: for an import path where there is nothing.
    """
    return name in MIXERS or _is_mixer(import_object("model.mixers", name))


def _is_mixer(found: object) -> TypeGuard[type[Mixer]]:
    return isinstance(found, type) and issubclass(found, Mixer)
