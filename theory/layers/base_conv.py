"""BaseConv, the paper's gated convolution, in exact arithmetic: in one step, and row by row.

Weights and inputs are whole numbers and fractions, or elements of any other commutative ring, such
as polynomials (`theory.layers.polynomials`). Nothing is rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import Exact, exact_matrix, require_at_least, require_shape, with_python_integers


@dataclass(frozen=True, eq=False)
class InputDependentFilters:
    """Convolution filters that the input itself decides, by a fixed linear map.

    The filter of channel c has the coefficient Σ_p taps[c, l, p] · u[p, source] at lag l: a
    polynomial in X whose coefficients are read off one column of the input.

    Attributes:
        taps: `(d, N, N)` integers, channel by lag by row of the input.
        source: the input's column that is read.
    """

    taps: npt.NDArray[np.int64]
    source: int

    def __call__(self, u: Exact) -> Exact:
        """The filters `(N, d)` of the input `(N, d)`."""
        filters: Exact = (self.taps @ u[:, self.source]).T
        return filters

    def latest_row(self) -> npt.NDArray[np.int64]:
        """The last row of the input that each coefficient `(N, d)` reads; -1 if none."""
        length = self.taps.shape[2]
        rows: npt.NDArray[np.int64] = np.where(self.taps != 0, np.arange(length), -1).max(axis=2).T
        return rows


@dataclass(frozen=True, eq=False, init=False)
class BaseConv:
    """z = (uW + B¹) ⊙ (K ∗ u + B²), for an input u of N rows (positions) and d channels.

    The convolution is causal and runs along the positions, channel by channel:
    (K ∗ u)[i, c] = Σ_{j ≤ i} K[i - j, c] · u[j, c].

    >>> double = BaseConv(W=[[2]], B1=[[0], [0]], K=[[0], [1]], B2=[[0], [0]])
    >>> double([[3], [5]]).tolist()  # twice each element times the one before it
    [[0], [30]]

    Attributes:
        W: `(d, d)`.
        B1: B¹ `(N, d)`, one row for each position.
        K: `(N, d)`, entry [l, c] the weight of channel c at lag l; or a function of the input.
        B2: B² `(N, d)`.

    The arrays are given as nested sequences or arrays, and kept as read-only arrays of exact
    entries.

    Raises:
        ValueError: for a number that is not exact, shapes that do not fit, or input-dependent
            filters of which an output that the gate lets through would need a later row.

    Source:
        Definition G.1 of arXiv:2407.05483.
    """

    W: Exact
    B1: Exact
    K: Exact | InputDependentFilters
    B2: Exact

    def __init__(
        self,
        W: npt.ArrayLike,  # noqa: N803 - the paper's letters
        B1: npt.ArrayLike,  # noqa: N803
        K: npt.ArrayLike | InputDependentFilters,  # noqa: N803
        B2: npt.ArrayLike,  # noqa: N803
    ) -> None:
        arrays = {"W": exact_matrix("W", W), "B1": exact_matrix("B1", B1)}
        if isinstance(K, InputDependentFilters):
            object.__setattr__(self, "K", K)
        else:
            arrays["K"] = exact_matrix("K", K)
        arrays["B2"] = exact_matrix("B2", B2)
        length, width = arrays["B1"].shape
        for name, array in arrays.items():
            require_shape(name, array, (width, width) if name == "W" else (length, width))
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if isinstance(K, InputDependentFilters):
            self._require_causal(K)

    def _require_causal(self, filters: InputDependentFilters) -> None:
        length, width = self.B1.shape
        require_shape("K.taps", filters.taps, (width, length, length))
        latest, may_open = filters.latest_row(), self.gate_may_open()
        for position in range(length):
            if np.any(may_open[position] & (latest[: position + 1] > position)):
                raise ValueError(
                    f"K: the output at position {position} needs a later row of the input; "
                    "filters that are known by then, or a gate that is 0 there, are needed"
                )

    @property
    def parameters(self) -> tuple[Exact, Exact, Exact, Exact]:
        """W, B¹, K, B².

        Raises:
            ValueError: when the filters depend on the input.
        """
        if isinstance(self.K, InputDependentFilters):
            raise ValueError("K depends on the input: fixed filters are needed")
        return self.W, self.B1, self.K, self.B2

    def __call__(self, u: npt.ArrayLike) -> Exact:
        """Map the input u `(N, d)` to the output z `(N, d)`.

        Raises:
            ValueError: when u has another shape or a number that is not exact.
        """
        inputs = exact_matrix("u", u)
        require_shape("u", inputs, self.B1.shape)
        filters = self.K(inputs) if isinstance(self.K, InputDependentFilters) else self.K
        convolved = self.B2.copy()
        for lag in np.flatnonzero((filters != 0).any(axis=1)):
            convolved[lag:] += filters[lag] * inputs[: len(inputs) - lag]
        output: Exact = (inputs @ self.W + self.B1) * convolved
        return output

    def over(self, convert: Callable[[Any], Any]) -> BaseConv:
        """The layer with each parameter converted, so that it computes in another ring.

        Raises:
            ValueError: when the filters depend on the input.
        """
        return BaseConv(*(elementwise(convert, array) for array in self.parameters))

    def gate_may_open(self) -> npt.NDArray[np.bool_]:
        """Where uW + B¹ can differ from 0 for some input, `(N, d)`."""
        may_open: npt.NDArray[np.bool_] = (self.B1 != 0) | (self.W != 0).any(axis=0)
        return may_open

    def stream(self) -> BaseConvStream:
        """A recurrent view that holds an input's entry as long as an output may still read it."""
        return BaseConvStream(self)


