"""Prefix linear attention in chunks: linear time and memory, on the CPU or any other device.

Inside a chunk of queries the quadratic form is used, between chunks the packed state (paper,
algorithm 2).  A group of heads walks the sequence together, in buffers that are made once and stay
in the cache; features exist for one chunk of one group only.  The backward pass computes every
chunk anew: what it needs of the forward pass is its inputs, its output and one number per query.

Four moves make up all of it.  x is a query or a key, u a value or a gradient, w a number:

    add     Σ φ(x) uᵀ and Σ w φ(x)          keys enter the state; queries enter its gradient
    read    φ(x)ᵀ Σ                         queries read values; keys read the values' gradients
    pull    the gradient of both in x       queries read the keys', keys the queries' gradients
    mix     what a chunk's queries and keys do to each other

Inside, tensors are heads first with positions last: x̂ = (1, √scale·x) is (G, D+1, C) for G heads
and C positions, features (G, F, C), so that a feature is the product of two contiguous rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from kernels.precision import accumulation_dtype

# A query costs C·(D + E) in the quadratic form and 2·F·E with the state.  At C = 128, D = 16 and
# E = 64 the weights, features and values of one head are 200 kB of float32, a fifth of a core's
# second-level cache.  Smaller chunks pay more calls, larger ones more arithmetic.
CHUNK = 128
# Heads that walk together: enough work per call to hide what the call costs (some microseconds),
# few enough that all they touch (some 4 MB) stays in the cache.
GROUP = 16


def forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None,
    v_enc: Tensor | None,
    mask: Tensor | None,
    kv: Tensor | None,
    z: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """First the encoder, summed without queries; then the causal pass, from the state it left.

    Args:
        q, k, v, k_enc, v_enc, mask, scale: as in `kernels.prefix_linear_attention`.
        kv, z: the initial state, (B, H, F, E) and (B, H, F), in the accumulation dtype.

    Returns:
        y (B, N, H, E) in v's dtype; its denominators (B, N, H), 1 where a query has no key, and
        the state after all of it, kv and z, in the accumulation dtype.
    """
    y, denominators = _empty(v), per_query(q)
    kv_out, z_out = empty_state(q, v)
    for group in _groups(q, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        if k_enc is not None and v_enc is not None:
            for n in _chunks(k_enc):
                group.add(sums, group.lift("k", k_enc, n), group.rows("v", v_enc, n))
        for n in _chunks(q):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            value = group.rows("v", v, n)
            _, weights = group.mix(query, key)
            numerator = group.product("y", weights, value)
            denominator = group.total("denominator", weights)
            group.read(sums, query, numerator, denominator)
            group.divide(numerator, denominator, n, y, denominators)
            group.add(sums, key, value)
        group.store(sums, kv_out, z_out)
    return y, denominators, kv_out, z_out


def backward(
    dy: Tensor,
    dkv_out: Tensor | None,
    dz_out: Tensor | None,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None,
    v_enc: Tensor | None,
    mask: Tensor | None,
    kv: Tensor | None,
    z: Tensor | None,
    y: Tensor,
    denominators: Tensor,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor, Tensor]:
    """The gradients of `forward`: of q, k, v, k_enc, v_enc, kv and z, each like its tensor.

    With g = dy / denominator and c = −g·y, the gradients that reach the numerator and the
    denominator, a weight w = 1 + s + s²/2 of a query and a key gets dw = g·v + c, and its score
    ds = dw·(1 + s).  Once forwards, for what queries get through the state that they read; once
    backwards, for the rest, with the gradient of the state after each chunk: Σ φ(q) gᵀ and
    Σ c φ(q) over all later queries.

    Args:
        dy: (B, N, H, E).
        dkv_out, dz_out: gradients of the final state; None = it has none.
        others: arguments and results of `forward`.
    """
    dq = torch.empty_like(q, dtype=denominators.dtype, memory_format=torch.contiguous_format)
    dk, dv = _empty(k), _empty(v)
    dk_enc, dv_enc = (
        None if k_enc is None else _empty(k_enc),
        None if v_enc is None else _empty(v_enc),
    )
    dkv, dz = empty_state(q, v)
    for group in _groups(q, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        if k_enc is not None and v_enc is not None:
            for n in _chunks(k_enc):
                group.add(sums, group.lift("k", k_enc, n), group.rows("v", v_enc, n))
        for n in _chunks(q):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            group.put(dq, n, group.pull(sums, query, g, c))
            group.add(sums, key, group.rows("v", v, n))

        gradient = group.sums(dkv_out, dz_out)
        for n in reversed(_chunks(q)):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            value = group.rows("v", v, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            slopes, weights = group.mix(query, key)
            ds = group.product("ds", g, value.transpose(1, 2))
            ds = ds.add_(c[..., None]).mul_(slopes).tril_()
            group.put(dq, n, group.product("dq", key.vectors, ds.transpose(1, 2)), add=True)
            dx = group.pull(gradient, key, value).add_(group.product("dk", query.vectors, ds))
            group.put(dk, n, dx)
            du = group.product("y", weights.transpose(1, 2), g)
            group.read(gradient, key, du)
            group.put_rows(dv, n, du)
            group.add(gradient, query, g, c)
        if k_enc is not None and v_enc is not None and dk_enc is not None and dv_enc is not None:
            for n in _chunks(k_enc):
                group.key_gradients(gradient, k_enc, v_enc, n, dk_enc, dv_enc)
        group.store(gradient, dkv, dz)
    return dq.to(q.dtype), dk, dv, dk_enc, dv_enc, dkv, dz


def sum_keys(
    k: Tensor, v: Tensor, mask: Tensor | None, kv: Tensor | None, z: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The state, kv and z, after keys (B, N, H, D) and values (B, N, H, E), without any query."""
    kv_out, z_out = empty_state(k, v)
    for group in _groups(k, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        for n in _chunks(k):
            group.add(sums, group.lift("k", k, n), group.rows("v", v, n))
        group.store(sums, kv_out, z_out)
    return kv_out, z_out


def sum_keys_backward(
    dkv: Tensor, dz: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The gradients of `sum_keys` in k and v; those of the initial state are dkv and dz."""
    dk, dv = _empty(k), _empty(v)
    for group in _groups(k, v.shape[-1], mask, scale):
        gradient = group.sums(dkv, dz)
        for n in _chunks(k):
            group.key_gradients(gradient, k, v, n, dk, dv)
    return dk, dv


def read_state(q: Tensor, kv: Tensor, z: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """What each query of q (B, N, H, D) reads of the one state, in q's dtype; the denominators."""
    y = q.new_empty(*q.shape[:3], kv.shape[-1])
    denominators = per_query(q)
    for group in _groups(q, kv.shape[-1], None, scale):
        sums = group.sums(kv, z)
        for n in _chunks(q):
            query = group.lift("q", q, n)
            numerator = group.zeros("y", query.length, kv.shape[-1])
            denominator = group.zeros("denominator", query.length)
            group.read(sums, query, numerator, denominator)
            group.divide(numerator, denominator, n, y, denominators)
    return y, denominators


def read_state_backward(
    dy: Tensor, q: Tensor, kv: Tensor, z: Tensor, y: Tensor, denominators: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `read_state` in q, kv and z."""
    dq = _empty(q)
    dkv, dz = _empty(kv), _empty(z)
    for group in _groups(q, kv.shape[-1], None, scale):
        sums, gradient = group.sums(kv, z), group.sums(None, None)
        for n in _chunks(q):
            query = group.lift("q", q, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            group.put(dq, n, group.pull(sums, query, g, c))
            group.add(gradient, query, g, c)
        group.store(gradient, dkv, dz)
    return dq, dkv, dz


class _Order(NamedTuple):
    """Two orders of the features x̂ᵢx̂ⱼ of a vector of D = size - 1 numbers.

    Packed: the upper triangle by rows, as `kernels.feature_maps` has it.  Cyclic: (δ, i) is
    x̂ᵢ times x̂ at (i + δ) mod size, for δ up to half of size, so that one product of strided
    views makes all features.  Both have the coefficient 1/√2 where i = j > 0.
    """

    size: int
    to_cyclic: Tensor  # (F,): where a cyclic feature is in the packed order
    to_packed: Tensor  # (F,): and the other way
    rows: Tensor  # (F,): i of each packed feature
    columns: Tensor  # (F,): j
    square: Tensor  # (size, size): where the packed order has the pair i, j
    packed: Tensor  # (F,): coefficients in the packed order
    half: Tensor  # ()


@lru_cache(maxsize=64)
def _order(feature_dim: int, dtype: torch.dtype, device: torch.device) -> _Order:
    size = feature_dim + 1
    rows, columns = torch.triu_indices(size, size)
    square = torch.empty(size, size, dtype=torch.int64)
    square[rows, columns] = square[columns, rows] = torch.arange(len(rows))
    first = torch.arange(size).repeat(size)[: len(rows)]
    turn = torch.arange(size).repeat_interleave(size)[: len(rows)]
    to_cyclic = square[first, (first + turn) % size]
    coefficients = torch.ones(len(rows), dtype=torch.float64)
    coefficients[(rows == columns) & (rows > 0)] = 0.5**0.5
    return _Order(
        size,
        to_cyclic.to(device),
        to_cyclic.argsort().to(device),
        rows.to(device),
        columns.to(device),
        square.to(device),
        coefficients.to(device, dtype),
        torch.tensor(0.5, dtype=dtype, device=device),
    )


class _Lifted(NamedTuple):
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


class _Sums(NamedTuple):
    """A state, or the gradient of one.

    The features are in the order of `_order`.  The sum of the features alone is kept as the Gram
    matrix Σ w x̂x̂ᵀ, whose entries they are: reading it takes (D+1)² multiplications, not F passes.

    Attributes:
        kv: (G, F, E).
        gram: (G, D+1, D+1).
    """

    kv: Tensor
    gram: Tensor


@dataclass(frozen=True)
class _Group:
    """Some heads that walk together: their part of the tensors, and the arithmetic on it.

    Attributes:
        at: slices of the batch and of the heads.
        shape: how many of each, G in all.
        head_dim: E.
        present: the mask, (B, N).
        root: √scale.
        order: of the features.
        like: an empty tensor of the accumulation dtype, on the device.
        kept: buffers by name and shape.
    """

    at: tuple[slice, slice]
    shape: tuple[int, int]
    head_dim: int
    present: Tensor | None
    root: float
    order: _Order
    like: Tensor
    kept: dict[tuple[str, tuple[int, ...]], Tensor]

    def sums(self, kv: Tensor | None, z: Tensor | None) -> _Sums:
        """The group's part of a packed state, or zeros."""
        G, order = self.shape[0] * self.shape[1], self.order
        if kv is None or z is None:
            F = self.order.size * (self.order.size + 1) // 2
            return _Sums(
                self.like.new_zeros(G, F, self.head_dim),
                self.like.new_zeros(G, self.order.size, self.order.size),
            )
        kv, z = kv[self.at].flatten(0, 1), z[self.at].flatten(0, 1)
        return _Sums(kv.index_select(1, order.to_cyclic), (z / order.packed)[:, order.square])

    def store(self, sums: _Sums, kv: Tensor, z: Tensor) -> None:
        """Write the sums to the group's part of a packed state."""
        order = self.order
        kv[self.at] = self._apart(sums.kv.index_select(1, order.to_packed))
        gram = sums.gram[:, order.rows, order.columns] * order.packed
        z[self.at] = self._apart(gram)

    def lift(self, name: str, x: Tensor, n: slice) -> _Lifted:
        """Positions n of x (B, N, H, D)."""
        x = x[self.at[0], n, self.at[1]]
        size, C = self.order.size, x.shape[1]
        wrapped = self._buffer(name, size + (size - 1) // 2 + 1, C)
        inner = self._apart(wrapped)[:, :, 1:size]
        torch.mul(x.permute(0, 2, 3, 1).to(wrapped.dtype), self.root, out=inner)
        wrapped[:, 0] = 1
        present = None
        if self.present is not None:
            present = self.present[self.at[0], n, None].expand(-1, -1, self.shape[1])
            present = present.transpose(1, 2).flatten(0, 1)
            wrapped[:, :size].masked_fill_(~present[:, None], 0)
        wrapped[:, size:] = wrapped[:, : len(wrapped[0]) - size]
        return _Lifted(wrapped, size, present)

    def rows(self, name: str, x: Tensor, n: slice) -> Tensor:
        """Positions n of x (B, N, H, E) as (G, C, E), 0 where left out.

        A copy always: rows that lie H·E numbers apart cost the products that read them more.
        """
        x = x[self.at[0], n, self.at[1]].transpose(1, 2)
        rows = self._buffer(name, *x.shape[2:])
        self._apart(rows).copy_(x)
        if self.present is not None:
            present = self.present[self.at[0], n][:, None, :, None]
            self._apart(rows).masked_fill_(~present, 0)
        return rows

    def mix(self, query: _Lifted, key: _Lifted) -> tuple[Tensor, Tensor]:
        """1 + s and w = ((1 + s)² + 1)/2 of queries and keys at the same positions, (G, C, C).

        w is 0 where the query does not read the key; 1 + s is not.
        """
        slopes = self.product("slopes", query.full.transpose(1, 2), key.full)
        weights = self._buffer("weights", *slopes.shape[1:])
        torch.addcmul(self.order.half, slopes, slopes, value=0.5, out=weights).tril_()
        if key.present is not None:
            weights.mul_(key.present[:, None])
        return slopes, weights

    def add(self, sums: _Sums, x: _Lifted, u: Tensor, w: Tensor | None = None) -> None:
        """Add Σ φ(x) uᵀ, u (G, C, E), and Σ w φ(x), w (G, C) or 1."""
        sums.kv.baddbmm_(self._features(x), u)
        weighted = x.full
        if w is not None:
            weighted = torch.mul(
                x.full, w[:, None], out=self._buffer("weighted", *x.full.shape[1:])
            )
        sums.gram.baddbmm_(weighted, x.full.transpose(1, 2))

    def read(
        self, sums: _Sums, x: _Lifted, numerator: Tensor, denominator: Tensor | None = None
    ) -> None:
        """Add φ(x)ᵀ Σ to `numerator` (G, C, E), and its denominator to `denominator` (G, C)."""
        numerator.baddbmm_(self._features(x).transpose(1, 2), sums.kv)
        if denominator is not None:  # φ(x)·z = (x̂ᵀ gram x̂ + gram₀₀)/2, for the constant counts once
            product = self.product("gram", sums.gram, x.full).mul_(x.full)
            denominator.add_(self.total("read", product, 1), alpha=0.5)
            denominator.add_(sums.gram[:, 0, :1], alpha=0.5)

    def pull(self, sums: _Sums, x: _Lifted, u: Tensor, w: Tensor | None = None) -> Tensor:
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
        # Row δ shifted by δ to the right: laid in rows of `width`, with zeros between, and read in
        # rows of `width` - 1.
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
        outer = self._apart(g)
        divisor = denominators[b, n, h, None].transpose(1, 2)
        torch.div(dy[b, n, h].transpose(1, 2), divisor, out=outer)
        if self.present is not None:
            outer.masked_fill_(~self.present[b, n][:, None, :, None], 0)
        product = self._buffer("y", C, E)
        torch.mul(outer, y[b, n, h].transpose(1, 2), out=self._apart(product))
        return g, self.total("c", product).neg_()

    def key_gradients(
        self, gradient: _Sums, k: Tensor, v: Tensor, n: slice, dk: Tensor, dv: Tensor
    ) -> None:
        """Write what keys and values get that entered a state whose gradient is given."""
        key, value = self.lift("k", k, n), self.rows("v", v, n)
        self.put(dk, n, self.pull(gradient, key, value))
        du = self.zeros("y", *value.shape[1:])
        self.read(gradient, key, du)
        self.put_rows(dv, n, du)

    def divide(
        self, numerator: Tensor, denominator: Tensor, n: slice, y: Tensor, denominators: Tensor
    ) -> None:
        """Write the mean of the values, 0 where no key was read or the query is left out."""
        denominator += denominator == 0
        numerator.div_(denominator[..., None])
        self.put_rows(y, n, numerator)
        if self.present is not None:
            b, h = self.at
            y[b, n, h].masked_fill_(~self.present[b, n, None, None], 0)
        self.put_rows(denominators[..., None], n, denominator[..., None])

    def put(self, to: Tensor, n: slice, dx: Tensor, *, add: bool = False) -> None:
        """Write (or add) √scale times dx (G, D, C) at positions n of `to` (B, N, H, D)."""
        b, h = self.at
        target = to[b, n, h].permute(0, 2, 3, 1)
        dx = self._apart(dx)
        if add:
            target.add_(dx, alpha=self.root)
        else:
            target.copy_(dx.mul_(self.root))

    def put_rows(self, to: Tensor, n: slice, rows: Tensor) -> None:
        """Write rows (G, C, E) at positions n of `to` (B, N, H, E)."""
        b, h = self.at
        to[b, n, h].transpose(1, 2).copy_(self._apart(rows))

    def product(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """a @ b in a buffer."""
        return torch.bmm(a, b, out=self._buffer(name, a.shape[1], b.shape[2]))

    def total(self, name: str, x: Tensor, dim: int = 2) -> Tensor:
        """x (G, ·, ·) summed over `dim`, in a buffer."""
        return torch.sum(x, dim, out=self._buffer(name, x.shape[3 - dim]))

    def zeros(self, name: str, *shape: int) -> Tensor:
        """(G, *shape) zeros in a buffer."""
        return self._buffer(name, *shape).zero_()

    def _features(self, x: _Lifted) -> Tensor:
        """φ(x) (G, F, C)."""
        size, half = self.order.size, (self.order.size + 1) // 2
        features = self._buffer("features", size * (size + 1) // 2, x.length)
        whole = features[:, : half * size].view(-1, half, size, x.length)
        torch.mul(x.full[:, None], x.rolled, out=whole)
        if size % 2 == 0:
            torch.mul(x.full[:, :half], x.full[:, half:], out=features[:, half * size :])
        features[:, 1:size] *= 0.5**0.5
        return features

    def _apart(self, x: Tensor) -> Tensor:
        """x (G, ...) as (examples, heads, ...)."""
        return x.view(*self.shape, *x.shape[1:])

    def _buffer(self, name: str, *shape: int) -> Tensor:
        """(G, *shape), whatever stood there last."""
        shape = (self.shape[0] * self.shape[1], *shape)
        if (name, shape) not in self.kept:
            self.kept[name, shape] = self.like.new_zeros(shape)
        return self.kept[name, shape]


def _groups(x: Tensor, head_dim: int, mask: Tensor | None, scale: float) -> Iterator[_Group]:
    """All heads of x (B, N, H, D), some `GROUP` at a time."""
    B, _, H, D = x.shape
    like = x.new_empty(0, dtype=accumulation_dtype(x.dtype))
    order = _order(D, like.dtype, x.device)
    heads = min(H, GROUP)
    examples = max(1, GROUP // heads)
    kept: dict[tuple[str, tuple[int, ...]], Tensor] = {}
    for b in range(0, B, examples):
        for h in range(0, H, heads):
            at = slice(b, min(b + examples, B)), slice(h, min(h + heads, H))
            shape = at[0].stop - b, at[1].stop - h
            yield _Group(at, shape, head_dim, mask, scale**0.5, order, like, kept)


def _chunks(x: Tensor) -> list[slice]:
    """The positions of x (B, N, ...), `CHUNK` at a time."""
    N = x.shape[1]
    return [slice(start, min(start + CHUNK, N)) for start in range(0, N, CHUNK)]


def _empty(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def per_query(q: Tensor) -> Tensor:
    """Room for a number per query and head, (B, N, H), in the accumulation dtype."""
    return q.new_empty(q.shape[:3], dtype=accumulation_dtype(q.dtype))


def empty_state(q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Room for a packed state, kv (B, H, F, E) and z (B, H, F)."""
    B, _, H, D = q.shape
    F = (D + 1) * (D + 2) // 2
    dtype = accumulation_dtype(q.dtype)
    return q.new_empty(B, H, F, v.shape[-1], dtype=dtype), q.new_empty(B, H, F, dtype=dtype)
