"""Two parties, and a prompt that is read p times: lower bounds in bits, without errors."""

from __future__ import annotations

from ..checks import require_at_least, with_python_integers
from ..one_pass.exact import one_pass_bits
from ..setting import check_sizes


@with_python_integers
def two_way_bits(universe: int, size_a: int, size_b: int) -> int:
    """Bits that two parties, one with A and one with B, exchange at least: ⌈log₂ C(n, min(a, b))⌉.

    This is for deciding without error in any number of messages, where it is enough that one of
    the parties knows the answer at the end. The pairs (A, B) with the same exchange form a
    rectangle of the disjointness matrix in which the answer depends on one of the two alone, so of
    rank ≤ 1; the matrix has full rank, min(C(n, a), C(n, b)) = C(n, min(a, b)).

    >>> two_way_bits(32, 12, 4), two_way_bits(32, 4, 12)
    (16, 16)

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 0.
        size_b: b = |B| ≥ 0, with a + b ≤ n.

    Returns:
        Bits, at least min(a, b): C(n, k) ≥ 2^k for k ≤ n/2.

    Raises:
        ValueError: unless the sizes are as above.

    Source:
        Gottlieb 1966 for the rank, Mehlhorn and Schmidt 1982 for its logarithm as a bound; the
        deterministic counterpart of Theorem G.27 of arXiv:2407.05483.
    """
    check_sizes(universe, size_a, size_b, least=0)
    return one_pass_bits(universe, min(size_a, size_b))


@with_python_integers
def multi_pass_bits(universe: int, size_a: int, size_b: int, passes: int) -> int:
    """The least bits that the largest state holds when the sets are read p times (JR-p).

    With one pass, `one_pass_bits` of A. With more, the states at the 2p - 1 segment boundaries
    between the sets are the messages of two parties, who exchange at least log₂ C(n, min(a, b))
    bits: the longest has ⌈log₂ C(n, min(a, b)) / (2p - 1)⌉.

    >>> [multi_pass_bits(32, 12, 4, passes) for passes in (1, 2, 3)]
    [28, 6, 4]

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that comes first.
        size_b: b = |B| ≥ 1, with a + b ≤ n.
        passes: p ≥ 1.

    Returns:
        Bits, for deciding without error.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.29 of arXiv:2407.05483, deterministic and with its constant; the paper counts 2p
        states, but the last need not be sent.
    """
    check_sizes(universe, size_a, size_b)
    require_at_least(1, passes=passes)
    if passes == 1:
        return one_pass_bits(universe, size_a)
    return -(-two_way_bits(universe, size_a, size_b) // (2 * passes - 1))
