"""Bounds and algorithms side by side: the bits that one pair of sizes takes, in both orders."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from .algorithms.hash_tower import HashTower
from .algorithms.multi_pass import JustReadTwice, MultiPass
from .algorithms.one_pass import Fingerprint, OnePass
from .checks import require_at_least, require_between, with_python_integers
from .one_pass.exact import one_pass_bits
from .one_pass.filters import fingerprint_bits_for, membership_bits
from .one_pass.rate_distortion import decision_bits
from .passes.bounds import multi_pass_bits, two_way_bits
from .passes.tower import LEAST_ERROR
from .setting import Outcome, Token, check_sizes, prompt_tokens

_COINS_SEED = 0  # of the hash functions; the bits held hardly depend on it
_LARGEST_TOWER, _MOST_TOWER_PASSES = (
    512,
    8,
)  # elements, copies; it takes seconds, and more do no good


Kind = Literal["at least", "held", "about"]


@dataclass(frozen=True)
class MemoryNeed:
    """Bits for deciding whether A, which comes first, meets B; and with the order reversed.

    Attributes:
        what: the bound or the algorithm.
        kind: ``"at least"``, a proven lower bound on the largest state; ``"held"``, the most bits
            that an algorithm held while it ran; ``"about"``, what the best filter for approximate
            membership of B's elements in A takes, which is one way to decide.
        a_first, b_first: bits; None where the algorithm did not get to the end in time, or there
            is no tower: for sets of more than 512 elements, or an error too small.
    """

    what: str
    kind: Kind
    a_first: float | None
    b_first: float | None


@with_python_integers
def memory_needs(
    universe: int,
    size_a: int,
    size_b: int,
    passes: int = 2,
    error: Fraction = Fraction(1, 10),
    *,
    max_seconds: float = math.inf,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[MemoryNeed]:
    """Lower bounds, and what the algorithms of `theory.algorithms` hold, in both orders.

    The algorithms are run on disjoint sets, on which none can stop remembering early. Fingerprints
    are shorter than elements only where n is large beside |A|·|B| / δ; else exact memory is less.

    Args:
        universe: n, elements to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, with a + b ≤ n.
        passes: p ≥ 1, how often the input is read where it is read repeatedly.
        error: δ, 0 < δ < 1/2, for the randomized rows.
        max_seconds: that one algorithm may run in one order.
        progress: called after each row with the number of rows done and of all rows.

    Raises:
        ValueError: unless the arguments are as above.
    """
    check_sizes(universe, size_a, size_b)
    require_at_least(1, passes=passes)
    require_between(0, Fraction(1, 2), open_low=True, open_high=True, error=error)

    def held(run: Callable[[Iterable[Token]], Outcome], passes: int = 1) -> _Bits:
        return lambda a, b: _peak_bits(run, a, b, passes, max_seconds)

    tower_passes = min(passes, _MOST_TOWER_PASSES)

    def tower(a: int, b: int) -> float | None:
        if max(a, b) > _LARGEST_TOWER or error < LEAST_ERROR:
            return None
        model = HashTower.drawn(universe, a, b, tower_passes, error, seed=_COINS_SEED, packed=True)
        return _peak_bits(model.run, a, b, tower_passes, max_seconds)

    reads = "1 pass" if passes == 1 else f"{passes} passes"
    length = size_a + size_b + 2
    fingerprint = Fingerprint.drawn(
        universe, fingerprint_bits_for(size_a, size_b, error), seed=_COINS_SEED
    )
    rows: list[tuple[str, Kind, _Bits]] = [
        ("one pass, no errors", "at least", lambda a, b: one_pass_bits(universe, a)),
        (
            f"one pass, error {error}",
            "at least",
            lambda a, b: decision_bits(universe, a, b, error),
        ),
        (
            f"membership filter, error {error}",
            "about",
            lambda a, b: membership_bits(universe, a, b, error),
        ),
        ("two-way protocol, no errors", "at least", lambda a, b: two_way_bits(universe, a, b)),
        (
            f"{reads}, no errors, largest state",
            "at least",
            lambda a, b: multi_pass_bits(universe, a, b, passes),
        ),
        ("OnePass, a list", "held", held(OnePass(universe).run)),
        ("OnePass, packed", "held", held(OnePass(universe, packed=True).run)),
        (f"Fingerprint, error {error}", "held", held(fingerprint.run)),
        (f"HashTower({tower_passes}), packed, error {error}", "held", tower),
        ("JustReadTwice", "held", held(JustReadTwice(universe, length=length).run, passes=2)),
    ]
    if passes > 2:
        several = MultiPass(universe, length=length, passes=passes)
        rows.append((f"MultiPass({passes})", "held", held(several.run, passes=passes)))
    needs = []
    for done, (what, kind, bits) in enumerate(rows, start=1):
        needs.append(MemoryNeed(what, kind, bits(size_a, size_b), bits(size_b, size_a)))
        progress(done, len(rows))
    return needs


_Bits = Callable[[int, int], float | None]
"""Of the sizes of the first and of the second set."""


def _peak_bits(
    run: Callable[[Iterable[Token]], Outcome],
    size_first: int,
    size_second: int,
    passes: int,
    max_seconds: float,
) -> int | None:
    """The most bits held while disjoint sets are read; None if that takes too long."""
    deadline = time.monotonic() + max_seconds
    first, second = range(size_first), range(size_first, size_first + size_second)

    def tokens() -> Iterator[Token]:
        """Those of the prompt, of which no more than one is held at a time, until the deadline."""
        for token in prompt_tokens(first, second, passes):
            if time.monotonic() > deadline:
                raise TimeoutError
            yield token

    try:
        return run(tokens()).peak_bits
    except TimeoutError:
        return None
