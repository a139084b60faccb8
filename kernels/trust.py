"""Which outputs can be trusted: how much of a state's sums is left when they are read.

A weight that is computed from its score is accurate, whatever the size of q and k.  A state is
another matter: it stores sums of the products kᵢkⱼ, and to read it is to sum terms as large as
(|q||k|)²/2 of which a weight as small as 1/2 may be left.  What rounding adds to the output, as a
fraction of the largest value, is of the order of u·κ, with u the unit roundoff of the sums and

    κ = Σ |terms| / max(denominator, n),     2 Σ |terms| ≤ n + (D+1) Σᵢ q̂ᵢ² Σⱼ k̂ⱼᵢ²

for the n keys of the state, q̂ = (1, √scale·q) and k̂ alike, by Cauchy and Schwarz.  These squares
are among the features, so that a state itself tells what can be read from it.  Queries and keys
that point anywhere have κ of 10 to 1,000 at any size, since their denominators grow too; κ is large
where large queries and keys are orthogonal to each other, or nearly so.

Against float64 the error is measured below u·κ/4.  An output is trusted where κ is at most K
(`precision.MOST_CANCELLATION`), which is u·κ ≤ 1/256; elsewhere its denominator becomes NaN, and
with it the output and every gradient that it enters.
"""

import torch
from torch import Tensor


def spoil(denominator: Tensor, spread: Tensor, count: Tensor) -> Tensor:
    """The denominators of all that queries read, NaN where rounding may have lost the output.

    Args:
        spread: (D+1) Σᵢ q̂ᵢ² Σⱼ k̂ⱼᵢ² / 2K, for the state that each query reads.
        count: n, the number of keys in that state.
    """
    # Not "greater than": NaN, of sums that overflowed, is lost too.
    trusted = spread <= torch.maximum(denominator, count)
    return denominator.masked_fill(~trusted, float("nan"))
