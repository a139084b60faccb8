"""Set disjointness by Based on a prompt read twice: Theorem G.22 constructed, lemma by lemma.

    prompt   [prefix] A [sep_sets] B  [prefix] A [sep_sets] B  [sep_answer]
             0 … N - 1                N … 2N - 1               2N

    1. BaseConv (G.20, G.21)   second reading: the smaller set, then the larger, and a mark on the
                               former; first reading and last token: all zeros
    2. MLP (G.3)               the smaller set's rows become keys of value 1, all others queries
    3. linear attention (G.18) how far each query is among the keys: about 1 or about 0
    4. MLP (G.3)               ReLU(· - 1/3)

One layer of each, as in the theorem. A row of the output is in [1/3, 1] if it belongs to an element
of the larger set that the smaller set holds too, and is exactly 0 otherwise; that includes the
rows of the smaller set, the first reading and every special token.

What the paper's statement leaves open is settled here as follows.

* *Filters.* "Input-dependent" would be no restriction if any function of the input were allowed.
  Ours are linear in the input with fixed weights, and read one column, the separator's.
* *The shift.* Multiplying by X^{|A|+1} brings B to the front if it moves rows to the left, which no
  causal layer does. But turning one reading (N rows) by |A| + 1 to the left is turning it by
  N - |A| - 1 = |B| + 1 to the right, and the prompt's first reading supplies what a causal shift to
  the right brings in. So the filter is X^{|B|+1} when B is smaller; a delay by |A| + 1 rows would
  moreover carry the larger set.
* *Special tokens.* An element x is written as x + 1 in binary, 0 being Null, which stands in every
  row without an element. Null is one more element of the kernel's universe, so that it needs no
  case of its own.
* *Position.* The model is built for N, the length of one reading, and learns |A| from the
  separator, as Algorithm 3 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..checks import make_integers_python, require_at_least, require_distinct, with_python_integers
from ..layers.base_conv import BaseConv, InputDependentFilters
from ..layers.codes import binary_code
from .recurrent_layers import (
    MLP,
    FeatureMap,
    FixedKernel,
    KernelOfTheKeys,
    LinearAttention,
    Matrix,
    Model,
)


@dataclass(frozen=True)
class PromptLayout:
    """Where things stand in a prompt that shows two sets twice.

    Channels: a mark for each of the three special tokens, then an element's bits.

    >>> layout = PromptLayout(reading=5, universe=6)
    >>> for row in layout.encode([3], [0, 5])[:5].tolist():  # one reading
    ...     row
    [1, 0, 0, 0, 0, 0]
    [0, 0, 0, 0, 0, 1]
    [0, 1, 0, 0, 0, 0]
    [0, 0, 0, 1, 0, 0]
    [0, 0, 0, 0, 1, 1]

    Attributes:
        reading: N = |A| + |B| + 2, the tokens of one reading.
        universe: n, the elements being 0 … n - 1.

    Raises:
        ValueError: for N < 2 or n < 1.
    """

    reading: int
    universe: int

    PREFIX = 0
    SEPARATOR = 1
    ANSWER = 2

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_at_least(2, reading=self.reading)
        require_at_least(1, universe=self.universe)

    @property
    def length(self) -> int:
        """Tokens of the prompt, 2N + 1."""
        return 2 * self.reading + 1

    @property
    def element_bits(self) -> int:
        """w = ⌈log₂(n + 1)⌉ bits that name an element or Null."""
        return self.universe.bit_length()

    @property
    def width(self) -> int:
        """Channels, 3 + w."""
        return 3 + self.element_bits

    @property
    def bits(self) -> slice:
        """The channels of an element's bits."""
        return slice(3, self.width)

    def sizes(self, separator: int) -> tuple[int, int]:
        """(|A|, |B|) when the first separator stands in that row, 1 … N - 1."""
        return separator - 1, self.reading - 1 - separator

    def encode(self, first: Sequence[int], second: Sequence[int]) -> Matrix:
        """The prompt `(2N + 1, 3 + w)` of zeros and ones for A = `first` and B = `second`.

        Raises:
            ValueError: for sets that do not fill a reading, repeat an element or leave the
                universe.
        """
        require_distinct(first=first, second=second)
        for name, elements in (("first", first), ("second", second)):
            if not all(0 <= x < self.universe for x in elements):
                raise ValueError(f"{name} = {elements}: 0 … {self.universe - 1} are allowed")
        if len(first) + len(second) + 2 != self.reading:
            raise ValueError(
                f"first, second hold {len(first)} + {len(second)} elements: {self.reading - 2} "
                "are needed"
            )
        tokens = (
            [self._special(self.PREFIX)]
            + [self._element(x) for x in first]
            + [self._special(self.SEPARATOR)]
            + [self._element(x) for x in second]
        )
        return np.stack([*tokens, *tokens, self._special(self.ANSWER)])

    def rows_of_larger_set(self, first: Sequence[int], second: Sequence[int]) -> range:
        """The output's rows for the elements of the larger set, in their order; of B if equal."""
        start = self.reading + min(len(first), len(second)) + 2
        return range(start, 2 * self.reading)

    def _special(self, channel: int) -> Matrix:
        row = np.zeros(self.width, dtype=np.int64)
        row[channel] = 1
        return row

    def _element(self, element: int) -> Matrix:
        row = np.zeros(self.width, dtype=np.int64)
        row[self.bits] = binary_code([element + 1], self.element_bits)[0]
        return row


