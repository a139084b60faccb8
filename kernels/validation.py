"""Checks of arguments: each error names the argument, its value and what is allowed."""

import math
from numbers import Real

import torch
from torch import Tensor

from .precision import ACCUMULATION, accumulation_dtype
from .state import PrefixState
from .taylor import num_features


def check_scale(scale: float | None, feature_dim: int) -> float:
    """`scale`, or 1/√D where it is None; positive, since its root scales queries and keys."""
    if scale is None:
        return 1.0 / math.sqrt(feature_dim)
    if not isinstance(scale, Real) or not math.isfinite(scale) or scale <= 0:
        raise ValueError(f"scale must be a finite number above 0, got {scale!r}")
    return float(scale)


def check_reference(name: str, x: Tensor, axes: tuple[str, ...]) -> None:
    """A float tensor with these axes, whose shape, dtype and device the others must match."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.dim() != len(axes):
        raise ValueError(f"{name} must have shape ({', '.join(axes)}), got {tuple(x.shape)}")
    if x.dtype not in ACCUMULATION:
        allowed = ", ".join(str(dtype) for dtype in ACCUMULATION)
        raise ValueError(f"{name} must have one of the dtypes {allowed}, got {x.dtype}")
    for axis, size in zip(axes, x.shape, strict=True):
        if size < 1 and axis == "D":
            raise ValueError(f"{name} must have {axis} of at least 1, got shape {tuple(x.shape)}")


def check_matches(
    name: str, x: Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> None:
    """A tensor of this shape, dtype and device; −1 allows any size from 1."""
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} must be a tensor, got {type(x).__name__}")
    if x.shape != shape and not _fits(x.shape, shape):
        wanted = ", ".join("any ≥ 1" if size == -1 else str(size) for size in shape)
        raise ValueError(f"{name} must have shape ({wanted}), got {tuple(x.shape)}")
    if x.dtype != dtype:
        raise ValueError(f"{name} must have dtype {dtype}, got {x.dtype}")
    if x.device != device:
        raise ValueError(f"{name} must be on {device}, got {x.device}")


def _fits(actual: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(actual) == len(wanted) and all(
        have >= 1 if want == -1 else have == want for have, want in zip(actual, wanted, strict=True)
    )


def check_encoder(q: Tensor, v: Tensor, k_enc: Tensor | None, v_enc: Tensor | None) -> None:
    """Encoder keys and values come together, (B, M, H, D) and (B, M, H, E), with M ≤ N."""
    if k_enc is None and v_enc is None:
        return
    if k_enc is None or v_enc is None:
        given, missing = ("v_enc", "k_enc") if k_enc is None else ("k_enc", "v_enc")
        raise ValueError(f"{missing} must be given together with {given}, got None")
    B, N, H, D = q.shape
    if not isinstance(k_enc, Tensor) or k_enc.dim() != 4:
        got = str(tuple(k_enc.shape)) if isinstance(k_enc, Tensor) else type(k_enc).__name__
        raise ValueError(f"k_enc must have shape (B, M, H, D), got {got}")
    M = k_enc.shape[1]
    if M > N:
        raise ValueError(f"k_enc must have M ≤ N = {N} positions, got M = {M}")
    check_matches("k_enc", k_enc, (B, M, H, D), q.dtype, q.device)
    check_matches("v_enc", v_enc, (B, M, H, v.shape[-1]), q.dtype, q.device)


def check_mask(mask: Tensor | None, like: Tensor) -> None:
    """None, or (B, N) bool on the device of `like` (B, N, ...)."""
    if mask is not None:
        check_matches("mask", mask, tuple(like.shape[:2]), torch.bool, like.device)


def check_state(name: str, state: PrefixState, like: Tensor, head_dim: int = -1) -> None:
    """A state for queries or keys `like` (B, ..., H, D), with E = `head_dim` where it is given."""
    if not isinstance(state, PrefixState):
        raise ValueError(f"{name} must be a PrefixState, got {type(state).__name__}")
    shape = (like.shape[0], like.shape[-2], num_features(like.shape[-1]))
    dtype = accumulation_dtype(like.dtype)
    check_matches(f"{name}.kv", state.kv, (*shape, head_dim), dtype, like.device)
    check_matches(f"{name}.k", state.k, shape, dtype, like.device)
