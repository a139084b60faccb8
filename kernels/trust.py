"""Which outputs can be trusted: how much of a state's sums is left when they are read.

A weight that is computed from its score is accurate, whatever the size of q and k.  A state is
another matter: it stores sums of the products kᵢkⱼ, and to read it is to sum terms as large as
(|q||k|)²/2 from which a weight as small as 1/2 may remain.  What rounding adds to the output, as a
share of the largest value, is about u·κ, with u the unit roundoff of the sums and

    κ = Σ |terms| / max(|denominator|, n/2),     2 Σ |terms| ≤ n + (Σᵢ |q̂ᵢ| √Σⱼ k̂ⱼᵢ²)²

for n keys, q̂ = (1, √scale·q) and k̂ alike.  The bound, by Cauchy and Schwarz, needs the diagonal of
the state's Gram matrix alone, so that a state tells by itself what can be read from it.  Queries
and keys of any size that point anywhere have κ of 10 to 100, since their denominators grow too; κ
is large where large queries and keys are orthogonal to each other, or nearly so.

Measured against float64, the error stays below u·κ/4.  An output is trusted where u·κ ≤ 1/256;
elsewhere its denominator becomes NaN, and with it the output and the gradients that it enters.
"""

import torch
from torch import Tensor

from . import taylor

# The largest κ.  2⁻⁸ over the unit roundoff, 2⁻²⁴ and 2⁻⁵³.
LIMITS = {torch.float32: 2.0**16, torch.float64: 2.0**45}


def spoil(denominator: Tensor, x: Tensor, z: Tensor) -> Tensor:
    """The denominators (...) with NaN where what √scale·q = x (..., D) reads from z is lost.

    Args:
        z: (..., F), Σⱼ φ(kⱼ) of the state that was read.
    """
    x, z = x.detach(), z.detach()
    lost = is_lost(denominator.detach(), taylor.reach(x, z), z[..., 0])
    return denominator.masked_fill(lost, float("nan"))


def is_lost(denominator: Tensor, reach: Tensor, count: Tensor) -> Tensor:
    """Where the rounding of a state's sums may be too large, bool.

    Args:
        denominator: of all that a query reads.
        reach: Σᵢ |q̂ᵢ| √Σⱼ k̂ⱼᵢ² for the state that it reads; at least √n.
        count: n, the number of keys in the state.
    """
    least = torch.maximum(denominator.abs(), count.abs() / 2)
    # Not "greater than": NaN, of sums that overflowed, is lost too.
    return ~(reach.square() <= 2 * LIMITS[denominator.dtype] * least)
