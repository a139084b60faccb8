"""Synthetic tasks of known memory need: set disjointness, recall, repeated prompts, mixtures; and
documents with facts, their twin in prose.

A task is a frozen dataclass; `task.sample(...)` is a pure function of task, seed, split and index,
so that any example can be made anywhere, in any batch, on any device.
"""

from .associative_recall import AssociativeRecall
from .fact_documents import FactDocument, FactDocuments, Question
from .general_associative_recall import GeneralAssociativeRecall
from .mixture import Mixture
from .multi_query_associative_recall import MultiQueryAssociativeRecall
from .noisy_associative_recall import NoisyAssociativeRecall
from .selective_copying import SelectiveCopying
from .set_disjointness import SetDisjointness
from .task import IGNORE_INDEX, Batch, Order, RecallOrder, Split, Task

__all__ = [
    "IGNORE_INDEX",
    "AssociativeRecall",
    "Batch",
    "FactDocument",
    "FactDocuments",
    "GeneralAssociativeRecall",
    "Mixture",
    "MultiQueryAssociativeRecall",
    "NoisyAssociativeRecall",
    "Order",
    "Question",
    "RecallOrder",
    "SelectiveCopying",
    "SetDisjointness",
    "Split",
    "Task",
]
