"""One token of the recurrence, in one launch."""

import torch
import triton
from torch import Tensor

from . import triton_kernels
from .launch import on_device, state, strided
from .plan import matrix_type

# Numbers of the state that a program handles at a time: 32 for each of its threads.
_TILE = 4096
_WARPS = 4


def step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kv: Tensor,
    z: Tensor,
    kv_out: Tensor,
    z_out: Tensor,
    scale: float,
) -> Tensor:
    """Adds a token to the state, then reads the state with it.

    Args:
        q, k: (B, H, D), bfloat16, float16 or float32.
        v: (B, H, E), of the same type.
        kv, z: (B, H, F, E) and (B, H, F) float32, the state before.
        kv_out, z_out: where the state after goes; kv and z themselves, or tensors that share no
            memory with them.
        scale: of q·k, above 0.

    Returns:
        y (B, H, E) in v's type.
    """
    B, H, D = q.shape
    F, E = kv.shape[-2:]
    y = torch.empty(B, H, E, dtype=v.dtype, device=v.device)
    block = triton.next_power_of_2(E)
    if B * H > 0:
        with on_device(q.device):
            triton_kernels.step_token[(B * H,)](
                strided(q),
                strided(k),
                strided(v),
                state(kv, z),
                state(kv_out, z_out),
                strided(y),
                H,
                scale**0.5,
                D=D,
                E=E,
                F=F,
                PADDED=triton.next_power_of_2(D),
                BLOCK=block,
                W=min(_TILE // block, 128),
                MATRIX=matrix_type(q.dtype),
                num_warps=_WARPS,
            )
    return y
