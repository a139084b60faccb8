"""Synthetic tasks whose memory need is known: set disjointness, recall, repeated prompts, mixtures.

A task is a frozen description; `task.sample(...)` is a pure function of (task, seed, split, index),
so that any example can be made anywhere, in any batch, on any device.
"""

from synthetic.associative_recall import AssociativeRecall
from synthetic.general_associative_recall import GeneralAssociativeRecall
from synthetic.mixture import Mixture
from synthetic.multi_query_associative_recall import MultiQueryAssociativeRecall
from synthetic.set_disjointness import SetDisjointness
from synthetic.task import IGNORE_INDEX, Batch, Order, RecallOrder, Split, Task

__all__ = [
    "IGNORE_INDEX",
    "AssociativeRecall",
    "Batch",
    "GeneralAssociativeRecall",
    "Mixture",
    "MultiQueryAssociativeRecall",
    "Order",
    "RecallOrder",
    "SetDisjointness",
    "Split",
    "Task",
]
