"""What the kernels are built of: matrix products, chunks of tokens in memory, tiles of features.

A chunk is C tokens of one head.  The F packed features x̂ᵢx̂ⱼ of x̂ = (1, √scale·x), in the order of
`taylor`, are cut into tiles: tile t has the features from EDGES[t] to before EDGES[t + 1], W in
number.

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
    """(C, W): zeros, not read, where a token is not present and from column SIZE on."""
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
        # i = 0 or j = 0, written so that the compiler can evaluate it for most of the columns.
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
def spoil(denominator, spread, count, MATRIX: tl.constexpr):
    """The denominators, NaN where rounding may have lost the output: `trust.spoil`.

    Operands of half precision round the state's products too.  In these types K leaves errors of up
    to a tenth of the largest value.
    """
    if MATRIX == "ieee":
        most = 2.0**16
    elif MATRIX == "tf32":
        most = 2.0**14
    else:
        most = 2.0**12
    trusted = spread <= 2 * most * tl.maximum(denominator, count)
    return tl.where(trusted, denominator, float("nan"))


@triton.jit
def coefficients(EDGES: tl.constexpr, T: tl.constexpr, root, D: tl.constexpr, PADDED: tl.constexpr):
    """(W,) float32: what turns the products of a tile into features."""
    W: tl.constexpr = EDGES[T + 1] - EDGES[T]
    _, _, coefficient = feature_factors(EDGES[T], root, W, D, PADDED)
    return coefficient
