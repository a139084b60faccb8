"""MLP, linear attention and models of layers, each in two views: all rows at once, and row by row.

A layer is called on a whole input `(length, width)`, one row for each token, and gives the whole
output. Its `stream()` takes the rows one at a time and shows what it carries from one to the next:
the recurrent model of Def. G.12, whose state is then counted rather than estimated.

Arithmetic is exact. Weights and inputs are whole numbers, and linear attention, the one layer that
divides, gives fractions: "exactly 0" means what it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..checks import require_shape
from ..layers.codes import binary_code
from .kernels import DataDependentKernel, InnerProductKernel

Matrix: TypeAlias = NDArray[Any]
"""Whole numbers or fractions; rows are tokens, columns are channels."""


class LayerStream(Protocol):
    """A layer that reads one row after another."""

    def step(self, row: Matrix, position: int) -> Matrix:
        """The output row `(width,)` for the input row `(width,)` at that position."""
        ...

    def state(self) -> Mapping[str, Matrix]:
        """All that is carried to the next row beside the position, by name."""
        ...


class Layer(Protocol):
    """What a `Model` is made of."""

    def __call__(self, u: Matrix) -> Matrix:
        """The output `(length, width)` for the whole input `(length, width)`."""
        ...

    def stream(self) -> LayerStream:
        """A new recurrent view, before the first row."""
        ...


@dataclass(frozen=True)
class MLP:
    """ReLU(uW¹ + B¹)W² + B², row by row (G.3).

    The conjunction of two bits:

    >>> both = MLP(np.array([[1], [1]]), np.array([-1]), np.array([[1]]), np.array([0]))
    >>> both(np.array([[0, 0], [0, 1], [1, 0], [1, 1]])).ravel().tolist()
    [0, 0, 0, 1]

    Attributes:
        weight_in: W¹ `(width, hidden)`.
        bias_in: B¹ `(hidden,)`, the same at every position.
        weight_out: W² `(hidden, width out)`.
        bias_out: B² `(width out,)`.

    Raises:
        ValueError: for shapes that do not fit.
    """

    weight_in: Matrix
    bias_in: Matrix
    weight_out: Matrix
    bias_out: Matrix

    def __post_init__(self) -> None:
        hidden, width_out = self.weight_out.shape
        require_shape("weight_in", self.weight_in, (self.weight_in.shape[0], hidden))
        require_shape("bias_in", self.bias_in, (hidden,))
        require_shape("bias_out", self.bias_out, (width_out,))

    def __call__(self, u: Matrix) -> Matrix:
        """Output `(length, width out)` for the input `(length, width)`."""
        hidden = np.maximum(u @ self.weight_in + self.bias_in, 0)
        result: Matrix = hidden @ self.weight_out + self.bias_out
        return result

    def stream(self) -> LayerStream:
        """Itself: nothing is carried."""
        return _MLPStream(self)


@dataclass(frozen=True)
class _MLPStream:
    layer: MLP

    def step(self, row: Matrix, position: int) -> Matrix:
        return self.layer(row)

    def state(self) -> Mapping[str, Matrix]:
        return {}


@dataclass(frozen=True)
class FixedKernel:
    """A feature map that does not look at the input.

    Attributes:
        kernel: on the numbers 0 … n, 0 being Null.
    """

    kernel: InnerProductKernel

    def for_keys(self, keys: tuple[int, ...]) -> InnerProductKernel:
        """The kernel, whatever the keys."""
        return self.kernel

    def remembered(self, keys: tuple[int, ...]) -> tuple[int, ...]:
        """The keys that evaluating the kernel needs: none."""
        return ()


@dataclass(frozen=True)
class KernelOfTheKeys:
    """The data-dependent kernel: one-hot on the keys that have a value, a binary code elsewhere.

    Attributes:
        universe: n + 1 numbers, 0 being Null.
    """

    universe: int

    def for_keys(self, keys: tuple[int, ...]) -> InnerProductKernel:
        """The kernel that is one-hot on those keys."""
        return DataDependentKernel(self.universe, keys)

    def remembered(self, keys: tuple[int, ...]) -> tuple[int, ...]:
        """The keys that evaluating the kernel needs: all of them."""
        return keys


FeatureMap: TypeAlias = FixedKernel | KernelOfTheKeys


@dataclass(frozen=True)
class LinearAttention:
    """z_i = φ(q_i)·Σ_{j ≤ i} φ(k_j)v_j, with q = uW_Q, k = uW_K and v = uW_V (Def. G.16).

    There is no denominator. A query or a key is a row of bits, which φ reads as a number, 0 being
    Null. Rows of value 0 are no keys: a data-dependent φ is one-hot on the others.

    Attributes:
        query: W_Q `(width, w)`.
        key: W_K `(width, w)`.
        value: W_V `(width, 1)`.
        feature_map: φ, on 0 … 2^w - 1 or fewer numbers.

    Raises:
        ValueError: for shapes that do not fit.
    """

    query: Matrix
    key: Matrix
    value: Matrix
    feature_map: FeatureMap

    def __post_init__(self) -> None:
        width, _ = self.query.shape
        require_shape("key", self.key, self.query.shape)
        require_shape("value", self.value, (width, 1))

    def __call__(self, u: Matrix) -> Matrix:
        """Output `(length, 1)`, `Fraction`s, for the input `(length, width)` of whole numbers."""
        queries, keys = _numbers(u @ self.query), _numbers(u @ self.key)
        values = u @ self.value
        with_value = dict.fromkeys(keys[values[:, 0] != 0].tolist())  # distinct, in their order
        kernel = self.feature_map.for_keys(tuple(with_value))
        causal = np.tri(len(u), dtype=np.int64)
        result: Matrix = (kernel.inner_products(queries, keys) * causal) @ values
        return result

    def stream(self) -> LayerStream:
        """A recurrent view that carries Σ φ(k_j)v_j and what φ itself needs."""
        return _LinearAttentionStream(self)


class _LinearAttentionStream:
    """The state is S = Σ φ(k_j)v_j, as whole numbers, and the keys where φ depends on them.

    A data-dependent φ grows by a coordinate with each new key. A query for a key that is yet to
    come gets 0 by either φ, so that this view gives what the other gives.
    """

    def __init__(self, layer: LinearAttention) -> None:
        self._layer = layer
        self._keys: tuple[int, ...] = ()
        self._sum: Matrix = np.zeros(layer.feature_map.for_keys(()).dimension, dtype=np.int64)

    def step(self, row: Matrix, position: int) -> Matrix:
        key, value = _numbers(row @ self._layer.key), int((row @ self._layer.value)[0])
        if value:
            self._keys = self._layer.feature_map.remembered(
                tuple(dict.fromkeys((*self._keys, int(key))))
            )
        kernel = self._layer.feature_map.for_keys(self._keys)
        self._sum = np.pad(self._sum, (0, kernel.dimension - len(self._sum)))
        if value:
            self._sum += kernel.directions([key])[0] * value
        query = kernel.directions([_numbers(row @ self._layer.query)])[0]
        # The directions' length, once for the query and once for the keys that it meets.
        attended = Fraction(int(query @ self._sum), int(query @ query))
        return np.array([attended], dtype=object)

    def state(self) -> Mapping[str, Matrix]:
        bits = self._layer.key.shape[1]
        return {"keys": binary_code(self._keys, bits), "sum": self._sum}


def _numbers(bits: Matrix) -> Matrix:
    """The numbers `(…)` that rows of bits `(…, w)` stand for, lowest bit first."""
    numbers: Matrix = bits @ (1 << np.arange(bits.shape[-1]))
    return numbers


@dataclass(frozen=True)
class StateSize:
    """What a recurrent view carries from one row to the next.

    Attributes:
        numbers: how many.
        bits: each array's entries in the fewest bits that hold its largest, and a sign if need be.
    """

    numbers: int
    bits: int


def _bits(array: Matrix) -> int:
    if not array.size:
        return 0
    smallest, largest = int(array.min()), int(array.max())
    return int(array.size) * (max(1, -smallest, largest).bit_length() + (smallest < 0))


@dataclass(frozen=True)
class Model:
    """Layers one after another.

    Attributes:
        layers: from the input to the output.
    """

    layers: tuple[Layer, ...]

    def __call__(self, u: Matrix) -> Matrix:
        """The output `(length, width out)` for the input `(length, width)`."""
        for layer in self.layers:
            u = layer(u)
        return u

    def stream(self) -> ModelStream:
        """A new recurrent view, before the first row."""
        return ModelStream(self)

    def run_recurrently(self, u: Matrix) -> tuple[Matrix, list[StateSize]]:
        """The output `(length, width out)` by the recurrent view, and the state after each row."""
        stream = self.stream()
        rows, sizes = [], []
        for row in u:
            rows.append(stream.step(row))
            sizes.append(stream.size())
        return np.stack(rows), sizes


class ModelStream:
    """A model that reads one row after another; the position is part of its state."""

    def __init__(self, model: Model) -> None:
        self._streams = tuple(layer.stream() for layer in model.layers)
        self._position = 0

    def step(self, row: Matrix) -> Matrix:
        """The output row for the next input row `(width,)`."""
        for stream in self._streams:
            row = stream.step(row, self._position)
        self._position += 1
        return row

    def state(self) -> dict[str, Matrix]:
        """Everything that is carried to the next row, by layer and name."""
        parts: dict[str, Matrix] = {"position": np.array([self._position])}
        for index, stream in enumerate(self._streams):
            for name, array in stream.state().items():
                parts[f"layer {index}: {name}"] = array
        return parts

    def size(self) -> StateSize:
        """How much is carried, counted over the arrays of `state`."""
        parts = self.state().values()
        return StateSize(
            numbers=sum(int(part.size) for part in parts), bits=sum(_bits(part) for part in parts)
        )
