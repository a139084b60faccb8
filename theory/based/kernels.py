"""Inner-product kernels: feature maps that keep distinct elements nearly orthogonal.

A kernel maps the elements 0 … n - 1 of a universe to unit vectors φ(x) of f numbers each. It is an
(ε, f) kernel (Def. G.17) when |⟨φ(x), φ(y)⟩| ≤ ε for distinct x and y. Linear attention whose keys
are the elements of a set S, each with value 1, then gives a query the number ⟨φ(q), Σ φ(k)⟩: at
least 1 - (|S| - 1)ε for a member and at most |S|ε for any other, so that ε = 1/(3|S|) tells them
apart at 1/3 (G.18).

| kernel | ε | f | knows the set |
|---|---|---|---|
| `ExponentialKernel` | 1/(3·set_size) | (code length)^power | no |
| `RandomSignKernel` | 1/(3·set_size) | Θ(set_size² · log n) | no |
| `DataDependentKernel` | 0 against the set's members | set size + ⌈log₂ n⌉ | yes |

Everything is exact. A kernel gives each φ(x) as a vector of whole numbers, its *direction*, and
φ(x) is the direction divided by its length; lengths never mix, since two directions of different
lengths are orthogonal. Inner products are therefore fractions, and ⟨φ(x), φ(x)⟩ = 1 holds exactly.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import (
    make_integers_python,
    require_at_least,
    require_between,
    require_distinct,
    with_python_integers,
)
from ..counting import ceil_log2
from ..layers.codes import binary_code
from .error_correcting_code import Integers, ReedSolomonHadamardCode

LARGEST_WRITTEN_OUT = 2**22
"""Numbers in the largest array of directions that a kernel writes out."""


class InnerProductKernel(ABC):
    """A feature map φ on the elements 0 … `universe` - 1 (Def. G.17); see the module's text.

    Attributes:
        universe: n, the number of elements, at least 2.
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
        universe: n ≥ 2, elements.
        set_size: the largest set to be separated from the rest, at least 1.

    Raises:
        ValueError: for a smaller number.

    Source:
        The first kernel after Def. G.17; the code is ours, the paper asking only for constant
        relative distance.
    """

    universe: int
    set_size: int

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_at_least(2, universe=self.universe)
        require_at_least(1, set_size=self.set_size)

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
        powers = np.array(
            [Fraction(agreeing, prime) ** self.power for agreeing in range(prime + 1)]
        )
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
        universe: n ≥ 2, elements.
        members: the set's elements, distinct; none is allowed.

    Raises:
        ValueError: for a universe of fewer than 2, or members that repeat or lie outside it.

    Source:
        The second kernel after Def. G.17.
    """

    universe: int
    members: tuple[int, ...]

    def __post_init__(self) -> None:
        make_integers_python(self)
        require_at_least(2, universe=self.universe)
        self._checked(self.members)
        require_distinct(members=self.members)

    @property
    def code_bits(self) -> int:
        """⌈log₂ n⌉, the coordinates that elements outside the set share."""
        return ceil_log2(self.universe)

    @property
    def dimension(self) -> int:
        """f = |set| + ⌈log₂ n⌉."""
        return len(self.members) + self.code_bits

    @property
    def promise(self) -> Fraction:
        """0, for pairs with a member."""
        return Fraction(0)

    def directions(self, elements: ArrayLike) -> Integers:
        """Vectors `(k, f)`: first the code's ⌈log₂ n⌉ signs, then one coordinate for each member.

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


@with_python_integers
def hardest_set(kernel: InnerProductKernel, set_size: int) -> tuple[tuple[int, ...], int, Fraction]:
    """A set, and an element outside it, to which linear attention over the set gives the most.

    For each element x, the `set_size` other elements that meet it in the largest inner products
    make up its worst set. G.18's threshold of 1/3 leaves no false member, whatever the sets, if and
    only if the most is at most 1/3; set_size·ε is a bound on it.

    >>> hardest_set(DataDependentKernel(16, members=(3, 9)), set_size=1)[2]
    Fraction(1, 2)

    (The set's members are not the kernel's own here: between those and the rest it is 0.)

    Args:
        kernel: any; its universe is looked at as a whole, in n² inner products.
        set_size: between 1 and n - 1.

    Returns:
        The set's elements, the element outside, and what it is given, an exact fraction.

    Raises:
        ValueError: unless 1 ≤ set_size ≤ n - 1.
    """
    require_between(1, kernel.universe - 1, set_size=set_size)
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
