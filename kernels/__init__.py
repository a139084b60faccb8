"""Prefix linear attention: reads a prefix freely, the rest causally, at linear cost.

`prefix_linear_attention` is the operator, `prefix_linear_attention_step` its constant-cost
recurrence, `PrefixState` the memory that passes between them, and `prefix_state` / `read_state`
the two halves of the non-causal form; `sliding_window_attention` goes with it in the full-scale
models.  Source: Arora et al., "Just read twice" (arXiv:2407.05483),
prefix linear attention and algorithm 2.
"""

from kernels.feature_maps import FeatureMapName
from kernels.interface import (
    Backend,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)
from kernels.sliding_window import sliding_window_attention
from kernels.state import PrefixState

__all__ = [
    "Backend",
    "FeatureMapName",
    "PrefixState",
    "prefix_linear_attention",
    "prefix_linear_attention_step",
    "prefix_state",
    "read_state",
    "sliding_window_attention",
]
