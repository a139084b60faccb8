"""Sliding-window attention against its definition."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import sliding_window_attention


def definition(q: Tensor, k: Tensor, v: Tensor, window: int, mask: Tensor) -> Tensor:
    """Query by query."""
    y = torch.zeros_like(v)
    for b in range(len(q)):
        for n in range(q.shape[1]):
            seen = [j for j in range(max(0, n - window + 1), n + 1) if mask[b, j]]
            if seen:
                scores = torch.einsum("he,jhe->hj", q[b, n], k[b, seen]) / q.shape[-1] ** 0.5
                y[b, n] = torch.einsum("hj,jhe->he", scores.softmax(-1), v[b, seen])
    return y


@settings(deadline=None, max_examples=60)
@given(
    length=st.integers(1, 20),
    window=st.integers(1, 24),
    padding=st.lists(st.integers(0, 19), min_size=2, max_size=2),
    masked=st.booleans(),
)
def test_against_the_definition(length: int, window: int, padding: list[int], masked: bool) -> None:
    generator = torch.Generator().manual_seed(length * 31 + window)
    q, k, v = (torch.randn(2, length, 3, 5, generator=generator).double() for _ in range(3))
    mask = torch.arange(length) >= torch.tensor(padding)[:, None] % length
    if not masked:
        mask[:] = True
    y = sliding_window_attention(q, k, v, window, mask=mask if masked else None)
    expected = definition(q, k, v, window, mask)
    torch.testing.assert_close(y[mask], expected[mask], rtol=0, atol=1e-12)


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, 7, 2, 3, generator=generator).double().requires_grad_() for _ in "qkv"]
    mask = torch.arange(7)[None] >= 2
    for given_mask in (None, mask):
        assert torch.autograd.gradcheck(
            lambda q, k, v, m=given_mask: sliding_window_attention(q, k, v, 3, mask=m), inputs
        )


@pytest.mark.parametrize(
    ("shape", "window", "words"),
    [
        ((1, 4, 2, 3), 0, "window must be at least 1, got 0"),
        ((4, 2, 3), 2, "q, k, v must have one shape"),
    ],
)
def test_bad_input(shape: tuple[int, ...], window: int, words: str) -> None:
    x = torch.zeros(shape)
    with pytest.raises(ValueError, match=words):
        sliding_window_attention(x, x, x, window)


def test_a_mask_has_the_shape_of_the_tokens() -> None:
    x = torch.zeros(1, 4, 2, 3)
    with pytest.raises(ValueError, match=r"mask must have shape \(1, 4\), got \(1, 3\)"):
        sliding_window_attention(x, x, x, 2, mask=torch.ones(1, 3, dtype=torch.bool))


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int64])
def test_a_window_may_be_a_numpy_integer(kind: type[np.integer[Any]]) -> None:
    x = torch.randn(1, 5, 1, 2)
    window: Any = kind(2)
    expected = sliding_window_attention(x, x, x, 2)
    assert torch.equal(sliding_window_attention(x, x, x, window), expected)
