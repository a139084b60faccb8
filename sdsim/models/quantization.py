"""States rounded to a few bits per number: what a model must really carry from token to token."""

from __future__ import annotations

import torch
from torch import Tensor

from sdsim.models.state import ModelState

_SCALE_BITS = 16  # a bfloat16
_ROUND_UP = 1 + 2**-8  # lest a range shrink, becoming a bfloat16, and clip the largest number
# Ranges that are tried, over the largest number: clipping a few numbers makes the steps finer.
_RANGES = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.12, 0.07)


def quantized(state: ModelState, bits: Tensor) -> ModelState:
    """The state with each number rounded to one of 2^b evenly spaced values around 0.

    Every head of every example has a scale of its own (a tensor without heads has one): the largest
    of these values, of a few that are tried the one with the smallest squared error, as a bfloat16.
    Numbers beyond it are clipped. What is no floating-point number (a mask, a counter) stays as it
    is, and is counted at its full size.

    Args:
        state: of B sequences; heads, if any, are the second dimension of its tensors.
        bits: b for each sequence, int64 (B,), from 1 to 16.

    Raises:
        TypeError: for complex numbers.
    """
    return ModelState(
        tuple(tuple(_quantized(tensor, bits) for tensor in layer) for layer in state.layers)
    )


def quantized_bits(state: ModelState, bits: int) -> int:
    """Bits that hold a sequence's state so rounded, the scales included."""
    return sum(_bits_held(tensor, bits) for tensor in state.tensors())


def _bits_held(x: Tensor, bits: int) -> int:
    numbers = x[0].numel()
    if x.is_floating_point():
        return numbers * bits + _scales(x)[0].numel() * _SCALE_BITS
    return numbers if x.dtype == torch.bool else numbers * x.element_size() * 8


def _scales(x: Tensor) -> Tensor:
    """Room for the scales of x (B, …): one for each head, (B, heads)."""
    return x.new_empty(len(x), x.shape[1] if x.ndim > 2 else 1)


def _quantized(x: Tensor, bits: Tensor) -> Tensor:
    if x.is_complex():
        raise TypeError(f"a state of {x.dtype} cannot be rounded: carry real and imaginary parts")
    if not x.is_floating_point():
        return x
    rows = x.flatten(2) if x.ndim > 2 else x[:, None]  # (B, heads, numbers)
    half = (2.0 ** (bits - 1)).to(x.dtype)[:, None, None]  # values on each side of 0
    largest = rows.abs().amax(-1, keepdim=True)
    best, least = rows, torch.full_like(largest, torch.inf)
    for share in _RANGES:
        bound = (largest * share * _ROUND_UP).bfloat16().to(x.dtype)
        # At least the smallest normal number, lest an empty state divide by 0.
        step = (bound / (half - 0.5)).clamp(min=torch.finfo(x.dtype).tiny)
        index = (rows / step).floor().clamp(-half, half - 1)
        rounded = (index + 0.5) * step
        error = (rounded - rows).square().sum(-1, keepdim=True)
        better = error < least
        if share == 1:  # is taken even where squares overflow
            better = torch.ones_like(better)
        best, least = torch.where(better, rounded, best), torch.where(better, error, least)
    return best.view_as(x)
