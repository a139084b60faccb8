"""One pass with errors: bits that must be held between A and B, or between context and query.

Deciding and searching with error at most δ on every instance (`index_bits`), and with error δ on
average over uniform instances (`average_search_bits`, `average_recall_bits`), which is what an
accuracy measured on random instances speaks about. Expressions of sympy are exact.
"""

from __future__ import annotations

from fractions import Fraction
from math import log2, perm
from typing import TYPE_CHECKING

from ..checks import require_at_least, require_between, with_python_integers
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


@with_python_integers
def fano_bits(count: int, alphabet: int, error: float) -> float:
    """Bits that a message must say about independent uniform letters, to be guessed from it.

    count · (log₂ k - H₂(δ) - δ log₂(k - 1)), k the size of the alphabet and δ the chance of a wrong
    guess, averaged over letters: by Fano's inequality each guess leaves at most H₂(δ) + δ log₂(k-1)
    bits of its letter open, and that is concave in δ. Nothing from δ = 1 - 1/k on, which guessing
    attains without any message.

    >>> fano_bits(8, 2, 0.0), round(fano_bits(8, 4, 0.1), 3), fano_bits(8, 4, 0.8)
    (8.0, 10.98, 0.0)

    Args:
        count: letters, at least 0.
        alphabet: k ≥ 1.
        error: δ, 0 ≤ δ ≤ 1.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_at_least(0, count=count)
    require_at_least(1, alphabet=alphabet)
    require_between(0, 1, error=error)
    if error >= 1 - 1 / alphabet:
        return 0.0
    entropy = -sum(p * log2(p) for p in (error, 1 - error) if p > 0)
    wrong = error * log2(alphabet - 1) if alphabet > 2 else 0.0
    return count * max(0.0, log2(alphabet) - entropy - wrong)


@with_python_integers
def average_search_bits(universe: int, size_a: int, size_b: int, error: float) -> float:
    """Bits held between A and B at least, if uniform instances are answered wrongly with chance δ.

    The error is averaged over the instances of the search: A uniform, the common element uniform in
    A, the rest of B uniform outside A. So the bound applies to an accuracy *measured* on random
    instances, whereas `index_bits` assumes the error on every instance.

    Take a disjoint blocks of k elements and b - k more, drawn at random and known to all. A picks
    one element of each block; B is one block and the b - k more. That is the distribution above,
    and to find the common element is to find what A picked in B's block, where it is uniform: a
    letters of an alphabet of k, `fano_bits`. Any k from 2 to b with a·k + b - k ≤ n will do.

    >>> [round(average_search_bits(32, 4, 12, error), 1) for error in (0.0, 0.1, 0.5)]
    [10.3, 7.5, 1.7]
    >>> [round(average_search_bits(32, 12, 4, error), 1) for error in (0.0, 0.1, 0.5)]
    [12.0, 6.4, 0.0]

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.
        error: δ, 0 ≤ δ ≤ 1; public coins are allowed.

    Returns:
        Bits, a real number: the largest of the bounds for all k.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        The blocks are ours; for k = 2 they are INDEX (see `index_length`).
    """
    check_sizes(universe, size_a, size_b, "search")
    widths = [k for k in range(1, size_b + 1) if size_a * k + size_b - k <= universe]
    return max(fano_bits(size_a, k, error) for k in widths)


@with_python_integers
def average_recall_bits(letters: int, alphabet: int, error: float) -> float:
    """Bits that a message must say about distinct letters, guessed with error δ on average.

    The letters are a uniform ordered sample without replacement: their entropy less what guesses
    leave open, log₂(k!/(k - m)!) - m · (H₂(δ) + δ log₂(k - 1)), at least 0. It is what a state
    must hold in associative recall, with δ averaged over uniform instances:

    * context first: the values of m pairs, from k possible ones;
    * query first: which of the k pairs to come the m queries ask for.

    >>> [round(average_recall_bits(8, 16, error), 1) for error in (0.0, 0.1, 0.5)]
    [29.0, 22.1, 5.3]
    >>> average_recall_bits(1, 8, 0.0)
    3.0

    Args:
        letters: m ≥ 1.
        alphabet: k ≥ m.
        error: δ, 0 ≤ δ ≤ 1.

    Raises:
        ValueError: unless the arguments are as above.
    """
    require_at_least(1, letters=letters)
    require_at_least(letters, alphabet=alphabet)
    left_open = letters * log2(alphabet) - fano_bits(letters, alphabet, error)
    return max(0.0, log2(perm(alphabet, letters)) - left_open)
