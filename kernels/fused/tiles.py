"""What the kernels are built of: chunks of rows, feature tiles, matrix products, the state.

A chunk is C tokens of one head.  The F packed features x̂ᵢx̂ⱼ of x̂ = (1, √scale·x), in the order of
`kernels.feature_maps`, are cut into tiles of EDGES, pairs of first feature and width W; the
state is a pair for each of them: kv[t] (W, BLOCK) and z[t] (W,), float32, in registers.

A row is a tuple (x, value, gain, last): the program sums φ(x) [gain·value, last]ᵀ.  Keys come as
(k, v, None, None), None standing for 1; queries in the backward pass as (q, dy, 1/den, c).
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc, assignment"

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(bool(triton.knobs.runtime.interpret))


# Matrix products.


@triton.jit
def operand(x, MATRIX: tl.constexpr):
    """x as an operand of the matrix unit, rounded once, to nearest.

    MATRIX is "bfloat16", "tf32" (float32 whose last 13 bits the matrix unit drops: rounded here,
    where it would truncate) or "ieee" (float32 as it is, without matrix unit).
    """
    if MATRIX == "bfloat16" and not INTERPRETED:
        x = x.to(tl.bfloat16)
    elif MATRIX == "bfloat16":  # the interpreter's casts truncate
        bits = x.to(tl.float32).to(tl.int32, bitcast=True)
        bits += 0x7FFF + ((bits >> 16) & 1)
        x = (bits & -0x10000).to(tl.float32, bitcast=True)
    elif MATRIX == "tf32":
        bits = x.to(tl.float32).to(tl.int32, bitcast=True)
        x = ((bits + 0x1000) & -0x2000).to(tl.float32, bitcast=True)
    else:
        x = x.to(tl.float32)
    return x


@triton.jit
def product(a, b, total, MATRIX: tl.constexpr):
    """total + a @ b, summed in float32; `total` may be None."""
    if INTERPRETED:  # it would multiply bfloat16's bits as integers
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee" if MATRIX == "ieee" else "tf32")


# Rows in memory.


@triton.jit
def present_at(mask, b, first, stop, C: tl.constexpr):
    """(C,) bool: which of the C tokens from `first` on are before `stop` and not masked."""
    rows = tl.arange(0, C)
    present = first + rows < stop
    if mask is not None:
        pointer = mask[0] + (b * mask[1][0] + tl.cast(first, tl.int64) * mask[1][1])
        present = tl.load(pointer + rows.to(tl.int64) * mask[1][1], mask=present, other=0) != 0
    return present


@triton.jit
def chunk_pointers(rows, b, h, first, column, C: tl.constexpr, W: tl.constexpr):
    """(C, W) pointers to the tokens from `first` and the columns from `column` on.

    `rows` is (data, strides (b, n, h, ·)).  All offsets are int64: a tensor may be larger than
    2³¹ elements, and so may a single chunk of one whose tokens lie far apart.
    """
    data, strides = rows
    corner = b * strides[0] + tl.cast(first, tl.int64) * strides[1] + h * strides[2]
    corner += tl.cast(column, tl.int64) * strides[3]
    row = tl.arange(0, C).to(tl.int64)[:, None] * strides[1]
    return data + corner + (row + tl.arange(0, W).to(tl.int64)[None, :] * strides[3])


@triton.jit
def load_chunk(rows, b, h, first, present, column, SIZE: tl.constexpr, W: tl.constexpr):
    """(C, W): zeros where a token is not present and from column SIZE on; nothing is read there."""
    pointers = chunk_pointers(rows, b, h, first, column, present.shape[0], W)
    inside = column + tl.arange(0, W) < SIZE
    return tl.load(pointers, mask=present[:, None] & inside[None, :], other=0)


@triton.jit
def load_x(row, b, h, first, present, D: tl.constexpr, PADDED: tl.constexpr, MATRIX: tl.constexpr):
    """x (C, PADDED) of a row: as it is in memory if that is a half type, else rounded to MATRIX.

    So the scores and the features are of the same x, and w = φ(q)·φ(k) ≥ 1/2 holds for the sums.
    """
    x = load_chunk(row[0], b, h, first, present, 0, D, PADDED)
    if x.dtype == tl.float32:
        x = operand(x, MATRIX)
    return x


@triton.jit
def store_chunk(
    rows, values, b, h, first, stop, column, SIZE: tl.constexpr, C: tl.constexpr, W: tl.constexpr
):
    """Writes values (C, W) where tokens are before `stop` and columns before SIZE."""
    pointers = chunk_pointers(rows, b, h, first, column, C, W)
    tokens = first + tl.arange(0, C) < stop
    inside = column + tl.arange(0, W) < SIZE
    tl.store(pointers, values.to(rows[0].dtype.element_ty), mask=tokens[:, None] & inside[None, :])


@triton.jit
def load_value(row, b, h, first, present, column, E: tl.constexpr, BLOCK: tl.constexpr):
    """gain·value (C, BLOCK): in memory's type without a gain, else float32."""
    value = load_chunk(row[1], b, h, first, present, column, E, BLOCK)
    if row[2] is not None:
        value = value.to(tl.float32) * load_scalar(row[2], b, h, first, present)[:, None]
    return value


