"""Claims about one pass without errors, checked on every instance of some sizes."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from ..one_pass.automata import profile
from ..one_pass.exact import all_told_apart, one_pass_bits
from ..passes.rank import disjointness_matrix, rank
from ..setting import sizes_up_to
from .claim import Claim, Evidence, require
from .instances import Subset, subsets


def check_full_rank() -> Evidence:
    """Ranks over the rationals."""
    instances = 0
    for n, a, b in sizes_up_to(7, least=0):
        found = rank(disjointness_matrix(n, a, b))
        least = min(comb(n, a), comb(n, b))
        require(found == least == comb(n, min(a, b)), f"rank {found} at (n, a, b) = {n, a, b}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with a + b ≤ n ≤ 7")


def check_distinct_rows() -> Evidence:
    """Which A's some B tells apart, all of them when b ≥ 1 and a + b ≤ n, none when b = 0."""
    instances = 0
    for n, a, b in sizes_up_to(7, least=0):
        rows = len(np.unique(disjointness_matrix(n, a, b), axis=0))
        expected = comb(n, a) if b else 1
        require(rows == expected, f"{rows} distinct rows at (n, a, b) = {n, a, b}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with a + b ≤ n ≤ 7")


def _names_differ(first: Subset, second: Subset, others: list[Subset]) -> bool:
    """Whether some B meets each set in one element, and not in the same."""
    return any(
        len(first & other) == len(second & other) == 1 and first & other != second & other
        for other in others
    )


def check_search_told_apart() -> Evidence:
    """Both directions of the condition, by all pairs of A's and all B's."""
    instances = 0
    for n, a, b in sizes_up_to(7, shared=1):
        others = subsets(range(n), b)
        # By symmetry a pair may start with the first subset.
        first, *rest = subsets(range(n), a)
        all_differ = all(_names_differ(first, second, others) for second in rest)
        expected = all_told_apart(n, a, b)
        require(all_differ == expected, f"told apart: {all_differ} at (n, a, b) = {n, a, b}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with a + b - 1 ≤ n ≤ 7")


def check_search_counterexample() -> Evidence:
    """Pairs of complements share a state at n = 6, a = b = 3: 10 states do, of 20 sets."""
    sets = subsets(range(6), 3)
    alike = [pair for pair in combinations(sets, 2) if not _names_differ(*pair, sets)]
    complements = [(x, y) for x, y in combinations(sets, 2) if not x & y]
    require(alike == complements, f"{len(alike)} pairs need not be told apart, expected 10")
    states = profile(6, 3, 3, "search").separator
    require(states.lower == states.upper == 10, f"{states.lower} … {states.upper} states, not 10")
    require(states.upper_bits < one_pass_bits(6, 3), "no bit is saved")
    return Evidence(comb(20, 2), "all pairs of A's at n = 6, a = b = 3")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "disjointness-rank",
        "The matrix of a-subsets against b-subsets of n has full rank (Gottlieb).",
        check_full_rank,
        hypotheses="a + b ≤ n",
        strength="exhaustive",
    ),
    Claim(
        "one-pass",
        "Its rows are distinct: one pass takes ⌈log₂ C(n, a)⌉ bits at the separator.",
        check_distinct_rows,
        hypotheses="deciding without errors; a + b ≤ n, b ≥ 1",
        strength="exhaustive",
    ),
    Claim(
        "one-pass-search",
        "Naming the common element takes as many bits, as all A's must be told apart; in any "
        "other case but a = n they need not be.",
        check_search_told_apart,
        hypotheses="no errors, one common element; b = 2, or b > 2 and n ≥ 2a + b - 2",
        strength="exhaustive",
    ),
    Claim(
        "one-pass-search-counterexample",
        "Naming the common element takes 10 states, where deciding takes 20.",
        check_search_counterexample,
        hypotheses="no errors; n = 6, a = b = 3",
        strength="exhaustive",
    ),
)
