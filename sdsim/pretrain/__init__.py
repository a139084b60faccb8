"""Full scale: models of `sdsim.models.presets`, trained on text."""

from sdsim.pretrain.config import PretrainConfig
from sdsim.pretrain.corpus import Corpus, CorpusConfig
from sdsim.pretrain.loop import pretrain
from sdsim.pretrain.objective import Losses, ObjectiveConfig

__all__ = ["Corpus", "CorpusConfig", "Losses", "ObjectiveConfig", "PretrainConfig", "pretrain"]
