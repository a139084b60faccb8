"""Claims about two-way conversations and several passes, checked over all protocols."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from math import comb, inf

import numpy as np
import numpy.typing as npt

from ..passes.bounds import multi_pass_bits, two_way_bits
from ..passes.rank import disjointness_matrix
from ..setting import sizes_up_to
from .claim import Claim, Evidence, require


class _Conversations:
    """All protocols for a small 0–1 matrix: Alice has a row, Bob a column; masks are sets of them.

    A conversation may end when one of the two knows the answer from the own input.
    """

    def __init__(self, matrix: npt.NDArray[np.int64]) -> None:
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
    return [(n, a, b) for n, a, b in sizes_up_to(6) if max(comb(n, a), comb(n, b)) <= 6]


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
)
