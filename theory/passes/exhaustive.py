"""The fewest states of all protocols for tiny sizes: parties that remember, and recurrent models.

Read p times, the state at each of the 2p - 1 segment boundaries is a message. Two parties who
*remember* what they have sent may let a message depend on all earlier ones. A recurrent model
cannot: what it writes depends on the last message and on the tokens that follow, and what it
answers on the last message and B. It is a *memoryless* protocol (Arunachalam and Podder 2021, whose
parties also send by the same rule each time), and may need more states.

>>> fewest_states(4, 1, 1, passes=2), fewest_recurrent_states(4, 1, 1, passes=2)
(2, 3)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import comb, inf
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..checks import require_at_least, require_between, with_python_integers
from ..setting import check_sizes, sizes_up_to
from .rank import disjointness_matrix

MOST_SETS = 6
"""Sets of each size at most: all protocols are then tried in seconds."""

MOST_SETS_THRICE = 4
"""The same for recurrent models that read three times."""

Table: TypeAlias = tuple[tuple[int, ...], ...]
"""A number for each input of the party that speaks next (rows) and of the other (columns)."""


@with_python_integers
def fewest_states(universe: int, size_a: int, size_b: int, passes: int) -> int:
    """The fewest values a message has when two parties who remember decide in 2p - 1 messages.

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1; Alice, who has A, speaks first and last, and Bob answers.
        size_b: b = |B| ≥ 1, with a + b ≤ n; at most `MOST_SETS` sets of either size.
        passes: p ≥ 1.

    Raises:
        ValueError: unless the arguments are as above.
    """
    matrix = _checked_matrix(universe, size_a, size_b, passes)
    return Conversations(matrix).fewest_states(2 * passes - 1)


@with_python_integers
def fewest_recurrent_states(universe: int, size_a: int, size_b: int, passes: int) -> int:
    """The fewest states at segment boundaries of a recurrent model that decides on a JR-p prompt.

    Its update may differ from pass to pass, as Zⁱ = f_i(Zⁱ⁻¹, uᵢ) of Definition G.12 allows.

    Args:
        universe, size_a, size_b: as in `fewest_states`.
        passes: p = 1 or 2, or 3 where there are at most `MOST_SETS_THRICE` sets of either size.

    Raises:
        ValueError: unless the arguments are as above.
    """
    matrix = _checked_matrix(universe, size_a, size_b, passes)
    most = 3 if max(matrix.shape) <= MOST_SETS_THRICE else 2
    require_between(1, most, passes=passes)
    states = 1
    while not _recurrent_models_decide(matrix, 2 * passes - 1, states):
        states += 1
    return states


@dataclass(frozen=True)
class TinyProtocols:
    """What all protocols of one size take to decide without errors.

    Attributes:
        universe, size_a, size_b: n, a, b.
        passes: p.
        rank: ⌈C(n, min(a, b))^(1 / (2p - 1))⌉, or C(n, a) with one pass: states at least, proved.
        remembering: `fewest_states`.
        recurrent: `fewest_recurrent_states`.
    """

    universe: int
    size_a: int
    size_b: int
    passes: int
    rank: int
    remembering: int
    recurrent: int


def tiny_protocols(largest_universe: int) -> Iterator[TinyProtocols]:
    """All sizes in universes of at most so many elements, one pass and two, at most `MOST_SETS`.

    >>> [each.recurrent for each in tiny_protocols(3)]
    [2, 2, 3, 2, 3, 2, 3, 2]
    """
    for n, a, b in sizes_up_to(largest_universe):
        if max(comb(n, a), comb(n, b)) > MOST_SETS:
            continue
        for passes in (1, 2):
            values = comb(n, a if passes == 1 else min(a, b))
            rank = next(s for s in range(1, values + 1) if s ** (2 * passes - 1) >= values)
            remembering = fewest_states(n, a, b, passes)
            recurrent = fewest_recurrent_states(n, a, b, passes)
            yield TinyProtocols(n, a, b, passes, rank, remembering, recurrent)


def _checked_matrix(n: int, a: int, b: int, passes: int) -> npt.NDArray[np.int64]:
    check_sizes(n, a, b)
    require_at_least(1, passes=passes)
    if max(comb(n, a), comb(n, b)) > MOST_SETS:
        raise ValueError(
            f"universe = {n}, size_a = {a}, size_b = {b}: at most {MOST_SETS} sets of either size "
            "are possible"
        )
    return disjointness_matrix(n, a, b)


class Conversations:
    """All protocols for a small 0–1 matrix: Alice has a row, Bob a column; masks are sets of them.

    A conversation may end when one of the two knows the answer from the own input.
    """

    def __init__(self, matrix: npt.NDArray[np.int64]) -> None:
        self._rows = [int("".join(map(str, row[::-1])), 2) for row in matrix]
        self._columns = [int("".join(map(str, column[::-1])), 2) for column in matrix.T]
        self._everything = ((1 << len(self._rows)) - 1, (1 << len(self._columns)) - 1)
        self._bits = cache(self._least_bits)
        self._parts = cache(self._fewest_parts)

    def least_bits(self) -> int:
        """Bits of the shortest conversation in single bits, whoever speaks when."""
        return self._bits(*self._everything)

    def fewest_states(self, messages: int) -> int:
        """The least S such that this many messages of S values, by turns, let Bob know in the end.

        The number of messages is odd: Alice speaks first and last.
        """
        states = 1
        while self._parts(*self._everything, messages, states) > states:
            states += 1
        return states

    def _bob_knows(self, rows: int, columns: int) -> bool:
        return len({self._rows[row] & columns for row in _members(rows)}) <= 1

    def _alice_knows(self, rows: int, columns: int) -> bool:
        return len({self._columns[column] & rows for column in _members(columns)}) <= 1

    def _least_bits(self, rows: int, columns: int) -> int:
        if self._bob_knows(rows, columns) or self._alice_knows(rows, columns):
            return 0
        by_alice = (
            max(self._bits(part, columns), self._bits(rows ^ part, columns))
            for part in _halves(rows)
        )
        by_bob = (
            max(self._bits(rows, part), self._bits(rows, columns ^ part))
            for part in _halves(columns)
        )
        return 1 + min(*by_alice, *by_bob)

    def _fewest_parts(self, rows: int, columns: int, messages: int, states: int) -> float:
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
            if self._copes(*said, messages - 1, states):
                fewest = min(fewest, 1 + self._parts(*rest, messages, states))
        return fewest

    def _copes(self, rows: int, columns: int, messages: int, states: int) -> bool:
        if messages == 0:
            return self._bob_knows(rows, columns)
        return self._parts(rows, columns, messages, states) <= states


def _members(mask: int) -> list[int]:
    return [place for place in range(mask.bit_length()) if mask >> place & 1]


def _halves(mask: int) -> Iterator[int]:
    """The subsets of a mask but the empty and the full one."""
    part = (mask - 1) & mask
    while part:
        yield part
        part = (part - 1) & mask


# ------------------------------------------------------------------------- recurrent models


def _recurrent_models_decide(matrix: npt.NDArray[np.int64], messages: int, states: int) -> bool:
    """Whether some model with so many states at each segment boundary is right on all inputs."""
    truth: Table = tuple(map(tuple, matrix.tolist()))

    @cache
    def reaches(held: Table, left: int) -> bool:
        """Whether a model can do it that has so many messages left and these states now."""
        if left == 1:
            return _separable(held, truth, states)
        # Bob's last message must leave Alice one with which he can answer.
        aim = truth if left == 2 else None
        return any(reaches(after, left - 1) for after in _rewritten(held, states, aim))

    return reaches(tuple((0,) * len(truth[0]) for _ in truth), messages)


def _rewritten(held: Table, states: int, aim: Table | None) -> Iterator[Table]:
    """What the speaker can make of the states held, with the listener's inputs as rows.

    For each own input the speaker maps old states to new ones. What they are called does not
    matter: neither for all inputs together, nor to the listener, who looks at one row at a time.
    With an aim, tables that are not `_separable` are left out, as soon as that shows.
    """
    given: set[Table] = set()

    def extend(rows: Table) -> Iterator[Table]:
        done = len(rows[0])
        if done == len(held):
            table = tuple(map(_renamed, rows))
            if table not in given:
                given.add(table)
                yield table
            return
        old = held[done]
        names = sorted(set(old))
        for new in product(range(states), repeat=len(names)):
            if done == 0 and new != _renamed(new):
                continue
            image = dict(zip(names, new, strict=True))
            longer = tuple((*row, image[state]) for row, state in zip(rows, old, strict=True))
            if aim is None or _separable(longer, aim, states):
                yield from extend(longer)

    yield from extend(tuple(() for _ in held[0]))


def _renamed(row: tuple[int, ...]) -> tuple[int, ...]:
    """The row with its numbers renamed 0, 1, … in the order in which they occur."""
    names = {number: name for name, number in enumerate(dict.fromkeys(row))}
    return tuple(names[number] for number in row)


def _separable(held: Table, truth: Table, states: int) -> bool:
    """Whether a last message can separate the answers in every column that the table has.

    It is a function of the row and of the state held; so what is needed is a colouring of these
    pairs in which two that occur in one column with different answers differ.
    """
    width = len(held[0])
    pairs = list({(i, state) for i, row in enumerate(held) for state in row})
    conflicts: dict[tuple[int, int], set[tuple[int, int]]] = {pair: set() for pair in pairs}
    for column in range(width):
        here = [((i, row[column]), truth[i][column]) for i, row in enumerate(held)]
        for pair, answer in here:
            conflicts[pair].update(other for other, its in here if its != answer)
    pairs.sort(key=lambda pair: -len(conflicts[pair]))
    colours: dict[tuple[int, int], int] = {}

    def colour(number: int) -> bool:
        if number == len(pairs):
            return True
        pair = pairs[number]
        taken = {colours[other] for other in conflicts[pair] if other in colours}
        for choice in range(min(states, max(colours.values(), default=-1) + 2)):
            if choice not in taken:
                colours[pair] = choice
                if colour(number + 1):
                    return True
                del colours[pair]
        return False

    return colour(0)
