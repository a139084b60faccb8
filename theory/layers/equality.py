"""EQUALITY of two encoded elements: its polynomials, its least degree, and stacks that decide it.

Associative recall decides EQUALITY (`theory.reductions.EqualityToRecall`), so that the layers that
EQUALITY takes are layers that recall takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import numpy as np
import numpy.typing as npt
import sympy

from ..checks import require_at_least, with_python_integers, zero_one_rows
from .base_conv import BaseConv, BaseConvStack, delay


def equality_on_pairs(
    encodings: npt.ArrayLike,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """List EQ on all pairs of encoded elements, as points and values.

    >>> points, values = equality_on_pairs([[0], [1]])
    >>> points.tolist(), values.tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [1, 0, 0, 1])

    Args:
        encodings: (n, d), entries 0 or 1, one row an element, all different.

    Returns:
        Points (n², 2 d), the encodings of both elements, and values (n²,): 1 if they are equal.

    Raises:
        ValueError: when the encodings are not distinct rows of 0 and 1.
    """
    rows = zero_one_rows("encodings", encodings)
    count = len(rows)
    points = np.hstack([np.repeat(rows, count, axis=0), np.tile(rows, (count, 1))])
    return points, np.eye(count, dtype=np.int64).reshape(-1)


@with_python_integers
def binary_equality(width: int) -> sympy.Poly:
    """The polynomial Π_i (1 - x_i - y_i + 2 x_i y_i), which is EQ of two d-bit strings.

    It is multilinear, hence the only such one on the cube; its degree is 2 d.

    >>> binary_equality(1)
    Poly(2*x0*y0 - x0 - y0 + 1, x0, y0, domain='QQ')

    Args:
        width: d ≥ 1, bits a string.

    Returns:
        A polynomial in x0, …, x{d-1}, y0, …, y{d-1}.

    Raises:
        ValueError: unless width ≥ 1.

    Source:
        Theorem G.7.
    """
    require_at_least(1, width=width)
    x, y = _variables(width)
    factors = (
        sympy.Poly(1 - a - b + 2 * a * b, *x, *y, domain="QQ") for a, b in zip(x, y, strict=True)
    )
    return reduce(lambda p, q: p * q, factors)


@with_python_integers
def p_hot_equality(digits: int, base: int) -> sympy.Poly:
    """The polynomial Π_k ⟨x_k, y_k⟩, which is EQ wherever both strings are p-hot encodings.

    Its degree is 2 p. Off the valid encodings EQ is undefined, so that other polynomials serve
    as well, but none of smaller degree (see `equality_certificate`).

    >>> p_hot_equality(1, 2)
    Poly(x0*y0 + x1*y1, x0, x1, y0, y1, domain='QQ')

    Args:
        digits: p ≥ 1.
        base: m ≥ 1; digit k of the first string is x{k m}, …, x{k m + m - 1}.

    Returns:
        A polynomial in 2 p m variables, with m^p terms.

    Raises:
        ValueError: unless digits ≥ 1 and base ≥ 1.

    Source:
        Theorem G.11.
    """
    require_at_least(1, digits=digits, base=base)
    x, y = _variables(digits * base)
    places = [range(k * base, (k + 1) * base) for k in range(digits)]
    factors = (sympy.Poly(sum(x[i] * y[i] for i in place), *x, *y, domain="QQ") for place in places)
    return reduce(lambda p, q: p * q, factors)


@with_python_integers
def equality_certificate(digits: int, base: int) -> tuple[int, ...]:
    """Weights that certify that EQ in the p-hot code has no polynomial of degree < 2 p.

    In each of the 2 p digits, symbol 0 weighs +1, symbol 1 weighs -1 and the rest 0; a pair
    weighs the product. A monomial of degree < 2 p leaves some digit out, and sums to zero over
    it; EQ sums to 2^p, one for each pair of equal elements with digits 0 and 1.

    >>> equality_certificate(1, 2)
    (1, -1, -1, 1)

    Args:
        digits: p ≥ 1.
        base: m ≥ 2. (With m = 1 there is one element, and EQ is the constant 1.)

    Returns:
        m^{2p} weights, for the pairs in the order of `equality_on_pairs`.

    Raises:
        ValueError: unless digits ≥ 1 and base ≥ 2.

    Source:
        Ours, for Theorem G.11's claim about the degree.
    """
    require_at_least(1, digits=digits)
    require_at_least(2, base=base)
    one_digit = np.array([1, -1] + [0] * (base - 2), dtype=np.int64)
    weights = reduce(np.kron, [one_digit] * (2 * digits))
    return tuple(int(weight) for weight in weights)


@with_python_integers
def binary_equality_stack(width: int) -> BaseConvStack:
    """Decide EQ of two d-bit strings in ⌈log₂ 2d⌉ layers, as few as the degree allows.

    The first layer compares bit by bit, as in `sign_equality_stack`; the rest multiply the d
    results, in blocks of twice the length each. The strings stand at positions 0 and 1; the answer
    is channel 0 at position 1.

    >>> stack = binary_equality_stack(3)
    >>> int(stack([[1, 0, 1], [1, 0, 1]])[1, 0]), int(stack([[1, 0, 1], [1, 1, 1]])[1, 0])
    (1, 0)

    Args:
        width: d ≥ 1.

    Raises:
        ValueError: unless width ≥ 1.

    Source:
        Ours: the bound of Theorem G.7 is attained for one pair.
    """
    (compare,) = sign_equality_stack(width).layers
    return BaseConvStack((compare, *_multiplying_layers(width, 1)))


@with_python_integers
def sign_equality_stack(width: int) -> BaseConvStack:
    """Decide EQ of two d-bit strings in one layer, if the sign of a linear readout is enough.

    Channel i compares bit i: (2 y - 1)(x + y - 1) is 1 if they are equal, else 0. The strings are
    equal if and only if the channels at position 1 sum to more than d - 1/2: a polynomial of degree
    2 has the right sign, and with two logits, their difference, argmax has the right answer.

    >>> stack = sign_equality_stack(3)
    >>> [int(stack([[1, 0, 1], y])[1].sum()) - 2.5 for y in ([1, 0, 1], [1, 1, 1], [0, 1, 0])]
    [0.5, -0.5, -2.5]

    Args:
        width: d ≥ 1.

    Raises:
        ValueError: unless width ≥ 1.

    Source:
        Ours: Theorem G.7 does not hold of outputs that are read by their sign.
    """
    require_at_least(1, width=width)
    compare = BaseConv(
        W=2 * np.eye(width, dtype=np.int64),
        B1=np.full((2, width), -1),
        K=np.full((2, width), 1),
        B2=np.full((2, width), -1),
    )
    return BaseConvStack((compare,))


@with_python_integers
def p_hot_equality_stack(digits: int, base: int) -> BaseConvStack:
    """Decide EQ in the p-hot encoding in ⌈log₂ 2p⌉ layers and a sum.

    The first layer multiplies symbol by symbol; their sum over a digit's m symbols tells whether
    the digits agree. Each later layer multiplies a block of digits, channel by channel, by the sum
    of the next block. The strings stand at positions 0 and 1; the answer is the sum of channels
    0, …, m - 1 at position 1.

    >>> stack = p_hot_equality_stack(2, 3)
    >>> from .codes import p_hot_code
    >>> five, three = p_hot_code([5, 3], 2, 3)
    >>> int(stack([five, five])[1, :3].sum()), int(stack([five, three])[1, :3].sum())
    (1, 0)

    Args:
        digits: p ≥ 1.
        base: m ≥ 1.

    Raises:
        ValueError: unless digits ≥ 1 and base ≥ 1.

    Source:
        Ours: the degree of Theorem G.11 is attained with a linear readout.
    """
    require_at_least(1, digits=digits, base=base)
    width = digits * base
    zero = np.zeros((2, width), dtype=np.int64)
    compare = BaseConv(W=np.eye(width, dtype=np.int64), B1=zero, K=delay(1, 2, width), B2=zero)
    return BaseConvStack((compare, *_multiplying_layers(digits, base)))


def _multiplying_layers(digits: int, channels: int) -> Iterator[BaseConv]:
    """Layers after which digit 0's channels sum to the product of all digits' sums.

    Before the layer of span s, digit k stands for the product over digits k, …, k + s - 1.
    """
    width = digits * channels
    span = 1
    while span < digits:
        next_digit = np.eye(digits, k=-span, dtype=np.int64)
        weight = np.kron(next_digit, np.ones((channels, channels), dtype=np.int64))
        has_next = np.repeat(np.arange(digits) + span < digits, channels)
        yield BaseConv(
            W=weight,
            B1=np.tile(1 - has_next.astype(np.int64), (2, 1)),
            K=delay(0, 2, width),
            B2=np.full((2, width), 0),
        )
        span *= 2


def _variables(width: int) -> tuple[tuple[sympy.Symbol, ...], tuple[sympy.Symbol, ...]]:
    return sympy.symbols(f"x:{width}"), sympy.symbols(f"y:{width}")
