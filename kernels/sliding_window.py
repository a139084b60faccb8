"""Softmax attention over a sliding window, block by block, on torch's own operator."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .validation import check_mask


def sliding_window_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int, *, mask: Tensor | None = None
) -> Tensor:
    """Each token attends to itself and to the `window` - 1 tokens before it.

    Time and memory are linear in N: a block of `window` queries is multiplied with its own and the
    previous block of keys.

    Args:
        q, k, v: (B, N, H, E).
        window: w ≥ 1, tokens.
        mask: bool (B, N), False on padding, which no real token attends to; the output at padding
            is arbitrary.

    Returns:
        (B, N, H, E).

    Raises:
        ValueError: the window is below 1, or a shape or the mask does not fit.

    Source:
        The window layers of Based and JRT-RNN, arXiv:2407.05483, Table 15.
    """
    window = int(window)
    if window < 1:
        raise ValueError(f"window must be at least 1, got {window}")
    if q.ndim != 4 or q.shape != k.shape or k.shape != v.shape:
        shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
        raise ValueError(f"q, k, v must have one shape (B, N, H, E), got {shapes}")
    check_mask(mask, q)
    length = q.shape[1]
    if _is_empty(q):
        return q * k * v  # nothing; torch's attention does not take vmap over 0
    if length <= window and mask is None:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
    window = min(window, length)
    blocks = -(-length // window)
    q, k, v = (_blocks(x, blocks, window) for x in (q, k, v))  # (B, blocks, H, w, E)
    k, v = (torch.cat([_previous(x), x], dim=3) for x in (k, v))
    y = F.scaled_dot_product_attention(
        q, k, v, attn_mask=_visible(length, blocks, window, mask, q.device)
    )
    return y.transpose(2, 3).flatten(1, 2)[:, :length]


def _is_empty(x: Tensor) -> bool:
    """Whether x has no element, the axes of vmap included."""
    if not torch.compiler.is_compiling():
        while torch._C._functorch.is_functorch_wrapped_tensor(x):
            x = torch._C._functorch.get_unwrapped(x)
    return x.numel() == 0


def _blocks(x: Tensor, blocks: int, window: int) -> Tensor:
    x = F.pad(x, (0, 0, 0, 0, 0, blocks * window - x.shape[1]))
    return x.view(len(x), blocks, window, *x.shape[2:]).transpose(2, 3)


def _previous(x: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)


def _visible(
    length: int, blocks: int, window: int, mask: Tensor | None, device: torch.device
) -> Tensor:
    """Which keys of its own and the previous block a query sees, (B or 1, blocks, 1, w, 2w)."""
    query = torch.arange(window, device=device)[:, None]
    key = torch.arange(-window, window, device=device)[None]
    near = (key <= query) & (key > query - window)
    if mask is None:
        mask = torch.ones(1, length, dtype=torch.bool, device=device)
    real = F.pad(mask, (window, blocks * window - length), value=False)
    real = real.unfold(1, 2 * window, window)  # (B or 1, blocks, 2w)
    itself = key == query  # so that a padded query's softmax is not over nothing
    return (near & real[:, :, None, None]) | itself
