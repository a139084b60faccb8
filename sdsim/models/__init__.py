"""Recurrent and attention language models whose state is measured."""

from sdsim.config import ModelConfig, ModuleConfig
from sdsim.models.language_model import LanguageModel
from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.network import Network
from sdsim.models.registry import MIXERS, resolve_mixer
from sdsim.models.state import ModelState
from sdsim.models.whole_model import WholeModel

__all__ = [
    "MIXERS",
    "LanguageModel",
    "Mixer",
    "MixerState",
    "ModelConfig",
    "ModelState",
    "ModuleConfig",
    "Network",
    "WholeModel",
    "resolve_mixer",
]
