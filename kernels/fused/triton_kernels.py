"""The kernels: what one Triton program does, built from `tiles` and `state_tiles`.

All programs are on the grid's first axis, the only one that allows 2³¹: heads, then segments, then
blocks of BLOCK head dimensions, which are neighbours because they read the same keys.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"

# The loops over chunks hoist little (`disable_licm`): the state fills the registers, and Triton
# would add the indices and selectors of every feature tile, which are cheap to recompute.

import triton
import triton.language as tl

from .state_tiles import (
    add_rows,
    kv_pointers,
    load_state,
    readable,
    squares_of,
    store_state,
    z_pointers,
)
from .tiles import (
    feature_factors,
    load_chunk,
    load_last,
    load_value,
    load_x,
    operand,
    present_at,
    product,
    pull_back,
    row_factors,
    scalar_pointers,
    spoil,
    store_chunk,
)


@triton.jit
def _place(H, segments, BLOCKS: tl.constexpr):
    """This program's part of the work: (b, h) as int64, segment, block."""
    program = tl.program_id(0)
    block = program % BLOCKS
    segment = (program // BLOCKS) % segments
    head = (program // BLOCKS // segments).to(tl.int64)
    return head // H, head % H, segment, block


@triton.jit
def _add_tokens(
    kv,
    z,
    row,
    mask,
    b,
    h,
    first,
    stop,
    column,
    D: tl.constexpr,
    E: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    C: tl.constexpr,
    EDGES: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """The state with the tokens first, …, stop − 1 added."""
    for token in tl.range(first, stop, C, disable_licm=True):
        present = present_at(mask, b, token, stop, C)
        x = load_x(row, b, h, token, present, D, PADDED, MATRIX)
        value = load_value(row, b, h, token, present, column, E, BLOCK)
        last = load_last(row, b, h, token, present)
        kv, z = add_rows(kv, z, x, value, last, D, EDGES, MATRIX)
    return kv, z


@triton.jit
def sum_segments(
    row,
    mask,
    sums,
    N,
    H,
    segments,
    skipped,
    length,
    root,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
    C: tl.constexpr,
    EDGES: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """Segment s + skipped of `length` tokens, summed into slot s + skipped of `sums`."""
    b, h, segment, block = _place(H, segments, BLOCKS)
    segment += skipped
    column = block * BLOCK
    first = segment * length
    kv, z = load_state((None, None), b, h, 0, column, root, D, E, F, PADDED, BLOCK, EDGES)
    kv, z = _add_tokens(
        kv, z, row, mask, b, h, first, tl.minimum(first + length, N), column,
        D, E, PADDED, BLOCK, C, EDGES, MATRIX,
    )  # fmt: skip
    store_state(sums, kv, z, b, h, segment, column, block, root, D, E, F, PADDED, EDGES)


@triton.jit
def scan_segments(sums, initial, slots, size, REVERSE: tl.constexpr, BLOCK: tl.constexpr):
    """Replaces each slot of sums (heads, slots, size) by what precedes it: initial + earlier slots.

    `initial` (heads, size) may be None.  With REVERSE the later slots precede.  The last slot
    visited is written but not read.
    """
    program = tl.program_id(0).to(tl.int64)
    per_head = tl.cdiv(size, BLOCK)
    head, place = program // per_head, program % per_head * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    if initial is None:
        total = tl.zeros([BLOCK], tl.float32)
    else:
        total = tl.load(initial + head * size + place, mask=inside, other=0)
    for step in range(slots):
        slot = slots - 1 - step if REVERSE else step
        pointers = sums + (head * slots + slot) * size + place
        sum_here = tl.load(pointers, mask=inside & (step < slots - 1), other=0)
        tl.store(pointers, total, mask=inside)
        total += sum_here


@triton.jit
def attend(
    q,
    row,
    encoder_row,
    mask,
    before,
    y,
    denominator,
    after,
    N,
    M,
    H,
    segments,
    length,
    scale,
    root,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
    C: tl.constexpr,
    EDGES: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """The forward pass of one segment, from the state before it (slot `segment` of `before`).

    The encoder's M tokens, where there are any, are added first.  The last segment
    writes the state after it.
    """
    b, h, segment, block = _place(H, segments, BLOCKS)
    column = block * BLOCK
    kv, z = load_state(before, b, h, segment, column, root, D, E, F, PADDED, BLOCK, EDGES)
    if encoder_row is not None:
        kv, z = _add_tokens(
            kv, z, encoder_row, mask, b, h, 0, M, column,
            D, E, PADDED, BLOCK, C, EDGES, MATRIX,
        )  # fmt: skip

    count, squares = squares_of(z, D, PADDED, EDGES)
    causal = tl.arange(0, C)[:, None] >= tl.arange(0, C)[None, :]
    first = segment * length
    stop = tl.minimum(first + length, N)
    for token in tl.range(first, stop, C, disable_licm=True):
        present = present_at(mask, b, token, stop, C)
        queries = load_x((q,), b, h, token, present, D, PADDED, MATRIX)
        x = load_x(row, b, h, token, present, D, PADDED, MATRIX)
        value = load_value(row, b, h, token, present, column, E, BLOCK)
        last = load_last(row, b, h, token, present)

        scaled = queries.to(tl.float32) * scale
        spread = count + tl.sum(scaled * scaled * squares[None, :], 1)
        squares += tl.sum(x.to(tl.float32) * x.to(tl.float32), 0)
        s = product(queries, tl.trans(x), None, MATRIX) * scale
        weights = tl.where(causal & present[None, :], 1 + s + 0.5 * s * s, 0)
        numerator = product(operand(weights, MATRIX), operand(value, MATRIX), None, MATRIX)
        total = tl.sum(weights, 1)
        for t in tl.static_range(len(EDGES) - 1):
            left, right = row_factors(queries, EDGES, t, D, MATRIX)
            products = left * right  # (C, W)
            kv_read, z_read = readable(kv, z, EDGES, t, root, D, PADDED, MATRIX)
            numerator = product(operand(products, MATRIX), kv_read, numerator, MATRIX)
            total += tl.sum(products * z_read[None, :], 1)

        total = spoil(total, spread * (D + 1), count, MATRIX)
        count += tl.sum(last, 0)
        total = tl.where(present & (total != 0), total, 1)
        numerator = tl.where(present[:, None], numerator / total[:, None], 0)
        store_chunk(y, numerator, b, h, token, stop, column, E, C, BLOCK)
        tl.store(
            scalar_pointers(denominator, b, h, token, C),
            total,
            mask=(token + tl.arange(0, C) < stop) & (block == 0),
        )
        kv, z = add_rows(kv, z, x, value, last, D, EDGES, MATRIX)

    if segment == segments - 1:
        store_state(after, kv, z, b, h, 0, column, block, root, D, E, F, PADDED, EDGES)


@triton.jit
def prepare_gradients(
    dy,
    y,
    denominator,
    mask,
    gain,
    last,
    N,
    H,
    chunks,
    E: tl.constexpr,
    PADDED: tl.constexpr,
    C: tl.constexpr,
):
    """What turns dy into the gradient of numerator and denominator: gain·dy and `last`.

    gain = 1/denominator, last = −(dy·y)/denominator; both 0 at tokens that are not present.
    """
    b, h, chunk, _ = _place(H, chunks, 1)
    token = chunk * C
    present = present_at(mask, b, token, N, C)
    incoming = load_chunk(dy, b, h, token, present, 0, E, PADDED).to(tl.float32)
    outgoing = load_chunk(y, b, h, token, present, 0, E, PADDED).to(tl.float32)
    inverse = 1 / tl.load(scalar_pointers(denominator, b, h, token, C), mask=present, other=1)
    inside = token + tl.arange(0, C) < N
    tl.store(scalar_pointers(gain, b, h, token, C), tl.where(present, inverse, 0), mask=inside)
    tl.store(
        scalar_pointers(last, b, h, token, C),
        -tl.sum(incoming * outgoing, 1) * inverse,
        mask=inside,
    )


@triton.jit
def differentiate(
    own,
    other,
    mask,
    before,
    dx,
    dvalue,
    after,
    N,
    H,
    segments,
    length,
    scale,
    root,
    REVERSE: tl.constexpr,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
    C: tl.constexpr,
    EDGES: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """The gradient of one side's rows, given the sum of the other side's rows that meet them.

    The loss depends on row r of one side and row s of the other through w_rs = φ(x_r)·φ(x_s), and

        ∂loss/∂w_rs = value_r·value_s + last_r last_s,

    the same for both sides: a query's row is (q, dy/den, c), a key's (k, v, 1).  So one program
    serves both.  Queries walk forward, with the state of the keys so far; keys walk in REVERSE,
    with that of the later queries, and have a gradient of their value too, Σ_s w_rs value_s.
    Without `other`, for the encoder's keys, the state in slot 0 is constant and holds all rows of
    the other side.

    Blocks each give a part of dx (block, b, n, h, d); `last` goes to the first block's.
    """
    b, h, segment, block = _place(H, segments, BLOCKS)
    column = block * BLOCK
    slot = segment if other is not None else 0
    kv, z = load_state(before, b, h, slot, column, root, D, E, F, PADDED, BLOCK, EDGES)
    dx_data, dx_strides = dx
    dx_here = (dx_data + block.to(tl.int64) * dx_strides[0], dx_strides[1:])

    if REVERSE:
        causal = tl.arange(0, C)[:, None] <= tl.arange(0, C)[None, :]
    else:
        causal = tl.arange(0, C)[:, None] >= tl.arange(0, C)[None, :]
    first = segment * length
    stop = tl.minimum(first + length, N)
    for passed in tl.range(0, stop - first, C, disable_licm=True):
        token = first + passed
        if REVERSE:
            token = first + tl.cdiv(stop - first, C) * C - C - passed
        present = present_at(mask, b, token, stop, C)
        x = load_x(own, b, h, token, present, D, PADDED, MATRIX)
        value = operand(load_value(own, b, h, token, present, column, E, BLOCK), MATRIX)
        last = load_last(own, b, h, token, present) * (block == 0)

        x_total = tl.zeros([C, PADDED], tl.float32)
        value_total = tl.zeros([C, BLOCK], tl.float32)
        if other is not None:
            x_other = load_x(other, b, h, token, present, D, PADDED, MATRIX)
            value_other = operand(load_value(other, b, h, token, present, column, E, BLOCK), MATRIX)
            last_other = load_last(other, b, h, token, present)
            s = product(x, tl.trans(x_other), None, MATRIX) * scale
            # The rows that are not present are all zeros, so that only the order is left to mask.
            dw = product(value, tl.trans(value_other), last[:, None] * last_other[None, :], MATRIX)
            ds = tl.where(causal, dw * (1 + s) * scale, 0)
            x_total = product(operand(ds, MATRIX), operand(x_other, MATRIX), x_total, MATRIX)
            if dvalue is not None:
                weights = tl.where(causal, 1 + s + 0.5 * s * s, 0)
                value_total = product(operand(weights, MATRIX), value_other, value_total, MATRIX)

        # In float32 the selectors of all tiles together are too large for shared memory.  This is
        # always 0, which the compiler cannot know: it recomputes them for each tile, in one place.
        zero = 0 if MATRIX == "bfloat16" else tl.minimum(token, 0)
        for t in tl.static_range(len(EDGES) - 1):
            left, right = row_factors(x, EDGES, t, D, MATRIX)
            kv_read, z_read = readable(kv, z, EDGES, t, root, D, PADDED, MATRIX)
            if dvalue is not None:
                products = operand(left * right, MATRIX)
                value_total = product(products, kv_read, value_total, MATRIX)
            slope = product(value, tl.trans(kv_read), last[:, None] * z_read[None, :], MATRIX)
            x_total = pull_back(slope, left, right, x_total, zero, EDGES, t, D, MATRIX)

        store_chunk(dx_here, x_total, b, h, token, stop, 0, D, C, PADDED)
        if dvalue is not None:
            value_total = tl.where(present[:, None], value_total, 0)
            store_chunk(dvalue, value_total, b, h, token, stop, column, E, C, BLOCK)
        if other is not None:
            kv, z = add_rows(kv, z, x_other, value_other, last_other, D, EDGES, MATRIX)

    if after is not None:  # noqa: SIM102 - known at compile time, the other is not
        if segment == (0 if REVERSE else segments - 1):
            store_state(after, kv, z, b, h, 0, column, block, root, D, E, F, PADDED, EDGES)


@triton.jit
def step_token(
    q,
    k,
    v,
    before,
    after,
    y,
    H,
    root,
    D: tl.constexpr,
    E: tl.constexpr,
    F: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    W: tl.constexpr,
    MATRIX: tl.constexpr,
):
    """One token of one head: adds it to the state, and reads the state with it.

    All of a head's values are one program's, since all need z as it was before.
    """
    head = tl.program_id(0).to(tl.int64)
    b, h = head // H, head % H
    e = tl.arange(0, BLOCK)
    value = tl.load(_vector_pointers(v, b, h, e), mask=e < E, other=0).to(tl.float32)
    numerator = tl.zeros([BLOCK], tl.float32)
    denominator, spread, count = 0.0, 0.0, 0.0
    for first in range(0, F, W):
        i, j, coefficient = feature_factors(first, root, W, D, PADDED)
        query = coefficient * _factor(q, b, h, i, D) * _factor(q, b, h, j, D)
        key = coefficient * _factor(k, b, h, i, D) * _factor(k, b, h, j, D)

        kv_from, kv_inside = kv_pointers(before[0], b, h, 0, first, W, 0, E, F, BLOCK)
        z_from, z_inside = z_pointers(before[1], b, h, 0, first, W, F)
        kv = tl.load(kv_from, mask=kv_inside, other=0) + key[:, None] * value[None, :]
        z = tl.load(z_from, mask=z_inside, other=0) + key
        numerator += tl.sum(query[:, None] * kv, 0)
        denominator += tl.sum(query * z, 0)
        spread += tl.sum(tl.where(i == j, tl.where(i > 0, 2.0, 1.0) * query * z, 0), 0)
        count += tl.sum(tl.where(first + tl.arange(0, W) == 0, z, 0), 0)

        # Several threads hold the same element of a short z: in place, all must have read it.
        tl.debug_barrier()
        kv_to, _ = kv_pointers(after[0], b, h, 0, first, W, 0, E, F, BLOCK)
        z_to, _ = z_pointers(after[1], b, h, 0, first, W, F)
        tl.store(kv_to, kv, mask=kv_inside)
        tl.store(z_to, z, mask=z_inside)
    numerator /= spoil(denominator, spread * (D + 1), count, MATRIX)
    tl.store(_vector_pointers(y, b, h, e), numerator.to(y[0].dtype.element_ty), mask=e < E)


@triton.jit
def _vector_pointers(rows, b, h, column):
    data, strides = rows
    return data + (b * strides[0] + h * strides[1]) + column.to(tl.int64) * strides[2]


@triton.jit
def _factor(rows, b, h, i, D: tl.constexpr):
    """x̂ᵢ of one vector: 1 for i = 0, xᵢ₋₁, and 0 where there is no such factor."""
    x = tl.load(_vector_pointers(rows, b, h, i - 1), mask=(i > 0) & (i <= D), other=0)
    return tl.where(i == 0, 1.0, x.to(tl.float32))