def shift_to_front(layout: PromptLayout) -> Matrix:
    """Lemma G.20: the filter 1, or X^{|B|+1} if B is smaller, is linear in the separator's column.

    The first separator is in row p = |A| + 1. If |A| ≤ |B| its mark is to be the coefficient at
    lag 0, otherwise that at lag N - p = |B| + 1.

    Returns:
        `(2N + 1, 2N + 1)`, lag by row: times the separator's column, it gives the filter. Rows of
        the second reading are not looked at.
    """
    taps = np.zeros((layout.length, layout.length), dtype=np.int64)
    for separator in range(1, layout.reading):
        size_a, size_b = layout.sizes(separator)
        taps[0 if size_a <= size_b else size_b + 1, separator] = 1
    return taps


def mark_of_smaller_set(layout: PromptLayout) -> Matrix:
    """Lemma G.20 for the marks: the filter X + … + X^m, m = min(|A|, |B|), is as linear.

    Convolved with the prefix's column it marks the m rows after each [prefix], which in the second
    reading are the smaller set's rows once the shift is done.

    Returns:
        `(2N + 1, 2N + 1)`, lag by row, as in `shift_to_front`.
    """
    taps = np.zeros((layout.length, layout.length), dtype=np.int64)
    for separator in range(1, layout.reading):
        taps[1 : min(layout.sizes(separator)) + 1, separator] = 1
    return taps


def smaller_set_first(layout: PromptLayout) -> BaseConv:
    """Lemma G.21: a BaseConv layer brings the smaller set to the front of the second reading.

    Rows N … 2N - 1 become, if |A| ≤ |B|, [prefix] A [sep_sets] B, else [sep_sets] B [prefix] A; so
    rows N + 1 … N + m hold the smaller set, and rows N + m + 2 … 2N - 1 the larger. The gate is the
    bias alone: 1 in the second reading and after it, 0 in the first, where the separator may not
    have been read.

    Output channels: the mark of the smaller set's rows, two of zeros, the element's bits.
    """
    read = [layout.PREFIX, *range(*layout.bits.indices(layout.width))]
    taps = np.zeros((layout.width, layout.length, layout.length), dtype=np.int64)
    taps[layout.PREFIX] = mark_of_smaller_set(layout)
    taps[layout.bits] = shift_to_front(layout)
    gate = np.zeros((layout.length, layout.width), dtype=np.int64)
    gate[layout.reading :, read] = 1
    return BaseConv(
        W=np.zeros((layout.width, layout.width), dtype=np.int64),
        B1=gate,
        K=InputDependentFilters(taps, source=layout.SEPARATOR),
        B2=np.zeros_like(gate),
    )


def keys_queries_and_values(layout: PromptLayout) -> MLP:
    """G.3 at work: marked rows become keys of value 1, all other rows become queries.

    With mark v and bit b, ReLU(b - v) is a query's bit, ReLU(b + v - 1) a key's and ReLU(v) the
    value: the bits of a marked row move from the query to the key. What is not asked or not stored
    is Null.

    Output channels: w of the query, w of the key, 1 of the value.
    """
    w = layout.element_bits
    weight = np.zeros((layout.width, 2 * w + 1), dtype=np.int64)
    weight[layout.bits, :w] = weight[layout.bits, w : 2 * w] = np.eye(w, dtype=np.int64)
    weight[layout.PREFIX, :w] = -1
    weight[layout.PREFIX, w:] = 1
    bias = np.zeros(2 * w + 1, dtype=np.int64)
    bias[w : 2 * w] = -1
    identity = np.eye(2 * w + 1, dtype=np.int64)
    return MLP(weight, bias, identity, np.zeros(2 * w + 1, dtype=np.int64))


