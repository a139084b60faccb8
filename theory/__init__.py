"""Memory against order in theory: bounds, algorithms, constructions, and the claims that test them.

``bounds``: exact and randomized bounds in bits. ``automata``: the exact memory profile for small
universes. ``streaming``: algorithms whose held bits are counted. ``protocols``: a recurrent model
as two parties. ``reductions``: between disjointness, recall, EQ and INDEX. ``ip_kernels`` and
``based``: Theorem G.22 as explicit weights. ``polynomials``: BaseConv as exact polynomials.
``kernel_attention``: linear attention with random features, counted in bits. ``memory``: bounds
and algorithms side by side. ``verify``: all claims, run.
"""

from theory.automata import Profile, profile
from theory.bounds import (
    average_recall_bits,
    average_search_bits,
    index_bits,
    multi_pass_bits,
    one_pass_bits,
    two_way_bits,
)
from theory.kernel_attention import KernelAttention
from theory.memory import MemoryNeed, memory_needs
from theory.streaming import Fingerprint, JustReadTwice, MultiPass, OnePass, prompt

__all__ = [
    "Fingerprint",
    "JustReadTwice",
    "KernelAttention",
    "MemoryNeed",
    "MultiPass",
    "OnePass",
    "Profile",
    "average_recall_bits",
    "average_search_bits",
    "index_bits",
    "memory_needs",
    "multi_pass_bits",
    "one_pass_bits",
    "profile",
    "prompt",
    "two_way_bits",
]
