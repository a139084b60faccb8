"""Claims about one pass with errors, checked on every instance of some sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import combinations, permutations, product
from math import comb, exp, isclose, log2

import numpy as np

from ..one_pass.bitmap import bitmap_held_bits, bitmap_search_accuracy
from ..one_pass.exact import all_told_apart
from ..one_pass.filters import fingerprint_bits
from ..one_pass.optima import best_accuracies
from ..one_pass.rate_distortion import (
    decision_accuracy,
    ranking_search_accuracy,
    rankings,
    recall_accuracy,
    search_accuracy,
    tournaments,
)
from ..one_pass.with_error import index_bits, index_length
from ..setting import Problem, sizes_up_to
from .claim import Claim, Evidence, require
from .instances import Subset, subsets


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
        for n, a, b in sizes_up_to(9, shared=int(problem == "search")):
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


_TINY = 10  # first sets at most: all messages are then tried in no time


def _sizes_for_messages(problem: Problem) -> list[tuple[int, int, int]]:
    shared = int(problem == "search")
    sizes = sizes_up_to(6, shared=shared)
    return [(n, a, b) for n, a, b in sizes if b > shared and comb(n, a) <= _TINY]


def _check_optima(problem: Problem, accuracy: Callable[[int, int, int, float], float]) -> Evidence:
    """No message about A does better than the bound, however it is read."""
    instances = 0
    sizes = _sizes_for_messages(problem)
    for n, a, b in sizes:
        for states, best in enumerate(best_accuracies(n, a, b, comb(n, a), problem), start=1):
            bound = accuracy(n, a, b, log2(states))
            case = f"(n, a, b) = {n, a, b}: {states} states have accuracy {best}"
            require(float(best) <= bound + 1e-9, f"{case}, more than {bound:.4f}")
            instances += 1
    scope = f"all messages at {len(sizes)} (n, a, b) with n ≤ 6 and C(n, a) ≤ {_TINY}"
    return Evidence(instances, scope)


def check_search_optima() -> Evidence:
    """The best messages of any number of states, for searching."""
    return _check_optima("search", search_accuracy)


def check_decision_optima() -> Evidence:
    """The best messages of any number of states, for deciding."""
    return _check_optima("decision", decision_accuracy)


def check_tournaments() -> Evidence:
    """No tournament has a larger generating function than the transitive one, and that is ours."""
    instances = 0
    for n in range(2, 6):
        pairs = list(combinations(range(n), 2))
        for a, tau in product(range(1, n), (0.5, 3.0, 20.0)):
            firsts = [frozenset(first) for first in combinations(range(n), a)]
            largest = 0.0
            for winners in product((0, 1), repeat=len(pairs)):
                beats = [pair[:: 1 - 2 * w] for pair, w in zip(pairs, winners, strict=True)]
                scores = [sum(x in first and y not in first for x, y in beats) for first in firsts]
                loss = 1 - np.array(scores) / (a * (n - a))
                largest = max(largest, float(np.mean(np.exp(-tau * loss))))
                instances += 1
            ours = exp(tournaments(n, a).log_moment(tau))
            require(isclose(largest, ours), f"n = {n}, a = {a}, τ = {tau}: {largest}, not {ours}")
    return Evidence(instances, "all tournaments on n ≤ 5 elements, all a, three τ")


def check_rankings() -> Evidence:
    """The conjecture of rankings, against the best messages and the best single rules."""
    instances = 0
    for n, a, b in _sizes_for_messages("search"):
        if b < 3 or not all_told_apart(n, a, b):
            continue
        for states, best in enumerate(best_accuracies(n, a, b, comb(n, a)), start=1):
            bound = ranking_search_accuracy(n, a, b, log2(states))
            case = f"(n, a, b) = {n, a, b}: {states} states have accuracy {best}"
            require(float(best) <= bound + 1e-9, f"{case}, more than {bound:.4f}")
            instances += 1
    for n, a, b in ((4, 1, 3), (5, 1, 3), (5, 1, 4)):
        seconds = list(combinations(range(n), b))
        firsts = [frozenset(first) for first in combinations(range(n), a)]
        total = a * comb(n - a, b - 1)
        for tau in (0.5, 3.0):
            largest = 0.0
            for rule in product(range(b), repeat=len(seconds)):
                answers = [(set(B), {B[place]}) for B, place in zip(seconds, rule, strict=True)]
                scores = [sum(first & second == x for second, x in answers) for first in firsts]
                largest = max(largest, float(np.mean(np.exp(tau * (np.array(scores) / total - 1)))))
                instances += 1
            ours = exp(rankings(n, a, b).log_moment(tau))
            require(largest <= ours + 1e-9, f"(n, a, b) = {n, a, b}, τ = {tau}: {largest} > {ours}")
    scope = "all messages with b ≥ 3 and n ≤ 6; all rules at three (n, a, b) with n ≤ 5"
    return Evidence(instances, scope)


def check_recall_optima() -> Evidence:
    """All messages about ordered letters, each read in the best way."""
    instances = 0
    sizes = ((1, 4), (2, 3), (2, 4), (3, 3))
    for count, alphabet in sizes:
        contexts = list(permutations(range(alphabet), count))
        table = np.zeros((len(contexts), count, alphabet))
        for i, letters in enumerate(contexts):
            table[i, range(count), letters] = 1
        for states in (2, 3):
            best = 0.0
            if states ** (len(contexts) - 1) > 50_000:
                continue
            for names in product(range(states), repeat=len(contexts) - 1):
                message = np.array((0, *names))
                right = sum(table[message == m].sum(0).max(1).sum() for m in range(states))
                best = max(best, float(right) / table.sum())
                instances += 1
            bound = recall_accuracy(count, alphabet, log2(states))
            case = f"{count} letters of {alphabet}: {states} states have accuracy {best:.4f}"
            require(best <= bound + 1e-9, f"{case}, more than {bound:.4f}")
    return Evidence(instances, f"all messages of 2 or 3 states at (letters, alphabet) = {sizes}")


def check_fingerprints() -> Evidence:
    """The chance, over every function of a universal family, that disjoint sets collide."""
    prime, instances = 11, 0
    for n, a, b in sizes_up_to(6):
        cells = 2 * a * b + 1  # the least that makes the error less than 1/2
        if cells > prime:
            continue
        error = Fraction(a * b, cells)
        functions = [
            [(factor * x + offset) % prime % cells for x in range(n)]
            for factor in range(1, prime)
            for offset in range(prime)
        ]
        for first in subsets(range(n), a):
            images = [frozenset(values[x] for x in first) for values in functions]
            for second in subsets(range(n), b):
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


def check_bitmap() -> Evidence:
    """The best guess from every bitmap and every B, counted over all sets A that leave both so."""
    instances = 0
    for n, a, b in sizes_up_to(6, shared=1):
        seconds, firsts = subsets(range(n), b), subsets(range(n), a)
        for bits in range(n + 1):
            counts: Counter[tuple[Subset, Subset, int]] = Counter()
            bitmaps: Counter[Subset] = Counter()
            for first in firsts:
                bitmap = frozenset(x for x in first if x < bits)
                bitmaps[bitmap] += 1
                for second in seconds:
                    common = first & second
                    if len(common) == 1:
                        counts[bitmap, second, min(common)] += 1
            best: dict[tuple[Subset, Subset], int] = {}
            for (bitmap, second, _), count in counts.items():
                best[bitmap, second] = max(count, best.get((bitmap, second), 0))
            accuracy = Fraction(sum(best.values()), counts.total())
            case = f"n = {n}, a = {a}, b = {b}, {bits} bits"
            said = bitmap_search_accuracy(n, a, b, bits)
            require(accuracy == said, f"{case}: accuracy {accuracy}, not {said}")
            shares = [count / len(firsts) for count in bitmaps.values()]
            held = -sum(share * log2(share) for share in shares)
            require(isclose(held, bitmap_held_bits(n, a, bits), abs_tol=1e-9), f"{case}: {held}")
            instances += counts.total()
    return Evidence(instances, "all A, B with one common element, n ≤ 6, and all parts 0 … k - 1")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "INDEX",
        "One message about k bits takes (1 - H₂(δ)) · k bits or more.",
        check_index_protocols,
        hypotheses="uniform bits and place, error δ < 1/2 on average; public coins",
        strength="exhaustive",
    ),
    Claim(
        "INDEX-reduction",
        "Set disjointness answers INDEX on min(a, n - a - b + 1) bits, searching on one more; on "
        "a in a wide universe.",
        check_index_reduction,
        hypotheses="a + b ≤ n; searching, a + b - 1 ≤ n and b ≥ 2",
        strength="construction",
    ),
    Claim(
        "INDEX-room",
        "Fewer than (1 - H₂(δ)) · a bits decide in one pass: INDEX on a needs the room.",
        check_index_needs_room,
        hypotheses="n = a + b, error δ, public coins",
        strength="construction",
    ),
    Claim(
        "search-bits",
        "Naming the common element takes `search_bits` at least.",
        check_search_optima,
        hypotheses="one pass, one common element, uniform; error δ on average, or on every "
        "instance with public coins",
        strength="exhaustive",
    ),
    Claim(
        "decision-bits",
        "Deciding takes `decision_bits` at least.",
        check_decision_optima,
        hypotheses="one pass, a + b ≤ n; half disjoint, half with one common element; error δ as "
        "above",
        strength="exhaustive",
    ),
    Claim(
        "recall-bits",
        "Guessing letters takes `recall_bits` at least.",
        check_recall_optima,
        hypotheses="one message about m different letters of k, uniform; error δ on average",
        strength="exhaustive",
    ),
    Claim(
        "tournaments",
        "No rule is better than a ranking at any accuracy.",
        check_tournaments,
        hypotheses="one pass, searching, b = 2",
        strength="exhaustive",
    ),
    Claim(
        "rankings",
        "Conjecture, beyond the sizes checked: no rule is better than a ranking.",
        check_rankings,
        hypotheses="one pass, searching, b > 2 and n ≥ 2a + b - 2",
        strength="exhaustive",
    ),
    Claim(
        "fingerprints",
        "The hash values of A in ⌈ab/δ⌉ cells decide with one-sided error δ.",
        check_fingerprints,
        hypotheses="one pass; a universal family, public coins; 0 < δ < 1/2",
        strength="construction",
    ),
    Claim(
        "bitmap",
        "From one bit for each of k elements the common element is named as often as "
        "`bitmap_search_accuracy` says, and no oftener; they hold `bitmap_held_bits` of A.",
        check_bitmap,
        hypotheses="one pass, one common element, uniform",
        strength="exhaustive",
    ),
)