@with_python_integers
def membership_attention(element_bits: int, feature_map: FeatureMap) -> LinearAttention:
    """Proposition G.18: linear attention tells the keys of value 1 from all other elements.

    With m such keys before it, and an (ε, f) kernel, a query gets at least 1 - (m - 1)ε and at most
    1 + (m - 1)ε if it is one of them, and at most mε in size if it is not. The input's channels are
    w of the query, w of the key and 1 of the value.

    Args:
        element_bits: w.
        feature_map: φ on 0 … 2^w - 1, or as many of these as occur.
    """
    w = element_bits
    identity = np.eye(2 * w + 1, dtype=np.int64)
    return LinearAttention(
        query=identity[:, :w],
        key=identity[:, w : 2 * w],
        value=identity[:, 2 * w :],
        feature_map=feature_map,
    )


def threshold() -> MLP:
    """The end of G.18: ReLU(z - 1/3).

    With ε ≤ 1/(3m) a member's 1 ± (m - 1)/(3m) goes to [1/3, 1), or to 2/3 for ε = 0, and all that
    is at most m/(3m) = 1/3 goes to exactly 0.
    """
    one, third = np.array([[1]]), np.array([Fraction(-1, 3)], dtype=object)
    return MLP(one, third, one, np.array([0]))


@with_python_integers
def state_bits_allowed(smaller: int, element_bits: int) -> int:
    """2mw + 2m + 4w + 5 bits, which the model with the data-dependent kernel never exceeds.

    These are mw for the keys, m + w for the sums over them, (m + 1)w for the delayed rows and m for
    the marks, w + 3 for the position, w + 1 for the separator's and 1 for its entry; the sets fill
    at most the universe, so that positions have but a few bits more than elements.

    >>> state_bits_allowed(smaller=4, element_bits=10)
    133

    Args:
        smaller: m = min(|A|, |B|).
        element_bits: w = ⌈log₂(n + 1)⌉.
    """
    return 2 * smaller * element_bits + 2 * smaller + 4 * element_bits + 5


@with_python_integers
def based_for_set_disjointness(
    reading: int, universe: int, feature_map: FeatureMap | None = None
) -> Model:
    """Theorem G.22: Based solves set disjointness on a prompt read twice.

    Its recurrent view carries, with the data-dependent kernel and m = min(|A|, |B|), never more
    than `state_bits_allowed(m, w)` = O(m·w) bits: the m keys, their m + w sums, the m + 1 rows that
    the shift delays where B is smaller, and the positions of the row and of the separator. With f
    fixed features it is f sums of ⌈log₂(2m + 1)⌉ bits instead of keys and sums; the paper's
    O(m²·w) counts numbers.

    >>> layout = PromptLayout(reading=6, universe=10)
    >>> model = based_for_set_disjointness(reading=6, universe=10)
    >>> output = model(layout.encode([7, 2, 5], [2]))  # the larger set is A
    >>> [str(output[row, 0]) for row in layout.rows_of_larger_set([7, 2, 5], [2])]
    ['0', '2/3', '0']

    Args:
        reading: N = |A| + |B| + 2, the tokens of one reading.
        universe: n, the elements being 0 … n - 1.
        feature_map: φ on 0 … n, element x being x + 1 and 0 being Null. Left out, it is the
            data-dependent kernel. With a fixed one that keeps the promise for sets of m elements
            (G.23) the model solves every instance whose smaller set has at most m.

    Returns:
        BaseConv, MLP, linear attention, MLP; from a `PromptLayout.encode` to `(2N + 1, 1)`.

    Raises:
        ValueError: for N < 2, n < 1, or a fixed φ on fewer than n + 1 numbers.
    """
    layout = PromptLayout(reading, universe)
    if isinstance(feature_map, FixedKernel) and feature_map.kernel.universe <= universe:
        raise ValueError(
            f"feature_map has a kernel on {feature_map.kernel.universe} numbers: "
            f"{universe + 1} are needed, Null being one"
        )
    chosen = KernelOfTheKeys(universe + 1) if feature_map is None else feature_map
    return Model(
        (
            smaller_set_first(layout),
            keys_queries_and_values(layout),
            membership_attention(layout.element_bits, chosen),
            threshold(),
        )
    )
