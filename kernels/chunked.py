"""Prefix linear attention in chunks: linear time and memory, on the CPU or any other device.

Within a chunk of queries the quadratic form is used, between chunks the packed state (paper,
algorithm 2).  A group of heads is processed together, in buffers that are allocated once and stay
in the cache; features exist for one chunk of one group only.  The backward pass recomputes every
chunk: of the forward pass it needs the inputs, the output and one number per query and head.

Here are the loops over chunks; `head_group` has the arithmetic of one chunk.
"""

import torch
from torch import Tensor

from .head_group import HeadGroup, Sums, head_groups
from .precision import accumulation_dtype
from .taylor import num_features

# A query costs C·(D + E) in the quadratic form and 2·F·E with the state.  At C = 128, D = 16 and
# E = 64 the weights, features and values of one head are 200 kB of float32, a fifth of a core's
# second-level cache.  Smaller chunks cost more calls, larger ones more arithmetic.
CHUNK = 128


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
    """First the encoder, summed without queries; then the causal pass from that state.

    Args:
        q, k, v, k_enc, v_enc, mask, scale: as in `prefix_linear_attention`.
        kv, z: the initial state, (B, H, F, E) and (B, H, F), in the accumulation dtype.

    Returns:
        y (B, N, H, E) in v's dtype; its denominators (B, N, H), 1 where a query has no key; and the
        final state, kv and z, in the accumulation dtype.
    """
    y, denominators = _empty(v), per_query(q)
    kv_out, z_out = empty_state(q, v)
    for group in head_groups(q, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        _add_keys(group, sums, k_enc, v_enc)
        for n in _chunks(q):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            value = group.values("v", v, n)
            _, weights = group.mix(query, key)
            numerator = group.product("y", weights, value)
            denominator = group.total("denominator", weights)
            group.read(sums, query, numerator, denominator)
            group.spoil(sums, query, denominator)
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
    ds = dw·(1 + s).  A pass forward gives what queries get through the state they read; a pass
    backward gives the rest, with the gradient of the state after each chunk: Σ φ(q) gᵀ and
    Σ c φ(q) over all later queries.

    Args:
        dy: (B, N, H, E).
        dkv_out, dz_out: gradients of the final state; None = 0.
        The rest: arguments and results of `forward`.
    """
    dq = torch.empty_like(q, dtype=denominators.dtype, memory_format=torch.contiguous_format)
    dk, dv = _empty(k), _empty(v)
    dk_enc = None if k_enc is None else _empty(k_enc)
    dv_enc = None if v_enc is None else _empty(v_enc)
    dkv, dz = empty_state(q, v)
    for group in head_groups(q, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        _add_keys(group, sums, k_enc, v_enc)
        for n in _chunks(q):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            group.put(dq, n, group.pull(sums, query, g, c))
            group.add(sums, key, group.values("v", v, n))

        gradient = group.sums(dkv_out, dz_out)
        for n in reversed(_chunks(q)):
            query, key = group.lift("q", q, n), group.lift("k", k, n)
            value = group.values("v", v, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            slopes, weights = group.mix(query, key)
            ds = group.product("ds", g, value.transpose(1, 2))
            ds = ds.add_(c[..., None]).mul_(slopes).tril_()
            group.put(dq, n, group.product("dq", key.vectors, ds.transpose(1, 2)), add=True)
            dx = group.pull(gradient, key, value).add_(group.product("dk", query.vectors, ds))
            group.put(dk, n, dx)
            du = group.product("y", weights.transpose(1, 2), g)
            group.read(gradient, key, du)
            group.put_values(dv, n, du)
            group.add(gradient, query, g, c)
        if k_enc is not None and v_enc is not None and dk_enc is not None and dv_enc is not None:
            for n in _chunks(k_enc):
                group.key_gradients(gradient, k_enc, v_enc, n, dk_enc, dv_enc)
        group.store(gradient, dkv, dz)
    return dq.to(q.dtype), dk, dv, dk_enc, dv_enc, dkv, dz


def sum_keys(
    k: Tensor, v: Tensor, mask: Tensor | None, kv: Tensor | None, z: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The state, kv and z, after keys (B, N, H, D) and values (B, N, H, E), without queries."""
    kv_out, z_out = empty_state(k, v)
    for group in head_groups(k, v.shape[-1], mask, scale):
        sums = group.sums(kv, z)
        _add_keys(group, sums, k, v)
        group.store(sums, kv_out, z_out)
    return kv_out, z_out


def sum_keys_backward(
    dkv: Tensor, dz: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float
) -> tuple[Tensor, Tensor]:
    """The gradients of `sum_keys` in k and v; those of the initial state are dkv and dz."""
    dk, dv = _empty(k), _empty(v)
    for group in head_groups(k, v.shape[-1], mask, scale):
        gradient = group.sums(dkv, dz)
        for n in _chunks(k):
            group.key_gradients(gradient, k, v, n, dk, dv)
    return dk, dv


def read_state(q: Tensor, kv: Tensor, z: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """What each query of q (B, N, H, D) reads from the state, in q's dtype; the denominators."""
    y = q.new_empty(*q.shape[:3], kv.shape[-1])
    denominators = per_query(q)
    for group in head_groups(q, kv.shape[-1], None, scale):
        sums = group.sums(kv, z)
        for n in _chunks(q):
            query = group.lift("q", q, n)
            numerator = group.zeros("y", query.length, kv.shape[-1])
            denominator = group.zeros("denominator", query.length)
            group.read(sums, query, numerator, denominator)
            group.spoil(sums, query, denominator)
            group.divide(numerator, denominator, n, y, denominators)
    return y, denominators


def read_state_backward(
    dy: Tensor, q: Tensor, kv: Tensor, z: Tensor, y: Tensor, denominators: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `read_state` in q, kv and z."""
    dq = _empty(q)
    dkv, dz = _empty(kv), _empty(z)
    for group in head_groups(q, kv.shape[-1], None, scale):
        sums, gradient = group.sums(kv, z), group.sums(None, None)
        for n in _chunks(q):
            query = group.lift("q", q, n)
            g, c = group.output_gradients(dy, y, denominators, n)
            group.put(dq, n, group.pull(sums, query, g, c))
            group.add(gradient, query, g, c)
        group.store(gradient, dkv, dz)
    return dq, dkv, dz


def _add_keys(group: HeadGroup, sums: Sums, k: Tensor | None, v: Tensor | None) -> None:
    """Add all keys and values to the group's state; None stands for none."""
    if k is not None and v is not None:
        for n in _chunks(k):
            group.add(sums, group.lift("k", k, n), group.values("v", v, n))


def _chunks(x: Tensor) -> list[slice]:
    """The positions of x (B, N, ...), `CHUNK` at a time."""
    N = x.shape[1]
    return [slice(start, min(start + CHUNK, N)) for start in range(0, N, CHUNK)]


def _empty(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def per_query(q: Tensor) -> Tensor:
    """Uninitialized: a number per query and head, (B, N, H), in the accumulation dtype."""
    return q.new_empty(q.shape[:3], dtype=accumulation_dtype(q.dtype))


def empty_state(q: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Uninitialized: a packed state, kv (B, H, F, E) and z (B, H, F)."""
    B, _, H, D = q.shape
    z = q.new_empty(B, H, num_features(D), dtype=accumulation_dtype(q.dtype))
    return z.new_empty(*z.shape, v.shape[-1]), z
