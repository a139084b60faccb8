"""Approximate membership: what storing A with a one-sided error takes.

A filter answers "is x in A?": yes for all of A, and for any other x with a small probability. It
is one way to decide with error, so these are bits that suffice, or that the method costs; the lower
bound on any one-pass algorithm is `theory.one_pass.rate_distortion.decision_bits`.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, lgamma, log, log2

from ..checks import require_at_least, require_between, with_python_integers
from ..counting import ceil_log2, subsets_up_to
from ..setting import check_sizes

_MOST_FACTORS = 10_000  # of a product; a larger one by the gamma function


@with_python_integers
def membership_bits(universe: int, size_a: int, size_b: int, error: Fraction) -> float:
    """log₂ C(n, a)/C(m, a): bits of a perfect filter for A that errs on a fraction δ of the B's.

    A filter answers "is x in A?", yes for all of A, and for any other x with chance ≤ ε. Asked for
    each of B, ε = δ/b gives disjoint sets a wrong answer with chance ≤ δ (union bound). It says yes
    to m = a + ⌊ε (n - a)⌋ elements at most, so each state is one of C(m, a) sets' at most. In the
    limit n/a → ∞ these are a · log₂(b/δ) bits; they are never more than storing A takes. Some
    filters come close; a Bloom filter (Bloom 1970) takes 1/ln 2 = 1.44 times as many. So this is
    the cost of the method, not a lower bound for set disjointness, which is `decision_bits`;
    `fingerprint_bits` is a number of bits that suffices.

    >>> round(membership_bits(2**60, 64, 16, Fraction(1, 16)), 3)  # 64 · log₂ 256
    512.0
    >>> round(membership_bits(256, 64, 16, Fraction(1, 16)), 3)  # log₂ C(256, 64)
    203.567

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1, the set that is stored.
        size_b: b = |B| ≥ 1, with a + b ≤ n.
        error: δ, 0 < δ < 1/2, one-sided: sets that meet are always found to.

    Returns:
        Bits, a real number. The hash function is public and not counted.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Carter, Floyd, Gill, Markowsky, Wegman 1978.
    """
    check_sizes(universe, size_a, size_b)
    _check_filter(size_a, size_b, error)
    accepted = size_a + floor(Fraction(error) * (universe - size_a) / size_b)
    if size_a <= _MOST_FACTORS:
        return sum(log2(universe - i) - log2(accepted - i) for i in range(size_a))
    logs = [lgamma(n + 1) - lgamma(n - size_a + 1) for n in (universe, accepted)]
    return (logs[0] - logs[1]) / log(2)


@with_python_integers
def fingerprint_bits(size_a: int, size_b: int, error: Fraction) -> int:
    """Bits that suffice between A and B for one-sided error δ: the set of A's hash values.

    With values in m = ⌈ab/δ⌉ cells from a universal family, one of the ab pairs of disjoint sets
    collides with chance ≤ ab/m ≤ δ. The values form a non-empty set of at most a cells, so that
    Σ_{1 ≤ k ≤ a} C(m, k) states are enough: about a · log₂(e·b/δ) bits.

    >>> fingerprint_bits(64, 16, Fraction(1, 16))  # exactly, in a universe of 2⁶⁰: 3545
    600

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
    return ceil_log2(subsets_up_to(cells, size_a) - 1)


@with_python_integers
def false_positive_bound(fingerprint_bits: int, size_a: int, size_b: int) -> Fraction:
    """|A||B| / 2ᵏ bounds the probability that `Fingerprint` takes disjoint sets for meeting ones.

    Each of the |A||B| pairs collides with probability at most 2⁻ᵏ, so that their sum bounds the
    probability that any does. It is over the coins alone, so that it holds for the worst sets.

    >>> false_positive_bound(10, 4, 32)
    Fraction(1, 8)

    Args:
        fingerprint_bits: k ≥ 0, bits of one hash value.
        size_a: |A| ≥ 0, elements.
        size_b: |B| ≥ 0, elements.

    Raises:
        ValueError: if one of them is negative.

    Source:
        The union bound over a universal family (Carter and Wegman 1979); beyond the paper.
    """
    require_at_least(0, fingerprint_bits=fingerprint_bits, size_a=size_a, size_b=size_b)
    return min(Fraction(1), Fraction(size_a * size_b, 1 << fingerprint_bits))


@with_python_integers
def fingerprint_bits_for(size_a: int, size_b: int, error: Fraction) -> int:
    """The least k with `false_positive_bound` ≤ error: ⌈log₂(|A||B| / error)⌉ bits a hash value.

    Packed, |A| such values take at most |A| · log₂(2e · |B| / error) + 1 bits, since
    C(m, a) ≤ (em/a)ᵃ and 2ᵏ < 2|A||B| / error: so about log₂(|B| / error) bits for an element.
    (`fingerprint_bits` has ⌈|A||B| / error⌉ cells rather than a power of two.)

    >>> fingerprint_bits_for(64, 64, Fraction(1, 100))
    19

    Raises:
        ValueError: unless 0 < error < 1, or if a size is negative.
    """
    require_between(0, 1, open_low=True, open_high=True, error=error)
    bits = 0
    while false_positive_bound(bits, size_a, size_b) > error:
        bits += 1
    return bits


def _check_filter(size_a: int, size_b: int, error: Fraction) -> None:
    require_at_least(1, size_a=size_a, size_b=size_b)
    require_between(0, Fraction(1, 2), open_low=True, open_high=True, error=error)
