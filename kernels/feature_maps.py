"""Feature maps φ: what turns a dot product of a query and a key into a linear one.

A map is known in two ways that must agree: `features` gives φ itself, for the state, and `weight`
gives φ(q)·φ(k) as a function of s = q·k, for the quadratic form.  The scale of the attention is
applied by the caller, √scale to the query and √scale to the key.
"""

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

FeatureMapName = Literal["taylor"]


class FeatureMap(ABC):
    """A map φ from D numbers to `size(D)` numbers with φ(q)·φ(k) = `weight`(q·k)."""

    @abstractmethod
    def size(self, feature_dim: int) -> int:
        """Number of features of a vector of `feature_dim` numbers."""

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """φ(x): (..., D) to (..., size(D))."""

    @abstractmethod
    def weight(self, s: Tensor) -> Tensor:
        """φ(q)·φ(k), elementwise from s = q·k."""


class Taylor(FeatureMap):
    """exp to second order: φ(q)·φ(k) = 1 + s + s²/2 = ((1 + s)² + 1)/2 ≥ 1/2 (arXiv:2407.05483).

    With x̂ = (1, x), every feature is a product x̂ᵢx̂ⱼ, i ≤ j: the constant, the D numbers and
    the D(D+1)/2 second-order products, (D+1)(D+2)/2 in all: 153 for D = 16.  The second order is
    symmetric; packing it keeps one of the two equal products and weights it by √2.
    """

    def size(self, feature_dim: int) -> int:
        return (feature_dim + 1) * (feature_dim + 2) // 2

    def features(self, x: Tensor) -> Tensor:
        first, second = _factors_for(x)
        x = functional.pad(x, (1, 0), value=1.0)  # x̂ (..., D+1)
        return (x @ first) * (x @ second)

    def weight(self, s: Tensor) -> Tensor:
        return 1 + s + s * s / 2


def _factors_for(x: Tensor) -> tuple[Tensor, Tensor]:
    """The factors for x's size, type and device, made once each where they are numbers."""
    # A tensor without numbers (torch.compile's, FakeTensorMode's) must neither enter nor leave
    # the cache.
    make = _factors if torch.compiler.is_compiling() or type(x) is not Tensor else _cached_factors
    return make(x.shape[-1], x.dtype, x.device)


def _factors(feature_dim: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Two (D+1, F) matrices that pick the factors x̂ᵢ and x̂ⱼ of each feature.

    Picking by matrix product costs little beside the attention's own products, and its gradient
    is again a matrix product: faster on the CPU, and repeatable on the GPU, where adding up the
    gradient of a gather is not.  The second matrix carries the coefficients: s²/2 gives each
    x̂ᵢx̂ⱼ the coefficient 1/√2, hence √2·1/√2 = 1 off the diagonal; orders 0 and 1 have 1 too.
    """
    first, second = torch.triu_indices(feature_dim + 1, feature_dim + 1, device=device)
    rows = torch.arange(feature_dim + 1, device=device)[:, None]
    squares = (first == second) & (first > 0)
    coefficients = torch.ones(first.shape, dtype=dtype, device=device)
    coefficients = coefficients.masked_fill(squares, 0.5**0.5)
    return (rows == first).to(dtype), (rows == second).to(dtype) * coefficients


@lru_cache(maxsize=64)
def _cached_factors(
    feature_dim: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    with torch.inference_mode(False):  # the cache outlives a caller's inference mode
        return _factors(feature_dim, dtype, device)


FEATURE_MAPS: dict[FeatureMapName, FeatureMap] = {"taylor": Taylor()}
