"""The base of the streaming algorithms.

An algorithm is an immutable configuration; what it remembers is a frozen dataclass, the state,
that `step` replaces token by token. All that the algorithm knows of the past is in the fields of
that state, and `bits` charges for each of them. A stored set costs its size times ⌈log₂ n⌉ bits
(the paper's n; see `theory.setting` for letters); with ``packed`` it costs ⌈log₂ C(n, k)⌉, its
number among all k-subsets, which is the least that any encoding needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Generic

from ..checks import make_integers_python, require_at_least
from ..counting import ceil_log2
from ..one_pass.exact import one_pass_bits
from ..setting import Answer, Outcome, State, Token, run


@dataclass(frozen=True)
class StreamingAlgorithm(ABC, Generic[State]):
    """What the algorithms share: the universe, the kind of answer and the price of a set.

    Attributes:
        universe: n, how many elements there are to draw from; elements are 0 … n-1.
        search: name a common element, rather than say whether there is one.
        packed: count a stored set as its number among the sets of its size, not as a list.
    """

    universe: int
    _: KW_ONLY
    search: bool = False
    packed: bool = False

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_at_least(1, universe=self.universe)

    @abstractmethod
    def start(self) -> State:
        """The state before the first token."""

    @abstractmethod
    def step(self, state: State, token: Token) -> State:
        """The state after one more token; ValueError for a token out of place."""

    @abstractmethod
    def answer(self, state: State) -> Answer:
        """The answer held in the state."""

    @abstractmethod
    def bits(self, state: State) -> int:
        """Bits that hold the state: `header_bits`, and those of the stored set."""

    @property
    @abstractmethod
    def header_bits(self) -> int:
        """Bits of the state that do not depend on what is stored: counters, flags, answer."""

    def run(self, stream: Iterable[Token]) -> Outcome:
        """`run` this algorithm on a stream."""
        return run(self, stream)

    @property
    def _no_hit(self) -> Answer:
        return None if self.search else False

    @property
    def _hit_bits(self) -> int:
        """An element or None is one of n + 1 values; yes or no is one of two."""
        return self.universe.bit_length() if self.search else 1

    def _with_hit(self, hit: Answer, element: int) -> Answer:
        """The first hit stays."""
        if hit is not self._no_hit:
            return hit
        return element if self.search else True

    def _set_bits(self, keys: int, size: int) -> int:
        """Bits of a set of `size` out of `keys` possible members, `size` being known."""
        return one_pass_bits(keys, size) if self.packed else size * ceil_log2(keys)

    def _element(self, token: Token) -> int:
        if not isinstance(token, Integral) or not 0 <= token < self.universe:
            raise ValueError(f"token = {token}: a marker or 0 ≤ token < {self.universe} is needed")
        return int(token)
