"""Claims about memory bounds, each checked over every instance of some sizes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import comb, inf

import numpy as np

from theory.automata import profile
from theory.bounds import (
    Problem,
    all_told_apart,
    average_search_bits,
    disjointness_matrix,
    fingerprint_bits,
    index_bits,
    index_length,
    multi_pass_bits,
    one_pass_bits,
    rank,
    two_way_bits,
)
from theory.claims.claim import Claim, Evidence, require

Subset = frozenset[int]


def _subsets(elements: range, size: int) -> list[Subset]:
    return [frozenset(chosen) for chosen in combinations(elements, size)]


def _sizes(largest: int, *, least: int = 1, shared: int = 0) -> Iterator[tuple[int, int, int]]:
    """All (n, a, b) with n ≤ largest and a + b - shared ≤ n."""
    for n in range(1, largest + 1):
        for a in range(least, n + 1):
            for b in range(least, n - a + shared + 1):
                yield n, a, b


# ---------------------------------------------------------------- the disjointness matrix


def check_full_rank() -> Evidence:
    """Ranks over the rationals."""
    instances = 0
    for n, a, b in _sizes(7, least=0):
        found = rank(disjointness_matrix(n, a, b))
        least = min(comb(n, a), comb(n, b))
        require(found == least == comb(n, min(a, b)), f"rank {found} at (n, a, b) = {n, a, b}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with a + b ≤ n ≤ 7")


def check_distinct_rows() -> Evidence:
    """Which A's some B tells apart, all of them when b ≥ 1 and a + b ≤ n, none when b = 0."""
    instances = 0
    for n, a, b in _sizes(7, least=0):
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
    for n, a, b in _sizes(7, shared=1):
        others = _subsets(range(n), b)
        # By symmetry a pair may start with the first subset.
        first, *rest = _subsets(range(n), a)
        all_differ = all(_names_differ(first, second, others) for second in rest)
        expected = all_told_apart(n, a, b)
        require(all_differ == expected, f"told apart: {all_differ} at (n, a, b) = {n, a, b}")
        instances += 1
    return Evidence(instances, "all (n, a, b) with a + b - 1 ≤ n ≤ 7")


def check_search_counterexample() -> Evidence:
    """Pairs of complements share a state at n = 6, a = b = 3: 10 states do, of 20 sets."""
    sets = _subsets(range(6), 3)
    alike = [pair for pair in combinations(sets, 2) if not _names_differ(*pair, sets)]
    complements = [(x, y) for x, y in combinations(sets, 2) if not x & y]
    require(alike == complements, f"{len(alike)} pairs need not be told apart, expected 10")
    states = profile(6, 3, 3, "search").separator
    require(states.lower == states.upper == 10, f"{states.lower} … {states.upper} states, not 10")
    require(states.upper_bits < one_pass_bits(6, 3), "no bit is saved")
    return Evidence(comb(20, 2), "all pairs of A's at n = 6, a = b = 3")


# ------------------------------------------------------------------------------- with error


def _fano_holds(length: int, bits: int, errors: int) -> bool:
    """s ≥ (1 - H₂(e/D)) · k with D = k · 2^k, in whole numbers.

    Times 2^k it says 2^k (k - s) ≤ D log₂ D - e log₂ e - (D - e) log₂(D - e).
    """
    total = length << length
    right = total - errors
    scale = (1 << length) * (length - bits)
    return bool(2**scale * errors**errors * right**right <= total**total)


def _fewest_errors(length: int, bits: int) -> int:
    """Over all maps of k-bit strings to s-bit messages: wrong guesses at all (string, place).

    To guess best, Bob takes the commoner value among the strings with that message. A protocol
    with public coins and error ≤ δ on each input has one among its maps with error ≤ δ on average.
    """
    strings = list(product((0, 1), repeat=length))
    fewest = length << length
    for messages in product(range(1 << bits), repeat=len(strings)):
        ones = [[0] * length for _ in range(1 << bits)]
        sizes = [0] * (1 << bits)
        for string, message in zip(strings, messages, strict=True):
            sizes[message] += 1
            for place, bit in enumerate(string):
                ones[message][place] += bit
        errors = sum(
            min(count, size - count)
            for counts, size in zip(ones, sizes, strict=True)
            for count in counts
        )
        fewest = min(fewest, errors)
    return fewest


