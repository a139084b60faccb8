"""Streaming algorithms for set disjointness, with every bit that they hold counted.

The stream is the paper's prompt: ``([prefix] A [sep_sets] B)`` once or p times, then ``[answer]``.
An algorithm is an immutable configuration; what it remembers is a frozen dataclass, the state,
that `step` replaces token by token. All that the algorithm knows of the past is in the fields of
that state, and `bits` charges for each of them. A stored set costs its size times ⌈log₂ n⌉ bits
(the paper writes n for these bits per element); with ``packed`` it costs ⌈log₂ C(n, k)⌉, its
number among all k-subsets, which is the least that any encoding needs.

    algorithm                         holds, apart from O(log) bits of counters
    OnePass                           all of A, the set that comes first
    JustReadTwice (Algorithm 3)       all of the smaller set
    MultiPass (p copies)              ⌈min / (p-1)⌉ elements of it at a time
    Fingerprint (public coins)        a hash value for each element of A

Every one of them answers either version: whether A and B meet, or (``search``) which element they
share.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Generic, Protocol, TypeAlias, TypeVar

import sympy

from theory.bounds import bits_to_name, one_pass_bits

State = TypeVar("State")


class Marker(Enum):
    """The special tokens of a prompt; all other tokens are elements, 0 … n-1."""

    PREFIX = "[prefix]"
    SEPARATOR = "[sep_sets]"
    ANSWER = "[answer]"


Token: TypeAlias = int | Marker
Answer: TypeAlias = bool | int | None
"""Decision: True when the sets meet. Search: a common element, None when there is none."""


def prompt(first: Iterable[int], second: Iterable[int], passes: int = 1) -> tuple[Token, ...]:
    """The stream ``([prefix] A [sep_sets] B) × passes [answer]``, the sets in the order given.

    >>> [token if isinstance(token, int) else token.value for token in prompt([4, 1], [7])]
    ['[prefix]', 4, 1, '[sep_sets]', 7, '[answer]']

    Args:
        first: A, distinct elements.
        second: B, distinct elements.
        passes: p, how many copies stand before the answer token; 2 is the JRT prompt.

    Returns:
        passes · (|A| + |B| + 2) + 1 tokens.

    Raises:
        ValueError: if an element occurs twice in one set, or passes < 1.

    Source:
        Section 3.1 and Definitions G.4 (twice) and G.28 (p times) of arXiv:2407.05483.
    """
    if passes < 1:
        raise ValueError(f"passes = {passes}: at least 1 is needed")
    sides = {"first": tuple(first), "second": tuple(second)}
    for name, side in sides.items():
        if len(set(side)) < len(side):
            raise ValueError(f"{name} = {side}: distinct elements are needed")
    copy: tuple[Token, ...] = (Marker.PREFIX, *sides["first"], Marker.SEPARATOR, *sides["second"])
    return (*(copy * passes), Marker.ANSWER)


class RecurrentModel(Protocol[State]):
    """A step function and a finite state (Definition G.12): Zⁱ = f(Zⁱ⁻¹, uᵢ).

    The algorithms of this module are such models; so is a neural network whose state is rounded to
    finitely many values. States are hashable, and nothing is remembered outside them.
    """

    def start(self) -> State:
        """The state before the first token."""

    def step(self, state: State, token: Token) -> State:
        """The state after one more token."""

    def answer(self, state: State) -> Answer:
        """What the model says, having read the whole stream."""

    def bits(self, state: State) -> int:
        """How many bits hold this state."""


@dataclass(frozen=True)
class Outcome:
    """What a model said about a stream, and what it held while it read.

    Attributes:
        answer: of the decision or of the search version, as configured.
        peak_bits: the most bits held at any time.
        trace: bits held after each token of the stream.
    """

    answer: Answer
    peak_bits: int
    trace: tuple[int, ...]


def run(model: RecurrentModel[State], stream: Iterable[Token]) -> Outcome:
    """Read the stream token by token and count the bits held on the way.

    >>> run(OnePass(universe=8), prompt([4, 1], [7, 1]))
    Outcome(answer=True, peak_bits=12, trace=(6, 9, 12, 12, 12, 12, 12))

    Args:
        model: a streaming algorithm, or anything else with the four methods of `RecurrentModel`.
        stream: tokens; an iterator will do, each is looked at once.

    Returns:
        The answer after the last token, the peak and the trace, in bits.

    Raises:
        ValueError: from the model, for a stream that it was not configured for.
    """
    state = model.start()
    peak = model.bits(state)
    trace = []
    for token in stream:
        state = model.step(state, token)
        trace.append(model.bits(state))
    return Outcome(model.answer(state), max(peak, *trace, 0), tuple(trace))


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
        if self.universe < 1:
            raise ValueError(f"universe = {self.universe}: at least 1 is needed")

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
        return one_pass_bits(keys, size) if self.packed else size * bits_to_name(keys)

    def _element(self, token: Token) -> int:
        if not isinstance(token, int) or not 0 <= token < self.universe:
            raise ValueError(f"token = {token}: a marker or 0 ≤ token < {self.universe} is needed")
        return token


@dataclass(frozen=True)
class OnePassState:
    """The memory of `OnePass` and of `Fingerprint`.

    Attributes:
        stored: the first set, or its fingerprints: a list or, packed, a number; its size is
            counted apart, ⌈log₂(n + 1)⌉ bits.
        in_second: whether the separator has gone by; 1 bit.
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
    (`theory.bounds.one_pass_bits`): what it holds depends on the order of the sets.

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
    missed; disjoint sets are taken to meet with probability at most `false_positive_bound`. In the
    search version, the element named may be wrong with that probability.

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
        if self.fingerprint_bits < 0:
            raise ValueError(f"fingerprint_bits = {self.fingerprint_bits}: 0 or more is needed")
        if not 0 <= self.coins < coin_count(self.universe):
            allowed = f"0 ≤ coins < {coin_count(self.universe)} is needed"
            raise ValueError(f"coins = {self.coins}: {allowed}")

    @classmethod
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
    return int(sympy.nextprime(least - 1))


