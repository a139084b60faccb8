"""The dtype in which sums are taken."""

from contextlib import AbstractContextManager, nullcontext

import torch

ACCUMULATION = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


# The largest ratio of what sums add up in size to what is left that `trust` trusts, K: 2⁻⁸ over the
# unit roundoff, which is 2⁻²⁴ and 2⁻⁵³.
MOST_CANCELLATION = {torch.float32: 2.0**16, torch.float64: 2.0**45}


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums and states: float32 for half types, else the input's.

    Raises:
        ValueError: `dtype` is not a float type.
    """
    if dtype not in ACCUMULATION:
        allowed = ", ".join(str(name) for name in ACCUMULATION)
        raise ValueError(f"dtype must be one of {allowed}, got {dtype}")
    return ACCUMULATION[dtype]


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast, if it is on, does not lower the precision of sums."""
    if torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