def check_index_protocols() -> Evidence:
    """Every deterministic one-way protocol for short strings obeys Fano's bound."""
    instances = 0
    for length, bits in ((1, 0), (2, 0), (2, 1), (3, 1), (4, 0), (3, 2)):
        errors = _fewest_errors(length, bits)
        where = f"{errors} errors of {length << length} with {bits} bits for {length}"
        require(_fano_holds(length, bits, errors), where)
        instances += (1 << bits) ** (1 << length)
    return Evidence(instances, "all maps of k-bit strings to s-bit messages for six (k, s), k ≤ 4")


def _index_sets(
    n: int, a: int, b: int, string: tuple[int, ...], place: int, problem: Problem
) -> tuple[set[int], set[int]]:
    """A and B for a string and the place that is asked for; see `index_length`."""
    pairs = len(string)
    fixed = range(2 * pairs, 2 * pairs + a - pairs)
    asked = [2 * place + 1] if problem == "decision" else [2 * place, 2 * place + 1]
    filling = range(fixed.stop, fixed.stop + b - len(asked))
    require(filling.stop <= n, f"{filling.stop} elements at (n, a, b) = {n, a, b}")
    return (
        {2 * pair + bit for pair, bit in enumerate(string)} | set(fixed),
        set(asked) | set(filling),
    )


def check_index_reduction() -> Evidence:
    """The sets have their sizes, fit the universe, and their answer is the bit that was asked."""
    instances = 0
    problems: tuple[Problem, ...] = ("decision", "search")
    for problem in problems:
        for n, a, b in _sizes(9, shared=int(problem == "search")):
            pairs = index_length(n, a, b, problem)
            for string in product((0, 1), repeat=pairs):
                for place in range(pairs):
                    first, second = _index_sets(n, a, b, string, place, problem)
                    require((len(first), len(second)) == (a, b), f"sizes at {n, a, b}: {string}")
                    common = first & second
                    bit = int(bool(common))
                    if problem == "search":
                        require(len(common) == 1, f"{common} in common at {n, a, b}: {string}")
                        bit = common.pop() % 2
                    require(bit == string[place], f"{string}[{place}] at {n, a, b}, {problem}")
                    instances += 1
    return Evidence(instances, "all strings and places for all (n, a, b) with n ≤ 9")


