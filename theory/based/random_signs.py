"""Random signs as an inner-product kernel, and how many of them are enough."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, log

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import require_at_least, require_between, with_python_integers
from .error_correcting_code import Integers
from .kernels import InnerProductKernel


@with_python_integers
def random_sign_dimension(universe: int, set_size: int, failure: Fraction = Fraction(1, 2)) -> int:
    """f at which random signs attain ε = 1/(3·set_size) except with probability `failure`.

    An inner product of two elements is a mean of f independent signs, which is beyond ε in size
    with probability at most 2·exp(-fε²/2) (Hoeffding); there are n(n - 1)/2 pairs. Hence
    f = ⌈18·set_size²·ln(n(n - 1)/failure)⌉ is enough.

    >>> random_sign_dimension(universe=256, set_size=4)
    3393

    Args:
        universe: n ≥ 2, elements.
        set_size: at least 1.
        failure: in (0, 1).

    Raises:
        ValueError: for an argument outside its range.

    Source:
        The third kernel after Def. G.17, f = Θ(|A|² log n), with its constants.
    """
    require_at_least(2, universe=universe)
    require_at_least(1, set_size=set_size)
    require_between(0, 1, open_low=True, open_high=True, failure=failure)
    return ceil(18 * set_size**2 * log(universe * (universe - 1) / failure))


@with_python_integers
def random_sign_dimension_for_one_instance(
    set_size: int, others: int, failure: Fraction = Fraction(1, 2)
) -> int:
    """f at which random signs, drawn without a look at the sets, solve one instance.

    Here nothing has to hold for all pairs: each of the queries outside the set gets more than 1/3
    with probability at most exp(-f/(18·set_size)), and a member gets less than 2/3 or more than 4/3
    with at most twice that (Hoeffding). Hence f = ⌈18·set_size·ln((others + 2·set_size)/failure)⌉
    is enough: *linear* in the set's size, and free of n. The |A|² log n of the third kernel is what
    it takes to be right on every instance.

    >>> random_sign_dimension_for_one_instance(set_size=16, others=64)
    1515

    Args:
        set_size: elements that linear attention stores, at least 1.
        others: queries outside the set, at least 0.
        failure: in (0, 1).

    Raises:
        ValueError: for an argument outside its range.
    """
    require_at_least(1, set_size=set_size)
    require_at_least(0, others=others)
    require_between(0, 1, open_low=True, open_high=True, failure=failure)
    return ceil(18 * set_size * log((others + 2 * set_size) / failure))


class RandomSignKernel(InnerProductKernel):
    """Independent fair signs over √f.

    By default f is `random_sign_dimension`, and the signs are drawn again until ε = 1/(3·set_size)
    is attained (fewer than two draws on average), so that the promise holds for sure. With a
    dimension of one's own they are drawn once, and nothing is promised beyond ε ≤ 1.

    >>> kernel = RandomSignKernel(universe=64, set_size=2, seed=0)
    >>> kernel.dimension, kernel.epsilon() <= kernel.promise == Fraction(1, 6)
    (648, True)

    Args:
        universe: n ≥ 2, elements.
        set_size: the largest set to be separated from the rest, at least 1.
        seed: names the signs.
        dimension: f ≥ 1, when it is not to be chosen here.

    Raises:
        ValueError: for a smaller number.

    Source:
        The third kernel after Def. G.17.
    """

    @with_python_integers
    def __init__(
        self, universe: int, set_size: int, seed: int, *, dimension: int | None = None
    ) -> None:
        require_at_least(2, universe=universe)
        require_at_least(1, set_size=set_size)
        chosen = random_sign_dimension(universe, set_size) if dimension is None else dimension
        require_at_least(1, dimension=chosen)
        self.universe = universe
        self.set_size = set_size
        self._promise = Fraction(1, 3 * set_size) if dimension is None else Fraction(1)
        generator = np.random.default_rng(seed)
        self._signs = _random_signs(universe, chosen, generator)
        while dimension is None and self.epsilon() > self._promise:
            self._signs = _random_signs(universe, chosen, generator)

    @property
    def dimension(self) -> int:
        """f."""
        return int(self._signs.shape[1])

    @property
    def promise(self) -> Fraction:
        """1/(3·set_size), or 1 where the dimension was given."""
        return self._promise

    def directions(self, elements: ArrayLike) -> Integers:
        """Signs `(k, f)`. Raises ValueError for an element outside the universe."""
        return self._signs[self._checked(elements)].astype(np.int64)

    def epsilon(self, members: ArrayLike | None = None) -> Fraction:
        """The ε attained; as for every kernel, only faster."""
        chosen = self._checked(np.arange(self.universe) if members is None else members)
        signs = self._signs.astype(np.float64)  # sums of fewer than 2^53 signs are exact
        products = np.abs(signs[chosen] @ signs.T)
        products[np.arange(len(chosen)), chosen] = 0
        return Fraction(int(products.max(initial=0)), self.dimension)


@with_python_integers
def smallest_random_dimensions(
    universe: int, set_sizes: Sequence[int], seed: int, *, block: int = 16
) -> tuple[dict[int, int], dict[int, int]]:
    """The least f at which one long draw of random signs is good enough, by two measures.

    Signs are added block by block to every element's feature. For each set size the first f is
    noted at which ε ≤ 1/(3·set_size), and the first at which every set of that size is separated
    from the rest (`theory.based.kernels.separates`): the set_size largest inner products of any
    element sum to at most 1/3, as do the set_size - 1 largest, and the set_size - 1 smallest to at
    least -1/3. Over many seeds, the fraction of draws whose f for all sets is at most some number
    is the accuracy there on the hardest instances.

    Args:
        universe: n ≥ 2, elements.
        set_sizes: the sizes to measure, each between 1 and n - 1.
        seed: names the signs.
        block: f is measured to this many signs.

    Returns:
        Two mappings from a set size to f: for ε, and for all sets.

    Raises:
        ValueError: for an argument outside its range.
    """
    require_at_least(2, universe=universe)
    require_at_least(1, block=block)
    for size in set_sizes:
        require_between(1, universe - 1, set_size=size)
    generator = np.random.default_rng(seed)
    for_epsilon: dict[int, int] = {}
    for_all_sets: dict[int, int] = {}
    others = ~np.eye(universe, dtype=bool)
    products = np.zeros((universe, universe))  # sums of fewer than 2^53 signs are exact
    dimension = 0
    while not set(set_sizes) <= for_epsilon.keys() & for_all_sets.keys():
        signs = _random_signs(universe, block, generator).astype(np.float64)
        products += signs @ signs.T
        dimension += block
        ascending = np.sort(products[others].reshape(universe, universe - 1), axis=1)
        largest = np.abs(ascending).max()
        for size in set_sizes:
            # Whole numbers on both sides: inner products times f, and then times 3.
            outside = ascending[:, universe - 1 - size :].sum(axis=1).max()
            member_above = ascending[:, universe - size :].sum(axis=1).max()
            member_below = -ascending[:, : size - 1].sum(axis=1).min()
            if 3 * size * largest <= dimension:
                for_epsilon.setdefault(size, dimension)
            if 3 * max(outside, member_above, member_below) <= dimension:
                for_all_sets.setdefault(size, dimension)
    return for_epsilon, for_all_sets


def _random_signs(
    universe: int, dimension: int, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Independent fair signs `(universe, dimension)`."""
    bits = generator.integers(0, 2, size=(universe, dimension), dtype=np.int8)
    return 2 * bits - np.int8(1)
