"""Linear attention with random features as a streaming algorithm, its bits counted (G.18, G.23)."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..based.random_signs import RandomSignKernel
from ..counting import ceil_log2
from ..setting import Answer, Marker, Token
from .algorithm import StreamingAlgorithm


@dataclass(frozen=True)
class KernelAttentionState:
    """The memory of `KernelAttention`.

    Attributes:
        sums: Σ √f·φ(x) over A so far, f whole numbers. After j elements each is one of j + 1
            values, from -j to j in steps of 2: ⌈log₂(j + 1)⌉ bits.
        stored: j; ⌈log₂(n + 1)⌉ bits.
        in_second: whether the separator has been read; 1 bit.
        best: the element of B with the largest score so far, None before the first; ⌈log₂(n + 1)⌉
            bits.
        score: f times that score, a whole number from -f·j to f·j.
    """

    sums: tuple[int, ...]
    stored: int
    in_second: bool
    best: int | None
    score: int


@dataclass(frozen=True)
class KernelAttention(StreamingAlgorithm[KernelAttentionState]):
    """Sum the features of A; the element of B that the sum points to most is the common one.

    Features are independent fair signs over √f, those of `theory.based.random_signs`: elements are
    nearly orthogonal once f is large beside |A|², and then ⟨φ(x), Σ φ(a)⟩ is near 1 on A and near 0
    elsewhere. Fewer features give wrong answers: accuracy against memory. The signs are public
    coins, not counted.

    >>> from ..setting import prompt
    >>> attention = KernelAttention(32, features=256, seed=0, search=True)
    >>> outcome = attention.run(prompt([31, 3], range(12)))
    >>> outcome.answer, outcome.peak_bits
    (3, 536)

    Attributes:
        features: f ≥ 1.
        seed: names the signs.

    Raises:
        ValueError: for fewer features.

    Source:
        Lemma G.18 and Corollary G.23 of arXiv:2407.05483, the read-out being a maximum (searching)
        or the threshold 1/2 (deciding).
    """

    _: KW_ONLY
    features: int
    seed: int
    _signs: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        kernel = RandomSignKernel(max(2, self.universe), 1, self.seed, dimension=self.features)
        # A frozen dataclass sets what follows from its fields this way.
        object.__setattr__(self, "_signs", kernel.directions(np.arange(self.universe)))

    def start(self) -> KernelAttentionState:
        return KernelAttentionState((0,) * self.features, 0, False, None, 0)

    def step(self, state: KernelAttentionState, token: Token) -> KernelAttentionState:
        if isinstance(token, Marker):
            if token is Marker.PREFIX:  # another copy says the same again
                return self.start()
            return replace(state, in_second=state.in_second or token is Marker.SEPARATOR)
        signs = self._signs[self._element(token)]
        if not state.in_second:
            sums = tuple((np.array(state.sums) + signs).tolist())
            return replace(state, sums=sums, stored=state.stored + 1)
        score = int(signs @ np.array(state.sums))
        if state.best is None or score > state.score:
            return replace(state, best=token, score=score)
        return state

    def answer(self, state: KernelAttentionState) -> Answer:
        if self.search:
            return state.best
        return state.best is not None and 2 * state.score > self.features

    def bits(self, state: KernelAttentionState) -> int:
        sums = self.features * ceil_log2(state.stored + 1)
        score = ceil_log2(2 * self.features * state.stored + 1)
        return sums + score + self.header_bits

    @property
    def header_bits(self) -> int:
        return 2 * self.universe.bit_length() + 1
