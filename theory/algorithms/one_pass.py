"""One pass: store the first set, or a hash value for each of its elements."""

from __future__ import annotations

import random
from dataclasses import KW_ONLY, dataclass, replace
from functools import lru_cache

from ..checks import require_at_least, require_between, with_python_integers
from ..setting import Answer, Marker, Token
from .algorithm import StreamingAlgorithm


@dataclass(frozen=True)
class OnePassState:
    """The memory of `OnePass` and of `Fingerprint`.

    Attributes:
        stored: the first set, or its fingerprints: a list or, packed, a number; its size is
            counted apart, ⌈log₂(n + 1)⌉ bits.
        in_second: whether the separator has been read; 1 bit.
        hit: the answer so far; 1 bit, or ⌈log₂(n + 1)⌉ bits for the search version.
    """

    stored: frozenset[int]
    in_second: bool
    hit: Answer


@dataclass(frozen=True)
class OnePass(StreamingAlgorithm[OnePassState]):
    """Store the set that comes first, compare the other with it.

    It needs one copy of the sets, and further copies do no harm. At the separator it has told all
    C(n, |A|) first sets apart, which every one-pass algorithm must when |A| + |B| ≤ n
    (`theory.one_pass.exact.one_pass_bits`): what it holds depends on the order of the sets.

    >>> from ..setting import prompt
    >>> long_first = OnePass(universe=32, search=True).run(prompt(range(12), [31, 3]))
    >>> short_first = OnePass(universe=32, search=True).run(prompt([31, 3], range(12)))
    >>> long_first.answer, long_first.peak_bits, short_first.answer, short_first.peak_bits
    (3, 73, 3, 23)
    """

    def start(self) -> OnePassState:
        return OnePassState(frozenset(), False, self._no_hit)

    def step(self, state: OnePassState, token: Token) -> OnePassState:
        if isinstance(token, Marker):
            # The answer token leaves the state as it is.
            in_second = {Marker.PREFIX: False, Marker.SEPARATOR: True}.get(token, state.in_second)
            return replace(state, in_second=in_second)
        element = self._element(token)
        key = self._key(element)
        if not state.in_second:
            return replace(state, stored=state.stored | {key})
        if key in state.stored:
            return replace(state, hit=self._with_hit(state.hit, element))
        return state

    def answer(self, state: OnePassState) -> Answer:
        return state.hit

    def bits(self, state: OnePassState) -> int:
        return self.header_bits + self._set_bits(self._keys, len(state.stored))

    @property
    def header_bits(self) -> int:
        return self.universe.bit_length() + 1 + self._hit_bits

    @property
    def _keys(self) -> int:
        """How many values `_key` may take."""
        return self.universe

    def _key(self, element: int) -> int:
        """What is stored of an element: here, itself."""
        return element


@dataclass(frozen=True)
class Fingerprint(OnePass):
    """`OnePass` that stores a random hash value in place of each element of A.

    The hash function is h(x) = ((αx + β) mod P) mod 2ᵏ, P the least prime ≥ n, with α from 1 … P-1
    and β from 0 … P-1: a universal family, two elements collide with probability at most 2⁻ᵏ
    (Carter and Wegman 1979). Its coins are public: drawn once, before the stream, and not counted
    in the state (they would add log₂ P(P-1) bits, whatever the sets). A common element is never
    missed; disjoint sets are taken to meet with probability at most
    `theory.one_pass.filters.false_positive_bound`. In the search version, the element named may be
    wrong with that probability.

    >>> from ..setting import prompt
    >>> sets = prompt(range(0, 64), range(64, 128))
    >>> algorithm = Fingerprint.drawn(1 << 32, 20, seed=0, packed=True)
    >>> algorithm.run(sets).answer, algorithm.run(sets).peak_bits
    (False, 1020)
    >>> OnePass(1 << 32, packed=True).run(sets).peak_bits
    1788

    Attributes:
        fingerprint_bits: k, the bits of one hash value.
        coins: which function of the family, 0 ≤ coins < `coin_count(universe)`.
    """

    _: KW_ONLY
    fingerprint_bits: int
    coins: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, fingerprint_bits=self.fingerprint_bits)
        require_between(0, coin_count(self.universe), open_high=True, coins=self.coins)

    @classmethod
    @with_python_integers
    def drawn(
        cls,
        universe: int,
        fingerprint_bits: int,
        *,
        seed: int,
        search: bool = False,
        packed: bool = False,
    ) -> Fingerprint:
        """One with coins drawn uniformly by a generator that `seed` alone decides.

        Raises:
            ValueError: if universe < 1 or fingerprint_bits < 0.
        """
        coins = random.Random(seed).randrange(coin_count(universe))
        return cls(
            universe, search=search, packed=packed, fingerprint_bits=fingerprint_bits, coins=coins
        )

    @property
    def _keys(self) -> int:
        return 1 << self.fingerprint_bits

    def _key(self, element: int) -> int:
        prime = _prime_from(self.universe)
        factor, offset = divmod(self.coins, prime)
        return ((factor + 1) * element + offset) % prime % self._keys


@lru_cache
def _prime_from(least: int) -> int:
    import sympy  # here, so that `theory` opens without it

    return int(sympy.nextprime(least - 1))


@with_python_integers
def coin_count(universe: int) -> int:
    """How many hash functions `Fingerprint` draws from: P(P-1), P the least prime ≥ universe.

    >>> coin_count(8)
    110

    Raises:
        ValueError: if universe < 1.
    """
    require_at_least(1, universe=universe)
    prime = _prime_from(universe)
    return prime * (prime - 1)