class BaseConvStream:
    """`BaseConv` row by row: holds the entries and filters that a later output may still read.

    An entry u[j, c] may be read at a later position t only if the gate can open at (t, c) and the
    coefficient at lag t - j is not known to be 0. Which entries these are follows from the position
    and the filters, so that the entries alone are to be stored. As more of the input gets known,
    entries stop being needed, and none becomes needed again.
    """

    def __init__(self, layer: BaseConv) -> None:
        self._layer = layer
        self._may_open = layer.gate_may_open()
        if isinstance(layer.K, InputDependentFilters):
            self._latest_row = layer.K.latest_row()
        self._rows_read: dict[int, Any] = {}  # rows that the filters depend on, where not 0
        self._held: dict[tuple[int, int], Any] = {}

    def step(self, row: npt.NDArray[Any], position: int) -> Exact:
        """The output row `(d,)` for the input row `(d,)` at that position."""
        self._read_filters(row, position)
        filters = self._known_filters()
        convolved = self._layer.B2[position] + filters[0] * row
        for (earlier, channel), entry in self._held.items():
            convolved[channel] += filters[position - earlier, channel] * entry
        self._hold(row, position, filters)
        output: Exact = (row @ self._layer.W + self._layer.B1[position]) * convolved
        return output

    def state(self) -> Mapping[str, Exact]:
        """All that is carried to the next row beside the position, by name."""
        return {
            "delay line": np.array(list(self._held.values()), dtype=object),
            "filter's rows": np.array(list(self._rows_read), dtype=object),
            "filter's entries": np.array(list(self._rows_read.values()), dtype=object),
        }

    def _read_filters(self, row: npt.NDArray[Any], position: int) -> None:
        filters = self._layer.K
        if isinstance(filters, InputDependentFilters):
            entry = row[filters.source]
            if entry != 0 and filters.taps[:, :, position].any():
                self._rows_read[position] = entry

    def _known_filters(self) -> Exact:
        """The filters `(N, d)` as far as the rows read so far decide them."""
        filters = self._layer.K
        if not isinstance(filters, InputDependentFilters):
            return filters
        known: Exact = np.zeros_like(self._layer.B1)
        for position, entry in self._rows_read.items():
            known += filters.taps[:, :, position].T * entry
        return known

    def _hold(self, row: npt.NDArray[Any], position: int, filters: Exact) -> None:
        """Take in the row's entries, and drop those that no later output may read."""
        candidates = self._held | {(position, c): entry for c, entry in enumerate(row)}
        may_be_nonzero = filters != 0
        if isinstance(self._layer.K, InputDependentFilters):
            may_be_nonzero = may_be_nonzero | (self._latest_row > position)
        rows, channels = np.array(list(candidates)).T
        later = np.arange(position + 1, len(self._may_open))
        read = (
            may_be_nonzero[later[:, None] - rows, channels]
            & self._may_open[later[:, None], channels]
        ).any(axis=0)
        self._held = {
            key: entry
            for (key, entry), is_read in zip(candidates.items(), read, strict=True)
            if is_read
        }


