"""Inner-product kernels: feature maps that keep distinct elements nearly orthogonal.

A kernel maps the elements 0 … c - 1 of a universe to unit vectors φ(x) of f numbers each. It is an
(ε, f) kernel (Def. G.17) when |⟨φ(x), φ(y)⟩| ≤ ε for distinct x and y. Linear attention whose keys
are the elements of a set S, each with value 1, then gives a query the number ⟨φ(q), Σ φ(k)⟩: at
least 1 - (|S| - 1)ε for a member and at most |S|ε for any other, so that ε = 1/(3|S|) tells them
apart at 1/3 (G.18).

| kernel | ε | f | knows the set |
|---|---|---|---|
| `ExponentialKernel` | 1/(3·set_size) | (code length)^power | no |
| `RandomSignKernel` | 1/(3·set_size) | Θ(set_size² · log c) | no |
| `DataDependentKernel` | 0 against the set's members | set size + ⌈log₂ c⌉ | yes |

Everything is exact. A kernel gives each φ(x) as a vector of whole numbers, its *direction*, and
φ(x) is the direction divided by its length; lengths never mix, since two directions of different
lengths are orthogonal. Inner products are therefore fractions, and ⟨φ(x), φ(x)⟩ = 1 holds exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, comb, log
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.bounds import bits_to_name

Integers: TypeAlias = NDArray[np.int64]

LARGEST_WRITTEN_OUT = 2**22
"""Numbers in the largest array of directions that a kernel writes out."""


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"{name} = {value}: a whole number of at least {least} is needed")


def _strictly_between_0_and_1(name: str, value: Fraction) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} = {value}: a probability strictly between 0 and 1 is needed")


def _set_size_below(universe: int, set_size: int) -> None:
    if not 1 <= set_size < universe:
        raise ValueError(f"set_size = {set_size}: 1 … {universe - 1} are allowed")


def binary_code(elements: ArrayLike, bits: int) -> Integers:
    """The elements in binary, lowest bit first: `(k,)` to `(k, bits)` of 0 and 1.

    >>> binary_code([6], 4).tolist()
    [[0, 1, 1, 0]]

    Raises:
        ValueError: for an element outside 0 … 2^bits - 1.
    """
    numbers = np.asarray(elements, dtype=np.int64)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < 2**bits:
        raise ValueError(f"elements = {numbers.tolist()}: 0 … {2**bits - 1} fit in {bits} bits")
    code: Integers = numbers[:, None] >> np.arange(bits) & 1
    return code


class InnerProductKernel(ABC):
    """A feature map φ on the elements 0 … `universe` - 1 (Def. G.17); see the module's text.

    Attributes:
        universe: c, the number of elements, at least 2.
    """

    universe: int

    @property
    @abstractmethod
    def dimension(self) -> int:
        """f, the numbers in one feature vector."""

    @property
    @abstractmethod
    def promise(self) -> Fraction:
        """The ε that the construction promises, before anything is measured."""

    @abstractmethod
    def directions(self, elements: ArrayLike) -> Integers:
        """Whole-number vectors `(k, f)` along φ(x) for the elements `(k,)`.

        Raises:
            ValueError: for an element outside the universe, or when the array would not fit.
        """

    def features(self, elements: ArrayLike) -> NDArray[np.float64]:
        """φ(x) `(k, f)` for the elements `(k,)`, rounded to floats. Raises as `directions`."""
        directions = self.directions(elements)
        lengths = np.sqrt((directions**2).sum(axis=1, keepdims=True))
        unit_vectors: NDArray[np.float64] = directions / lengths
        return unit_vectors

    def inner_products(self, left: ArrayLike, right: ArrayLike) -> NDArray[Any]:
        """⟨φ(x), φ(y)⟩ `(k, l)`, exact `Fraction`s, for elements `(k,)` against `(l,)`.

        Raises:
            ValueError: for an element outside the universe, or when the directions do not fit.
        """
        rows, columns = self.directions(left), self.directions(right)
        # Where the product is not 0 both lengths are the same: the row's square is the denominator.
        return _fractions(rows @ columns.T, (rows**2).sum(axis=1))

    def epsilon(self, members: ArrayLike | None = None) -> Fraction:
        """The ε attained: the largest |⟨φ(x), φ(y)⟩| over x in `members` and every y ≠ x.

        Args:
            members: elements `(k,)`; the whole universe when left out.

        Returns:
            An exact fraction, 0 when there is no member.

        Raises:
            ValueError: for an element outside the universe.
        """
        chosen = self._checked(np.arange(self.universe) if members is None else members)
        products = np.abs(self.inner_products(chosen, np.arange(self.universe)))
        products[np.arange(len(chosen)), chosen] = Fraction(0)
        return Fraction(products.max()) if products.size else Fraction(0)

    def _checked(self, elements: ArrayLike) -> Integers:
        numbers = np.asarray(elements, dtype=np.int64)
        if numbers.ndim != 1 or np.any((numbers < 0) | (numbers >= self.universe)):
            raise ValueError(
                f"elements = {numbers.tolist()}: a row of numbers in 0 … {self.universe - 1} "
                "is needed"
            )
        return numbers


def _fractions(numerators: Integers, denominators: Integers) -> NDArray[Any]:
    """Row i of the numerators `(k, l)` over denominator i `(k,)`, as exact fractions."""
    result = np.empty(numerators.shape, dtype=object)
    for index, (row, denominator) in enumerate(zip(numerators, denominators, strict=True)):
        # A few distinct values fill a long row; reducing each fraction once is much faster.
        values = {value: Fraction(value, int(denominator)) for value in set(row.tolist())}
        result[index] = [values[value] for value in row.tolist()]
    return result


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


@dataclass(frozen=True)
class ReedSolomonHadamardCode:
    """A binary code of constant relative distance, by concatenation.

    Element x, written in base p as the k coefficients of a polynomial over the field of p elements,
    is sent to the polynomial's p values (Reed-Solomon); each value to a row of the Hadamard matrix
    of order h, the least power of two that is at least p. Two polynomials agree in at most k - 1
    places, and rows of the Hadamard matrix are orthogonal, so that two codewords of ±1 have the
    inner product h·(places of agreement), between 0 and h(k - 1).

    >>> code = ReedSolomonHadamardCode(prime=5, coefficients=2)
    >>> code.size, code.length, code.relative_distance
    (25, 40, Fraction(2, 5))

    Attributes:
        prime: p ≥ 2.
        coefficients: k, between 1 and p.

    Raises:
        ValueError: for a number that is not prime, or k outside 1 … p.
    """

    prime: int
    coefficients: int

    def __post_init__(self) -> None:
        if not _is_prime(self.prime):
            raise ValueError(f"prime = {self.prime}: a prime number is needed")
        if not 1 <= self.coefficients <= self.prime:
            raise ValueError(f"coefficients = {self.coefficients}: 1 … {self.prime} are allowed")

    @classmethod
    def for_universe(cls, universe: int) -> ReedSolomonHadamardCode:
        """The code of the least prime whose words agree in at most half of their places.

        Args:
            universe: c ≥ 2, how many codewords are needed.

        Raises:
            ValueError: for a universe of fewer than 2.
        """
        _at_least("universe", universe, 2)
        prime = 2
        while not _is_prime(prime) or prime ** (prime // 2 + 1) < universe:
            prime += 1
        coefficients = 1
        while prime**coefficients < universe:
            coefficients += 1
        return cls(prime, coefficients)

    @property
    def size(self) -> int:
        """The number of codewords, p^k."""
        return int(self.prime**self.coefficients)

    @property
    def length(self) -> int:
        """Bits in a codeword, p·h."""
        return self.prime * self._order

    @property
    def agreement(self) -> Fraction:
        """The largest inner product of two distinct words over their length: (k - 1)/p."""
        return Fraction(self.coefficients - 1, self.prime)

    @property
    def relative_distance(self) -> Fraction:
        """Two distinct words differ in at least this part of their bits: (1 - (k - 1)/p)/2."""
        return (1 - self.agreement) / 2

    @property
    def _order(self) -> int:
        return int(2 ** bits_to_name(self.prime))

    def symbols(self, elements: ArrayLike) -> Integers:
        """The polynomials' values `(m, p)`, in 0 … p - 1, for the elements `(m,)`.

        Raises:
            ValueError: for an element outside 0 … p^k - 1.
        """
        numbers = np.asarray(elements, dtype=np.int64)
        if np.any((numbers < 0) | (numbers >= self.size)):
            raise ValueError(f"elements = {numbers.tolist()}: 0 … {self.size - 1} are allowed")
        places = np.arange(self.prime)
        values = np.zeros((len(numbers), self.prime), dtype=np.int64)
        for power in reversed(range(self.coefficients)):  # Horner's rule, highest power first
            coefficient = numbers // self.prime**power % self.prime
            values = (values * places + coefficient[:, None]) % self.prime
        return values

    def codewords(self, elements: ArrayLike) -> Integers:
        """The codewords `(m, length)` of ±1 for the elements `(m,)`. Raises as `symbols`."""
        symbols = self.symbols(elements)
        return _hadamard(self._order)[symbols].reshape(len(symbols), self.length)


def _hadamard(order: int) -> Integers:
    """Sylvester's matrix of ±1 with orthogonal rows; the order is a power of two."""
    matrix: Integers = np.ones((1, 1), dtype=np.int64)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix


