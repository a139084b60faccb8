"""The backward pass: recomputes the states, keeps nothing of size N·F.

With g = dy/denominator and c = −(dy·y)/denominator, the gradients that reach numerator and
denominator, ∂loss/∂w_ij = g_i·v_j + c_i: queries and keys play the same part, rows (q, g, c) on
one side and (k, v, 1) on the other, and one kernel, `differentiate`, serves dq on the way forward
and dk, dv on the way back.
"""

import torch
import triton
from torch import Tensor

from . import triton_kernels
from .forward import encoder_row, states_before
from .launch import Call, Row, State, Strided, mask_bytes, on_device, state, strided

Gradients = tuple[
    Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None
]


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
    denominator: Tensor,
    scale: float,
) -> Gradients:
    """The gradients of `forward`.

    Args:
        dy: (B, N, H, E), of y.
        dkv_out, dz_out: (B, H, F, E) and (B, H, F), of the state after everything; None where
            the loss does not depend on it.
        y, denominator: what `forward` returned.
        The rest: what `forward` was given.

    Returns:
        Those of q, k, v, k_enc, v_enc, kv and z, each in its tensor's type and contiguous; None
        where there was no tensor.
    """
    call = Call.of(q, v, scale)
    dv, dkv, dz = _like(v), *call.new_state()
    dk_enc = None if k_enc is None else _like(k_enc)
    dv_enc = None if v_enc is None else _like(v_enc)
    dq, dk = _like(q), _like(k)
    if call.B * call.H > 0:
        with on_device(call.device):
            bits = mask_bytes(mask)
            keys = Row(strided(k), strided(v))
            encoder = encoder_row(k_enc, v_enc)
            queries = _query_row(call, q, dy, y, denominator, bits)

            before = states_before(call, keys, encoder, bits, kv, z)
            _differentiate(call, queries, keys, bits, before, dq, None, None)
            behind = states_before(call, queries, None, bits, dkv_out, dz_out, reverse=True)
            start = state(dkv, dz)  # what the encoder's keys are read by too
            _differentiate(call, keys, queries, bits, behind, dk, dv, start)
            if encoder is not None and dk_enc is not None:
                _differentiate(call, encoder, None, bits, start, dk_enc, dv_enc, None)
    return (
        dq,
        dk,
        dv,
        dk_enc,
        dv_enc,
        None if kv is None else dkv,
        None if z is None else dz,
    )


def _query_row(
    call: Call, q: Tensor, dy: Tensor, y: Tensor, denominator: Tensor, mask: Strided | None
) -> Row:
    """The queries with what reaches them of the loss: (q, dy/denominator, c)."""
    gain, last = torch.empty_like(denominator), torch.empty_like(denominator)
    chunks = -(-call.N // call.plan.chunk)
    if chunks > 0:
        triton_kernels.prepare_gradients[(call.B * call.H * chunks,)](
            strided(dy),
            strided(y),
            strided(denominator),
            mask,
            strided(gain),
            strided(last),
            call.N,
            call.H,
            chunks,
            E=call.E,
            PADDED=triton.next_power_of_2(call.E),
            C=call.plan.chunk,
        )
    return Row(strided(q), strided(dy), strided(gain), strided(last))


def _differentiate(
    call: Call,
    own: Row,
    other: Row | None,
    mask: Strided | None,
    before: State,
    dx: Tensor,
    dvalue: Tensor | None,
    after: State | None,
) -> None:
    """Writes the gradients of the own rows to dx and dvalue, and the state after all to `after`.

    With `dvalue` the own rows are keys, and are walked from last to first; without `other`, they
    are the encoder's, and they meet the state `before` alone.
    """
    tokens = dx.shape[1]
    parts = dx.unsqueeze(0)
    if call.plan.blocks > 1:  # summed afterwards, in float32 and in one order
        parts = torch.empty(call.plan.blocks, *dx.shape, device=dx.device)
    segments, length = call.cut(tokens)
    triton_kernels.differentiate[call.programs(segments)](
        own,
        other,
        mask,
        before,
        strided(parts),
        None if dvalue is None else strided(dvalue),
        after,
        tokens,
        call.H,
        segments,
        length,
        call.scale,
        call.scale**0.5,
        REVERSE=dvalue is not None,
        **call.sizes,
    )
    if call.plan.blocks > 1:
        dx.copy_(parts.sum(0))


def _like(x: Tensor) -> Tensor:
    """Uninitialized, of x's shape and type, contiguous."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)
