"""Synthetic tasks whose memory need is known: set disjointness, and repeated prompts.

A task is a frozen description; `task.sample(...)` is a pure function of (task, seed, split, index),
so that any example can be made anywhere, in any batch, on any device.
"""

from synthetic.set_disjointness import SetDisjointness
from synthetic.task import IGNORE_INDEX, Batch, Order, Split, Task

__all__ = ["IGNORE_INDEX", "Batch", "Order", "SetDisjointness", "Split", "Task"]
