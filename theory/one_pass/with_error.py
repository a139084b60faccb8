"""One pass with errors, by INDEX: the bound that the paper uses, as an exact expression.

`theory.one_pass.rate_distortion` has stronger ones, as numbers.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from ..checks import require_between, with_python_integers
from ..setting import Problem, check_sizes

if TYPE_CHECKING:
    import sympy


def binary_entropy(probability: Fraction) -> sympy.Expr:
    """H₂(p) = -p log₂ p - (1 - p) log₂(1 - p), in bits, as an exact expression.

    >>> binary_entropy(Fraction(1, 2)), float(binary_entropy(Fraction(1, 4)))
    (1, 0.8112781244591328)

    Raises:
        ValueError: unless 0 ≤ probability ≤ 1.
    """
    import sympy  # here, so that `theory` opens without it

    require_between(0, 1, probability=probability)
    p = sympy.Rational(Fraction(probability))
    if p in (0, 1):
        return sympy.Integer(0)
    return -p * sympy.log(p, 2) - (1 - p) * sympy.log(1 - p, 2)


@with_python_integers
def index_length(universe: int, size_a: int, size_b: int, problem: Problem = "decision") -> int:
    """How many bits of INDEX the sizes have room for: min(a, n - a - b + 1), searching one more.

    Alice has a string of k bits, Bob asks for one. She puts element 2i + xᵢ of the i-th pair into
    A, and fills A up with elements outside all pairs. Deciding, he asks whether 2i + 1 is in it,
    with b - 1 more elements that are not; searching, which of 2i and 2i + 1, with b - 2 more.
    So the k pairs, a - k and b - 1 (or b - 2) elements must fit n. Wide enough a universe,
    n ≥ 2a + b - 1 (or 2a + b - 2), makes it a.

    >>> index_length(32, 8, 8), index_length(16, 8, 8), index_length(16, 8, 8, "search")
    (8, 1, 2)

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        problem: ``"decision"``, whether A and B meet, or ``"search"``, in which element.

    Returns:
        k; at least 1 deciding, 0 searching with b = 1 (B's one element is the answer).

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        The reduction is the usual one, its sizes are ours.
    """
    check_sizes(universe, size_a, size_b, problem)
    if problem == "decision":
        return min(size_a, universe - size_a - size_b + 1)
    return 0 if size_b == 1 else min(size_a, universe - size_a - size_b + 2)


@with_python_integers
def index_bits(
    universe: int,
    size_a: int,
    size_b: int,
    error: Fraction,
    problem: Problem = "decision",
) -> sympy.Expr:
    """Bits held between A and B at least, if every instance is answered wrongly with chance ≤ δ.

    (1 - H₂(δ)) · `index_length`, public coins allowed: a message from which each of k uniform bits
    can be guessed with error δ says 1 - H₂(δ) bits about each (Fano), and they are independent.
    Where n ≥ 2a + b - 1 that is (1 - H₂(δ)) · a whatever b ≥ 1. It does not hold with a in a
    narrower universe: with n = a + b deciding is EQUALITY with B's complement, which takes
    log₂(1/δ) bits however large a is.

    >>> index_bits(64, 16, 4, Fraction(0)), float(index_bits(64, 16, 4, Fraction(1, 10)))
    (16, 8.4960705025715)

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b ≤ n; searching, a + b - 1 ≤ n.
        error: δ, 0 ≤ δ < 1/2.
        problem: ``"decision"`` or ``"search"``.

    Returns:
        Bits, an exact expression.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        One-way complexity of INDEX (Kremer, Nisan, Ron 1999), which the paper uses in G.6.
    """
    require_between(0, Fraction(1, 2), open_high=True, error=error)
    pairs = index_length(universe, size_a, size_b, problem)
    return pairs * (1 - binary_entropy(error))
