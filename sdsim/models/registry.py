"""Classes that a config names: mixers by short names, any class by its import path."""

from __future__ import annotations

from importlib import import_module
from inspect import isabstract
from typing import Any

from sdsim.models.mixers.base_conv import BaseConv, CircularBaseConv
from sdsim.models.mixers.gated_deltanet import GatedDeltaNet, PrefixGatedDeltaNet
from sdsim.models.mixers.gla import GLA, PrefixGLA
from sdsim.models.mixers.linear_attention import (
    LinearAttention,
    NonCausalLinearAttention,
    PrefixLinearAttention,
)
from sdsim.models.mixers.mamba2 import Mamba2, PrefixMamba2
from sdsim.models.mixers.mixer import Mixer
from sdsim.models.mixers.recurrent import GRU, LSTM
from sdsim.models.mixers.rotary_attention import RotaryAttention, SlidingWindowAttention
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
    """The mixer that a config names.

    Args:
        name: a key of `MIXERS`, or where to import a class from: ``"package.module.ClassName"``.

    Raises:
        ValueError: for a name that is neither, and for a class that is no complete `Mixer`.
    """
    if name in MIXERS:
        return MIXERS[name]
    if not all(part.isidentifier() for part in name.split(".")) or "." not in name:
        raise ValueError(
            f"model.mixers names {name}: one of {', '.join(MIXERS)}, "
            "or where to import a class from, package.module.ClassName"
        )
    found = import_class("model.mixers", name)
    if not issubclass(found, Mixer) or isabstract(found):
        raise ValueError(
            f"model.mixers = {name!r}: that is no complete subclass of sdsim.models.Mixer"
        )
    return found


def import_class(setting: str, path: str) -> type[Any]:
    """The class at ``"package.module.ClassName"``.

    Args:
        setting: what the config calls it, for errors.
        path: the import path.

    Raises:
        ValueError: naming the setting, where the module or the class cannot be found.
    """
    module, _, name = path.rpartition(".")
    if not module or not all(part.isidentifier() for part in path.split(".")):
        raise ValueError(f"{setting} = {path!r}: an import path package.module.ClassName is needed")
    try:
        found = getattr(import_module(module), name)
    except ImportError as error:
        raise ValueError(f"{setting} = {path!r}: cannot be imported ({error})") from error
    except AttributeError as error:
        raise ValueError(f"{setting} = {path!r}: {module} has no {name}") from error
    if not isinstance(found, type):
        raise ValueError(f"{setting} = {path!r}: not a class")
    return found
