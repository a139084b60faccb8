"""Claims on inner-product kernels and on Theorem G.22 as explicit weights."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product
from math import comb, log

import numpy as np
from numpy.typing import NDArray

from ..based.coherence import welch_allows, welch_dimension
from ..based.kernels import (
    DataDependentKernel,
    ExponentialKernel,
    InnerProductKernel,
    hardest_set,
    separates,
)
from ..based.random_signs import (
    RandomSignKernel,
    random_sign_dimension_for_one_instance,
    smallest_random_dimensions,
)
from ..based.recurrent_layers import FixedKernel, Model, StateSize
from ..based.theorem_g22 import (
    PromptLayout,
    based_for_set_disjointness,
    keys_queries_and_values,
    membership_attention,
    shift_to_front,
    smaller_set_first,
    state_bits_allowed,
)
from ..layers.codes import binary_code
from .claim import Claim, Evidence, require

ONE_THIRD, TWO_THIRDS = Fraction(1, 3), Fraction(2, 3)

SIZES = (
    (1, 1),
    (1, 6),
    (6, 1),
    (2, 9),
    (9, 2),
    (4, 4),
    (3, 5),
    (5, 3),
    (7, 8),
    (8, 7),
    (0, 3),
    (3, 0),
)
"""(|A|, |B|): both orders, equal, far apart, neighbours, empty."""


def _draw(
    universe: int, sizes: tuple[int, int], generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """A and B with a uniform number of common elements, each in a random order."""
    size_a, size_b = sizes
    least = max(0, size_a + size_b - universe)
    common = int(generator.integers(least, min(sizes), endpoint=True))
    elements = generator.permutation(universe)[: size_a + size_b - common]
    first, second = elements[:size_a], elements[size_a - common :]
    return generator.permutation(first).tolist(), generator.permutation(second).tolist()


def _kernels(universe: int, size: int, seed: int) -> Iterator[InnerProductKernel]:
    """One of each kind, for the set 0 … size - 1 where the kernel depends on it."""
    yield ExponentialKernel(universe, size)
    yield DataDependentKernel(universe, tuple(range(size)))
    yield RandomSignKernel(universe, size, seed)


def check_kernels_keep_their_promise() -> Evidence:
    """G.17."""
    instances = 0
    for universe, size in product((12, 40, 100), (1, 2, 4, 7)):
        for kernel in _kernels(universe, size, seed=instances):
            members = range(size) if isinstance(kernel, DataDependentKernel) else range(universe)
            products = kernel.inner_products(members, members)
            what = f"{type(kernel).__name__} for n = {universe}, |A| = {size}"
            require(bool((products.diagonal() == 1).all()), f"{what}: some φ(x) is no unit vector")
            epsilon = kernel.epsilon(members)
            require(
                epsilon <= kernel.promise <= Fraction(1, 3 * size),
                f"{what}: ε = {epsilon}, promised {kernel.promise}",
            )
            instances += 1
    return Evidence(instances, "3 kernels, n in {12, 40, 100}, |A| in {1, 2, 4, 7}, all pairs")


def check_mlp_moves_marked_bits() -> Evidence:
    """G.3, as G.22 uses it."""
    instances = 0
    for universe in (1, 3, 6, 15):
        layout = PromptLayout(reading=2, universe=universe)
        w, split = layout.element_bits, keys_queries_and_values(layout)
        for number, mark in product(range(2**w), (0, 1)):
            row = np.zeros(layout.width, dtype=np.int64)
            row[layout.PREFIX], row[layout.bits] = mark, binary_code([number], w)[0]
            bits, null = row[layout.bits], np.zeros(w, dtype=np.int64)
            wanted = np.concatenate([null, bits, [1]] if mark else [bits, null, [0]])
            require(
                np.array_equal(split(row), wanted), f"number {number}, mark {mark}: {split(row)}"
            )
            instances += 1
    return Evidence(instances, "all rows of 1 to 4 bits, marked and not")


def check_linear_attention_separates() -> Evidence:
    """G.18."""
    generator = np.random.default_rng(18)
    instances = 0
    for universe, size in product((15, 60), (1, 2, 4)):
        for kernel in _kernels(universe, size, seed=instances):
            keys = list(range(size))
            if not isinstance(kernel, DataDependentKernel):
                keys = generator.choice(universe, size, replace=False).tolist()
            # As many features as an exponential kernel has are not written out: by inner products.
            outputs = membership_attention(6, FixedKernel(kernel))(
                _keys_then_queries(keys, universe)
            )
            slack = Fraction(1, 3 * size)
            for query, output in enumerate(outputs[size:, 0]):
                center, width = (1, (size - 1) * slack) if query in keys else (0, size * slack)
                require(
                    bool(abs(output - center) <= width),
                    f"{type(kernel).__name__}, keys {keys}, query {query}: {output}",
                )
                instances += 1
    return Evidence(instances, "3 kernels, n in {15, 60}, |A| in {1, 2, 4}, every element asked")


def _keys_then_queries(keys: list[int], universe: int) -> NDArray[np.int64]:
    """6 bits of a query, 6 of a key and a value: a row for each key, then one for each element."""
    key_rows, query_rows = binary_code(keys, 6), binary_code(range(universe), 6)
    stored = np.hstack([0 * key_rows, key_rows, np.ones((len(keys), 1), dtype=np.int64)])
    asked = np.hstack([query_rows, 0 * query_rows, np.zeros((universe, 1), dtype=np.int64)])
    return np.vstack([stored, asked])


def _all_sizes(largest_reading: int) -> Iterator[tuple[int, int]]:
    for reading in range(2, largest_reading + 1):
        for size_a in range(reading - 1):
            yield size_a, reading - 2 - size_a


def check_filter_is_the_monomial() -> Evidence:
    """G.20."""
    instances = 0
    for size_a, size_b in _all_sizes(14):
        layout = PromptLayout(size_a + size_b + 2, universe=14)
        prompt = layout.encode(range(size_a), range(size_b))
        coefficients = shift_to_front(layout) @ prompt[:, layout.SEPARATOR]
        lags = np.flatnonzero(coefficients).tolist()
        what = f"|A| = {size_a}, |B| = {size_b}: lags {lags}"
        require(len(lags) == 1 and coefficients[lags[0]] == 1, f"{what}: no monomial")
        # A turn by |A| + 1 to the left, modulo the length of one reading.
        wanted = 0 if size_a <= size_b else -(size_a + 1) % layout.reading
        require(lags[0] == wanted <= min(size_a, size_b) + 1, f"{what}: {wanted} is needed")
        instances += 1
    return Evidence(instances, "all (|A|, |B|) with |A| + |B| ≤ 12")


def check_smaller_set_comes_first() -> Evidence:
    """G.21."""
    generator = np.random.default_rng(21)
    instances = 0
    for sizes in _all_sizes(12):
        layout = PromptLayout(sum(sizes) + 2, universe=20)
        first, second = _draw(20, sizes, generator)
        small, large = (first, second) if sizes[0] <= sizes[1] else (second, first)
        output = smaller_set_first(layout)(layout.encode(first, second))
        numbers = [0] * layout.reading
        numbers += [0, *(x + 1 for x in small), 0, *(x + 1 for x in large), 0]
        marks = [0] * (layout.reading + 1) + [1] * len(small) + [0] * (len(large) + 2)
        what = f"A = {first}, B = {second}: {output.tolist()}"
        bits = binary_code(numbers, layout.element_bits)
        require(np.array_equal(output[:, layout.bits], bits), what)
        require(output[:, layout.PREFIX].tolist() == marks, what)
        instances += 1
    return Evidence(instances, "random sets of all sizes with |A| + |B| ≤ 10")


def _check_solves(
    model: Model, layout: PromptLayout, first: list[int], second: list[int]
) -> StateSize:
    """The model is right in both views; the most that the recurrent one carries."""
    prompt = layout.encode(first, second)
    output = model(prompt)
    what = f"A = {first}, B = {second}: {[str(x) for x in output[:, 0]]}"
    small, large = (first, second) if len(first) <= len(second) else (second, first)
    rows = layout.rows_of_larger_set(first, second)
    hits = {row for row, element in zip(rows, large, strict=True) if element in small}
    for row, answer in enumerate(output[:, 0]):
        right = ONE_THIRD <= answer <= 1 if row in hits else answer == 0
        require(bool(right), f"row {row} of {what}")
    recurrent, sizes = model.run_recurrently(prompt)
    require(np.array_equal(recurrent, output), f"the recurrent view differs on {what}")
    return StateSize(max(size.numbers for size in sizes), max(size.bits for size in sizes))


def check_based_solves_set_disjointness() -> Evidence:
    """G.22."""
    generator = np.random.default_rng(22)
    instances = 0
    for universe, sizes in product((15, 40, 1000), SIZES):
        layout = PromptLayout(sum(sizes) + 2, universe)
        model = based_for_set_disjointness(layout.reading, universe)
        for _ in range(5):
            first, second = _draw(universe, sizes, generator)
            bits = _check_solves(model, layout, first, second).bits
            allowed = state_bits_allowed(min(sizes), layout.element_bits)
            require(bits <= allowed, f"A = {first}, B = {second}: {bits} bits, {allowed} allowed")
            instances += 1
    return Evidence(instances, "random sets of 12 sizes, n in {15, 40, 1000}, both views")


def check_fixed_kernels_solve_it_too() -> Evidence:
    """G.23."""
    generator = np.random.default_rng(23)
    instances = 0
    for universe, smaller in product((15, 60), (1, 2, 3)):
        kernel = RandomSignKernel(universe + 1, smaller, seed=smaller)
        for sizes in ((smaller, 7), (7, smaller), (smaller, smaller)):
            layout = PromptLayout(sum(sizes) + 2, universe)
            w = layout.element_bits
            # 18·min²·ln(2n²) ≤ 38·min²·w for the sums; then the rows that the shift delays.
            allowed = 38 * smaller**2 * w + (smaller + 1) * (w + 1) + 3
            model = based_for_set_disjointness(layout.reading, universe, FixedKernel(kernel))
            for _ in range(4):
                numbers = _check_solves(model, layout, *_draw(universe, sizes, generator)).numbers
                require(numbers <= allowed, f"{sizes}, n = {universe}: {numbers} > {allowed}")
                instances += 1
    return Evidence(instances, "random signs, min in {1, 2, 3}, n in {15, 60}, both views")


def check_growth_of_random_signs() -> Evidence:
    """The least f, measured, against the formulas: between a fourth of what they say and twice it.

    ε ≤ 1/(3|A|): 36·|A|²·ln n, as the largest of n²/2 inner products of variance 1/f is near
    √(4 ln n / f). Every set: 18·|A|·ln(n·C(n, |A|)), which is Θ(|A|² log(n/|A|)).
    """
    sizes = (2, 3, 4, 6, 8)
    instances = 0
    for seed, universe in product((0, 1), (32, 64, 128)):
        for_epsilon, for_all_sets = smallest_random_dimensions(universe, sizes, seed)
        for size in sizes:
            what = f"seed {seed}, n = {universe}, |A| = {size}"
            formula = 36 * size**2 * log(universe)
            dimension = for_epsilon[size]
            require(
                formula / 4 <= dimension <= 2 * formula,
                f"{what}: ε takes f = {dimension}, formula {formula:.0f}",
            )
            formula = 18 * size * log(universe * comb(universe, size))
            dimension = for_all_sets[size]
            require(
                formula / 4 <= dimension <= 2 * formula,
                f"{what}: all sets take f = {dimension}, formula {formula:.0f}",
            )
            instances += 1
    return Evidence(instances, "2 draws, n in {32, 64, 128}, |A| in {2, 3, 4, 6, 8}")


def check_welch() -> Evidence:
    """No kernel beats Welch's bound: not ours, not random vectors; and 28 lines attain it."""
    generator = np.random.default_rng(74)
    instances = 0

    def require_allowed(universe: int, dimension: int, epsilon: Fraction, what: str) -> None:
        allowed = welch_allows(universe, dimension, epsilon)
        require(allowed, f"{what}, n = {universe}, f = {dimension}: ε = {epsilon}, below Welch's")

    for universe, dimension in product((4, 12, 40, 100), (1, 2, 3, 7, 20)):
        for _ in range(3):
            signs = RandomSignKernel(
                universe, 1, seed=int(generator.integers(2**32)), dimension=dimension
            )
            require_allowed(universe, dimension, signs.epsilon(), "random signs")
            vectors = generator.standard_normal((universe, dimension))
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            products = np.abs(vectors @ vectors.T) - 2 * np.eye(universe)
            epsilon = min(Fraction(1), Fraction(products.max() + 1e-9))  # rounding can only help
            require_allowed(universe, dimension, epsilon, "random vectors")
            instances += 2
    for universe, size in product((12, 40, 100), (1, 2, 4)):
        kernel = ExponentialKernel(universe, size)
        require_allowed(universe, kernel.dimension, kernel.epsilon(), "exponential")
        instances += 1
    # Twenty-eight lines in seven dimensions: 3 in two of eight places, -1 in the rest.
    lines = np.full((28, 8), -1)
    for line, places in zip(lines, combinations(range(8), 2), strict=True):
        line[list(places)] = 3
    products = np.abs(lines @ lines.T)[~np.eye(28, dtype=bool)]
    third = Fraction(1, 3)
    attained = set(products.tolist()) == {8} and welch_dimension(28, third) == 7
    require(attained, f"inner products {set(products.tolist())} of 24, for {28} lines")
    return Evidence(
        instances + 1, "random signs and vectors, n ≤ 100, f ≤ 20; our kernels; 28 lines"
    )