def _fooled_parities(universe: int) -> list[int]:
    """For each set D ≠ ∅: how many of the 2^n sets R have |R ∩ D| even. A Walsh transform."""
    sums = np.ones(1 << universe, dtype=np.int64)
    for element in range(universe):
        even, odd = np.split(sums.reshape(-1, 2, 1 << element), 2, axis=1)
        sums = np.concatenate((even + odd, even - odd), axis=1).ravel()
    return [int(count) for count in ((1 << universe) + sums[1:]) // 2]


def check_index_needs_room() -> Evidence:
    """Where n = a + b, k parities of A under public random masks decide with error 2⁻ᵏ.

    A and B are disjoint exactly if A is B's complement, so Bob compares parities with those of the
    complement: never wrong if so, else wrong where every mask has an even part of their difference.
    """
    instances = 0
    for half, parities in ((7, 4), (8, 4)):
        n = 2 * half
        even = set(_fooled_parities(n))
        require(even == {1 << (n - 1)}, f"some difference is even under {even} of 2^{n} masks")
        error = Fraction(1, 2) ** parities
        wide = index_bits(2 * half + half - 1, half, half, error)
        narrow = index_bits(n, half, half, error)
        require(bool(narrow <= parities), f"{parities} parities beat the bound at n = {n}")
        require(bool(wide > parities), f"{parities} bits do not beat (1 - H₂) · a at n = {n}")
        instances += (1 << n) - 1
    return Evidence(instances, "every difference of two sets at (n, a, b) = (14, 7, 7), (16, 8, 8)")


def check_average_error() -> Evidence:
    """All messages of one or two bits about A, each read in the best way, on uniform instances."""
    instances = 0
    sizes = ((4, 2, 2, 1), (5, 2, 2, 1), (6, 2, 2, 1), (5, 1, 3, 1), (4, 2, 2, 2), (5, 1, 4, 2))
    for n, a, b, bits in sizes:
        firsts = list(combinations(range(n), a))
        seconds = list(combinations(range(n), b))
        # For each A and B with one common element: which, out of n.
        common = np.zeros((len(firsts), len(seconds), n))
        for i, first in enumerate(firsts):
            for j, second in enumerate(seconds):
                both = set(first) & set(second)
                if len(both) == 1:
                    common[i, j, both.pop()] = 1
        for names in product(range(1 << bits), repeat=len(firsts) - 1):
            message = np.array((0, *names))  # what the first is called does not matter
            right = sum(common[message == m].sum(0).max(1).sum() for m in range(1 << bits))
            error = 1 - float(right / common.sum())
            needed = average_search_bits(n, a, b, error)
            case = f"n = {n}, a = {a}, b = {b}: {bits} bits with error {error:.3f}"
            require(needed <= bits + 1e-9, f"{case}, less than {needed:.3f}")
            instances += 1
    return Evidence(instances, f"all messages at (n, a, b, bits) = {sizes}")


def check_fingerprints() -> Evidence:
    """The chance, over every function of a universal family, that disjoint sets collide."""
    prime, instances = 11, 0
    for n, a, b in _sizes(6):
        cells = 2 * a * b + 1  # the least that makes the error less than 1/2
        if cells > prime:
            continue
        error = Fraction(a * b, cells)
        functions = [
            [(factor * x + offset) % prime % cells for x in range(n)]
            for factor in range(1, prime)
            for offset in range(prime)
        ]
        for first in _subsets(range(n), a):
            images = [frozenset(values[x] for x in first) for values in functions]
            for second in _subsets(range(n), b):
                if first & second:
                    continue
                met = sum(
                    any(values[y] in image for y in second)
                    for values, image in zip(functions, images, strict=True)
                )
                where = f"{met} of {len(functions)} collide: A = {set(first)}, B = {set(second)}"
                require(Fraction(met, len(functions)) <= error, where)
                instances += 1
        states = sum(comb(cells, size) for size in range(1, a + 1))
        bits = fingerprint_bits(a, b, error)
        require(2 ** (bits - 1) < states <= 2**bits, f"{bits} bits for {states} states")
    return Evidence(instances, "all disjoint A, B with n ≤ 6 that 11 cells are enough for")


# ------------------------------------------------------------------------------- automata


def check_profile_decision() -> Evidence:
    """What the profile says of deciding, where A is at most half of all elements."""
    instances = 0
    for n, a, b in [*((n, a, b) for n, a, b in _sizes(7) if 2 * a <= n), (10, 2, 3), (10, 5, 5)]:
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
    for n, a, b in _sizes(7, shared=1):
        if b >= 2 and n >= 2 * a + b - 2:
            found = profile(n, a, b, "search")
            where = f"at (n, a, b) = {n, a, b}"
            separator = found.separator
            require(separator.lower == separator.upper == comb(n, a), f"{separator} {where}")
            require(found.peak[1] <= comb(n, a) + n, f"peak of {found.peak} states {where}")
            instances += 1
    return Evidence(instances, "all (n, a, b) with b ≥ 2 and 2a + b - 2 ≤ n ≤ 7")


# ------------------------------------------------------------- conversations and passes


class _Conversations:
    """All protocols for a small 0–1 matrix: Alice has a row, Bob a column; masks are sets of them.

    A conversation may end when one of the two knows the answer from the own input.
    """

    def __init__(self, matrix: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> None:
        self.rows = [int("".join(map(str, row[::-1])), 2) for row in matrix]
        self.columns = [int("".join(map(str, column[::-1])), 2) for column in matrix.T]
        self.everything = ((1 << len(self.rows)) - 1, (1 << len(self.columns)) - 1)
        self.least_bits = cache(self._least_bits)
        self._parts = cache(self._fewest_parts)

    def bob_knows(self, rows: int, columns: int) -> bool:
        return len({self.rows[row] & columns for row in _members(rows)}) <= 1

    def alice_knows(self, rows: int, columns: int) -> bool:
        return len({self.columns[column] & rows for column in _members(columns)}) <= 1

    def _least_bits(self, rows: int, columns: int) -> int:
        """Bits of the shortest conversation in single bits, whoever speaks when."""
        if self.bob_knows(rows, columns) or self.alice_knows(rows, columns):
            return 0
        by_alice = (
            max(self.least_bits(part, columns), self.least_bits(rows ^ part, columns))
            for part in _halves(rows)
        )
        by_bob = (
            max(self.least_bits(rows, part), self.least_bits(rows, columns ^ part))
            for part in _halves(columns)
        )
        return 1 + min(*by_alice, *by_bob)

    def least_message_bits(self, messages: int) -> int:
        """The least s such that this many messages of s bits, by turns, let Bob know in the end.

        The number of messages is odd: Alice speaks first and last.
        """
        bits = 0
        while self._parts(*self.everything, messages, bits) > 1 << bits:
            bits += 1
        return bits

    def _fewest_parts(self, rows: int, columns: int, messages: int, bits: int) -> float:
        """In how few parts the speaker can put the inputs, for the rest to cope with each."""
        alice = messages % 2 == 1
        inputs = rows if alice else columns
        if inputs == 0:
            return 0
        lowest = inputs & -inputs
        fewest = inf
        for part in (*_halves(inputs), inputs):
            if not part & lowest:
                continue  # the part with the first input is chosen first
            said = (part, columns) if alice else (rows, part)
            rest = (inputs ^ part, columns) if alice else (rows, inputs ^ part)
            if self._copes(*said, messages - 1, bits):
                fewest = min(fewest, 1 + self._parts(*rest, messages, bits))
        return fewest

    def _copes(self, rows: int, columns: int, messages: int, bits: int) -> bool:
        if messages == 0:
            return self.bob_knows(rows, columns)
        return self._parts(rows, columns, messages, bits) <= 1 << bits


def _members(mask: int) -> list[int]:
    return [place for place in range(mask.bit_length()) if mask >> place & 1]


def _halves(mask: int) -> Iterator[int]:
    """The subsets of a mask but the empty and the full one."""
    part = (mask - 1) & mask
    while part:
        yield part
        part = (part - 1) & mask


def _small_sizes() -> list[tuple[int, int, int]]:
    return [(n, a, b) for n, a, b in _sizes(6) if max(comb(n, a), comb(n, b)) <= 6]


def check_two_way() -> Evidence:
    """The shortest conversation, over all protocols."""
    sizes = _small_sizes()
    for n, a, b in sizes:
        conversations = _Conversations(disjointness_matrix(n, a, b))
        bits = conversations.least_bits(*conversations.everything)
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
        conversations = _Conversations(disjointness_matrix(n, a, b))
        for passes in (1, 2):
            bits = conversations.least_message_bits(2 * passes - 1)
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


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "disjointness-rank",
        "The matrix of a-subsets against b-subsets of n has full rank if a + b ≤ n (Gottlieb).",
        check_full_rank,
    ),
    Claim(
        "one-pass",
        "Its rows are distinct if a + b ≤ n and b ≥ 1: one pass takes ⌈log₂ C(n, a)⌉ bits.",
        check_distinct_rows,
    ),
    Claim(
        "one-pass-search",
        "Naming the common element takes as many, if b = 2, or b > 2 and n ≥ 2a + b - 2; "
        "else some A's may share a state.",
        check_search_told_apart,
    ),
    Claim(
        "one-pass-search-counterexample",
        "Naming the common element at n = 6, a = b = 3 takes 10 states, where deciding takes 20.",
        check_search_counterexample,
    ),
    Claim(
        "INDEX",
        "One message with error δ about k bits has (1 - H₂(δ)) · k bits or more.",
        check_index_protocols,
    ),
    Claim(
        "INDEX-reduction",
        "Set disjointness answers INDEX on min(a, n - a - b + 1) bits; on a if n ≥ 2a + b - 1.",
        check_index_reduction,
    ),
    Claim(
        "INDEX-room",
        "If n = a + b, fewer than (1 - H₂(δ)) · a bits do in one pass with error δ.",
        check_index_needs_room,
    ),
    Claim(
        "average-error",
        "Naming the common element of uniform A and B with error δ on average takes "
        "a · (log₂ k - H₂(δ) - δ log₂(k - 1)) bits, k ≤ b with a·k + b - k ≤ n.",
        check_average_error,
    ),
    Claim(
        "fingerprints",
        "The hash values of A in ⌈ab/δ⌉ cells decide with one-sided error δ.",
        check_fingerprints,
    ),
    Claim(
        "profile",
        "Deciding with 2a ≤ n takes C(n, i) states after i elements of A, C(n, a) at the "
        "separator, never more than C(n, a) + 1.",
        check_profile_decision,
    ),
    Claim(
        "profile-peak",
        "Deciding can take C(n, a) + 1 states after the separator, and so one bit more than at it.",
        check_profile_passes_its_separator,
    ),
    Claim(
        "profile-search",
        "Naming the common element with b ≥ 2, n ≥ 2a + b - 2 takes C(n, a) states at the "
        "separator, never more than C(n, a) + n.",
        check_profile_search,
    ),
    Claim(
        "G.27-deterministic",
        "Two parties who decide without error exchange ⌈log₂ C(n, min(a, b))⌉ ≥ min(a, b) bits.",
        check_two_way,
    ),
    Claim(
        "G.29-deterministic",
        "Reading p times without error takes a state of ⌈log₂ C(n, min(a, b)) / (2p - 1)⌉ bits.",
        check_passes,
    ),
)
