"""How few features an inner-product kernel can have: what G.23's square is worth.

`theory.based.kernels` builds (ε, f) kernels with f = Θ(|A|² log n) for ε = 1/(3|A|). These bounds
are of any kernel, so that hardly a better one is left to be found.
"""

from __future__ import annotations

from fractions import Fraction
from math import comb, log

from ..checks import require_at_least, require_between, with_python_integers


@with_python_integers
def welch_allows(universe: int, dimension: int, epsilon: Fraction) -> bool:
    """Whether Welch's bounds leave room for an (ε, f) kernel on n elements.

    They are C(f + k - 1, k) ≥ n / (1 + (n - 1) ε^(2k)) for all k ≥ 1. The tensor powers φ(x)^⊗k are
    n unit vectors in the symmetric tensors, a space of C(f + k - 1, k) dimensions; so the squares
    of their inner products sum to n² over this dimension or more, and to n + n (n - 1) ε^(2k) or
    less.

    >>> welch_allows(28, 7, Fraction(1, 3)), welch_allows(29, 7, Fraction(1, 3))
    (True, False)

    Args:
        universe: n ≥ 2, elements.
        dimension: f ≥ 1, features, real numbers.
        epsilon: ε, 0 ≤ ε ≤ 1.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Welch 1974.
    """
    require_at_least(2, universe=universe)
    require_at_least(1, dimension=dimension)
    require_between(0, 1, epsilon=epsilon)
    square = Fraction(epsilon) ** 2
    if dimension == 1:
        return square == 1  # two unit vectors on a line
    power = 1
    while (tensors := comb(dimension + power - 1, power)) < universe:
        if tensors * (1 + (universe - 1) * square**power) < universe:
            return False
        power += 1
    return True


@with_python_integers
def welch_dimension(universe: int, epsilon: Fraction) -> int:
    """The least f that `welch_allows`: every (ε, f) kernel on n elements has so many features.

    With ε = 1/(3|A|) it tends to 9|A|² or more as n grows, and is near n where that is smaller.

    >>> [welch_dimension(10**6, Fraction(1, 3 * size)) for size in (1, 2, 4, 8)]
    [23, 64, 202, 706]

    Args:
        universe: n ≥ 2, elements.
        epsilon: ε, 0 ≤ ε ≤ 1.

    Returns:
        f, between 1 and n: orthogonal vectors have ε = 0.

    Raises:
        ValueError: unless the arguments are as above.
    """
    if welch_allows(universe, 1, epsilon):
        return 1
    too_few, enough = 1, universe
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if welch_allows(universe, middle, epsilon):
            enough = middle
        else:
            too_few = middle
    return enough


@with_python_integers
def alon_order(universe: int, epsilon: Fraction) -> float:
    """ln n / (ε² ln(1/ε)): every (ε, f) kernel has f of this order, its constant left open.

    So the Θ(ε⁻² log n) of random signs is within a factor O(log(1/ε)) of the least.

    >>> round(alon_order(10**6, Fraction(1, 24)))
    2504

    Args:
        universe: n ≥ 2, elements.
        epsilon: ε, 1/√n ≤ ε < 1/2.

    Raises:
        ValueError: unless the arguments are as above; for a smaller ε, f is of order n.

    Source:
        Alon 2003, Problems and results in extremal combinatorics, as cited; the rank of a matrix
        with ones on its diagonal and numbers up to ε off it.
    """
    require_at_least(2, universe=universe)
    require_between(0, Fraction(1, 2), open_low=True, open_high=True, epsilon=epsilon)
    if universe * Fraction(epsilon) ** 2 < 1:
        raise ValueError(f"universe = {universe}, epsilon = {epsilon}: universe · ε² ≥ 1 is needed")
    return log(universe) / (float(epsilon) ** 2 * -log(epsilon))
