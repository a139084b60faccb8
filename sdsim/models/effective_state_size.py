"""Effective state size: how many numbers of the past its future outputs really depend on.

After arXiv:2504.19561. Cut a sequence after `position` tokens. The Jacobian of all later outputs
with respect to all earlier inputs factors through the state at the cut, so that its rank is at most
the number of numbers in the state, and is what the state must hold of the past, to first order.

Two measures of that rank, of the singular values σ:

* tolerance: how many are above a threshold;
* entropy: exp(−Σ p log p) with p = σ / Σσ, a smooth count that needs no threshold.

The source takes a mixer for a linear map y = T(u)·u, leaves out that T depends on u, and averages
over channels. Here the map is differentiated, whatever it is, over all channels at once: for a
linear map it is the same matrix, and for a nonlinear one the rank bound stays true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jacrev, vmap


class EffectiveStateSize(NamedTuple):
    """For each example, in numbers.

    Attributes:
        rank: singular values above the tolerance, int64 (B,).
        entropy: exp of the entropy of the singular values, float64 (B,); 0 if all are 0.
    """

    rank: Tensor
    entropy: Tensor


def effective_state_size(
    mixer: Callable[[Tensor], Tensor], x: Tensor, position: int, *, tolerance: float = 1e-5
) -> EffectiveStateSize:
    """How much of its first `position` inputs a mixer's later outputs depend on.

    Args:
        mixer: a causal map of (B, N, C) to (B, N, C'): a `Mixer`, or the layers of a
            `LanguageModel`, ``torch.nn.Sequential(*model.layers, model.norm)``, which read
            ``model.embedding(tokens)``.
        x: inputs (B, N, C). The rank is at most `position`·C and (N − `position`)·C' too, so both
            parts must be long enough to fill the state.
        position: of the cut, from 1 to N − 1.
        tolerance: relative to the largest singular value. (An absolute one, as in the source,
            counts a state as smaller when outputs are scaled down.)

    Raises:
        ValueError: for a position out of range.
    """
    length = x.shape[1]
    if not 1 <= position < length:
        raise ValueError(f"position = {position}: must lie between 1 and {length - 1}")

    def later_outputs(past: Tensor, future: Tensor) -> Tensor:
        return mixer(torch.cat([past, future])[None])[0, position:]

    jacobian = vmap(jacrev(later_outputs))(x[:, :position], x[:, position:])
    matrix = jacobian.detach().flatten(3).flatten(1, 2).double()
    values = torch.linalg.svdvals(matrix)
    fractions = values / values.sum(1, keepdim=True)
    entropy = -torch.special.xlogy(fractions, fractions).sum(1)
    return EffectiveStateSize(
        rank=(values > tolerance * values[:, :1]).sum(1),
        entropy=torch.where(values[:, 0] > 0, entropy.exp(), 0),
    )