@dataclass(frozen=True)
class ExponentialKernel(InnerProductKernel):
    """A tensor power of a binary code: the inner product falls exponentially with the power.

    φ(x) is the t-th tensor power of x's codeword, made a unit vector, so that ⟨φ(x), φ(y)⟩ is the
    t-th power of the part of the places where the codes of x and y agree, which is between 0 and
    (k - 1)/p ≤ 1/2. The least t that brings this to 1/(3·set_size) is at most ⌈log₂(3·set_size)⌉:
    f = length^t is exponential in the logarithm of the set's size.

    >>> kernel = ExponentialKernel(universe=20, set_size=4)
    >>> kernel.power, kernel.dimension, kernel.epsilon() <= kernel.promise
    (2, 1600, True)

    `inner_products` needs no feature vector, and so works at any f.

    Attributes:
        universe: c ≥ 2, elements.
        set_size: the largest set to be told from the rest, at least 1.

    Raises:
        ValueError: for a smaller number.

    Source:
        The first kernel after Def. G.17; the code is ours, the paper asking only for constant
        relative distance.
    """

    universe: int
    set_size: int

    def __post_init__(self) -> None:
        _at_least("universe", self.universe, 2)
        _at_least("set_size", self.set_size, 1)

    @cached_property
    def code(self) -> ReedSolomonHadamardCode:
        """The binary code of relative distance at least 1/4."""
        return ReedSolomonHadamardCode.for_universe(self.universe)

    @cached_property
    def power(self) -> int:
        """t, the factors of the tensor product."""
        power = 1
        while self.code.agreement**power > Fraction(1, 3 * self.set_size):
            power += 1
        return power

    @property
    def dimension(self) -> int:
        """f = length^t."""
        return int(self.code.length**self.power)

    @property
    def promise(self) -> Fraction:
        """1/(3·set_size)."""
        return Fraction(1, 3 * self.set_size)

    def directions(self, elements: ArrayLike) -> Integers:
        """The tensor powers of the codewords, `(k, f)` of ±1.

        Raises:
            ValueError: for an element outside the universe, or more than `LARGEST_WRITTEN_OUT`
                numbers.
        """
        checked = self._checked(elements)
        if len(checked) * self.dimension > LARGEST_WRITTEN_OUT:
            raise ValueError(
                f"dimension = {self.dimension}: {len(checked)} vectors are more than "
                f"{LARGEST_WRITTEN_OUT} numbers; `inner_products` needs none of them"
            )
        words = self.code.codewords(checked)
        tensor = words
        for _ in range(self.power - 1):
            tensor = (tensor[:, :, None] * words[:, None, :]).reshape(len(words), -1)
        return tensor

    def inner_products(self, left: ArrayLike, right: ArrayLike) -> NDArray[Any]:
        """⟨φ(x), φ(y)⟩ `(k, l)` as `Fraction`s: (places where the codes agree / p)^t.

        Raises:
            ValueError: for an element outside the universe.
        """
        prime = self.code.prime
        rows = self.code.symbols(self._checked(left))
        columns = self.code.symbols(self._checked(right))
        agreements = (rows[:, None, :] == columns[None, :, :]).sum(axis=2)
        powers = np.array([Fraction(n, prime) ** self.power for n in range(prime + 1)])
        products: NDArray[Any] = powers[agreements]
        return products