@triton.jit
def load_last(row, b, h, first, present):
    """(C,) float32: `last`, 0 at tokens that are not present."""
    if row[3] is None:  # noqa: SIM108 - Triton compiles one of the two only as a statement
        last = present.to(tl.float32)
    else:
        last = load_scalar(row[3], b, h, first, present)
    return last


@triton.jit
def load_scalar(rows, b, h, first, present):
    """(C,) of (data, strides (b, n, h)), 0 at tokens that are not present."""
    return tl.load(scalar_pointers(rows, b, h, first, present.shape[0]), mask=present, other=0)


@triton.jit
def scalar_pointers(rows, b, h, first, C: tl.constexpr):
    data, strides = rows
    corner = b * strides[0] + tl.cast(first, tl.int64) * strides[1] + h * strides[2]
    return data + corner + tl.arange(0, C).to(tl.int64) * strides[1]


# Features.


@triton.jit
def feature_factors(first, root, W: tl.constexpr, D: tl.constexpr, PADDED: tl.constexpr):
    """Which factors make the features first, …, first + W − 1.

    Returns:
        i, j (W,): feature f is coefficient·x̂ᵢx̂ⱼ with i ≤ j, and x̂₀ = 1, x̂ᵢ = xᵢ₋₁.  Features
        from F on have j > D, no factor at all.
        coefficient (W,) float32: √scale for each factor of x, 1/√2 for a square.
    """
    f = first + tl.arange(0, W)
    row = 1 + tl.arange(0, PADDED)
    # Row i of the triangle starts at feature i(2D + 3 - i)/2; f is in the last that does not
    # start after it.
    starts = row * (2 * D + 3 - row) // 2
    i = tl.sum(((f[:, None] >= starts[None, :]) & (row <= D)[None, :]).to(tl.int32), 1)
    j = f - i * (2 * D + 3 - i) // 2 + i
    coefficient = tl.where((i == j) & (i > 0), 0.5**0.5, 1.0)
    coefficient *= tl.where(i > 0, root, 1.0) * tl.where(j > 0, root, 1.0)
    return i, j, coefficient


@triton.jit
def selector(i, PADDED: tl.constexpr):
    """(W, PADDED) float32: row f is 1 at column i[f] − 1, so that `selector @ x` picks xᵢ₋₁."""
    return (i[:, None] == 1 + tl.arange(0, PADDED)[None, :]).to(tl.float32)


@triton.jit
def row_factors(x, EDGES: tl.constexpr, T: tl.constexpr, D: tl.constexpr, MATRIX: tl.constexpr):
    """The factors x̂ᵢ and x̂ⱼ of a feature tile, tokens down: two (C, W) float32."""
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    i, j, _ = feature_factors(EDGES[T], 1.0, W, D, x.shape[1])
    left = product(x, tl.trans(selector(i, x.shape[1]).to(x.dtype)), None, MATRIX)
    right = product(x, tl.trans(selector(j, x.shape[1]).to(x.dtype)), None, MATRIX)
    if EDGES[T] <= D:
        # i = 0 or j = 0, said in a way that the compiler can work out for most of the columns.
        f = EDGES[T] + tl.arange(0, W)
        left += (f <= D).to(tl.float32)[None, :]
        right += (f == 0).to(tl.float32)[None, :]
    return left, right


@triton.jit
def column_factors(x, EDGES: tl.constexpr, T: tl.constexpr, D: tl.constexpr, MATRIX: tl.constexpr):
    """As `row_factors`, features down: two (W, C) float32."""
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    i, j, _ = feature_factors(EDGES[T], 1.0, W, D, x.shape[1])
    columns = tl.trans(x)
    left = product(selector(i, x.shape[1]).to(x.dtype), columns, None, MATRIX)
    right = product(selector(j, x.shape[1]).to(x.dtype), columns, None, MATRIX)
    if EDGES[T] <= D:
        f = EDGES[T] + tl.arange(0, W)
        left += (f <= D).to(tl.float32)[:, None]
        right += (f == 0).to(tl.float32)[:, None]
    return left, right


@triton.jit
def pull_back(
    slope,
    left,
    right,
    x_total,
    zero,
    EDGES: tl.constexpr,
    T: tl.constexpr,
    D: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """x_total plus the gradient of x (C, PADDED), given `slope` (C, W), that of the products.

    `zero` is 0.
    """
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    i, j, _ = feature_factors(EDGES[T], 1.0, W, D, x_total.shape[1])
    i, j = i + zero, j + zero
    pick_i = operand(selector(i, x_total.shape[1]), MATRIX)
    pick_j = operand(selector(j, x_total.shape[1]), MATRIX)
    x_total = product(operand(slope * right, MATRIX), pick_i, x_total, MATRIX)
    return product(operand(slope * left, MATRIX), pick_j, x_total, MATRIX)


@triton.jit
def coefficients(EDGES: tl.constexpr, T: tl.constexpr, root, D: tl.constexpr, PADDED: tl.constexpr):
    """(W,) float32: what turns the products of a tile into features."""
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    _, _, coefficient = feature_factors(EDGES[T], root, W, D, PADDED)
    return coefficient


# The state.


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
