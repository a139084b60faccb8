"""Claims about one pass with errors, checked on every instance of some sizes."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from math import comb

import numpy as np

from ..one_pass.filters import fingerprint_bits
from ..one_pass.with_error import average_search_bits, index_bits, index_length
from ..setting import Problem
from .claim import Claim, Evidence, require
from .instances import sizes_up_to, subsets


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


CLAIMS: tuple[Claim, ...] = (
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
)
