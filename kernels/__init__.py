"""Prefix linear attention: reads a prefix freely, the rest causally, at linear cost.

`prefix_linear_attention` is the operator, `prefix_linear_attention_step` its constant-cost
recurrence, `PrefixState` the state that they pass on, and `prefix_state` and `read_state` the two
halves of non-causal attention; `sliding_window_attention` accompanies it in the full-scale models.
Source: Arora et al., "Just read twice" (arXiv:2407.05483), prefix linear attention, algorithm 2.
"""

from .interface import (
    Backend,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)
from .sliding_window import sliding_window_attention
from .state import PrefixState

__all__ = [
    "Backend",
    "PrefixState",
    "prefix_linear_attention",
    "prefix_linear_attention_step",
    "prefix_state",
    "read_state",
    "sliding_window_attention",
]
