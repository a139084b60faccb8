"""What the launchers share: how tensors are passed to a kernel, on which device, which sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
import triton
from torch import Tensor

from ..taylor import num_features
from .plan import (
    DTYPES,
    MAX_FEATURE_DIM,
    MAX_FEATURE_DIM_FLOAT32,
    MAX_HEAD_DIM,
    Plan,
    has_warpgroups,
    matrix_type,
    multiprocessors,
    plan,
    segments,
)

# As it was when the kernels were defined; torch.compile cannot read it from Triton.
_INTERPRETED = bool(triton.knobs.runtime.interpret)


class Strided(NamedTuple):
    """A tensor as the kernels take it; its strides are in elements."""

    data: Tensor
    strides: tuple[int, ...]


class Row(NamedTuple):
    """What a sum Σ φ(x) [gain·value, last]ᵀ runs over; None stands for 1 (see `tiles`)."""

    x: Strided
    value: Strided
    gain: Strided | None = None
    last: Strided | None = None


# A state as the kernels take it: kv (B, H, slots, F, E) and z (B, H, slots, F).
State: TypeAlias = tuple[Strided | None, Strided | None]


def strided(x: Tensor) -> Strided:
    return Strided(x, x.stride())


def state(kv: Tensor | None, z: Tensor | None) -> State:
    """kv (B, H, F, E) and z (B, H, F) as a state with one slot; None stands for zeros."""
    return (
        None if kv is None else strided(kv.unsqueeze(2)),
        None if z is None else strided(z.unsqueeze(2)),
    )


def mask_bytes(mask: Tensor | None) -> Strided | None:
    """mask (B, N) bool, as bytes: Triton has no loads of single bits."""
    return None if mask is None else strided(mask.view(torch.uint8))


@dataclass(frozen=True)
class Call:
    """One operator call on q, k (B, N, H, D) and v (B, N, H, E): its sizes, plan and constants."""

    B: int
    N: int
    H: int
    D: int
    E: int
    scale: float
    dtype: torch.dtype
    device: torch.device
    plan: Plan

    @classmethod
    def of(cls, q: Tensor, v: Tensor, scale: float) -> Call:
        B, N, H, D = q.shape
        E = v.shape[-1]
        chosen = plan(D, E, q.dtype, warpgroups=has_warpgroups(q.device))
        return cls(B, N, H, D, E, scale, q.dtype, q.device, chosen)

    @property
    def F(self) -> int:  # noqa: N802 - as in the kernels
        """Packed features."""
        return num_features(self.D)

    def cut(self, tokens: int) -> tuple[int, int]:
        """Into how many segments `tokens` tokens are cut, and the length of all but the last."""
        chunks = max(1, -(-tokens // self.plan.chunk))
        programs = self.B * self.H * self.plan.blocks
        count = segments(programs, chunks, multiprocessors(self.device))
        return count, -(-chunks // count) * self.plan.chunk

    def programs(self, segments: int) -> tuple[int]:
        """The grid, with `segments` programs for each head and block."""
        return (self.B * self.H * self.plan.blocks * segments,)

    @property
    def sizes(self) -> dict[str, Any]:
        """The compile-time arguments of every kernel that holds a state."""
        return {
            "D": self.D,
            "E": self.E,
            "F": self.F,
            "PADDED": self.plan.padded_dim,
            "BLOCK": self.plan.block,
            "BLOCKS": self.plan.blocks,
            "C": self.plan.chunk,
            "EDGES": self.plan.edges,
            "MATRIX": matrix_type(self.dtype),
            "num_warps": self.plan.warps,
            "num_stages": self.plan.stages,
        }

    def new_state(self, *slots: int) -> tuple[Tensor, Tensor]:
        """Uninitialized kv (B, H, F, E) and z (B, H, F), or with `slots` (B, H, slots, F, ...)."""
        z = torch.empty(self.B, self.H, *slots, self.F, device=self.device)
        return z.new_empty(*z.shape, self.E), z


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Launches inside run on `device`, which need not be the current one."""
    if device.type == "cuda":
        with torch.cuda.device(device):
            yield
    else:
        yield


def supported(q: Tensor, v: Tensor) -> str | None:
    """None if q (…, D) and v (…, E) can be run here, else a sentence that says why not."""
    if q.dtype not in DTYPES:
        return f"the fused kernels take bfloat16, float16 and float32, not {q.dtype}"
    if not 1 <= q.shape[-1] <= MAX_FEATURE_DIM:
        return f"the fused kernels take D from 1 to {MAX_FEATURE_DIM}, not {q.shape[-1]}"
    if not 1 <= v.shape[-1] <= MAX_HEAD_DIM:
        return f"the fused kernels take E from 1 to {MAX_HEAD_DIM}, not {v.shape[-1]}"
    if q.device.type == "cuda":
        if torch.version.hip is not None:
            return "the fused kernels are made for NVIDIA GPUs"
        major, minor = torch.cuda.get_device_capability(q.device)
        if major < 8:
            return f"the fused kernels need compute capability 8.0, {q.device} has {major}.{minor}"
        if q.dtype == torch.float32 and q.shape[-1] > MAX_FEATURE_DIM_FLOAT32:
            return (
                "the fused kernels take float32 with D from 1 to "
                f"{MAX_FEATURE_DIM_FLOAT32}, not {q.shape[-1]}"
            )
        return None
    if q.device.type == "cpu" and _INTERPRETED:
        return None
    return f"the fused kernels run on CUDA devices, not on {q.device.type}"
