"""States quantized to a few bits per number: what a model really needs to carry between tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from sdsim.models.state import ModelState

_SCALE_BITS = 16  # a bfloat16
_ROUND_UP = 1 + 2**-8  # so that storing a range as a bfloat16 never shrinks it
# Fractions of the largest number that are tried as range: clipping a few numbers gives finer steps.
_RANGES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.12, 0.07)


def quantized(state: ModelState, bits: Tensor) -> ModelState:
    """The state with each number replaced by one of 2^b evenly spaced values around 0.

    Every head of every example has a scale of its own, a bfloat16 (a tensor without heads has one
    per example). It fixes the range of the values; of a few fractions of the largest number, the
    range with the smallest squared error is chosen, and numbers beyond it are clipped. Tensors of
    other than floating-point type (a mask, a counter) stay as they are and are counted in full.

    Args:
        state: of B sequences; heads, if any, are the second axis of its tensors.
        bits: b for each sequence, int64 (B,), from 1 to 16.

    Raises:
        TypeError: for complex numbers.
    """
    return ModelState(
        tuple(tuple(_quantized(tensor, bits) for tensor in layer) for layer in state.layers)
    )


def quantized_bits(state: ModelState, bits: int) -> int:
    """Bits that a sequence's state takes when quantized to `bits` per number, scales included."""
    return sum(_bits_held(tensor, bits) for tensor in state.tensors())


def _bits_held(x: Tensor, bits: int) -> int:
    numbers = x[0].numel()
    if x.is_floating_point():
        scales = x.shape[1] if x.ndim > 2 else 1
        return numbers * bits + scales * _SCALE_BITS
    return numbers if x.dtype == torch.bool else numbers * x.element_size() * 8


def _quantized(x: Tensor, bits: Tensor) -> Tensor:
    if x.is_complex():
        raise TypeError(f"a state of {x.dtype} cannot be quantized: carry real and imaginary parts")
    if not x.is_floating_point():
        return x
    rows = x.flatten(2) if x.ndim > 2 else x[:, None]  # (B, heads, numbers)
    half = (2.0 ** (bits - 1)).to(x.dtype)[:, None, None]  # values on each side of 0
    largest = rows.abs().amax(-1, keepdim=True)
    best, least = rows, torch.full_like(largest, torch.inf)
    for fraction in _RANGES:
        bound = (largest * fraction * _ROUND_UP).bfloat16().to(x.dtype)
        # At least the smallest normal number: an all-zero state must not divide by 0.
        step = (bound / (half - 0.5)).clamp(min=torch.finfo(x.dtype).tiny)
        index = (rows / step).floor().clamp(-half, half - 1)
        candidate = (index + 0.5) * step
        error = (candidate - rows).square().sum(-1, keepdim=True)
        better = error < least
        if fraction == 1:  # chosen first even where squares overflow to infinity
            better = torch.ones_like(better)
        best, least = torch.where(better, candidate, best), torch.where(better, error, least)
    return best.view_as(x)
