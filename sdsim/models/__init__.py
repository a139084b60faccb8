"""Recurrent and attention language models whose state is measured."""

from sdsim.config import ModelConfig
from sdsim.models.language_model import LanguageModel
from sdsim.models.mixers.mixer import Mixer, MixerState
from sdsim.models.registry import MIXERS, resolve_mixer
from sdsim.models.state import ModelState

__all__ = [
    "MIXERS",
    "LanguageModel",
    "Mixer",
    "MixerState",
    "ModelConfig",
    "ModelState",
    "resolve_mixer",
]