@dataclass(frozen=True)
class DataDependentKernel(InnerProductKernel):
    """One-hot on the members of a set, a binary code everywhere else: ε = 0 against the members.

    A member's feature is the unit vector of its place in the set; any other element's is its binary
    code, as signs, in coordinates of their own. Members are thus orthogonal to one another and to
    all other elements. Two elements that are *both* outside the set are told apart but need not be
    orthogonal: ε = 0 is a statement about pairs with a member, the only ones that linear attention
    over the set's members computes.

    >>> kernel = DataDependentKernel(universe=16, members=(3, 9))
    >>> kernel.dimension, kernel.epsilon(kernel.members), kernel.epsilon()
    (6, Fraction(0, 1), Fraction(1, 1))

    Two elements whose codes are opposite have the inner product -1: hence the last number.

    Attributes:
        universe: c ≥ 2, elements.
        members: the set's elements, distinct; none is allowed.

    Raises:
        ValueError: for a universe of fewer than 2, or members that repeat or lie outside it.

    Source:
        The second kernel after Def. G.17.
    """

    universe: int
    members: tuple[int, ...]

    def __post_init__(self) -> None:
        _at_least("universe", self.universe, 2)
        self._checked(self.members)
        if len(set(self.members)) != len(self.members):
            raise ValueError(f"members = {self.members}: distinct elements are needed")

    @property
    def code_bits(self) -> int:
        """⌈log₂ c⌉, the coordinates that elements outside the set share."""
        return bits_to_name(self.universe)

    @property
    def dimension(self) -> int:
        """f = |set| + ⌈log₂ c⌉."""
        return len(self.members) + self.code_bits

    @property
    def promise(self) -> Fraction:
        """0, for pairs with a member."""
        return Fraction(0)

    def directions(self, elements: ArrayLike) -> Integers:
        """Vectors `(k, f)`: first the code's ⌈log₂ c⌉ signs, then one coordinate for each member.

        A member that comes later adds a coordinate at the end and leaves those of earlier members
        as they are.

        Raises:
            ValueError: for an element outside the universe.
        """
        checked = self._checked(elements)
        members = np.array(self.members, dtype=np.int64)
        one_hot = (checked[:, None] == members).astype(np.int64)
        signs = 2 * binary_code(checked, self.code_bits) - 1
        outside = 1 - one_hot.sum(axis=1, keepdims=True)
        return np.hstack([signs * outside, one_hot])


