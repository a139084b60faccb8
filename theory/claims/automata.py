"""Claims about the exact memory profile, checked on small sizes."""

from __future__ import annotations

from math import comb

from ..one_pass.automata import profile
from ..one_pass.exact import one_pass_bits
from ..setting import sizes_up_to
from .claim import Claim, Evidence, require


def check_profile_decision() -> Evidence:
    """What the profile says of deciding, where A is at most half of all elements."""
    instances = 0
    for n, a, b in [
        *((n, a, b) for n, a, b in sizes_up_to(7) if 2 * a <= n),
        (10, 2, 3),
        (10, 5, 5),
    ]:
        found = profile(n, a, b)
        where = f"at (n, a, b) = {n, a, b}"
        while_a = [(cut.lower, cut.upper) for cut in found.cuts[1 : a + 3]]
        every = [comb(n, read) for read in range(a + 1)] + [comb(n, a)]
        require(while_a == [(count, count) for count in every], f"while A is read {where}")
        require(found.separator.lower_bits == one_pass_bits(n, a), f"bits {where}")
        require(found.peak[1] <= comb(n, a) + 1, f"peak of {found.peak} states {where}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with 2a ≤ n ≤ 7, two with n = 10")


def check_profile_passes_its_separator() -> Evidence:
    """Deciding, the peak may lie one token after the separator, and be a bit higher."""
    for n, a, b in ((4, 1, 2), (5, 2, 2), (6, 2, 2), (8, 3, 3)):
        after = profile(n, a, b).cuts[a + 3]
        require(
            after.lower == after.upper == comb(n, a) + 1,
            f"{after.lower} … {after.upper} states one token into B at (n, a, b) = {n, a, b}",
        )
    bits = profile(4, 1, 2).cuts[4].lower_bits
    require(bits == one_pass_bits(4, 1) + 1, f"{bits} bits at (n, a, b) = (4, 1, 2)")
    return Evidence(4, "(n, a, b) = (4, 1, 2), (5, 2, 2), (6, 2, 2), (8, 3, 3)")


def check_profile_search() -> Evidence:
    """What the profile says of searching, where every two A's must be told apart."""
    instances = 0
    for n, a, b in sizes_up_to(7, shared=1):
        if b >= 2 and n >= 2 * a + b - 2:
            found = profile(n, a, b, "search")
            where = f"at (n, a, b) = {n, a, b}"
            separator = found.separator
            require(separator.lower == separator.upper == comb(n, a), f"{separator} {where}")
            require(found.peak[1] <= comb(n, a) + n, f"peak of {found.peak} states {where}")
            instances += 1
    return Evidence(instances, "all (n, a, b) with b ≥ 2 and 2a + b - 2 ≤ n ≤ 7")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "profile",
        "Deciding takes C(n, i) states after i elements of A, C(n, a) at the separator, never "
        "more than C(n, a) + 1.",
        check_profile_decision,
        hypotheses="one pass without errors; 2a ≤ n and a + b ≤ n",
        strength="exhaustive",
    ),
    Claim(
        "profile-peak",
        "Deciding can take C(n, a) + 1 states after the separator, and so one bit more than at it.",
        check_profile_passes_its_separator,
        hypotheses="one pass without errors; the sizes checked",
        strength="exhaustive",
    ),
    Claim(
        "profile-search",
        "Naming the common element takes C(n, a) states at the separator, never more than C(n, a) "
        "+ n.",
        check_profile_search,
        hypotheses="one pass without errors, one common element; b ≥ 2 and n ≥ 2a + b - 2",
        strength="exhaustive",
    ),
)
