"""Claims about two-way conversations and several passes, checked over all protocols."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import comb

from ..counting import ceil_log2
from ..passes.bounds import multi_pass_bits, two_way_bits
from ..passes.exhaustive import (
    MOST_SETS,
    Conversations,
    fewest_states,
    tiny_protocols,
)
from ..passes.rank import disjointness_matrix
from ..setting import sizes_up_to
from .claim import Claim, Evidence, require


def _small_sizes() -> list[tuple[int, int, int]]:
    return [(n, a, b) for n, a, b in sizes_up_to(6) if max(comb(n, a), comb(n, b)) <= MOST_SETS]


def check_two_way() -> Evidence:
    """The shortest conversation, over all protocols."""
    sizes = _small_sizes()
    for n, a, b in sizes:
        bits = Conversations(disjointness_matrix(n, a, b)).least_bits()
        bound = two_way_bits(n, a, b)
        require(bits >= bound >= min(a, b), f"{bits} bits do, bound {bound}, at {n, a, b}")
    return Evidence(len(sizes), "all (n, a, b) whose matrix is at most 6 by 6")


def _singletons_told_apart(messages: int, bits: int) -> int:
    """The largest n such that conversations decide whether a = b, for one element each of n.

    All that counts of a rectangle is how many elements both may have, and whether either may have
    one that the other cannot. `largest` gives how many shared elements are possible; a speaker
    splits them among 2^s parts, leaving to the listener, in each, the other parts' elements.
    """

    @cache
    def largest(messages: int, row_alone: bool, column_alone: bool) -> int:
        if messages == 0:  # Bob knows if there is one row, or none that differs from another
            return 0 if row_alone else 1
        alice = messages % 2 == 1
        unsplit = largest(messages - 1, row_alone, column_alone)
        if bits == 0:
            return unsplit
        # The others' elements are alone in each part; own ones fit into one part.
        split = (False, True) if alice else (True, False)
        burdened = (row_alone, True) if alice else (True, column_alone)
        parts = largest(messages - 1, *split) * ((1 << bits) - 1)
        return max(unsplit, parts + largest(messages - 1, *burdened))

    return largest(messages, False, False)


def check_passes() -> Evidence:
    """The smallest state of all protocols, which may even remember what they have said."""
    instances = 0
    for n, a, b in _small_sizes():
        for passes in (1, 2):
            bits = ceil_log2(fewest_states(n, a, b, passes))
            bound = multi_pass_bits(n, a, b, passes)
            require(bits >= bound, f"{bits} bits do, bound {bound}, at {n, a, b}, {passes} passes")
            require(passes > 1 or bits == bound, f"{bits} bits, not {bound}, one pass at {n, a, b}")
            instances += 1
    for passes, bits in product((1, 2, 3), (1, 2, 3)):
        most = _singletons_told_apart(2 * passes - 1, bits)
        bound = multi_pass_bits(most, 1, 1, passes) if most > 1 else 0
        require(bits >= bound, f"{bits} bits do at ({most}, 1, 1), {passes} passes; bound {bound}")
        instances += 1
    return Evidence(instances, "matrices at most 6 by 6; singletons, up to 3 passes of 3 bits")


def check_recurrent() -> Evidence:
    """The fewest states of all recurrent models, and of all protocols whose parties remember."""
    tiny = list(tiny_protocols(6))
    for each in tiny:
        require(each.rank <= each.remembering <= each.recurrent, str(each))
    separated = {
        (each.universe, each.size_a, each.size_b): (each.remembering, each.recurrent)
        for each in tiny
        if each.passes == 2 and each.remembering < each.recurrent
    }
    require(separated.get((4, 1, 1)) == (2, 3), f"memory helps at {separated}, not at (4, 1, 1)")
    return Evidence(len(tiny), "all (n, a, b) whose matrix is at most 6 by 6, one pass and two")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.27-deterministic",
        "Two parties exchange ⌈log₂ C(n, min(a, b))⌉ ≥ min(a, b) bits or more.",
        check_two_way,
        hypotheses="deciding without errors; a + b ≤ n; one of the two knows the answer at the end",
        strength="exhaustive",
    ),
    Claim(
        "G.29-deterministic",
        "Reading p times takes a state of ⌈log₂ C(n, min(a, b)) / (2p - 1)⌉ bits or more.",
        check_passes,
        hypotheses="deciding without errors; a + b ≤ n; parties may remember what they have sent",
        strength="exhaustive",
    ),
    Claim(
        "memoryless",
        "A recurrent model may need more states than two parties who remember what they sent: at "
        "(n, a, b) = (4, 1, 1), 3 against 2.",
        check_recurrent,
        hypotheses="a + b ≤ n, read twice, no errors; the update may differ from pass to pass",
        strength="exhaustive",
    ),
    Claim(
        "G.27/29, randomized",
        "Two parties who decide exchange Ω(min(a, b)) bits, so that reading p times takes a state "
        "of Ω(min(a, b) / (2p - 1)) (Kalyanasundaram and Schnitger 1992, Razborov 1992).",
        None,
        hypotheses="a + b ≤ n; error ≤ 1/3 on every instance, public coins",
        strength="cited",
    ),
    Claim(
        "p passes, randomized",
        "Of r messages one has Ω(k log⁽ʳ⁾ k) bits, so that p passes take such a state, r = 2p - 1, "
        "and one pass Ω(k log k), more than INDEX's a (Sağlam and Tardos 2013).",
        None,
        hypotheses="a, b ≥ k, n = Ω(k²); error ≤ 1/3 on every instance, public coins",
        strength="cited",
    ),
    Claim(
        "two-way, constant",
        "Two parties exchange (2/ln 2 ± o(1)) · k bits on k-sets, and (0.4827 ± o(1)) · n on all "
        "sets (Braverman, Garg, Pankratov and Weinstein 2013).",
        None,
        hypotheses="k and n/k grow; the error goes to 0, as slowly as you like; both directions "
        "counted",
        strength="cited",
    ),
    Claim(
        "memoryless, in general",
        "Without memory two parties take, up to a factor of 2, log₂ of the size of the smallest "
        "bipartite branching program (Arunachalam and Podder 2021).",
        None,
        hypotheses="any number of messages, the same rule each time; bits of the largest message",
        strength="cited",
    ),
)
