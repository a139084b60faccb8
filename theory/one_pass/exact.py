"""One pass without errors: exactly how many bits are held between A and B."""

from __future__ import annotations

from ..checks import with_python_integers
from ..counting import ceil_log2_binomial
from ..setting import check_sizes


@with_python_integers
def one_pass_bits(universe: int, size: int) -> int:
    """Bits that a zero-error one-pass algorithm holds between A and B: ⌈log₂ C(n, a)⌉.

    It has read A, an a-subset of n possible elements, and not yet B. The rows of the disjointness
    matrix (a-subsets against b-subsets) are distinct when b ≥ 1 and a + b ≤ n, so that no two A's
    may share a state; naming A's number among all C(n, a) is enough. `one_pass_search_bits` is for
    the search version.

    >>> one_pass_bits(32, 4), one_pass_bits(32, 12)
    (16, 28)

    Args:
        universe: n, how many elements there are to draw from.
        size: a = |A|, the size of the set that comes first.

    Returns:
        Bits, at least 0.

    Raises:
        ValueError: unless 0 ≤ size ≤ universe.

    Source:
        Counting, beyond the paper (arXiv:2407.05483, Appendix G): it bounds the memory in order of
        magnitude, by Ω(min(|A|, |B|)) for two-way protocols.
    """
    return ceil_log2_binomial(universe, size)


@with_python_integers
def all_told_apart(universe: int, size_a: int, size_b: int) -> bool:
    """Whether the search version forces every two A's into different states at the separator.

    B tells A from A' when it meets each in one element, and not in the same: it has one element of
    A \\ A', one of A' \\ A, and b - 2 outside A ∪ A'. The largest union, of min(2a, n) elements, is
    the hardest; so the condition is b = 2, or b > 2 and n ≥ 2a + b - 2.

    >>> all_told_apart(7, 3, 3), all_told_apart(6, 3, 3)
    (True, False)

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.

    Returns:
        True also when there is but one A (a = n).

    Raises:
        ValueError: unless the sizes are as above.

    Source:
        Ours, beyond the paper; the version of the paper's synthetic task (Section 2).
    """
    check_sizes(universe, size_a, size_b, "search")
    if size_a == universe:
        return True
    return size_b == 2 or (size_b > 2 and universe >= 2 * size_a + size_b - 2)


@with_python_integers
def one_pass_search_bits(universe: int, size_a: int, size_b: int) -> int:
    """Bits held between A and B by a zero-error one-pass algorithm that names the common element.

    ⌈log₂ C(n, a)⌉ where `all_told_apart`, as in the decision version; none if b = 1, when B's
    element is the answer whatever A is.

    >>> one_pass_search_bits(32, 12, 4), one_pass_search_bits(32, 12, 1)
    (28, 0)

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b - 1 ≤ n.

    Returns:
        Bits, at least 0.

    Raises:
        ValueError: unless the sizes are as above, and if some A's may share a state although
            b > 1: the number of states is then that of colours of a graph, which
            `theory.one_pass.automata.profile` brackets.

    Source:
        Ours, beyond the paper.
    """
    check_sizes(universe, size_a, size_b, "search")
    if size_b == 1:
        return 0
    if not all_told_apart(universe, size_a, size_b):
        raise ValueError(
            f"universe = {universe}, size_a = {size_a}, size_b = {size_b}: "
            "universe ≥ 2 · size_a + size_b - 2, or size_b ≤ 2, is needed"
        )
    return one_pass_bits(universe, size_a)
