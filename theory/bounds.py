"""Bounds on memory, in bits, and on layers: what set disjointness takes, and what suffices.

Sizes throughout: n possible elements (`universe`), a = |A|, b = |B|, A read before B. *Deciding* is
to say whether A and B meet; *searching* is to name their one common element, which is promised.

| what | function | kind |
|---|---|---|
| one pass, deciding or searching | `one_pass_bits`, `one_pass_search_bits` | exact |
| conversation of two parties | `two_way_bits` | lower bound |
| p passes | `multi_pass_bits`, `multi_pass_chunk_bits` | lower bound; sufficient |
| one pass, error δ | `index_bits` | lower bound |
| one pass, error δ on average | `average_search_bits`, `average_recall_bits` | lower bound |
| one pass, error δ | `fingerprint_bits` | sufficient |
| one pass, error δ | `membership_bits`, `bloom_bits` | limits of filters |
| layers | `binary_recall_layers`, `p_hot_recall_layers`, `recall_layers` | lower bounds |

Whole numbers where a whole number of bits is meant, else expressions of sympy: nothing is rounded.
The functions named `…_curve` give real numbers, for arrays, before any rounding up: for plots.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from math import ceil, comb, log2, perm
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import sympy

Problem = Literal["decision", "search"]
Reals = npt.NDArray[np.float64]

_PRIME = 2**31 - 1  # products of two residues fit 64 bits


def bits_to_name(count: int) -> int:
    """⌈log₂ count⌉: bits that give each of so many things a name of its own.

    >>> bits_to_name(252), bits_to_name(256), bits_to_name(257), bits_to_name(1)
    (8, 8, 9, 0)

    Raises:
        ValueError: if count < 1.
    """
    _check_at_least(1, count=count)
    return (count - 1).bit_length()


def check_sizes(universe: int, size_a: int, size_b: int, problem: Problem = "decision") -> None:
    """Raise unless both sizes are at least 1 and some disjoint A and B fit the universe.

    Searching, A and B share one element, so that a + b - 1 elements are enough.

    >>> check_sizes(8, 4, 5, "search")
    >>> check_sizes(8, 4, 5)
    Traceback (most recent call last):
    ValueError: universe = 8, size_a = 4, size_b = 5: size_a + size_b ≤ universe is needed

    Raises:
        ValueError: unless a ≥ 1, b ≥ 1 and a + b ≤ n (searching: a + b - 1 ≤ n), and if problem is
            neither ``"decision"`` nor ``"search"``.
    """
    if problem not in ("decision", "search"):
        raise ValueError(f"problem = {problem!r}: 'decision' or 'search' is needed")
    _check_at_least(1, size_a=size_a, size_b=size_b)
    _check_fit(universe, size_a, size_b, shared=1 if problem == "search" else 0)


# ------------------------------------------------------------------------------- one pass


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
    _check_subset(universe, size)
    return bits_to_name(comb(universe, size))


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
            `theory.automata.profile` brackets.

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


# ------------------------------------------------------------------- two ways, many passes


def two_way_bits(universe: int, size_a: int, size_b: int) -> int:
    """Bits that two parties, one with A and one with B, exchange at least: ⌈log₂ C(n, min(a, b))⌉.

    For deciding without error, however many messages, it being enough that one of them knows the
    answer in the end. The pairs (A, B) with the same exchange form a rectangle of the disjointness
    matrix in which the answer hangs on one of the two alone, so of rank ≤ 1; the matrix has full
    rank, min(C(n, a), C(n, b)) = C(n, min(a, b)).

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
    _check_at_least(0, size_a=size_a, size_b=size_b)
    _check_fit(universe, size_a, size_b)
    return one_pass_bits(universe, min(size_a, size_b))


