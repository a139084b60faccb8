"""The hash tower as a streaming algorithm: several passes with errors, every bit counted."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from fractions import Fraction
from hashlib import blake2b

from ..checks import require_at_least, with_python_integers
from ..passes.tower import Tower, tower_for
from ..setting import Answer, Marker, Token
from .algorithm import StreamingAlgorithm


@dataclass(frozen=True)
class HashTowerState:
    """The memory of `HashTower`; p passes.

    Attributes:
        copy: how many copies have begun; ⌈log₂(p + 1)⌉ bits.
        in_second: whether the separator of this copy has been read; 1 bit.
        occupied: cells of the level that the reading before this one has filled: a list or, packed,
            a number; how many they are is counted apart.
        filling: the same, of the level that this reading fills.
        gave_up: whether a level had too many occupied cells; 1 bit.
        hit: the answer so far; 1 bit, or ⌈log₂(n + 1)⌉ bits for the search version.
    """

    copy: int
    in_second: bool
    occupied: frozenset[int]
    filling: frozenset[int]
    gave_up: bool
    hit: Answer


@dataclass(frozen=True)
class HashTower(StreamingAlgorithm[HashTowerState]):
    """Filter each set by the cells that hash values of the other one occupy, reading by reading.

    See `theory.passes.tower`. The hash functions are public coins: drawn once, before the stream,
    and not counted. They stand for independent uniform cells, which a keyed hash function gives
    (BLAKE2, reduced modulo the cells of a level).

    >>> from ..setting import prompt
    >>> A, B = range(64), range(63, 127)
    >>> algorithm = HashTower.drawn(1 << 32, 64, 64, 2, Fraction(1, 20), seed=0, packed=True)
    >>> outcome = algorithm.run(prompt(A, B, passes=2))
    >>> outcome.answer, outcome.peak_bits
    (True, 257)

    Attributes:
        tower: the levels.
        seed: names the hash functions.

    Raises:
        ValueError: at configuration for impossible numbers; from `step` and `answer` for a stream
            with another number of copies.

    Source:
        Ours; Sağlam and Tardos 2013 have k elements in O(k log⁽ʳ⁾ k) bits and r messages, and show
        that no protocol takes less but for the constant.
    """

    _: KW_ONLY
    tower: Tower
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(0, seed=self.seed)

    @classmethod
    @with_python_integers
    def drawn(
        cls,
        universe: int,
        size_a: int,
        size_b: int,
        passes: int,
        error: Fraction,
        *,
        seed: int,
        search: bool = False,
        packed: bool = False,
    ) -> HashTower:
        """One whose answer is wrong with chance ≤ δ, on every pair of sets of these sizes.

        Raises:
            ValueError: as `theory.passes.tower.tower_for`, if universe < 1 or seed < 0.
        """
        tower = tower_for(size_a, size_b, passes, error, "search" if search else "decision")
        return cls(universe, search=search, packed=packed, tower=tower, seed=seed)

    def start(self) -> HashTowerState:
        return HashTowerState(0, False, frozenset(), frozenset(), False, self._no_hit)

    def step(self, state: HashTowerState, token: Token) -> HashTowerState:
        if token is Marker.ANSWER:
            return state
        if isinstance(token, Marker):
            copy = state.copy + (token is Marker.PREFIX)
            if copy > self.tower.passes:
                raise ValueError(f"stream: more than passes = {self.tower.passes} copies")
            in_second = token is Marker.SEPARATOR
            occupied, filling = state.filling, frozenset[int]()
            return replace(
                state, copy=copy, in_second=in_second, occupied=occupied, filling=filling
            )
        return self._read_element(state, self._element(token))

    def answer(self, state: HashTowerState) -> Answer:
        if state.copy != self.tower.passes:
            passes = self.tower.passes
            raise ValueError(f"stream: {state.copy} copies; passes = {passes} are needed")
        return state.hit

    def bits(self, state: HashTowerState) -> int:
        level = self._level(state)
        sets = ((level - 1, state.occupied), (level, state.filling))
        return self.header_bits + sum(
            self._set_bits(self.tower.levels[number].cells, len(held))
            for number, held in sets
            if held
        )

    @property
    def header_bits(self) -> int:
        most = max(level.capacity for level in self.tower.levels)
        return self.tower.passes.bit_length() + 2 + 2 * most.bit_length() + self._hit_bits

    def _level(self, state: HashTowerState) -> int:
        """Which level this reading fills; the last one fills none, and asks the last level."""
        return 2 * (state.copy - 1) + state.in_second

    def _read_element(self, state: HashTowerState, element: int) -> HashTowerState:
        level = self._level(state)
        if state.gave_up:
            return state
        if level > 0 and self._cell(level - 1, element) not in state.occupied:
            return state
        if level == len(self.tower.levels):
            return replace(state, hit=self._with_hit(state.hit, element))
        filling = state.filling | {self._cell(level, element)}
        if len(filling) > self.tower.levels[level].capacity:
            hit = None if self.search else True
            nothing = frozenset[int]()
            return replace(state, occupied=nothing, filling=nothing, gave_up=True, hit=hit)
        return replace(state, filling=filling)

    def _cell(self, level: int, element: int) -> int:
        name = f"{self.seed}/{level}/{element}".encode()
        number = int.from_bytes(blake2b(name, digest_size=16).digest(), "big")
        return number % self.tower.levels[level].cells
