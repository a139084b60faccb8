"""Small language models with a measured state; one file per mixer."""

from sdsim.models.config import ModelConfig
from sdsim.models.language_model import MIXERS, LanguageModel, resolve_mixer
from sdsim.models.mixer import Mixer, MixerState
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