def multi_pass_bits(universe: int, size_a: int, size_b: int, passes: int) -> int:
    """Bits that the largest state holds at least when the sets are read p times (JR-p).

    With one pass `one_pass_bits` of A. With more, the states at the 2p - 1 boundaries between the
    sets are the messages of two parties, who exchange at least log₂ C(n, min(a, b)) bits: the
    longest has ⌈log₂ C(n, min(a, b)) / (2p - 1)⌉.

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
        states, but nobody need send the last.
    """
    check_sizes(universe, size_a, size_b)
    _check_at_least(1, passes=passes)
    if passes == 1:
        return one_pass_bits(universe, size_a)
    return -(-two_way_bits(universe, size_a, size_b) // (2 * passes - 1))


def multi_pass_chunk_bits(universe: int, size_a: int, size_b: int, passes: int) -> int:
    """Bits of the elements stored at a time when the smaller set is compared in p - 1 chunks.

    The first pass tells which set is smaller; each later one disposes of ⌈min(a, b) / (p - 1)⌉ of
    its elements, stored one by one. Bounded are the elements alone: the sizes, the place in the
    stream and the flag "they meet" come on top (`theory.streaming.MultiPass` counts them).

    >>> [multi_pass_chunk_bits(1024, 64, 256, passes) for passes in (2, 3, 5)]
    [640, 320, 160]

    Args:
        universe: n ≥ 1, elements to draw from; an element takes ⌈log₂ n⌉ bits.
        size_a: a = |A|, 0 ≤ a ≤ n.
        size_b: b = |B|, 0 ≤ b ≤ n; the sets may overlap.
        passes: p ≥ 2.

    Returns:
        Bits, ⌈min(a, b) / (p - 1)⌉ · ⌈log₂ n⌉.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.15 (Algorithm 3) of arXiv:2407.05483 for p = 2, where an element's bits are
        called n; the chunks are ours.
    """
    _check_at_least(1, universe=universe)
    _check_at_least(2, passes=passes)
    _check_subset(universe, size_a, "size_a")
    _check_subset(universe, size_b, "size_b")
    return -(-min(size_a, size_b) // (passes - 1)) * bits_to_name(universe)


# ------------------------------------------------------------------------ one pass with error


def binary_entropy(probability: Fraction) -> sympy.Expr:
    """H₂(p) = -p log₂ p - (1 - p) log₂(1 - p), in bits, as an exact expression.

    >>> binary_entropy(Fraction(1, 2)), float(binary_entropy(Fraction(1, 4)))
    (1, 0.8112781244591328)

    Raises:
        ValueError: unless 0 ≤ probability ≤ 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability = {probability}: 0 ≤ probability ≤ 1 is needed")
    p = _rational(probability)
    if p in (0, 1):
        return sympy.Integer(0)
    return -p * sympy.log(p, 2) - (1 - p) * sympy.log(1 - p, 2)


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
    _check_index_error(error)
    pairs = index_length(universe, size_a, size_b, problem)
    return pairs * (1 - binary_entropy(error))


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
    _check_at_least(0, count=count)
    _check_at_least(1, alphabet=alphabet)
    if not 0 <= error <= 1:
        raise ValueError(f"error = {error}: 0 ≤ error ≤ 1 is needed")
    if error >= 1 - 1 / alphabet:
        return 0.0
    entropy = -sum(p * log2(p) for p in (error, 1 - error) if p > 0)
    wrong = error * log2(alphabet - 1) if alphabet > 2 else 0.0
    return count * max(0.0, log2(alphabet) - entropy - wrong)


def average_search_bits(universe: int, size_a: int, size_b: int, error: float) -> float:
    """Bits held between A and B at least, if uniform instances are answered wrongly with chance δ.

    The error is averaged over the instances of the search: A uniform, the common element uniform in
    A, the rest of B uniform outside A. So it holds of an accuracy that was *measured* on random
    instances, where `index_bits` asks for every instance to be answered so well.

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
    _check_at_least(1, letters=letters)
    _check_at_least(letters, alphabet=alphabet)
    left_open = letters * log2(alphabet) - fano_bits(letters, alphabet, error)
    return max(0.0, log2(perm(alphabet, letters)) - left_open)


def membership_bits(size_a: int, size_b: int, error: Fraction) -> sympy.Expr:
    """a · log₂(b/δ): the bits of a perfect filter for A that errs on no more than δ of the B's.

    A filter answers "is x in A?", yes for all of A, and for any other x with chance ≤ ε. Asked for
    each of B, ε = δ/b gives disjoint sets a wrong answer with chance ≤ δ (union bound). Filters
    need a · log₂(1/ε) bits in the limit n/a → ∞, and some come close. So this is the cost of
    the method, not a lower bound for set disjointness, which is `index_bits`; and
    `fingerprint_bits` is a number of bits that provably suffices.

    >>> membership_bits(64, 16, Fraction(1, 16))
    512

    Args:
        size_a: a = |A| ≥ 1, the set that is stored.
        size_b: b = |B| ≥ 1.
        error: δ, 0 < δ < 1/2, one-sided: sets that meet are always found to.

    Returns:
        Bits, an exact expression. The hash function is public and not counted.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Carter, Floyd, Gill, Markowsky, Wegman 1978.
    """
    _check_filter(size_a, size_b, error)
    return size_a * sympy.log(size_b / _rational(error), 2)


def bloom_bits(size_a: int, size_b: int, error: Fraction) -> sympy.Expr:
    """a · log₂(b/δ) / ln 2: the same for a Bloom filter, 1.44 times `membership_bits`.

    The usual estimate for the best number of independent, uniform hash functions, about
    log₂(b/δ), taken as a real number: asymptotic in a, no guarantee for a small filter.

    >>> float(bloom_bits(64, 16, Fraction(1, 16)))
    738.6598609351493

    Args, errors: as `membership_bits`.

    Source:
        Bloom 1970; Broder and Mitzenmacher 2004 for the estimate.
    """
    return membership_bits(size_a, size_b, error) / sympy.log(2)


def fingerprint_bits(size_a: int, size_b: int, error: Fraction) -> int:
    """Bits that suffice between A and B for one-sided error δ: the set of A's hash values.

    With values in m = ⌈ab/δ⌉ cells from a universal family, one of the ab pairs of disjoint sets
    collides with chance ≤ ab/m ≤ δ. The values form a non-empty set of at most a cells, so that
    Σ_{1 ≤ k ≤ a} C(m, k) states are enough: about a · log₂(e·b/δ) bits.

    >>> fingerprint_bits(64, 16, Fraction(1, 16)), one_pass_bits(2**60, 64)
    (600, 3545)

    Args:
        size_a: a = |A| ≥ 1, the set that is stored.
        size_b: b = |B| ≥ 1.
        error: δ, 0 < δ < 1/2; a common element is never missed.

    Returns:
        Bits, whatever n is. The hash function is public and not counted.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Carter and Wegman 1979 for the family; beyond the paper.
    """
    _check_filter(size_a, size_b, error)
    cells = ceil(size_a * size_b / Fraction(error))
    return bits_to_name(_subsets_up_to(cells, size_a) - 1)


# ---------------------------------------------------------------------------------- layers


def binary_recall_layers(code_bits: int) -> int:
    """BaseConv layers that associative recall takes at least with binary codes: ⌈log₂(2d)⌉.

    It answers EQUALITY of two d-bit codes, a polynomial of degree 2d; L layers reach degree 2^L.
    Reading the input twice does not change that.

    >>> [binary_recall_layers(code_bits) for code_bits in (1, 8, 11)]
    [1, 4, 5]

    Args:
        code_bits: d ≥ 1, bits of a code, log₂ c for a vocabulary of c.

    Raises:
        ValueError: if code_bits < 1.

    Source:
        Theorem G.7 of arXiv:2407.05483 (log₂(2d); layers come whole).
    """
    _check_at_least(1, code_bits=code_bits)
    return (2 * code_bits - 1).bit_length()


def p_hot_recall_layers(digits: int) -> int:
    """BaseConv layers that associative recall takes at least with p-hot codes: ⌊log₂(2p)⌋.

    A p-hot code writes an element with p digits to the base c^(1/p) and makes each digit one-hot,
    so that EQUALITY has degree 2p.

    >>> [p_hot_recall_layers(digits) for digits in (1, 2, 3)]
    [1, 2, 2]

    Args:
        digits: p ≥ 1.

    Raises:
        ValueError: if digits < 1.

    Source:
        Theorem G.11 of arXiv:2407.05483, as stated there: degree 2p asks for ⌈log₂(2p)⌉ layers,
        one more whenever p is no power of two.
    """
    _check_at_least(1, digits=digits)
    return (2 * digits).bit_length() - 1


def coefficient_message_bits(layers: int, query_bits: int, bits_per_coefficient: int) -> int:
    """Bits of Alice's message in the reduction from INDEX: w · Σ_{k ≤ 2^L} C(d, k).

    She fixes the key–value pairs; what L layers then compute is a polynomial of degree ≤ 2^L in
    Bob's d query bits, multilinear on {0, 1}^d. She sends its coefficients, of w bits each.

    >>> [coefficient_message_bits(layers, 16, 8) for layers in (0, 1, 2, 3, 4)]
    [136, 1096, 20136, 313624, 524288]

    Args:
        layers: L ≥ 0.
        query_bits: d ≥ 1.
        bits_per_coefficient: w ≥ 1.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.6 of arXiv:2407.05483, the step of its proof that counts.
        `theory.polynomials.coefficient_bits` bounds w by the size of the layers' parameters.
    """
    _check_at_least(0, layers=layers)
    _check_at_least(1, query_bits=query_bits, bits_per_coefficient=bits_per_coefficient)
    degree = 2 ** min(layers, query_bits.bit_length())  # more than d is no more than d
    return bits_per_coefficient * _subsets_up_to(query_bits, degree)


def recall_layers(
    pairs: int, query_bits: int, bits_per_coefficient: int, error: Fraction = Fraction(0)
) -> int:
    """BaseConv layers that associative recall takes at least, the prompt read once or twice.

    The least L with `coefficient_message_bits` ≥ (1 - H₂(δ)) · N: with fewer, Alice's message would
    be shorter than INDEX on N bits allows. For d = 2^{(log N)^{1-ε}}, Σ_{k ≤ D} C(d, k) ≤ (d + 1)^D
    gives a degree D ≥ (log N)^ε up to w and constants, so L = Ω(ε log log N).

    >>> [recall_layers(2**pair_bits, 64, 32) for pair_bits in (8, 16, 32, 64)]
    [0, 1, 3, 5]

    Args:
        pairs: N ≥ 1, key–value pairs with values of one bit; 2^d ≥ N keys.
        query_bits: d ≥ 1, bits of a key.
        bits_per_coefficient: w ≥ 1, the precision to which a coefficient must be known.
        error: δ, 0 ≤ δ < 1/2, chance of a wrong answer.

    Returns:
        L ≤ ⌈log₂ d⌉: a polynomial of degree d is any function of d bits.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.6 of arXiv:2407.05483, as the inequality that its proof rests on.
    """
    _check_at_least(1, pairs=pairs)
    _check_index_error(error)
    _check_at_least(1, query_bits=query_bits, bits_per_coefficient=bits_per_coefficient)
    if bits_to_name(pairs) > query_bits:
        raise ValueError(
            f"pairs = {pairs}, query_bits = {query_bits}: pairs ≤ 2^query_bits is needed"
        )
    needed = int(sympy.ceiling(pairs * (1 - binary_entropy(error))))
    layers = 0
    while coefficient_message_bits(layers, query_bits, bits_per_coefficient) < needed:
        layers += 1
    return layers


# ---------------------------------------------------------------- the matrix and its rank


def disjointness_matrix(universe: int, size_a: int, size_b: int) -> npt.NDArray[np.int64]:
    """1 where the a-subset of a row and the b-subset of a column are disjoint, else 0.

    >>> disjointness_matrix(3, 1, 2)
    array([[0, 0, 1],
           [0, 1, 0],
           [1, 0, 0]])

    Args:
        universe: n, elements to draw from.
        size_a: a, 0 ≤ a ≤ n.
        size_b: b, 0 ≤ b ≤ n.

    Returns:
        Shape ``(C(n, a), C(n, b))``, subsets in lexicographic order.

    Raises:
        ValueError: unless the sizes are as above.
    """
    _check_subset(universe, size_a, "size_a")
    _check_subset(universe, size_b, "size_b")
    rows = _indicators(universe, size_a)  # (C(n, a), n)
    columns = _indicators(universe, size_b)  # (C(n, b), n)
    common: npt.NDArray[np.int64] = rows @ columns.T
    return np.equal(common, 0).astype(np.int64)


def rank(matrix: npt.ArrayLike) -> int:
    """The rank over the rationals of a matrix of integers, exactly.

    A minor that is not 0 modulo a prime is not 0, so that the rank modulo the prime is a lower
    bound; when it is full, it is the rank. Otherwise fraction-free elimination decides.

    >>> rank([[1, 2], [2, 4]]), rank([[2**31 - 1]])
    (1, 1)

    Args:
        matrix: integers, shape ``(rows, columns)``.

    Returns:
        The rank, 0 … min(rows, columns).

    Raises:
        ValueError: if it has not two dimensions or an entry is no integer.

    Source:
        Bareiss 1968 for the elimination.
    """
    entries = np.array(matrix, dtype=object)
    if entries.ndim != 2:
        raise ValueError(f"matrix has shape {entries.shape}: two dimensions are needed")
    if not all(isinstance(entry, (int, np.integer)) for entry in entries.flat):
        raise ValueError("matrix: every entry is to be an integer")
    modular = _rank_modulo((entries % _PRIME).astype(np.int64))
    if modular == min(entries.shape):
        return modular
    return _rank_fraction_free(entries)


def _rank_modulo(entries: npt.NDArray[np.int64]) -> int:
    rows, columns = entries.shape
    done = 0
    for column in range(columns):
        pivots = np.flatnonzero(entries[done:, column])
        if pivots.size == 0:
            continue
        entries[[done, done + pivots[0]]] = entries[[done + pivots[0], done]]
        inverse = pow(int(entries[done, column]), -1, _PRIME)
        pivot_row = entries[done] * inverse % _PRIME
        factors = entries[done + 1 :, column, None]
        entries[done + 1 :] = (entries[done + 1 :] - factors * pivot_row % _PRIME) % _PRIME
        done += 1
        if done == rows:
            break
    return done


def _rank_fraction_free(entries: npt.NDArray[Any]) -> int:
    """Bareiss: after k steps an entry is a minor of order k + 1, so the division is exact."""
    rows, columns = entries.shape
    done, last = 0, 1
    for column in range(columns):
        if done == rows:
            break
        pivots = [row for row in range(done, rows) if entries[row, column]]
        if not pivots:
            continue
        entries[[done, pivots[0]]] = entries[[pivots[0], done]]
        pivot = entries[done, column]
        below = entries[done + 1 :]
        entries[done + 1 :] = (below * pivot - np.outer(below[:, column], entries[done])) // last
        done, last = done + 1, pivot
    return done


def _indicators(universe: int, size: int) -> npt.NDArray[np.int64]:
    """The subsets of that size in lexicographic order as rows of 0 and 1."""
    members = np.array(list(combinations(range(universe), size)), dtype=np.int64)
    indicators = np.zeros((comb(universe, size), universe), dtype=np.int64)
    np.put_along_axis(indicators, members.reshape(len(indicators), size), 1, axis=1)
    return indicators


# ----------------------------------------------------------------------------------- curves


def one_pass_curve(universe: npt.ArrayLike, size: npt.ArrayLike) -> Reals:
    """log₂ C(n, a), which `one_pass_bits` rounds up.

    >>> one_pass_curve(32, [4, 12]).round(2)
    array([15.13, 27.75])

    Args, errors: as `one_pass_bits`, integers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """
    return _vectorised(_one_pass_real, universe, size)


def multi_pass_curve(
    universe: npt.ArrayLike, size_a: npt.ArrayLike, size_b: npt.ArrayLike, passes: npt.ArrayLike
) -> Reals:
    """log₂ C(n, a) for one pass, log₂ C(n, min(a, b)) / (2p - 1) for p: see `multi_pass_bits`.

    >>> multi_pass_curve(32, 12, 4, [1, 2, 3]).round(2)
    array([27.75,  5.04,  3.03])

    Args, errors: as `multi_pass_bits`, integers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(n: int, a: int, b: int, p: int) -> float:
        check_sizes(n, a, b)
        _check_at_least(1, passes=p)
        return _one_pass_real(n, a if p == 1 else min(a, b)) / (2 * p - 1)

    return _vectorised(real, universe, size_a, size_b, passes)


def index_curve(
    universe: npt.ArrayLike,
    size_a: npt.ArrayLike,
    size_b: npt.ArrayLike,
    error: npt.ArrayLike,
    problem: Problem = "decision",
) -> Reals:
    """(1 - H₂(δ)) · `index_length`: `index_bits` in floating point.

    >>> index_curve(64, [8, 16], 4, 0.1).round(2)
    array([4.25, 8.5 ])

    Args, errors: as `index_bits`, numbers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(n: int, a: int, b: int, delta: float) -> float:
        _check_index_error(delta)
        entropy = -sum(p * log2(p) for p in (delta, 1 - delta) if p > 0)
        return index_length(n, a, b, problem) * (1 - entropy)

    return _vectorised(real, universe, size_a, size_b, error)


def membership_curve(size_a: npt.ArrayLike, size_b: npt.ArrayLike, error: npt.ArrayLike) -> Reals:
    """a · log₂(b/δ): `membership_bits` in floating point.

    >>> membership_curve([64, 128], 16, 0.0625)
    array([ 512., 1024.])

    Args, errors: as `membership_bits`, numbers of shapes that broadcast.

    Returns:
        Bits, of the shape that they broadcast to.
    """

    def real(a: int, b: int, delta: float) -> float:
        _check_filter(a, b, delta)
        return a * log2(b / delta)

    return _vectorised(real, size_a, size_b, error)


def _one_pass_real(universe: int, size: int) -> float:
    _check_subset(universe, size)
    return log2(comb(universe, size))  # of a whole number of any length, to the last digit


def _vectorised(real: Callable[..., float], *arguments: npt.ArrayLike) -> Reals:
    """The function of each element: Python's own numbers go in, whose integers do not overflow."""
    broadcast = np.broadcast_arrays(*arguments)
    values = [
        real(*each) for each in zip(*(array.ravel().tolist() for array in broadcast), strict=True)
    ]
    return np.array(values, dtype=np.float64).reshape(broadcast[0].shape)


# ----------------------------------------------------------------------------------- checks


def _subsets_up_to(universe: int, size: int) -> int:
    """Σ_{k ≤ size} C(n, k), by the ratio of neighbours."""
    total = count = 1
    for chosen in range(min(universe, size)):
        count = count * (universe - chosen) // (chosen + 1)
        total += count
    return total


def _rational(number: Fraction) -> sympy.Rational:
    exact = Fraction(number)
    return sympy.Rational(exact.numerator, exact.denominator)


def _check_at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} = {value}: at least {least} is needed")


def _check_subset(universe: int, size: int, name: str = "size") -> None:
    if not 0 <= size <= universe:
        raise ValueError(f"universe = {universe}, {name} = {size}: 0 ≤ {name} ≤ universe is needed")


def _check_fit(universe: int, size_a: int, size_b: int, *, shared: int = 0) -> None:
    if size_a + size_b - shared > universe:
        sizes = f"universe = {universe}, size_a = {size_a}, size_b = {size_b}"
        minus = f" - {shared}" if shared else ""
        raise ValueError(f"{sizes}: size_a + size_b{minus} ≤ universe is needed")


def _check_index_error(error: Fraction | float) -> None:
    if not 0 <= error < Fraction(1, 2):
        raise ValueError(f"error = {error}: 0 ≤ error < 1/2 is needed")


def _check_filter(size_a: int, size_b: int, error: Fraction | float) -> None:
    _check_at_least(1, size_a=size_a, size_b=size_b)
    if not 0 < error < Fraction(1, 2):
        raise ValueError(f"error = {error}: 0 < error < 1/2 is needed")
