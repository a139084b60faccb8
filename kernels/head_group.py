"""What a group of heads computes on one chunk of positions: the arithmetic behind `chunked`.

Four operations make up all of it.  x is a query or a key, u a value or a gradient, w a number:

    add     Σ φ(x) uᵀ and Σ w φ(x)          keys enter the state; queries enter its gradient
    read    φ(x)ᵀ Σ                         queries read values; keys read the values' gradients
    pull    the gradient of both in x       queries read the keys', keys the queries' gradients
    mix     the quadratic form              between the queries and keys of one chunk

Inside, tensors are heads first with positions last: x̂ = (1, √scale·x) is (G, D+1, C) for G heads
and C positions, features (G, F, C), so that a feature is the product of two contiguous rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from . import trust
from .precision import MOST_CANCELLATION, accumulation_dtype

# Heads per group: enough work per call to hide what the call costs (some microseconds), few enough
# that all they touch (some 4 MB) stays in the cache.
GROUP = 16


class FeatureOrder(NamedTuple):
    """Two orders of the features x̂ᵢx̂ⱼ of a vector of D = size - 1 numbers.

    Packed: the upper triangle by rows, as in `taylor`.  Cyclic: (δ, i) is x̂ᵢ times x̂ at
    (i + δ) mod size, for δ up to half of size, so that one product of strided views makes all
    features.  Both have the coefficient 1/√2 where i = j > 0.
    """

    size: int
    to_cyclic: Tensor  # (F,): the index in the packed order of each cyclic feature
    to_packed: Tensor  # (F,): the inverse
    rows: Tensor  # (F,): i of each packed feature
    columns: Tensor  # (F,): j
    square: Tensor  # (size, size): the index in the packed order of the pair i, j
    packed: Tensor  # (F,): coefficients in the packed order
    half: Tensor  # (): 1/2


@lru_cache(maxsize=64)
def feature_order(feature_dim: int, dtype: torch.dtype, device: torch.device) -> FeatureOrder:
    """Both orders for D = `feature_dim`, made once for each dtype and device."""
    size = feature_dim + 1
    rows, columns = torch.triu_indices(size, size)
    square = torch.empty(size, size, dtype=torch.int64)
    square[rows, columns] = square[columns, rows] = torch.arange(len(rows))
    first = torch.arange(size).repeat(size)[: len(rows)]
    shift = torch.arange(size).repeat_interleave(size)[: len(rows)]
    to_cyclic = square[first, (first + shift) % size]
    coefficients = torch.ones(len(rows), dtype=torch.float64)
    coefficients[(rows == columns) & (rows > 0)] = 0.5**0.5
    return FeatureOrder(
        size,
        to_cyclic.to(device),
        to_cyclic.argsort().to(device),
        rows.to(device),
        columns.to(device),
        square.to(device),
        coefficients.to(device, dtype),
        torch.tensor(0.5, dtype=dtype, device=device),
    )


class Lifted(NamedTuple):
    """One chunk of queries or keys of a group, as x̂ = (1, √scale·x); 0 where left out.

    Attributes:
        wrapped: (G, D+1 + D//2 + 1, C), x̂ and then its first rows again: row i + δ is x̂ at
            (i + δ) mod (D+1).
        present: (G, C) bool, None = all.
    """

    wrapped: Tensor
    size: int
    present: Tensor | None

    @property
    def full(self) -> Tensor:
        """x̂ (G, D+1, C)."""
        return self.wrapped[:, : self.size]

    @property
    def vectors(self) -> Tensor:
        """√scale·x (G, D, C)."""
        return self.wrapped[:, 1 : self.size]

    @property
    def length(self) -> int:
        return self.wrapped.shape[-1]

    @property
    def rolled(self) -> Tensor:
        """(G, ⌊D/2⌋ + 1, D+1, C), a view: [δ, i] is x̂ at (i + δ) mod (D+1)."""
        heads, length = len(self.wrapped), self.length
        by_head, by_row, by_position = self.wrapped.stride()
        return self.wrapped.as_strided(
            (heads, (self.size + 1) // 2, self.size, length),
            (by_head, by_row, by_row, by_position),
        )


class Sums(NamedTuple):
    """A state, or the gradient of one.

    The features are in cyclic order.  The sum of the features alone is kept as the Gram matrix
    Σ w x̂x̂ᵀ, whose entries they are: reading it takes (D+1)² multiplications per query.

    Attributes:
        kv: (G, F, E).
        gram: (G, D+1, D+1).
    """

    kv: Tensor
    gram: Tensor


@dataclass(frozen=True)
class HeadGroup:
    """Some heads that are processed together: their part of the tensors, and the arithmetic on it.

    Attributes:
        at: slices of the batch and of the heads.
        shape: how many of each, G in all.
        head_dim: E.
        present: the mask, (B, N).
        root: √scale.
        order: of the features.
        like: an empty tensor of the accumulation dtype, on the device.
        buffers: by name and shape, reused for every chunk.
    """

    at: tuple[slice, slice]
    shape: tuple[int, int]
    head_dim: int
    present: Tensor | None
    root: float
    order: FeatureOrder
    like: Tensor
    buffers: dict[tuple[str, tuple[int, ...]], Tensor]

    def sums(self, kv: Tensor | None, z: Tensor | None) -> Sums:
        """The group's part of a packed state, or zeros."""
        G, order = self.shape[0] * self.shape[1], self.order
        if kv is None or z is None:
            return Sums(
                self.like.new_zeros(G, len(order.packed), self.head_dim),
                self.like.new_zeros(G, order.size, order.size),
            )
        kv, z = kv[self.at].flatten(0, 1), z[self.at].flatten(0, 1)
        return Sums(kv.index_select(1, order.to_cyclic), (z / order.packed)[:, order.square])

    def store(self, sums: Sums, kv: Tensor, z: Tensor) -> None:
        """Write the sums to the group's part of a packed state."""
        order = self.order
        kv[self.at] = self._ungroup(sums.kv.index_select(1, order.to_packed))
        gram = sums.gram[:, order.rows, order.columns] * order.packed
        z[self.at] = self._ungroup(gram)

    def lift(self, name: str, x: Tensor, n: slice) -> Lifted:
        """Positions n of x (B, N, H, D)."""
        x = x[self.at[0], n, self.at[1]]
        size, C = self.order.size, x.shape[1]
        wrapped = self._buffer(name, size + (size - 1) // 2 + 1, C)
        inner = self._ungroup(wrapped)[:, :, 1:size]
        torch.mul(x.permute(0, 2, 3, 1).to(wrapped.dtype), self.root, out=inner)
        wrapped[:, 0] = 1
        present = None
        if self.present is not None:
            present = self.present[self.at[0], n, None].expand(-1, -1, self.shape[1])
            present = present.transpose(1, 2).flatten(0, 1)
            wrapped[:, :size].masked_fill_(~present[:, None], 0)
        wrapped[:, size:] = wrapped[:, : len(wrapped[0]) - size]
        return Lifted(wrapped, size, present)

    def values(self, name: str, x: Tensor, n: slice) -> Tensor:
        """Positions n of x (B, N, H, E) as (G, C, E), 0 where left out.

        Always a copy: products read contiguous values faster than values H·E numbers apart.
        """
        x = x[self.at[0], n, self.at[1]].transpose(1, 2)
        values = self._buffer(name, *x.shape[2:])
        self._ungroup(values).copy_(x)
        if self.present is not None:
            present = self.present[self.at[0], n][:, None, :, None]
            self._ungroup(values).masked_fill_(~present, 0)
        return values

    def mix(self, query: Lifted, key: Lifted) -> tuple[Tensor, Tensor]:
        """1 + s and w = ((1 + s)² + 1)/2 of queries and keys at the same positions, (G, C, C).

        w is 0 where the query does not read the key; 1 + s is not.
        """
        slopes = self.product("slopes", query.full.transpose(1, 2), key.full)
        weights = self._buffer("weights", *slopes.shape[1:])
        torch.addcmul(self.order.half, slopes, slopes, value=0.5, out=weights).tril_()
        if key.present is not None:
            weights.mul_(key.present[:, None])
        return slopes, weights

    def add(self, sums: Sums, x: Lifted, u: Tensor, w: Tensor | None = None) -> None:
        """Add Σ φ(x) uᵀ, u (G, C, E), and Σ w φ(x), w (G, C) or 1."""
        sums.kv.baddbmm_(self._features(x), u)
        weighted = x.full
        if w is not None:
            weighted = torch.mul(
                x.full, w[:, None], out=self._buffer("weighted", *x.full.shape[1:])
            )
        sums.gram.baddbmm_(weighted, x.full.transpose(1, 2))

    def read(
        self, sums: Sums, x: Lifted, numerator: Tensor, denominator: Tensor | None = None
    ) -> None:
        """Add φ(x)ᵀ Σ to `numerator` (G, C, E), and its denominator to `denominator` (G, C)."""
        numerator.baddbmm_(self._features(x).transpose(1, 2), sums.kv)
        if denominator is not None:  # φ(x)·z = (x̂ᵀ gram x̂ + gram₀₀)/2: the constant counts once
            product = self.product("gram", sums.gram, x.full).mul_(x.full)
            denominator.add_(self.total("read", product, 1), alpha=0.5)
            denominator.add_(sums.gram[:, 0, :1], alpha=0.5)

    def spoil(self, sums: Sums, x: Lifted, denominator: Tensor) -> None:
        """NaN for the denominators (G, C) of outputs that rounding may have lost (`trust`)."""
        squared = self._buffer("squared", *x.full.shape[1:])
        torch.mul(x.full, x.full, out=squared)
        share = self.order.size / (2 * MOST_CANCELLATION[squared.dtype])
        diagonal = sums.gram.diagonal(dim1=1, dim2=2) * share
        spread = self.product("spread", diagonal[:, None], squared)[:, 0]
        denominator.copy_(trust.spoil(denominator, spread, sums.gram[:, 0, :1]))

    def pull(self, sums: Sums, x: Lifted, u: Tensor, w: Tensor | None = None) -> Tensor:
        """The gradient of Σ φ(x)ᵀ(kv u + w z) in √scale·x, (G, D, C); u (G, C, E), w (G, C) or 1.

        Feature (δ, i) is x̂ᵢx̂ᵢ₊δ, so its gradient goes to row i times x̂ᵢ₊δ, and to row i + δ
        times x̂ᵢ.
        """
        size, half, C = self.order.size, (self.order.size + 1) // 2, x.length
        gradient = self.product("features", sums.kv, u.transpose(1, 2))  # in φ(x): (G, F, C)
        gradient[:, 1:size] *= 0.5**0.5
        whole = gradient[:, : half * size].view(-1, half, size, C)
        product = torch.mul(whole, x.rolled, out=self._buffer("pull", half, size, C))
        dx = torch.sum(product, 1, out=self._buffer("dx", size, C))
        # Row δ shifted by δ to the right: written in rows of `width`, with zeros between, and read
        # in rows of `width` - 1.
        width = size + half - 1
        padded = self._buffer("padded", half, width, C)
        torch.mul(whole, x.full[:, None], out=padded[:, :, :size])
        shifted = padded.as_strided(
            (len(padded), half, width, C), (half * width * C, (width - 1) * C, C, 1)
        )
        shifted = torch.sum(shifted, 1, out=self._buffer("shifted", width, C))
        dx += shifted[:, :size]
        dx[:, : half - 1] += shifted[:, size:]
        if size % 2 == 0:  # the pairs half a turn apart come once
            rest = gradient[:, half * size :]
            dx[:, :half].addcmul_(rest, x.full[:, half:])
            dx[:, half:].addcmul_(rest, x.full[:, :half])
        gram = self.product("gram", sums.gram, x.full)
        dx += gram if w is None else gram.mul_(w[:, None])
        return dx[:, 1:]

    def output_gradients(
        self, dy: Tensor, y: Tensor, denominators: Tensor, n: slice
    ) -> tuple[Tensor, Tensor]:
        """g = dy / denominator (G, C, E) and c = −g·y (G, C): of numerators and denominators."""
        b, h = self.at
        C, E = y[b, n].shape[1], self.head_dim
        g = self._buffer("g", C, E)
        outer = self._ungroup(g)
        divisor = denominators[b, n, h, None].transpose(1, 2)
        torch.div(dy[b, n, h].transpose(1, 2), divisor, out=outer)
        if self.present is not None:
            outer.masked_fill_(~self.present[b, n][:, None, :, None], 0)
        product = self._buffer("y", C, E)
        torch.mul(outer, y[b, n, h].transpose(1, 2), out=self._ungroup(product))
        return g, self.total("c", product).neg_()

    def key_gradients(
        self, gradient: Sums, k: Tensor, v: Tensor, n: slice, dk: Tensor, dv: Tensor
    ) -> None:
        """Write the gradients of keys and values that entered a state, given the state's."""
        key, value = self.lift("k", k, n), self.values("v", v, n)
        self.put(dk, n, self.pull(gradient, key, value))
        du = self.zeros("y", *value.shape[1:])
        self.read(gradient, key, du)
        self.put_values(dv, n, du)

    def divide(
        self, numerator: Tensor, denominator: Tensor, n: slice, y: Tensor, denominators: Tensor
    ) -> None:
        """Write the mean of the values, 0 where no key was read or the query is left out."""
        denominator += denominator == 0
        numerator.div_(denominator[..., None])
        self.put_values(y, n, numerator)
        if self.present is not None:
            b, h = self.at
            y[b, n, h].masked_fill_(~self.present[b, n, None, None], 0)
        self.put_values(denominators[..., None], n, denominator[..., None])

    def put(self, to: Tensor, n: slice, dx: Tensor, *, add: bool = False) -> None:
        """Write (or add) √scale times dx (G, D, C) at positions n of `to` (B, N, H, D)."""
        b, h = self.at
        target = to[b, n, h].permute(0, 2, 3, 1)
        dx = self._ungroup(dx)
        if add:
            target.add_(dx, alpha=self.root)
        else:
            target.copy_(dx.mul_(self.root))

    def put_values(self, to: Tensor, n: slice, values: Tensor) -> None:
        """Write values (G, C, E) at positions n of `to` (B, N, H, E)."""
        b, h = self.at
        to[b, n, h].transpose(1, 2).copy_(self._ungroup(values))

    def product(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """a @ b in a buffer."""
        return torch.bmm(a, b, out=self._buffer(name, a.shape[1], b.shape[2]))

    def total(self, name: str, x: Tensor, dim: int = 2) -> Tensor:
        """x (G, ·, ·) summed over `dim`, in a buffer."""
        return torch.sum(x, dim, out=self._buffer(name, x.shape[3 - dim]))

    def zeros(self, name: str, *shape: int) -> Tensor:
        """(G, *shape) zeros in a buffer."""
        return self._buffer(name, *shape).zero_()

    def _features(self, x: Lifted) -> Tensor:
        """φ(x) (G, F, C)."""
        size, half = self.order.size, (self.order.size + 1) // 2
        features = self._buffer("features", size * (size + 1) // 2, x.length)
        whole = features[:, : half * size].view(-1, half, size, x.length)
        torch.mul(x.full[:, None], x.rolled, out=whole)
        if size % 2 == 0:
            torch.mul(x.full[:, :half], x.full[:, half:], out=features[:, half * size :])
        features[:, 1:size] *= 0.5**0.5
        return features

    def _ungroup(self, x: Tensor) -> Tensor:
        """x (G, ...) as (examples, heads, ...)."""
        return x.view(*self.shape, *x.shape[1:])

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """(G, *shape): zeros at first, then with whatever was written to it last."""
        shape = (self.shape[0] * self.shape[1], *shape)
        if (name, shape) not in self.buffers:
            self.buffers[name, shape] = self.like.new_zeros(shape)
        return self.buffers[name, shape]


def head_groups(x: Tensor, head_dim: int, mask: Tensor | None, scale: float) -> Iterator[HeadGroup]:
    """All heads of x (B, N, H, D), about `GROUP` at a time."""
    B, _, H, D = x.shape
    like = x.new_empty(0, dtype=accumulation_dtype(x.dtype))
    order = feature_order(D, like.dtype, x.device)
    heads = max(1, min(H, GROUP))
    examples = max(1, GROUP // heads)
    buffers: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    for b in range(0, B, examples):
        for h in range(0, H, heads):
            at = slice(b, min(b + examples, B)), slice(h, min(h + heads, H))
            shape = at[0].stop - b, at[1].stop - h
            yield HeadGroup(at, shape, head_dim, mask, scale**0.5, order, like, buffers)
