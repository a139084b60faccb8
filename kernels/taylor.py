"""The Taylor feature map φ, which makes the weight of a query and a key linear in each of them.

The weight is exp to second order, φ(q)·φ(k) = 1 + s + s²/2 = ((1 + s)² + 1)/2 ≥ 1/2 for s = q·k
(arXiv:2407.05483).  `features` gives φ itself, for the state; `weight` gives φ(q)·φ(k) from s, for
the quadratic form.  The attention's scale is the caller's: √scale to the query, √scale to the key.

With x̂ = (1, x), every feature is a product x̂ᵢx̂ⱼ, i ≤ j: the constant, the D numbers, and D(D+1)/2
products of two of them.  The second order is symmetric: of two equal products one is kept, and
weighted by √2 (packed; the unpacked map has 1 + D + D² features).
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from .precision import MOST_CANCELLATION


def num_features(feature_dim: int) -> int:
    """F = (D+1)(D+2)/2, the packed features of D = `feature_dim` numbers.

    >>> num_features(16)
    153
    """
    return (feature_dim + 1) * (feature_dim + 2) // 2


def features(x: Tensor) -> Tensor:
    """φ(x): (..., D) to (..., F)."""
    factors = _factors_for(x)
    x = functional.pad(x, (1, 0), value=1.0)  # x̂ (..., D+1)
    return (x @ factors.first) * (x @ factors.second)


def spread_weights(x: Tensor) -> Tensor:
    """c (F,) with Σ c_f φ_f(x) φ_f(y) = (D+1) Σᵢ (x̂ᵢŷᵢ)² / 2K, see `trust`; for vectors like x."""
    return _factors_for(x).spread_weights


def weight(s: Tensor) -> Tensor:
    """φ(q)·φ(k), elementwise from s = q·k."""
    return 1 + s + s * s / 2


class Factors(NamedTuple):
    """What makes the features of D numbers.

    Attributes:
        first, second: (D+1, F), which pick the factors x̂ᵢ and x̂ⱼ of each feature.
        spread_weights: (F,), (D+1)/2K for the constant, twice that for the other features with
            i = j, else 0.
    """

    first: Tensor
    second: Tensor
    spread_weights: Tensor


def _factors_for(x: Tensor) -> Factors:
    """The factors for x's size, type and device, cached."""
    # Tensors without data (of torch.compile, of FakeTensorMode) must not enter the cache, and
    # those of the cache must not meet them.
    make = _factors if torch.compiler.is_compiling() or type(x) is not Tensor else _cached_factors
    return make(x.shape[-1], x.dtype, x.device)


def _factors(feature_dim: int, dtype: torch.dtype, device: torch.device) -> Factors:
    """The factors, made anew.

    Picking by matrix product costs little beside the attention's own products, and its gradient
    is again a matrix product: faster on the CPU, and deterministic on the GPU, where the gradient
    of a gather is not.  The second matrix carries the coefficients: 1/√2 for a square, from s²/2;
    √2·1/√2 = 1 for the other products; 1 for orders 0 and 1.
    """
    first, second = torch.triu_indices(feature_dim + 1, feature_dim + 1, device=device)
    index = torch.arange(feature_dim + 1, device=device)[:, None]
    squares = (first == second) & (first > 0)
    coefficients = torch.ones(first.shape, dtype=dtype, device=device)
    coefficients = coefficients.masked_fill(squares, 0.5**0.5)
    spread = (feature_dim + 1) / (2 * MOST_CANCELLATION[dtype])
    return Factors(
        (index == first).to(dtype),
        (index == second).to(dtype) * coefficients,
        (first == second).to(dtype) / coefficients.square() * spread,
    )


@lru_cache(maxsize=64)
def _cached_factors(feature_dim: int, dtype: torch.dtype, device: torch.device) -> Factors:
    with torch.inference_mode(False):  # the cache outlives a caller's inference mode
        return _factors(feature_dim, dtype, device)