def check_random_instances_need_less() -> Evidence:
    """Most instances need f linear in |A|, with no c; the hardest are still lost at that f."""
    universe, trials = 128, 30
    for size in (8, 12, 16):
        others = universe - size
        dimension = random_sign_dimension_for_one_instance(size, others, Fraction(1, 20))
        solved = lost = 0
        for seed in range(trials):
            kernel = RandomSignKernel(universe, size, seed, dimension=dimension)
            # Signs do not know the sets: a fixed set and fresh signs are a random instance.
            solved += separates(kernel, range(size), range(universe))
            if seed < 3:
                hardest, outside, _ = hardest_set(kernel, size)
                lost += not separates(kernel, hardest, [outside])
        what = f"|A| = {size}, f = {dimension}"
        require(solved >= 0.8 * trials, f"{what}: {solved} of {trials} instances solved")
        require(lost == 3, f"{what}: the hardest set is solved by {3 - lost} of 3 kernels")
    return Evidence(3 * trials + 9, "n = 128, |A| in {8, 12, 16}, all elements asked")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.3",
        "One MLP makes marked rows keys of value 1 and all other rows queries.",
        check_mlp_moves_marked_bits,
        hypotheses="rows of bits, one of which is the mark",
        strength="construction",
    ),
    Claim(
        "G.17",
        "Exponential, data-dependent and random-sign kernels attain ε ≤ 1/(3|A|), the second ε = "
        "0 for pairs with a member of A.",
        check_kernels_keep_their_promise,
        hypotheses="n ≥ 2, |A| ≥ 1",
        strength="construction",
    ),
    Claim(
        "G.18",
        "Linear attention gives a member of A within 1/3 of 1 and any other element within 1/3 of "
        "0.",
        check_linear_attention_separates,
        hypotheses="ε ≤ 1/(3|A|); values 1 on A and 0 elsewhere; no denominator",
        strength="construction",
    ),
    Claim(
        "G.20",
        "A filter linear in the separator's column is 1 if |A| ≤ |B| and else the monomial that "
        "turns a reading by |A| + 1 to the left (X^{|B|+1} as a causal filter).",
        check_filter_is_the_monomial,
        hypotheses="N fixed; the separator is marked",
        strength="construction",
    ),
    Claim(
        "G.21",
        "One BaseConv layer with that filter puts the smaller set at the front of the second "
        "reading.",
        check_smaller_set_comes_first,
        hypotheses="the JRT prompt, N fixed",
        strength="construction",
    ),
    Claim(
        "G.22",
        "BaseConv, MLP, linear attention and MLP solve set disjointness with O(min(|A|, |B|) · w) "
        "bits of state.",
        check_based_solves_set_disjointness,
        hypotheses="the JRT prompt, N fixed; w = ⌈log₂(n + 1)⌉; filter and kernel depend on the "
        "input; exact arithmetic",
        strength="construction",
    ),
    Claim(
        "G.23",
        "They do so with O(min(|A|, |B|)² · w) numbers of state.",
        check_fixed_kernels_solve_it_too,
        hypotheses="as G.22, but a kernel that does not look at the input",
        strength="construction",
    ),
    Claim(
        "G.23, growth",
        "Random signs need f = Θ(|A|² log n) for ε ≤ 1/(3|A|), and Θ(|A|² log(n/|A|)) to be right "
        "on every instance.",
        check_growth_of_random_signs,
        hypotheses="independent fair signs; the sizes checked",
        strength="sample",
    ),
    Claim(
        "G.23, Welch",
        "Every kernel has C(f + k - 1, k) ≥ n / (1 + (n - 1) ε^(2k)) for all k: with ε = 1/(3|A|) "
        "it tends to 9|A|² features or more as n grows, so that the square is nearly forced.",
        check_welch,
        hypotheses="an (ε, f) kernel on n ≥ 2 elements, real; not of what solves most instances",
        strength="sample",
    ),
    Claim(
        "G.23, Alon",
        "Every kernel has f = Ω(ε⁻² log n / log(1/ε)): random signs are within a factor "
        "O(log |A|) of the least (Alon 2003).",
        None,
        hypotheses="an (ε, f) kernel on n elements, real; 1/√n ≤ ε < 1/2",
        strength="cited",
    ),
    Claim(
        "G.23, on average",
        "f = O(|A| log(|A| + |B|)) random signs are enough on a random instance, at which the "
        "hardest instances are lost.",
        check_random_instances_need_less,
        hypotheses="independent fair signs, drawn without a look at the sets",
        strength="sample",
    ),
)
