"""Classes that a config refers to: mixers by short names, any class by its import path."""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract
from typing import Any

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


def resolve_mixer(name: str) -> type[Mixer]:
    """The mixer of a name in `ModelConfig.mixers`.

    Args:
        name: a key of `MIXERS`, or the import path of a class, ``"package.module.ClassName"``.

    Raises:
        ValueError: for a name that is neither, and for a class that is not a concrete `Mixer`.
    """
    if name in MIXERS:
        return MIXERS[name]
    if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
        raise ValueError(
            f"model.mixers names {name}: must be one of {', '.join(MIXERS)}, "
            "or an import path package.module.ClassName"
        )
    found = import_class("model.mixers", name)
    if not issubclass(found, Mixer) or isabstract(found):
        raise ValueError(f"model.mixers = {name!r}: not a concrete subclass of sdsim.models.Mixer")
    return found


def import_class(option: str, path: str) -> type[Any]:
    """The class at ``"package.module.ClassName"``.

    Args:
        option: the config option that holds the path, for errors.
        path: the import path.

    Raises:
        ValueError: naming the option, if the module or the class cannot be found.
    """
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"{option} = {path!r}: must be an import path package.module.ClassName")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{option} = {path!r}: cannot be imported ({error})") from error
    except AttributeError as error:
        raise ValueError(f"{option} = {path!r}: {module} has no {name}") from error
    if not isinstance(found, type):
        raise ValueError(f"{option} = {path!r}: not a class")
    return found
