"""Memory against order in theory: bounds, algorithms, constructions, claims checked on instances.

From bottom to top; each imports only what is named before it:

- ``setting``: two sets in a prompt, and a recurrent model that reads it
- ``one_pass``: bits held between the sets, exactly, by automata, with error, by filters
- ``passes``: two parties, and a prompt read several times: bounds, all protocols of tiny sizes, the
  hash tower
- ``layers``: BaseConv as exact polynomials, and the layers that recall takes: exact, approximate,
  by sign
- ``based``: Theorem G.22 as explicit weights, and the features that any kernel needs
- ``algorithms``: streaming algorithms whose held bits are counted
- ``memory``: bounds and algorithms side by side
- ``tradeoff``: accuracy against bits, of one pass and of several
- ``reductions``: between disjointness, recall, EQUALITY and INDEX
- ``claims``: the numbered claims, each with its check on instances

| bits, or layers | function | kind |
|---|---|---|
| one pass, deciding or searching | `one_pass_bits`, `one_pass_search_bits` | exact |
| after each token | `profile` | exact or bracketed |
| one pass, error δ | `search_bits`, `decision_bits`, `recall_bits` | lower bound |
| one pass, so many bits | `search_accuracy`, `decision_accuracy`, `recall_accuracy` | upper bound |
| one pass, error δ, by INDEX alone | `index_bits` | lower bound |
| one pass, error δ | `one_pass.filters.fingerprint_bits` | sufficient |
| one pass, searching, so many bits | `bitmap_search_accuracy` | a bit each for some elements |
| one pass, error δ | `one_pass.filters.membership_bits` | least of filters |
| conversation of two parties | `two_way_bits` | lower bound |
| p passes | `multi_pass_bits` | lower bound |
| p passes, tiny sizes | `passes.exhaustive.fewest_recurrent_states` | exact |
| p passes, error δ | `passes.tower.tower_for` | sufficient |
| layers for recall, by degree | `layers.degrees.layers_for_degree` | lower bound |
| layers for recall, within ε | `layers.approximation.layers_within` | lower bound |
| layers for recall, by INDEX | `layers.index.recall_layers` | lower bound |
"""

from .algorithms.algorithm import StreamingAlgorithm
from .algorithms.hash_tower import HashTower
from .algorithms.kernel_attention import KernelAttention
from .algorithms.multi_pass import JustReadTwice, MultiPass
from .algorithms.one_pass import Fingerprint, OnePass, coin_count
from .memory import MemoryNeed, memory_needs
from .one_pass.automata import Profile, profile
from .one_pass.bitmap import bitmap_held_bits, bitmap_search_accuracy
from .one_pass.exact import all_told_apart, one_pass_bits, one_pass_search_bits
from .one_pass.rate_distortion import (
    decision_accuracy,
    decision_bits,
    recall_accuracy,
    recall_bits,
    search_accuracy,
    search_bits,
)
from .one_pass.with_error import index_bits
from .passes.bounds import multi_pass_bits, two_way_bits
from .setting import Marker, Token, prompt

__all__ = [
    "Fingerprint",
    "HashTower",
    "JustReadTwice",
    "KernelAttention",
    "Marker",
    "MemoryNeed",
    "MultiPass",
    "OnePass",
    "Profile",
    "StreamingAlgorithm",
    "Token",
    "all_told_apart",
    "bitmap_held_bits",
    "bitmap_search_accuracy",
    "coin_count",
    "decision_accuracy",
    "decision_bits",
    "index_bits",
    "memory_needs",
    "multi_pass_bits",
    "one_pass_bits",
    "one_pass_search_bits",
    "profile",
    "prompt",
    "recall_accuracy",
    "recall_bits",
    "search_accuracy",
    "search_bits",
    "two_way_bits",
]