def coin_count(universe: int) -> int:
    """How many hash functions `Fingerprint` draws from: P(P-1), P the least prime ≥ universe.

    >>> coin_count(8)
    110

    Raises:
        ValueError: if universe < 1.
    """
    if universe < 1:
        raise ValueError(f"universe = {universe}: at least 1 is needed")
    prime = _prime_from(universe)
    return prime * (prime - 1)


def false_positive_bound(fingerprint_bits: int, size_a: int, size_b: int) -> Fraction:
    """At most how likely `Fingerprint` is to take disjoint sets for ones that meet: |A||B| / 2ᵏ.

    Each of the |A||B| pairs collides with probability at most 2⁻ᵏ; their sum bounds the chance
    that any does. The probability is over the coins alone, so that it holds for the worst sets.

    >>> false_positive_bound(10, 4, 32)
    Fraction(1, 8)

    Args:
        fingerprint_bits: k ≥ 0, bits of one hash value.
        size_a: |A| ≥ 0, elements.
        size_b: |B| ≥ 0, elements.

    Raises:
        ValueError: if one of them is negative.

    Source:
        The union bound over a universal family (Carter and Wegman 1979); beyond the paper.
    """
    for name, value in (
        ("fingerprint_bits", fingerprint_bits),
        ("size_a", size_a),
        ("size_b", size_b),
    ):
        if value < 0:
            raise ValueError(f"{name} = {value}: 0 or more is needed")
    return min(Fraction(1), Fraction(size_a * size_b, 1 << fingerprint_bits))


def fingerprint_bits_for(size_a: int, size_b: int, error: Fraction) -> int:
    """The least k with `false_positive_bound` ≤ error: ⌈log₂(|A||B| / error)⌉ bits a hash value.

    Packed, |A| such values take at most |A| · log₂(2e · |B| / error) + 1 bits, since
    C(m, a) ≤ (em/a)ᵃ and 2ᵏ < 2|A||B| / error: so about log₂(|B| / error) bits for an element.
    (`theory.bounds.fingerprint_bits` has ⌈|A||B| / error⌉ cells rather than a power of two.)

    >>> fingerprint_bits_for(64, 64, Fraction(1, 100))
    19

    Raises:
        ValueError: unless 0 < error < 1, or if a size is negative.
    """
    if not 0 < error < 1:
        raise ValueError(f"error = {error}: 0 < error < 1 is needed")
    bits = 0
    while false_positive_bound(bits, size_a, size_b) > error:
        bits += 1
    return bits


