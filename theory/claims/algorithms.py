"""Claims about streaming algorithms, run on every small instance and on some large ones."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, pairwise, product
from math import comb, e, isclose, log2, sqrt

from ..algorithms.hash_tower import HashTower
from ..algorithms.kernel_attention import KernelAttention
from ..algorithms.multi_pass import JustReadTwice, MultiPass
from ..algorithms.one_pass import Fingerprint, OnePass, coin_count
from ..based.kernels import separates
from ..based.random_signs import RandomSignKernel
from ..counting import ceil_log2
from ..one_pass.exact import one_pass_bits
from ..one_pass.filters import false_positive_bound, fingerprint_bits_for, membership_bits
from ..one_pass.with_error import index_bits
from ..passes.bounds import multi_pass_bits
from ..passes.protocols import examine
from ..passes.tower import Level, Tower, tower_for
from ..setting import Answer, Problem, is_right, prompt, sizes_up_to
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


_TOWERS = (
    Tower(2, 2, (Level(3, 2),)),
    Tower(2, 2, (Level(2, 2), Level(2, 1), Level(2, 2))),
    Tower(3, 1, (Level(2, 3), Level(2, 1), Level(1, 1))),
    Tower(1, 2, (Level(3, 1), Level(2, 2), Level(2, 1))),
)


def _check_tower_error() -> Evidence:
    """The chance of an error, by counting the functions that make it."""
    instances = 0
    problems: tuple[Problem, ...] = ("decision", "search")
    for tower, problem in product(_TOWERS, problems):
        shared = int(problem == "search")
        n = tower.size_a + tower.size_b - shared
        first = tuple(range(tower.size_a))
        second = (*range(tower.size_a, n), *first[tower.size_a - shared :])  # in common, the last
        functions = [list(product(range(level.cells), repeat=n)) for level in tower.levels]
        wrong = total = 0
        for functions_of_levels in product(*functions):
            answer = _by_tower(tower, functions_of_levels, first, second, problem)
            wrong += not is_right(answer, first, second)
            total += 1
        case = f"{tower}, {problem}: {wrong} of {total} functions"
        require(isclose(tower.error(problem), wrong / total), f"{case}, not {tower.error(problem)}")
        instances += total
    return Evidence(instances, f"all hash functions of {len(_TOWERS)} towers of 1 to 3 levels")


def _by_tower(
    tower: Tower,
    functions: Sequence[Sequence[int]],
    first: Sequence[int],
    second: Sequence[int],
    problem: Problem,
) -> Answer:
    """What a tower says whose levels hash by these functions, reading by reading."""
    readings = (first, second)
    passing = list(first)
    for number, (level, cell) in enumerate(zip(tower.levels, functions, strict=True)):
        occupied = {cell[x] for x in passing}
        if len(occupied) > level.capacity:
            return True if problem == "decision" else None
        passing = [x for x in readings[(number + 1) % 2] if cell[x] in occupied]
    if problem == "decision":
        return bool(passing)
    return passing[0] if passing else None


def _check_tower_runs() -> Evidence:
    """Algorithms run on random instances: right often enough, never missing, within their bits."""
    instances, trials, universe, error = 0, 60, 10**9, Fraction(1, 10)
    slack = 4 * sqrt(trials * error * (1 - error))  # four standard deviations
    for (a, b), passes in product(((16, 16), (6, 40), (40, 6)), (1, 2, 3)):
        for search in (False, True):
            wrong = 0
            model = HashTower.drawn(universe, a, b, passes, error, seed=0, search=search)
            for seed in range(trials):
                model = HashTower(
                    universe, search=search, packed=True, tower=model.tower, seed=seed
                )
                drawn = random.Random(seed).sample(range(universe), a + b)
                touching = (drawn[:a], [*drawn[a:-1], drawn[0]])
                instance = touching if search else (drawn[:a], drawn[a:])
                outcome = model.run(prompt(*instance, passes))
                wrong += not is_right(outcome.answer, *instance)
                case = f"a = {a}, b = {b}, p = {passes}, seed {seed}"
                limit = model.header_bits + 2 * (model.tower.bits + 1)
                require(outcome.peak_bits <= limit, f"{case}: {outcome.peak_bits} bits > {limit}")
                if not search:
                    met = model.run(prompt(*touching, passes)).answer
                    require(bool(met), f"{case}: sets that meet are missed")
                instances += 1
            case = f"a = {a}, b = {b}, p = {passes}, search = {search}"
            require(wrong <= trials * error + slack, f"{case}: {wrong} of {trials} wrong")
    return Evidence(instances, f"{trials} random instances each of 3 sizes, p = 1, 2, 3, δ = 1/10")


def _check_tower_bits() -> Evidence:
    """One pass about log₂(b/δ) bits an element, then few; ever fewer, and whatever n."""
    elements, error = 128, Fraction(1, 20)
    each = [tower_for(elements, elements, p, error).bits / elements for p in (1, 2, 3, 4)]
    shown = ", ".join(f"{bits:.2f}" for bits in each)
    require(all(more > fewer for more, fewer in pairwise(each)), f"{shown} bits an element")
    require(log2(elements / error) < each[0] < log2(e * elements / error), f"{shown}: one pass")
    require(each[1] < 2.5 and each[3] > 1, f"{shown} bits an element")
    scope = f"a = b = {elements}, δ = {error}, p = 1 … 4: {shown} bits an element"
    return Evidence(len(each), scope)


def _check_membership_filter() -> Evidence:
    """By all families of accepted sets: each A is in one, so that there are enough of them."""
    instances = 0
    for n, a, b, error in ((5, 2, 1, "0.35"), (6, 2, 1, "0.3"), (6, 3, 1, "0.4")):
        bits = membership_bits(n, a, b, Fraction(error))
        accepted = a + int(Fraction(error) * (n - a) / b)
        larger = [frozenset(each) for each in combinations(range(n), accepted)]
        firsts = [frozenset(each) for each in combinations(range(n), a)]
        states = 1
        while not any(
            all(any(first <= accepts for accepts in family) for first in firsts)
            for family in combinations(larger, states)
        ):
            instances += comb(len(larger), states)
            states += 1
        require(log2(states) >= bits - 1e-9, f"{states} states at {n, a, b}, δ = {error}: {bits}")
        instances += 1
    return Evidence(instances, "all families of accepted sets at three (n, a, b, δ), n ≤ 6")


def _check_kernel_attention() -> Evidence:
    """Where the signs are good enough for every set, so are the answers on every instance."""
    instances = 0
    for n, a, b, features in ((7, 2, 3, 160), (6, 3, 2, 300), (8, 1, 2, 64)):
        kernel = RandomSignKernel(n, 1, seed=0, dimension=features)
        for first in combinations(range(n), a):
            require(separates(kernel, first, range(n)), f"{features} signs do not separate {first}")
            for second, search in product(combinations(range(n), b), (False, True)):
                common = set(first) & set(second)
                if search and len(common) != 1:
                    continue
                model = KernelAttention(n, features=features, seed=0, search=search)
                outcome = model.run(prompt(first, second))
                case = f"A = {first}, B = {second}, {features} signs"
                right = is_right(outcome.answer, first, second)
                require(right, f"{case}: the answer is {outcome.answer}")
                score = ceil_log2(2 * features * a + 1)
                limit = features * ceil_log2(a + 1) + score + 2 * n.bit_length() + 1
                require(outcome.peak_bits == limit, f"{case}: {outcome.peak_bits} bits")
                instances += 1
    return Evidence(instances, "all instances at (n, a, b) = (7, 2, 3), (6, 3, 2), (8, 1, 2)")


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
    Claim(
        "p passes, tower error",
        "The chances of error of a hash tower are exact.",
        _check_tower_error,
        hypotheses="uniform independent cells, public coins; worst sets; searching, one common "
        "element, read last",
        strength="exhaustive",
    ),
    Claim(
        "p passes, tower",
        "A streaming algorithm reads p times and decides or searches with error δ, holding two "
        "levels of a hash tower and counters; sets that meet are never missed.",
        _check_tower_runs,
        hypotheses="a and b known; public coins, not counted; searching, one common element",
        strength="construction",
    ),
    Claim(
        "p passes, tower bits",
        "A state of a tower takes about log₂(b / δ) bits an element in one pass, some 2 in two, "
        "and fewer with each pass, whatever n: no factor log₂ n.",
        _check_tower_bits,
        hypotheses="states at segment boundaries; a = b; as above",
        strength="formula",
    ),
    Claim(
        "membership filter",
        "A filter that accepts A and m elements at most takes C(n, a) / C(m, a) states.",
        _check_membership_filter,
        hypotheses="one-sided error δ on each of b queries, m = a + ⌊δ (n - a) / b⌋",
        strength="exhaustive",
    ),
    Claim(
        "kernel attention",
        "Where signs separate every set of a elements, linear attention over them decides and "
        "searches every instance, with f · ⌈log₂(a + 1)⌉ bits and counters.",
        _check_kernel_attention,
        hypotheses="f random signs, public; read-out by 1/2, or by the maximum",
        strength="construction",
    ),
)
