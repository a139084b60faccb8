"""The binary code of constant relative distance that the exponential kernel is made of."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import make_integers_python, require_at_least, require_between
from ..counting import ceil_log2

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class ReedSolomonHadamardCode:
    """A binary code of constant relative distance, by concatenation.

    Element x, written in base p as the k coefficients of a polynomial over the field of p elements,
    is sent to the polynomial's p values (Reed-Solomon); each value to a row of the Hadamard matrix
    of order h, the least power of two that is at least p. Two polynomials agree in at most k - 1
    places, and rows of the Hadamard matrix are orthogonal, so that two codewords of ±1 have the
    inner product h·(places of agreement), between 0 and h(k - 1).

    >>> code = ReedSolomonHadamardCode(prime=5, coefficients=2)
    >>> code.size, code.length, code.agreement
    (25, 40, Fraction(1, 5))

    Attributes:
        prime: p ≥ 2.
        coefficients: k, between 1 and p.

    Raises:
        ValueError: for a number that is not prime, or k outside 1 … p.
    """

    prime: int
    coefficients: int

    def __post_init__(self) -> None:
        make_integers_python(self)
        from sympy import isprime  # here, so that `theory` opens without sympy

        if not isprime(self.prime):
            raise ValueError(f"prime = {self.prime}: a prime number is needed")
        require_between(1, self.prime, coefficients=self.coefficients)

    @classmethod
    def for_universe(cls, universe: int) -> ReedSolomonHadamardCode:
        """The code of the least prime whose words agree in at most half of their places.

        Args:
            universe: n ≥ 2, how many codewords are needed.

        Raises:
            ValueError: for a universe of fewer than 2.
        """
        from sympy import nextprime

        require_at_least(2, universe=universe)
        prime = 2
        while prime ** (prime // 2 + 1) < universe:
            prime = int(nextprime(prime))
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
        """The largest inner product of two distinct words over their length: (k - 1)/p.

        So two distinct words differ in at least (1 - agreement)/2 of their bits.
        """
        return Fraction(self.coefficients - 1, self.prime)

    @property
    def _order(self) -> int:
        return int(2 ** ceil_log2(self.prime))

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
