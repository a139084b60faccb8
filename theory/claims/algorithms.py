"""Claims about streaming algorithms, run on every small instance and on some large ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from math import comb, e, log2

from ..algorithms.multi_pass import JustReadTwice, MultiPass
from ..algorithms.one_pass import Fingerprint, OnePass, coin_count
from ..counting import ceil_log2
from ..one_pass.exact import one_pass_bits
from ..one_pass.filters import false_positive_bound, fingerprint_bits_for
from ..one_pass.with_error import index_bits
from ..passes.bounds import multi_pass_bits
from ..passes.protocols import examine
from ..setting import is_right, prompt, sizes_up_to
from .claim import Claim, Evidence, require

_LARGE_SIZES = ((2048, 4, 256), (2048, 256, 4), (2048, 64, 64), (10**6, 1, 999), (10**6, 999, 1))


def _check_algorithm_3() -> Evidence:
    instances = 0
    for universe, first, second in _all_and_some_large():
        stream = prompt(first, second, passes=2)
        length = len(first) + len(second) + 2
        # Two counters of the position, one of the elements, which copy, and the answer: O(log N).
        counters = 3 * length.bit_length() + 2
        for search in (False, True):
            outcome = JustReadTwice(universe, length=length, search=search).run(stream)
            case = f"n = {universe}, A = {first}, B = {second}, search = {search}"
            right = is_right(outcome.answer, first, second)
            require(right, f"{case}: the answer is {outcome.answer}")
            answer_bits = universe.bit_length() if search else 1
            stored = ceil_log2(universe) * min(len(first), len(second))
            limit = stored + counters + answer_bits
            require(outcome.peak_bits <= limit, f"{case}: {outcome.peak_bits} bits > {limit}")
            instances += 1
    return Evidence(instances, f"all A, B of 1 to 5 elements; sizes {_LARGE_SIZES} (n, a, b)")


def _check_order() -> Evidence:
    instances = 0
    for universe, small, large in ((64, 2, 9), (512, 8, 100), (2048, 4, 256), (2048, 255, 256)):
        draw = random.Random(universe).sample(range(universe), small + large)
        short, long = draw[:small], draw[small:]
        orders = ((short, long), (long, short))
        peaks = [OnePass(universe).run(prompt(*sets)).peak_bits for sets in orders]
        grows = (large - small) * ceil_log2(universe)
        case = f"n = {universe}, sizes {small} and {large}"
        require(peaks[1] - peaks[0] == grows, f"{case}: one pass peaks at {peaks}")
        twice = JustReadTwice(universe, length=small + large + 2)
        peaks = [twice.run(prompt(*sets, passes=2)).peak_bits for sets in orders]
        require(peaks[0] == peaks[1], f"{case}: read twice, the orders peak at {peaks}")
        instances += 2
    for universe, size_a, size_b in sizes_up_to(6):
        states = examine(OnePass(universe), universe, size_a, size_b).distinct_states
        case = f"n = {universe}, a = {size_a}, b = {size_b}"
        enough = states[0] == comb(universe, size_a)
        require(enough, f"{case}: {states[0]} states at the separator")
        instances += 1
    return Evidence(instances, "4 pairs of sizes in both orders; states for all a + b ≤ n ≤ 6")


def _check_multi_pass() -> Evidence:
    instances = 0
    for universe, first, second in _all_and_some_large():
        sizes = len(first), len(second)
        length, smaller = sum(sizes) + 2, min(sizes)
        for passes in (2, 3, 5):
            learning = MultiPass(universe, length=length, passes=passes)
            knowing = MultiPass(universe, length=length, passes=passes, size_a=sizes[0])
            short_first = sizes[0] <= sizes[1]
            chunks = {learning: passes - 1, knowing: passes if short_first else passes - 1}
            for model, count in chunks.items():
                case = f"{model}, A = {first}, B = {second}"
                outcome = model.run(prompt(first, second, passes))
                right = is_right(outcome.answer, first, second)
                require(right, f"{case}: the answer is {outcome.answer}")
                stored = outcome.peak_bits - model.header_bits
                limit = -(-smaller // count) * ceil_log2(universe)
                require(stored <= limit, f"{case}: stores {stored} bits > {limit}")
                instances += 1
    return Evidence(instances, f"p = 2, 3, 5: all A, B of 1 to 5 elements; sizes {_LARGE_SIZES}")


def _check_multi_pass_factor() -> Evidence:
    instances = 0
    for universe, size_a, size_b in (*sizes_up_to(40), *_LARGE_SIZES):
        smaller = min(size_a, size_b)
        for passes in range(2, min(smaller + 1, 12) + 1):
            model = MultiPass(universe, length=size_a + size_b + 2, passes=passes)
            element_bits = ceil_log2(universe)
            stored = element_bits * model.chunk_size(size_a)
            needed = multi_pass_bits(universe, size_a, size_b, passes)
            case = f"n = {universe}, a = {size_a}, b = {size_b}, p = {passes}"
            within = stored <= 6 * element_bits * needed
            require(within, f"{case}: {stored} bits stored, {needed} needed")
            instances += 1
    return Evidence(instances, "all a + b ≤ n ≤ 40 and some large, 2 ≤ p ≤ min(a, b) + 1")


def _check_fingerprint_error() -> Evidence:
    instances = 0
    for universe, sizes in ((5, (1, 1)), (7, (2, 3)), (11, (3, 2)), (13, (4, 4))):
        elements = range(universe)
        first, second = elements[: sizes[0]], elements[-sizes[1] :]
        for fingerprint_bits in (0, 1, 2, 3, 5):
            errors = sum(
                _meets(universe, fingerprint_bits, coins, first, second)
                for coins in range(coin_count(universe))
            )
            rate = Fraction(errors, coin_count(universe))
            bound = false_positive_bound(fingerprint_bits, *sizes)
            case = f"n = {universe}, A = {first}, B = {second}, {fingerprint_bits} bits"
            require(rate <= bound, f"{case}: false positive at rate {rate} > {bound}")
            touching = (*second, first[0])
            for coins in range(coin_count(universe)):
                hit = _meets(universe, fingerprint_bits, coins, first, touching)
                require(hit, f"{case}: with coins {coins}, {first[0]} in both is missed")
            instances += coin_count(universe)
    return Evidence(instances, "all hash functions of the family: exact rates, n = 5, 7, 11, 13")


def _meets(
    universe: int, fingerprint_bits: int, coins: int, first: Sequence[int], second: Sequence[int]
) -> bool:
    model = Fingerprint(universe, fingerprint_bits=fingerprint_bits, coins=coins)
    return bool(model.run(prompt(first, second)).answer)


def _check_fingerprint_space() -> Evidence:
    instances = 0
    for size_a in (1, 4, 64, 1000):
        for size_b in (1, 32, 5000):
            for error in (Fraction(1, 4), Fraction(1, 100), Fraction(1, 10**9)):
                fingerprint_bits = fingerprint_bits_for(size_a, size_b, error)
                held = one_pass_bits(1 << fingerprint_bits, size_a)
                limit = size_a * log2(2 * e * size_b / error) + 1
                case = f"a = {size_a}, b = {size_b}, error {error}"
                require(held <= limit, f"{case}: {held} bits > {limit}")
                needed = float(index_bits(10**6, size_a, size_b, error))
                require(held >= needed, f"{case}: {held} bits beat INDEX, which needs {needed}")
                instances += 1
    return Evidence(instances, "a ≤ 1000, b ≤ 5000, error from 1/4 to 1e-9")


def _all_and_some_large() -> Iterator[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """All pairs of nonempty subsets of 5 elements; then a disjoint and a touching pair by size."""
    subsets = [chosen for size in range(1, 6) for chosen in combinations(range(5), size)]
    for first in subsets:
        for second in subsets:
            yield 5, first, second
    generator = random.Random(0)
    for universe, size_a, size_b in _LARGE_SIZES:
        drawn = tuple(generator.sample(range(universe), size_a + size_b))
        first, second = drawn[:size_a], drawn[size_a:]
        yield universe, first, second
        # The last element of the one is the last of the other: the last chunk has to count.
        yield universe, first, (*second[:-1], first[-1])


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.15",
        "On the JRT prompt, Algorithm 3 decides and searches set disjointness, in either order, "
        "with ⌈log₂ n⌉ · min(|A|, |B|) bits and O(log N) more; searching, ⌈log₂(n + 1)⌉ too.",
        _check_algorithm_3,
        hypotheses="N = |A| + |B| + 2 known; no errors; elements in any order",
        strength="construction",
    ),
    Claim(
        "one pass, order",
        "Storing what comes first costs |A| elements whatever |B|, and takes exactly C(n, a) "
        "states at the separator; read twice, both orders cost the same.",
        _check_order,
        hypotheses="no errors; sets as lists of elements",
        strength="construction",
    ),
    Claim(
        "p passes, chunks",
        "⌈min / (p-1)⌉ elements at a time are enough; ⌈min / p⌉ where sizes are known and the "
        "smaller set comes first.",
        _check_multi_pass,
        hypotheses="p ≥ 2 copies, N known; no errors",
        strength="construction",
    ),
    Claim(
        "p passes, factor",
        "The chunk's bits are within 6 · ⌈log₂ n⌉ times the least that any model needs with p "
        "passes.",
        _check_multi_pass_factor,
        hypotheses="no errors; a + b ≤ n; 2 ≤ p ≤ min(a, b) + 1",
        strength="formula",
    ),
    Claim(
        "fingerprint, error",
        "Hash values of k bits never miss a common element, and take disjoint sets to meet with "
        "probability at most |A||B| / 2^k.",
        _check_fingerprint_error,
        hypotheses="a universal family, public coins, worst sets",
        strength="construction",
    ),
    Claim(
        "fingerprint, space",
        "One pass holds at most |A| log₂(2e|B| / δ) + 1 bits of fingerprints, and no less than "
        "INDEX needs.",
        _check_fingerprint_space,
        hypotheses="0 < δ < 1, public coins; for INDEX a + b ≤ n, δ < 1/2",
        strength="formula",
    ),
)