def random_sign_dimension(universe: int, set_size: int, failure: Fraction = Fraction(1, 2)) -> int:
    """f at which random signs attain ε = 1/(3·set_size) except with probability `failure`.

    An inner product of two elements is a mean of f independent signs, which is beyond ε in size
    with probability at most 2·exp(-fε²/2) (Hoeffding); there are c(c - 1)/2 pairs. Hence
    f = ⌈18·set_size²·ln(c(c - 1)/failure)⌉ is enough.

    >>> random_sign_dimension(universe=256, set_size=4)
    3393

    Args:
        universe: c ≥ 2, elements.
        set_size: at least 1.
        failure: in (0, 1).

    Raises:
        ValueError: for an argument outside its range.

    Source:
        The third kernel after Def. G.17, f = Θ(|A|² log c), with its constants.
    """
    _at_least("universe", universe, 2)
    _at_least("set_size", set_size, 1)
    _strictly_between_0_and_1("failure", failure)
    return ceil(18 * set_size**2 * log(universe * (universe - 1) / failure))


def _random_signs(
    universe: int, dimension: int, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Independent fair signs `(universe, dimension)`."""
    bits = generator.integers(0, 2, size=(universe, dimension), dtype=np.int8)
    return 2 * bits - np.int8(1)


class RandomSignKernel(InnerProductKernel):
    """Independent fair signs over √f.

    By default f is `random_sign_dimension`, and the signs are drawn again until ε = 1/(3·set_size)
    is attained (fewer than two draws on average), so that the promise holds for sure. With a
    dimension of one's own they are drawn once, and nothing is promised beyond ε ≤ 1.

    >>> kernel = RandomSignKernel(universe=64, set_size=2, seed=0)
    >>> kernel.dimension, kernel.epsilon() <= kernel.promise == Fraction(1, 6)
    (648, True)

    Args:
        universe: c ≥ 2, elements.
        set_size: the largest set to be told from the rest, at least 1.
        seed: names the signs.
        dimension: f ≥ 1, when it is not to be chosen here.

    Raises:
        ValueError: for a smaller number.

    Source:
        The third kernel after Def. G.17.
    """

    def __init__(
        self, universe: int, set_size: int, seed: int, *, dimension: int | None = None
    ) -> None:
        chosen = random_sign_dimension(universe, set_size) if dimension is None else dimension
        _at_least("dimension", chosen, 1)
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


def worst_leakage(kernel: InnerProductKernel, set_size: int) -> Fraction:
    """The most that linear attention over a set of that size may give to an element outside it.

    For each element x, the `set_size` other elements that meet it in the largest inner products
    make up the worst set. G.18's threshold of 1/3 leaves no false member, whatever the sets, if and
    only if this is at most 1/3; set_size·ε is a bound on it.

    >>> worst_leakage(DataDependentKernel(16, members=(3, 9)), set_size=1)
    Fraction(1, 2)

    (The set's members are not the kernel's own here: against those nothing leaks.)

    Args:
        kernel: any; its universe is looked at as a whole, in c² inner products.
        set_size: between 1 and c - 1.

    Raises:
        ValueError: for a set size outside that range.
    """
    return hardest_set(kernel, set_size)[2]


def hardest_set(kernel: InnerProductKernel, set_size: int) -> tuple[tuple[int, ...], int, Fraction]:
    """A set, and an element outside it, to which linear attention gives the most.

    Returns:
        The set's elements, the element outside, and what it is given (`worst_leakage`).

    Raises:
        ValueError: unless 1 ≤ set_size ≤ c - 1.
    """
    _set_size_below(kernel.universe, set_size)
    everything = np.arange(kernel.universe)
    products = kernel.inner_products(everything, everything)
    products[everything, everything] = Fraction(-2)  # below every inner product: never chosen
    chosen = np.argsort(-products, axis=1, kind="stable")[:, :set_size]
    sums = np.take_along_axis(products, chosen, axis=1).sum(axis=1)
    outside = int(np.argmax(sums))
    return tuple(chosen[outside].tolist()), outside, Fraction(sums[outside])


def separates(kernel: InnerProductKernel, members: ArrayLike, queries: ArrayLike) -> bool:
    """Whether linear attention over the members, thresholded at 1/3, is right on every query.

    Right means what G.18 says: [2/3, 4/3] for a member, at most 1/3 for any other.

    >>> separates(DataDependentKernel(16, members=(3, 9)), [3, 9], [9, 4, 5])
    True

    Args:
        kernel: any.
        members: the keys of value 1, `(k,)` distinct elements.
        queries: elements `(l,)`.

    Raises:
        ValueError: for an element outside the universe.
    """
    attended = kernel.inner_products(queries, members).sum(axis=1)
    is_member = np.isin(queries, members)
    inside = (Fraction(2, 3) <= attended) & (attended <= Fraction(4, 3))
    return bool(np.where(is_member, inside, attended <= Fraction(1, 3)).all())


def random_sign_dimension_for_all_sets(
    universe: int, set_size: int, failure: Fraction = Fraction(1, 2)
) -> int:
    """f at which random signs separate every set of one size from the rest, but for `failure`.

    For one set and one element outside, what the element gets is set_size times the mean of
    set_size·f independent signs: beyond 1/3 with probability at most exp(-f/(18·set_size))
    (Hoeffding). A member likewise gets less than 2/3, or more than 4/3, from the set_size - 1
    others. These are M = c·(C(c - 1, set_size) + 2·C(c - 1, set_size - 1)) events, so that
    f = ⌈18·set_size·ln(M/failure)⌉ is enough: Θ(set_size²·log(c/set_size)), down to half of what
    ε = 1/(3·set_size) takes.

    >>> random_sign_dimension_for_all_sets(universe=256, set_size=4)
    1817

    Args:
        universe: c ≥ 2, elements.
        set_size: between 1 and c - 1.
        failure: in (0, 1).

    Raises:
        ValueError: for an argument outside its range.
    """
    _at_least("universe", universe, 2)
    _set_size_below(universe, set_size)
    _strictly_between_0_and_1("failure", failure)
    choices = comb(universe - 1, set_size) + 2 * comb(universe - 1, set_size - 1)
    return ceil(18 * set_size * (log(universe * choices) - log(failure)))


def random_sign_dimension_for_one_instance(
    set_size: int, others: int, failure: Fraction = Fraction(1, 2)
) -> int:
    """f at which random signs, drawn without a look at the sets, solve one instance.

    Here nothing has to hold for all pairs: each of the queries outside the set gets more than 1/3
    with probability at most exp(-f/(18·set_size)), and a member gets less than 2/3 or more than 4/3
    with at most twice that (Hoeffding). Hence f = ⌈18·set_size·ln((others + 2·set_size)/failure)⌉
    is enough: *linear* in the set's size, and free of c. The |A|² log c of the third kernel is what
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
    _at_least("set_size", set_size, 1)
    _at_least("others", others, 0)
    _strictly_between_0_and_1("failure", failure)
    return ceil(18 * set_size * log((others + 2 * set_size) / failure))


def smallest_random_dimensions(
    universe: int, set_sizes: Sequence[int], seed: int, *, block: int = 16
) -> tuple[dict[int, int], dict[int, int]]:
    """The least f at which one long draw of random signs is good enough, by two measures.

    Signs are added block by block to every element's feature. For each set size the first f is
    noted at which ε ≤ 1/(3·set_size), and the first at which every set of that size is separated
    from the rest (`separates`): the set_size largest inner products of any element sum to at most
    1/3, as do the set_size - 1 largest, and the set_size - 1 smallest to at least -1/3. Over many
    seeds, the part of draws whose f for all sets is at most some number is the accuracy there on
    the hardest instances.

    Args:
        universe: c ≥ 2, elements.
        set_sizes: the sizes to measure, each between 1 and c - 1.
        seed: names the signs.
        block: f is measured to this many signs.

    Returns:
        Two mappings from a set size to f: for ε, and for all sets.

    Raises:
        ValueError: for an argument outside its range.
    """
    _at_least("universe", universe, 2)
    _at_least("block", block, 1)
    for size in set_sizes:
        _set_size_below(universe, size)
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
