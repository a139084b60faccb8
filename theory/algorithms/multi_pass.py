"""Several passes: compare the smaller set with the other, all at once or chunk by chunk."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace

from ..checks import require_at_least, require_between
from ..setting import Answer, Marker, Token
from .algorithm import StreamingAlgorithm


@dataclass(frozen=True)
class MultiPassState:
    """The memory of `MultiPass` and of `JustReadTwice`; N is the length of one copy.

    Attributes:
        copy: how many copies have begun; ⌈log₂(p + 1)⌉ bits.
        position: how many tokens of this copy have been read; ⌈log₂(N + 1)⌉ bits.
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
    Either way p - 1 chunks fit: the first copy's A is read before the sizes are known, the last
    copy's B has no A after it. With |A| configured, chunks of A fit in all p copies, and the
    algorithm takes the smaller of ⌈|A| / p⌉ and ⌈|B| / (p - 1)⌉.

    >>> from ..setting import prompt
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
        require_at_least(2, length=self.length)  # the two markers
        least_passes = 2 if self.size_a is None else 1
        if self.passes < least_passes:
            raise ValueError(
                f"passes = {self.passes}: at least {least_passes} is needed "
                "(2 to learn the sizes from the stream, 1 with size_a)"
            )
        if self.size_a is not None:
            require_between(0, self.length - 2, size_a=self.size_a)

    def chunk_size(self, size_a: int) -> int:
        """The most elements held at a time when |A| = size_a and |B| = length - 2 - |A|.

        Raises:
            ValueError: unless 0 ≤ size_a ≤ length - 2, and equal to the configured one if any.
        """
        require_between(0, self.length - 2, size_a=size_a)
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

    >>> from ..setting import prompt
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
