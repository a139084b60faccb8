"""Theorem G.22 as explicit weights: Based solves set disjointness on a prompt read twice.

`layers` holds the paper's layers, each in a parallel and a recurrent view; `construction` sets
their weights, one function a lemma.
"""

from theory.based.construction import (
    PromptLayout,
    based_for_set_disjointness,
    keys_queries_and_values,
    mark_of_smaller_set,
    membership_attention,
    shift_to_front,
    smaller_set_first,
    state_bits_allowed,
    threshold,
)
from theory.based.layers import (
    MLP,
    BaseConv,
    FixedKernel,
    InputDependentFilters,
    KernelOfTheKeys,
    LinearAttention,
    Model,
    ModelStream,
    StateSize,
)

__all__ = [
    "MLP",
    "BaseConv",
    "FixedKernel",
    "InputDependentFilters",
    "KernelOfTheKeys",
    "LinearAttention",
    "Model",
    "ModelStream",
    "PromptLayout",
    "StateSize",
    "based_for_set_disjointness",
    "keys_queries_and_values",
    "mark_of_smaller_set",
    "membership_attention",
    "shift_to_front",
    "smaller_set_first",
    "state_bits_allowed",
    "threshold",
]
