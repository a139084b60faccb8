"""The packed state in a program's registers: loading, storing, adding a chunk, reading a tile.

The state is a pair of tuples with an entry for each tile of features: kv[t] (W, BLOCK) and z[t]
(W,), float32.  In registers it is divided by the coefficients of the features, so that a chunk is
added as products x̂ᵢx̂ⱼ alone.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, assignment"

import triton
import triton.language as tl

from .tiles import coefficients, column_factors, feature_factors, operand, product, selector


@triton.jit
def load_state(
    state,
    b,
    h,
    slot,
    column,
    root,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGES: tl.constexpr,
):
    """The state in registers, divided by the coefficients: tuples kv, z; zeros for what is None.

    `state` is ((data, strides (b, h, slot, f, e)) or None, (data, strides (b, h, slot, f)) or
    None).
    """
    kv, z = (), ()
    for t in tl.static_range(len(EDGES) - 1):
        inverse = 1 / coefficients(EDGES, t, root, D, PADDED)
        kv += (_load_kv(state[0], b, h, slot, column, E, F, BLOCK, EDGES, t) * inverse[:, None],)
        z += (_load_z(state[1], b, h, slot, F, EDGES, t) * inverse,)
    return kv, z


@triton.jit
def _load_kv(
    rows,
    b,
    h,
    slot,
    column,
    E: tl.constexpr,
    F: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGES: tl.constexpr,
    T: tl.constexpr,
):
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    if rows is None:
        tile = tl.zeros([W, BLOCK], tl.float32)
    else:
        pointers, inside = kv_pointers(rows, b, h, slot, EDGES[T], W, column, E, F, BLOCK)
        tile = tl.load(pointers, mask=inside, other=0)
    return tile


@triton.jit
def _load_z(rows, b, h, slot, F: tl.constexpr, EDGES: tl.constexpr, T: tl.constexpr):
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    if rows is None:
        tile = tl.zeros([W], tl.float32)
    else:
        pointers, inside = z_pointers(rows, b, h, slot, EDGES[T], W, F)
        tile = tl.load(pointers, mask=inside, other=0)
    return tile


@triton.jit
def store_state(
    state,
    kv,
    z,
    b,
    h,
    slot,
    column,
    block,
    root,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    EDGES: tl.constexpr,
):
    """Writes the state; of the blocks that share a head, the first alone writes z."""
    for t in tl.static_range(len(EDGES) - 1):
        coefficient = coefficients(EDGES, t, root, D, PADDED)
        pointers, inside = kv_pointers(
            state[0], b, h, slot, EDGES[t], kv[t].shape[0], column, E, F, kv[t].shape[1]
        )
        tl.store(pointers, kv[t] * coefficient[:, None], mask=inside)
        pointers, inside = z_pointers(state[1], b, h, slot, EDGES[t], z[t].shape[0], F)
        tl.store(pointers, z[t] * coefficient, mask=inside & (block == 0))


@triton.jit
def kv_pointers(
    rows,
    b,
    h,
    slot,
    first,
    W: tl.constexpr,
    column,
    E: tl.constexpr,
    F: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """(W, BLOCK) pointers from feature `first` and head dimension `column` on; which are inside."""
    data, strides = rows
    f = first + tl.arange(0, W)
    e = column + tl.arange(0, BLOCK)
    corner = data + (b * strides[0] + h * strides[1] + slot * strides[2])
    offsets = f.to(tl.int64)[:, None] * strides[3] + e.to(tl.int64)[None, :] * strides[4]
    return corner + offsets, (f < F)[:, None] & (e < E)[None, :]


@triton.jit
def z_pointers(rows, b, h, slot, first, W: tl.constexpr, F: tl.constexpr):
    """(W,) pointers from feature `first` on, and which of them are inside."""
    data, strides = rows
    f = first + tl.arange(0, W)
    corner = data + (b * strides[0] + h * strides[1] + slot * strides[2])
    return corner + f.to(tl.int64) * strides[3], f < F


@triton.jit
def add_rows(
    kv,
    z,
    x,
    value,
    last,
    D: tl.constexpr,
    EDGES: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """The state with a chunk added: kv + Σ x̂x̂ valueᵀ and z + Σ x̂x̂ last, without coefficients.

    x (C, PADDED), value (C, BLOCK), last (C,); value and last 0 at tokens that are not present.
    """
    kv_sums, z_sums = (), ()
    value = operand(value, MATRIX)
    for t in tl.static_range(len(EDGES) - 1):
        left, right = column_factors(x, EDGES, t, D, MATRIX)
        products = left * right  # (W, C)
        kv_sums += (product(operand(products, MATRIX), value, kv[t], MATRIX),)
        z_sums += (z[t] + tl.sum(products * last[None, :], 1),)
    return kv_sums, z_sums


@triton.jit
def readable(
    kv,
    z,
    EDGES: tl.constexpr,
    T: tl.constexpr,
    root,
    D: tl.constexpr,
    PADDED: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """A tile of the state as products x̂ᵢx̂ⱼ read it: times coefficient², kv as an operand."""
    coefficient = coefficients(EDGES, T, root, D, PADDED)
    squared = coefficient * coefficient
    return operand(kv[T] * squared[:, None], MATRIX), z[T] * squared


@triton.jit
def squares_of(z, D: tl.constexpr, PADDED: tl.constexpr, EDGES: tl.constexpr):
    """How many keys a state has, and Σ kᵢ² for each of their numbers (PADDED,)."""
    count = tl.sum(tl.where(tl.arange(0, z[0].shape[0]) == 0, z[0], 0), 0)
    squares = tl.zeros([PADDED], tl.float32)
    for t in tl.static_range(len(EDGES) - 1):
        i, j, _ = feature_factors(EDGES[t], 1.0, z[t].shape[0], D, PADDED)
        squares += tl.sum(selector(i, PADDED) * tl.where(i == j, z[t], 0)[:, None], 0)
    return count, squares