@dataclass(frozen=True)
class MultiPassState:
    """The memory of `MultiPass` and of `JustReadTwice`; N is the length of one copy.

    Attributes:
        copy: how many copies have begun; ⌈log₂(p + 1)⌉ bits.
        position: how many tokens of this copy have gone by; ⌈log₂(N + 1)⌉ bits.
        boundary: where the separator stands in a copy, 0 before it was seen; ⌈log₂ N⌉ bits, or
            none where the sizes are configured, since it then never changes.
        chunk: the stored elements: a list or, packed, a number; how many they are is counted
            apart, ⌈log₂(N + 1)⌉ bits.
        hit: the answer so far; 1 bit, or ⌈log₂(n + 1)⌉ bits for the search version.
    """

    copy: int
    position: int
    boundary: int
    chunk: frozenset[int]
    hit: Answer


@dataclass(frozen=True)
class _Plan:
    """Which set is stored, how many elements at a time, and in which copy this begins."""

    stores_first: bool
    chunk_size: int
    first_copy: int

    def stores(self, copy: int, index: int) -> bool:
        """Whether this copy's chunk has the element of that index in its set."""
        number = copy - self.first_copy
        return number * self.chunk_size <= index < (number + 1) * self.chunk_size


@dataclass(frozen=True)
class MultiPass(StreamingAlgorithm[MultiPassState]):
    """Compare the smaller set with the other chunk by chunk, one chunk a copy of the prompt.

    The first separator tells which set is the smaller one, as in Algorithm 3. A chunk of B is
    stored in one copy and compared with A in the next; a chunk of A is compared within its copy.
    Either way p - 1 chunks fit: the first copy's A goes by before the sizes are known, the last
    copy's B has no A after it. With |A| configured, chunks of A fit in all p copies, and the
    algorithm takes the smaller of ⌈|A| / p⌉ and ⌈|B| / (p - 1)⌉.

    >>> A, B = range(12), range(8, 48)
    >>> stream = prompt(A, B, passes=5)
    >>> learning = MultiPass(universe=64, length=54, passes=5)
    >>> learning.run(stream).answer, learning.chunk_size(size_a=12)
    (True, 3)
    >>> MultiPass(universe=64, length=54, passes=6, size_a=12).chunk_size(size_a=12)
    2

    Attributes:
        length: N, tokens of one copy: |A| + |B| + 2.
        passes: p, copies of the prompt; 1 only with `size_a`.
        size_a: |A| where it is known before the stream, else None.

    Raises:
        ValueError: at configuration for impossible numbers; from `step` and `answer` for a stream
            of another shape.

    Source:
        Theorem G.15 and Definition G.28 of arXiv:2407.05483; the chunks are ours. Peak:
        ⌈log₂ n⌉ · `chunk_size` + `header_bits`.
    """

    _: KW_ONLY
    length: int
    passes: int
    size_a: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 2:
            raise ValueError(f"length = {self.length}: at least 2 (the two markers) is needed")
        least_passes = 2 if self.size_a is None else 1
        if self.passes < least_passes:
            raise ValueError(
                f"passes = {self.passes}: at least {least_passes} is needed "
                "(2 to learn the sizes from the stream, 1 with size_a)"
            )
        if self.size_a is not None:
            self._check_size_a(self.size_a)

    def chunk_size(self, size_a: int) -> int:
        """The most elements held at a time when |A| = size_a and |B| = length - 2 - |A|.

        Raises:
            ValueError: unless 0 ≤ size_a ≤ length - 2, and equal to the configured one if any.
        """
        self._check_size_a(size_a)
        if self.size_a not in (None, size_a):
            raise ValueError(f"size_a = {size_a}: {self.size_a} is configured")
        return self._plan(size_a + 1).chunk_size

    def start(self) -> MultiPassState:
        boundary = 0 if self.size_a is None else self.size_a + 1
        return MultiPassState(0, 0, boundary, frozenset(), self._no_hit)

    def step(self, state: MultiPassState, token: Token) -> MultiPassState:
        if token is Marker.PREFIX:
            return self._begin_copy(state)
        if token is Marker.SEPARATOR:
            return self._cross_separator(state)
        if token is Marker.ANSWER:
            self._check_complete(state)
            return state
        return self._read_element(state, self._element(token))

    def answer(self, state: MultiPassState) -> Answer:
        self._check_complete(state)
        return state.hit

    def bits(self, state: MultiPassState) -> int:
        return self.header_bits + self._set_bits(self.universe, len(state.chunk))

    @property
    def header_bits(self) -> int:
        copy = self.passes.bit_length()
        position = chunk_length = self.length.bit_length()
        boundary = (self.length - 1).bit_length() if self.size_a is None else 0
        return copy + position + boundary + chunk_length + self._hit_bits

    def _plan(self, boundary: int) -> _Plan:
        size_a, size_b = boundary - 1, self.length - 1 - boundary
        if self.size_a is None:
            # boundary = |A| + 1 ≤ ⌊N / 2⌋ exactly when |A| ≤ |B|, as N = |A| + |B| + 2.
            stores_first = boundary <= self.length // 2
            smaller = min(size_a, size_b)
            chunk_size = _ceil_div(smaller, self.passes - 1)
            return _Plan(stores_first, chunk_size, first_copy=2 if stores_first else 1)
        first_chunk = _ceil_div(size_a, self.passes)
        if self.passes == 1 or first_chunk <= _ceil_div(size_b, self.passes - 1):
            return _Plan(True, first_chunk, first_copy=1)
        return _Plan(False, _ceil_div(size_b, self.passes - 1), first_copy=1)

    def _begin_copy(self, state: MultiPassState) -> MultiPassState:
        if state.copy == self.passes:
            raise ValueError(f"stream: more than passes = {self.passes} copies")
        if state.copy > 0:
            self._check_copy_read(state)
        holds_second = state.boundary > 0 and not self._plan(state.boundary).stores_first
        chunk = state.chunk if holds_second else frozenset()
        return replace(state, copy=state.copy + 1, position=1, chunk=chunk)

    def _cross_separator(self, state: MultiPassState) -> MultiPassState:
        here = state.position
        if state.copy == 0 or here >= self.length or state.boundary not in (0, here):
            raise ValueError(f"stream: a separator out of place, at position {here} of its copy")
        chunk = state.chunk if self._plan(here).stores_first else frozenset()
        return replace(state, position=here + 1, boundary=here, chunk=chunk)

    def _read_element(self, state: MultiPassState, element: int) -> MultiPassState:
        here, boundary = state.position, state.boundary
        if state.copy == 0 or here >= self.length or here == boundary:
            raise ValueError(f"stream: an element out of place, at position {here} of its copy")
        moved = replace(state, position=here + 1)
        if boundary == 0:
            return moved
        plan = self._plan(boundary)
        in_second = here > boundary
        if in_second != plan.stores_first:
            index = here - 1 - (boundary if in_second else 0)
            keep = plan.stores(state.copy, index)
            return replace(moved, chunk=state.chunk | {element}) if keep else moved
        if element in state.chunk:
            return replace(moved, hit=self._with_hit(state.hit, element))
        return moved

    def _check_size_a(self, size_a: int) -> None:
        if not 0 <= size_a <= self.length - 2:
            allowed = f"0 ≤ size_a ≤ length - 2 = {self.length - 2} is needed"
            raise ValueError(f"size_a = {size_a}: {allowed}")

    def _check_copy_read(self, state: MultiPassState) -> None:
        if state.position != self.length or state.boundary == 0:
            raise ValueError(
                f"stream: copy {state.copy} ends after {state.position} tokens; "
                f"length = {self.length} with a separator is needed"
            )

    def _check_complete(self, state: MultiPassState) -> None:
        if state.copy != self.passes:
            raise ValueError(f"stream: {state.copy} copies; passes = {self.passes} are needed")
        self._check_copy_read(state)


@dataclass(frozen=True)
class JustReadTwice(MultiPass):
    """Algorithm 3: store the smaller of the two sets, whichever comes first; two copies.

    The first separator, before or after the middle of its copy, tells which set is the smaller.
    If A is, it is stored on the second reading and compared with the B that follows; if B is, it
    is stored on the first reading and compared with the second A.

    >>> short, long = [31, 3], range(12)
    >>> algorithm = JustReadTwice(universe=32, length=16, search=True)
    >>> long_first = algorithm.run(prompt(long, short, passes=2))
    >>> short_first = algorithm.run(prompt(short, long, passes=2))
    >>> long_first.answer, short_first.answer, long_first.peak_bits, short_first.peak_bits
    (3, 3, 32, 32)

    Attributes:
        length: N, tokens of one copy: |A| + |B| + 2.

    Raises:
        ValueError: as `MultiPass`, of which it is the case p = 2.

    Source:
        Theorem G.15, Algorithm 3. Peak: ⌈log₂ n⌉ · min(|A|, |B|) + `header_bits`, the latter
        O(log N + log n).
    """

    _: KW_ONLY
    passes: int = field(default=2, init=False)
    size_a: None = field(default=None, init=False)


def _ceil_div(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
