"""The forward pass: one launch where heads fill the device, else sums, scan and outputs."""

import torch
from torch import Tensor

from . import triton_kernels
from .launch import Call, Row, State, Strided, mask_bytes, on_device, state, strided

_SCAN_BLOCK = 1024  # numbers of a state per program of the scan


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
    """Prefix linear attention (`prefix_linear_attention`), with the state after it.

    Args:
        q, k: (B, N, H, D), bfloat16, float16 or float32.
        v: (B, N, H, E), of the same type.
        k_enc, v_enc: (B, M, H, D) and (B, M, H, E), M ≤ N, or None.
        mask: (B, N) bool, False = left out, or None.
        kv, z: (B, H, F, E) and (B, H, F) float32, the state before; or None.
        scale: of q·k, above 0.

    Returns:
        y (B, N, H, E), contiguous, in v's type; denominator (B, N, H) float32, 1 where a query
        reads no key; the state after everything, kv and z, float32.

    Nothing is checked here: callers have checked the arguments as `prefix_linear_attention` does,
    and that they are `supported`.
    """
    call = Call.of(q, v, scale)
    y = torch.empty(call.B, call.N, call.H, call.E, dtype=v.dtype, device=v.device)
    denominator = torch.empty(call.B, call.N, call.H, device=v.device)
    kv_out, z_out = call.new_state()
    row = Row(strided(k), strided(v))
    encoder = encoder_row(k_enc, v_enc)
    bits = mask_bytes(mask)
    if call.B * call.H > 0:
        with on_device(call.device):
            segments, length = call.cut(call.N)
            before = state(kv, z)
            if segments > 1:
                before = states_before(call, row, encoder, bits, kv, z)
                encoder = None  # part of every segment's state by now
            triton_kernels.attend[call.programs(segments)](
                strided(q),
                row,
                encoder,
                bits,
                before,
                strided(y),
                strided(denominator),
                state(kv_out, z_out),
                call.N,
                0 if k_enc is None else k_enc.shape[1],
                call.H,
                segments,
                length,
                scale,
                scale**0.5,
                **call.sizes,
            )
    return y, denominator, kv_out, z_out


def encoder_row(k_enc: Tensor | None, v_enc: Tensor | None) -> Row | None:
    """The encoder's keys and values; None if there are none to read."""
    if k_enc is None or v_enc is None or k_enc.shape[1] == 0:
        return None
    return Row(strided(k_enc), strided(v_enc))


def states_before(
    call: Call,
    row: Row,
    encoder: Row | None,
    mask: Strided | None,
    kv: Tensor | None,
    z: Tensor | None,
    *,
    reverse: bool = False,
) -> State:
    """The state before each of the decoder's segments, summed and scanned in parallel.

    Args:
        row: what is summed over the decoder's tokens.
        encoder: what is summed before that, if anything.
        kv, z: what everything is added to.
        reverse: the later segments come before the earlier ones.

    Returns:
        A state with one slot for each segment.
    """
    segments, length = call.cut(call.N)
    if segments == 1 and encoder is None:
        return state(kv, z)
    M = 0 if encoder is None else encoder.x.data.shape[1]
    pieces = -(-M // length)
    kv_sums, z_sums = call.new_state(pieces + segments)
    decoder_sums = strided(kv_sums[:, :, pieces:]), strided(z_sums[:, :, pieces:])
    if encoder is not None:
        sums = strided(kv_sums), strided(z_sums)
        _sum_segments(call, encoder, mask, sums, M, range(pieces), length)
    # Nothing reads the sum of the segment that is visited last.
    summed = range(1, segments) if reverse else range(segments - 1)
    if segments > 1:
        _sum_segments(call, row, mask, decoder_sums, call.N, summed, length)
    for slots, initial in ((kv_sums, kv), (z_sums, z)):
        size = slots[0, 0, 0].numel()
        triton_kernels.scan_segments[(call.B * call.H * -(-size // _SCAN_BLOCK),)](
            slots,
            None if initial is None else initial.contiguous(),
            slots.shape[2],
            size,
            REVERSE=reverse,
            BLOCK=_SCAN_BLOCK,
        )
    return decoder_sums


def _sum_segments(
    call: Call,
    row: Row,
    mask: Strided | None,
    sums: State,
    tokens: int,
    segments: range,
    length: int,
) -> None:
    """Writes the sums of `segments`, of `length` tokens each, of a sequence of `tokens`."""
    triton_kernels.sum_segments[call.programs(len(segments))](
        row,
        mask,
        sums,
        tokens,
        call.H,
        len(segments),
        segments.start,
        length,
        call.scale**0.5,
        **call.sizes,
    )