@dataclass(frozen=True, eq=False)
class BaseConvStack:
    """Data-independent BaseConv layers, each reading what the one before it wrote.

    Attributes:
        layers: L ≥ 1 layers with fixed filters, all for the same N positions and d channels.

    Raises:
        ValueError: when there is no layer, two differ in shape or one has input-dependent filters.
    """

    layers: tuple[BaseConv, ...]

    def __post_init__(self) -> None:
        shapes = sorted({layer.parameters[2].shape for layer in self.layers})
        if len(shapes) != 1:
            raise ValueError(f"layers have shapes {shapes}: one shape (N, d) for all is needed")

    @property
    def seq_len(self) -> int:
        """N, positions."""
        return int(self.layers[0].B1.shape[0])

    @property
    def width(self) -> int:
        """d, channels."""
        return int(self.layers[0].B1.shape[1])

    @property
    def degree_bound(self) -> int:
        """2^L, which no output's total degree exceeds."""
        return 1 << len(self.layers)

    @property
    def denominator(self) -> int:
        """The least common denominator of all parameters."""
        return lcm(*(entry.denominator for entry in self._entries()))

    @property
    def magnitude(self) -> int:
        """B, the largest integer when all parameters are written over one denominator.

        Neither a numerator's absolute value nor the denominator itself exceeds it.
        """
        denominator = self.denominator
        return max(denominator, *(abs(int(entry * denominator)) for entry in self._entries()))

    def _entries(self) -> Iterator[int | Fraction]:
        for layer in self.layers:
            for array in layer.parameters:
                yield from array.flat

    def __call__(self, u: npt.ArrayLike) -> Exact:
        """Map the input u `(N, d)` to the last layer's output `(N, d)`.

        Raises:
            ValueError: when u has another shape or a number that is not exact.
        """
        return reduce(lambda hidden, layer: layer(hidden), self.layers, exact_matrix("u", u))


@with_python_integers
def random_stack(
    seq_len: int, width: int, layers: int, *, seed: int, magnitude: int = 3, denominator: int = 2
) -> BaseConvStack:
    """Draw a stack whose parameters are integers in [-magnitude, magnitude] / denominator.

    >>> random_stack(3, 2, 2, seed=0).degree_bound
    4

    Args:
        seq_len: N, positions.
        width: d, channels.
        layers: L.
        seed: the same seed yields the same stack.
        magnitude: largest absolute value of a numerator.
        denominator: one for all parameters.

    Raises:
        ValueError: unless seq_len, width, layers, magnitude and denominator are at least 1.
    """
    require_at_least(
        1,
        seq_len=seq_len,
        width=width,
        layers=layers,
        magnitude=magnitude,
        denominator=denominator,
    )
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Exact:
        numerators = rng.integers(-magnitude, magnitude + 1, shape).astype(object)
        return elementwise(lambda numerator: Fraction(numerator, denominator), numerators)

    positions = (seq_len, width)
    return BaseConvStack(
        tuple(
            BaseConv(draw(width, width), draw(*positions), draw(*positions), draw(*positions))
            for _ in range(layers)
        )
    )


@with_python_integers
def delay(lag: int, seq_len: int, width: int) -> npt.NDArray[np.int64]:
    """The filters `(seq_len, width)` that shift every channel by `lag` positions.

    >>> delay(1, 3, 2).tolist()
    [[0, 0], [1, 1], [0, 0]]
    """
    filters = np.zeros((seq_len, width), dtype=np.int64)
    filters[lag] = 1
    return filters


def elementwise(function: Callable[[Any], Any], array: npt.NDArray[Any]) -> Exact:
    """The array of the function's values, whatever their type, at the entries of another."""
    result: Exact = np.empty(array.shape, dtype=object)
    for place in np.ndindex(array.shape):
        result[place] = function(array[place])
    return result
