"""Gated convolutions as exact polynomials: what a stack of BaseConv layers can compute.

An L-layer data-independent BaseConv stack computes, in every output, a polynomial of degree at
most 2^L in its input. So a task whose polynomial has degree D needs L ≥ ⌈log₂ D⌉ layers, and a
stack that recalls n values yields a message about them that is only as long as a polynomial of
that degree has coefficients. Everything here is a fraction or an integer; nothing is rounded.

Source: Just read twice (arXiv:2407.05483), Appendix G: Definition G.1, Theorems G.6, G.7, G.11.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import combinations, product
from math import comb, lcm
from numbers import Integral, Rational
from typing import Any

import numpy as np
import numpy.typing as npt
import sympy
from sympy.polys.matrices import DomainMatrix
from sympy.polys.rings import PolyElement, PolyRing

from theory.bounds import coefficient_message_bits

Exact = npt.NDArray[np.object_]
"""An array of exact numbers (int, Fraction) or of polynomials."""


# ------------------------------------------------------------------------------- the layer


@dataclass(frozen=True, eq=False, init=False)
class BaseConv:
    """One data-independent gated convolution, z = (u W + B¹) ⊙ (K ∗ u + B²).

    The convolution is causal and runs along the positions, channel by channel:
    (K ∗ u)[i, c] = Σ_{j ≤ i} K[i - j, c] · u[j, c].

    >>> double = BaseConv(weight=[[2]], bias_1=[[0], [0]], kernel=[[0], [1]], bias_2=[[0], [0]])
    >>> double([[3], [5]]).tolist()  # twice each element times the one before it
    [[Fraction(0, 1)], [Fraction(30, 1)]]

    Attributes:
        weight: W, (d, d).
        bias_1: B¹, (N, d), one row a position.
        kernel: K, (N, d), entry [t, c] the weight of channel c at delay t.
        bias_2: B², (N, d).

    All four are given as nested sequences or arrays of integers or fractions, and kept as
    read-only arrays of `fractions.Fraction`.

    Raises:
        ValueError: when an entry is not an exact number or the shapes do not fit.

    Source:
        Definition G.1.
    """

    weight: Exact
    bias_1: Exact
    kernel: Exact
    bias_2: Exact

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias_1: npt.ArrayLike,
        kernel: npt.ArrayLike,
        bias_2: npt.ArrayLike,
    ) -> None:
        given = {"weight": weight, "bias_1": bias_1, "kernel": kernel, "bias_2": bias_2}
        arrays = {name: _fractions(name, values) for name, values in given.items()}
        shape = arrays["kernel"].shape
        expected = {"weight": (shape[1], shape[1]), "bias_1": shape, "bias_2": shape}
        for name, wanted in expected.items():
            if arrays[name].shape != wanted:
                raise ValueError(
                    f"{name} has shape {arrays[name].shape}: "
                    f"{wanted} is needed beside kernel {shape}"
                )
        for name, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def parameters(self) -> tuple[Exact, Exact, Exact, Exact]:
        """W, B¹, K, B²."""
        return self.weight, self.bias_1, self.kernel, self.bias_2

    def __call__(self, u: npt.ArrayLike) -> Exact:
        """Map u (N, d), exact numbers, to z (N, d), fractions; ValueError unless it fits."""
        inputs = _fractions("u", u)
        _require_shape("u", inputs, self.kernel.shape)
        return _base_conv(inputs, *self.parameters)


@dataclass(frozen=True, eq=False)
class BaseConvStack:
    """BaseConv layers one after the other, each reading what the one before it wrote.

    Attributes:
        layers: L ≥ 1 layers, all for the same N positions and d channels.

    Raises:
        ValueError: when there is no layer or two differ in shape.
    """

    layers: tuple[BaseConv, ...]

    def __post_init__(self) -> None:
        shapes = sorted({layer.kernel.shape for layer in self.layers})
        if len(shapes) != 1:
            raise ValueError(f"layers have shapes {shapes}: one shape (N, d) for all is needed")

    @property
    def seq_len(self) -> int:
        """N, positions."""
        return int(self.layers[0].kernel.shape[0])

    @property
    def width(self) -> int:
        """d, channels."""
        return int(self.layers[0].kernel.shape[1])

    @property
    def degree_bound(self) -> int:
        """2^L, which no output's total degree exceeds."""
        return 1 << len(self.layers)

    @property
    def denominator(self) -> int:
        """The least common denominator of all parameters."""
        return lcm(*(entry.denominator for entry in self._entries()))

    @property
    def magnitude(self) -> int:
        """B, the largest integer when all parameters are written over one denominator.

        Neither a numerator's absolute value nor the denominator itself exceeds it.
        """
        denominator = self.denominator
        return max(denominator, *(int(abs(entry) * denominator) for entry in self._entries()))

    def _entries(self) -> Iterator[Fraction]:
        for layer in self.layers:
            for array in layer.parameters:
                yield from array.flat

    def __call__(self, u: npt.ArrayLike) -> Exact:
        """Map u (N, d), exact numbers, to the last layer's output (N, d), fractions.

        Raises:
            ValueError: when u is not an (N, d) array of exact numbers.
        """
        return reduce(lambda hidden, layer: layer(hidden), self.layers, _fractions("u", u))


def random_stack(
    seq_len: int, width: int, layers: int, *, seed: int, magnitude: int = 3, denominator: int = 2
) -> BaseConvStack:
    """Draw a stack whose parameters are integers in [-magnitude, magnitude] / denominator.

    >>> random_stack(3, 2, 2, seed=0).degree_bound
    4

    Args:
        seq_len: N, positions.
        width: d, channels.
        layers: L.
        seed: the same seed yields the same stack.
        magnitude: largest absolute value of a numerator.
        denominator: one for all parameters.

    Raises:
        ValueError: unless seq_len, width, layers, magnitude and denominator are at least 1.
    """
    _require_at_least(
        1,
        seq_len=seq_len,
        width=width,
        layers=layers,
        magnitude=magnitude,
        denominator=denominator,
    )
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> Exact:
        numerators = rng.integers(-magnitude, magnitude + 1, shape).astype(object)
        return _elementwise(lambda numerator: Fraction(numerator, denominator), numerators)

    positions = (seq_len, width)
    return BaseConvStack(
        tuple(
            BaseConv(draw(width, width), draw(*positions), draw(*positions), draw(*positions))
            for _ in range(layers)
        )
    )


# ------------------------------------------------------------- stacks as exact polynomials


def stack_polynomials(
    stack: BaseConvStack, inputs: npt.ArrayLike, *, multilinear: bool = False
) -> Exact:
    """Run a stack on symbols, so that each output is the polynomial it computes.

    The layers are run as they are on numbers. An input may mix symbols with fixed numbers, and a
    symbol may stand at several places, as it does when the prompt is repeated.

    >>> x, y = sympy.symbols("x y")
    >>> stack_polynomials(product_stack(1), [[x], [y]])[-1, 0]
    Poly(x*y, x, y, domain='QQ')

    Args:
        stack: for N positions and d channels.
        inputs: (N, d), each entry a `sympy.Symbol` or an exact number.
        multilinear: reduce each power x^k to x after each layer: the same function where every
            symbol is 0 or 1, and far fewer terms.

    Returns:
        (N, d) array of `sympy.Poly` over the rationals, its generators the symbols in the order
        of their first place in `inputs`.

    Raises:
        ValueError: when `inputs` has another shape, no symbol, or an entry that is neither.
    """
    entries = np.array(inputs, dtype=object)
    _require_shape("inputs", entries, (stack.seq_len, stack.width))
    symbols = list(dict.fromkeys(e for e in entries.flat if isinstance(e, sympy.Symbol)))
    if not symbols:
        raise ValueError("inputs has no symbol: at least one sympy.Symbol is needed")
    ring = PolyRing(symbols, sympy.QQ, sympy.lex)
    generators = dict(zip(symbols, ring.gens, strict=True))

    def constant(number: Any) -> PolyElement:
        exact = _fraction("inputs", number)
        return ring.ground_new(sympy.QQ(exact.numerator, exact.denominator))

    hidden = _elementwise(lambda e: generators[e] if e in generators else constant(e), entries)
    for layer in stack.layers:
        hidden = _base_conv(hidden, *(_elementwise(constant, p) for p in layer.parameters))
        if multilinear:
            hidden = _elementwise(_cap_exponents, hidden)
    return _elementwise(lambda p: sympy.Poly.from_dict(dict(p), *symbols, domain=sympy.QQ), hidden)


def product_stack(layers: int) -> BaseConvStack:
    """Build the stack whose last output is the product of all its 2^L inputs.

    Layer ℓ multiplies each element by the one 2^ℓ positions before it. The product is one
    monomial in distinct variables, so that degree 2^L is attained on {0, 1} as well.

    >>> int(product_stack(2)([[2], [3], [5], [7]])[-1, 0])
    210

    Args:
        layers: L ≥ 1.

    Returns:
        A stack for N = 2^L positions and one channel.

    Raises:
        ValueError: unless layers ≥ 1.

    Source:
        Ours: the bound 2^L on the degree is attained.
    """
    _require_at_least(1, layers=layers)
    seq_len = 2**layers
    return BaseConvStack(
        tuple(
            BaseConv(
                weight=_identity(1),
                bias_1=_constant(0, seq_len, 1),
                kernel=_delay(2**level, seq_len, 1),
                bias_2=_constant(0, seq_len, 1),
            )
            for level in range(layers)
        )
    )


def layers_for_degree(degree: int) -> int:
    """Layers that a BaseConv stack needs for a polynomial of this degree: ⌈log₂ degree⌉.

    >>> [layers_for_degree(degree) for degree in (1, 2, 3, 4, 5)]
    [0, 1, 2, 2, 3]

    Raises:
        ValueError: unless degree ≥ 1.
    """
    _require_at_least(1, degree=degree)
    return (degree - 1).bit_length()


# ------------------------------------------------------------------- degrees on {0, 1}^n


def multilinear_coefficients(values: npt.ArrayLike) -> Exact:
    """Interpolate a function on the cube {0, 1}^n exactly, by Möbius inversion.

    The coefficient of the monomial Π_{i ∈ S} x_i is Σ_{T ⊆ S} (-1)^{|S| - |T|} f(1_T); no other
    multilinear polynomial agrees with f on the cube.

    >>> multilinear_coefficients([[0, 1], [1, 0]]).tolist()  # exclusive or: x + y - 2 x y
    [[0, 1], [1, -2]]

    Args:
        values: shape (2,) * n, n ≥ 1; entry [b_1, …, b_n] is f(b_1, …, b_n), an exact number.

    Returns:
        Shape (2,) * n; entry [b_1, …, b_n] is the coefficient of Π_i x_i^{b_i}.

    Raises:
        ValueError: when the shape is another one or an entry is not exact.
    """
    coefficients = np.array(values, dtype=object)
    if coefficients.ndim == 0 or set(coefficients.shape) != {2}:
        raise ValueError(f"values has shape {coefficients.shape}: (2, …, 2) is needed")
    for entry in coefficients.flat:
        _fraction("values", entry)
    for axis in range(coefficients.ndim):
        last_first = np.moveaxis(coefficients, axis, 0)
        last_first[1] -= last_first[0]
    return coefficients


def boolean_degree(values: npt.ArrayLike) -> int:
    """Degree of the one multilinear polynomial that is this function on {0, 1}^n.

    It is also the least degree of any polynomial that agrees with the function on the cube, since
    reducing powers x^k to x never raises a degree.

    >>> boolean_degree([[0, 1], [1, 0]])
    2

    Args:
        values: as in `multilinear_coefficients`.

    Returns:
        The degree; 0 for a constant function, zero included.

    Raises:
        ValueError: as `multilinear_coefficients`.
    """
    support = np.argwhere(multilinear_coefficients(values) != 0)
    return int(support.sum(axis=1).max(initial=0))


def multilinear_part(polynomial: sympy.Poly) -> sympy.Poly:
    """Reduce every power x^k to x: the same function wherever the variables are 0 or 1.

    >>> x, y = sympy.symbols("x y")
    >>> multilinear_part(sympy.Poly(x**3 * y - x, x, y)).as_expr()
    x*y - x
    """
    terms = _capped(polynomial.as_dict().items())
    return sympy.Poly.from_dict(terms, *polynomial.gens, domain=polynomial.domain)


# ---------------------------------------------------- degrees on a part of {0, 1}^n


def degree_certificate(
    points: npt.ArrayLike, values: npt.ArrayLike, degree: int
) -> tuple[int, ...] | None:
    """Prove that no polynomial of this degree takes these values, or find that one does.

    The monomials of degree ≤ k, restricted to the points, span the functions that such
    polynomials compute. The values lie outside exactly if some weighting of the points sums every
    such monomial to zero but not the values: that weighting is the certificate.

    >>> degree_certificate([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], 1)
    (1, -1, -1, 1)
    >>> degree_certificate([[0, 0], [0, 1], [1, 0]], [0, 1, 1], 1) is None  # x + y
    True

    Args:
        points: (P, n), entries 0 or 1, distinct rows: where the values are wanted.
        values: (P,) integers.
        degree: k ≥ 0.

    Returns:
        P integer weights, or None when a polynomial of degree ≤ k takes the values.

    Raises:
        ValueError: when the points are not distinct rows of 0 and 1, the number of values is
            another one or one is no integer, or degree < 0.
    """
    places, wanted = _points_and_values(points, values)
    _require_at_least(0, degree=degree)
    # A column that is zero on the points, or that occurred, adds nothing to the span.
    columns = dict.fromkeys(tuple(c) for c in _monomials(places, degree) if c.any())
    rows = [[sympy.QQ(int(entry)) for entry in column] for column in columns]
    matrix = DomainMatrix(rows, (len(rows), len(places)), sympy.QQ)
    for weights in matrix.nullspace().to_list():
        if sum(w * int(v) for w, v in zip(weights, wanted, strict=True)) != 0:
            scale = lcm(*(int(w.denominator) for w in weights))
            return tuple(int(w * scale) for w in weights)
    return None


def certifies(
    weights: npt.ArrayLike, points: npt.ArrayLike, values: npt.ArrayLike, degree: int
) -> bool:
    """Check such a certificate: one sum for each monomial, and no linear algebra.

    >>> certifies([1, -1, -1, 1], [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], 1)
    True

    Args:
        weights: (P,) integers, as `degree_certificate` or `equality_certificate` yields them.
        points: (P, n), entries 0 or 1, distinct rows.
        values: (P,) integers.
        degree: k ≥ 0.

    Returns:
        Whether the weights sum every monomial of degree ≤ k to zero, and the values to non-zero.

    Raises:
        ValueError: as `degree_certificate`, or unless there is one integer weight a point.
    """
    places, wanted = _points_and_values(points, values)
    _require_at_least(0, degree=degree)
    exact = _integers("weights", weights, len(places))
    support = np.flatnonzero(exact)
    if exact @ wanted == 0:
        return False
    return all(exact[support] @ column == 0 for column in _monomials(places[support], degree))


def least_degree(points: npt.ArrayLike, values: npt.ArrayLike) -> int:
    """Least degree of any polynomial that takes these values at these points.

    >>> least_degree([[0, 1], [1, 0]], [0, 0]), least_degree([[0, 1], [1, 0]], [1, 0])
    (0, 1)

    Args:
        points: (P, n), entries 0 or 1, distinct rows.
        values: (P,) integers.

    Returns:
        The degree, at most n; 0 for constant values, zero included.

    Raises:
        ValueError: as `degree_certificate`.
    """
    variables = _points_and_values(points, values)[0].shape[1]
    # All n variables together interpolate anything, so that one of these degrees is enough.
    degrees = range(variables + 1)
    return next(k for k in degrees if degree_certificate(points, values, k) is None)


# ------------------------------------------------------------------------------ equality


def binary_encoding(element: int, width: int) -> tuple[int, ...]:
    """Write an element of [2^d] as d bits, the highest first.

    >>> binary_encoding(6, 4)
    (0, 1, 1, 0)

    Raises:
        ValueError: unless 0 ≤ element < 2^width and width ≥ 1.
    """
    _require_at_least(1, width=width)
    return _digits(element, width, 2)


def p_hot_encoding(element: int, digits: int, base: int) -> tuple[int, ...]:
    """Write an element of [m^p] as p digits in base m, the highest first, each one-hot.

    >>> p_hot_encoding(5, 2, 3)  # digits 1 and 2
    (0, 1, 0, 0, 0, 1)

    Args:
        element: which one, from 0.
        digits: p ≥ 1. One is the one-hot encoding.
        base: m = c^{1/p} ≥ 1.

    Returns:
        d = p · m entries, 0 or 1.

    Raises:
        ValueError: unless 0 ≤ element < base^digits, digits ≥ 1 and base ≥ 1.

    Source:
        Theorem G.11.
    """
    return tuple(
        int(symbol == digit) for digit in _digits(element, digits, base) for symbol in range(base)
    )


def equality_on_pairs(
    encodings: npt.ArrayLike,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """List EQ on all pairs of encoded elements, as points and values.

    >>> points, values = equality_on_pairs([[0], [1]])
    >>> points.tolist(), values.tolist()
    ([[0, 0], [0, 1], [1, 0], [1, 1]], [1, 0, 0, 1])

    Args:
        encodings: (c, d), entries 0 or 1, one row an element, all different.

    Returns:
        Points (c², 2 d), the encodings of both elements, and values (c²,): 1 if they are equal.

    Raises:
        ValueError: when the encodings are not distinct rows of 0 and 1.
    """
    rows = _zero_one_rows("encodings", encodings)
    count = len(rows)
    points = np.hstack([np.repeat(rows, count, axis=0), np.tile(rows, (count, 1))])
    return points, np.eye(count, dtype=np.int64).reshape(-1)


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
    _require_at_least(1, width=width)
    x, y = _variables(width)
    factors = (
        sympy.Poly(1 - a - b + 2 * a * b, *x, *y, domain="QQ") for a, b in zip(x, y, strict=True)
    )
    return reduce(lambda p, q: p * q, factors)


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
    _require_at_least(1, digits=digits, base=base)
    x, y = _variables(digits * base)
    places = [range(k * base, (k + 1) * base) for k in range(digits)]
    factors = (sympy.Poly(sum(x[i] * y[i] for i in place), *x, *y, domain="QQ") for place in places)
    return reduce(lambda p, q: p * q, factors)


def equality_certificate(digits: int, base: int) -> tuple[int, ...]:
    """Weights that prove EQ in the p-hot encoding to have no polynomial of degree < 2 p.

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
    _require_at_least(1, digits=digits)
    _require_at_least(2, base=base)
    one_digit = np.array([1, -1] + [0] * (base - 2), dtype=np.int64)
    weights = reduce(np.kron, [one_digit] * (2 * digits))
    return tuple(int(weight) for weight in weights)


def binary_equality_stack(width: int) -> BaseConvStack:
    """Decide EQ of two d-bit strings in ⌈log₂ 2d⌉ layers, as few as the degree allows.

    The first layer compares bit by bit, by (2 y - 1)(x + y - 1); the rest multiply the d results,
    in blocks of twice the length each. The strings stand at positions 0 and 1; the answer is
    channel 0 at position 1.

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
    _require_at_least(1, width=width)
    compare = BaseConv(
        weight=2 * _identity(width),
        bias_1=_constant(-1, 2, width),
        kernel=_constant(1, 2, width),
        bias_2=_constant(-1, 2, width),
    )
    return BaseConvStack((compare, *_multiplying_layers(width, 1)))


def p_hot_equality_stack(digits: int, base: int) -> BaseConvStack:
    """Decide EQ in the p-hot encoding in ⌈log₂ 2p⌉ layers and a sum.

    The first layer multiplies symbol by symbol; their sum over a digit's m symbols tells whether
    the digits agree. Each later layer multiplies a block of digits, channel by channel, by the sum
    of the next block. The strings stand at positions 0 and 1; the answer is the sum of channels
    0, …, m - 1 at position 1.

    >>> stack = p_hot_equality_stack(2, 3)
    >>> five, three = p_hot_encoding(5, 2, 3), p_hot_encoding(3, 2, 3)
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
    _require_at_least(1, digits=digits, base=base)
    width = digits * base
    compare = BaseConv(
        weight=_identity(width),
        bias_1=_constant(0, 2, width),
        kernel=_delay(1, 2, width),
        bias_2=_constant(0, 2, width),
    )
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
            weight=weight,
            bias_1=np.tile(1 - has_next.astype(np.int64), (2, 1)),
            kernel=_delay(0, 2, width),
            bias_2=_constant(0, 2, width),
        )
        span *= 2


# --------------------------------------------------- a stack as a one-way protocol (G.6)


@dataclass(frozen=True)
class CoefficientMessage:
    """What Alice sends: the coefficients of one output in Bob's query bits, as a bit string.

    Bob knows the stack, hence everything but the payload.

    Attributes:
        width: d, Bob's query bits.
        degree: no monomial of more query bits is sent.
        denominator: common to all coefficients.
        coefficient_bits: bits a coefficient's numerator takes (two's complement).
        payload: the numerators, in the order of `query_monomials`, the first in the lowest bits.
    """

    width: int
    degree: int
    denominator: int
    coefficient_bits: int
    payload: int

    @property
    def numbers(self) -> int:
        """How many coefficients are sent, Σ_{k ≤ degree} C(d, k)."""
        return sum(comb(self.width, size) for size in range(min(self.width, self.degree) + 1))

    @property
    def bits(self) -> int:
        """Bits of the whole message."""
        return self.numbers * self.coefficient_bits


def recall_context(keys: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Interleave encoded keys and values, k₁ v₁ k₂ v₂ …: an associative-recall prompt's pairs.

    >>> recall_context([[0, 1], [1, 0]], [[1, 1], [0, 0]]).tolist()
    [[0, 1], [1, 1], [1, 0], [0, 0]]

    Args:
        keys: (n, d), entries 0 or 1, distinct rows.
        values: (n, d), entries 0 or 1.

    Returns:
        (2 n, d).

    Raises:
        ValueError: when the shapes differ, an entry is not 0 or 1, or a key occurs twice.
    """
    first = _zero_one_rows("keys", keys)
    second = _zero_one_rows("values", values, distinct=False)
    _require_shape("values", second, first.shape)
    return np.stack([first, second], axis=1).reshape(-1, first.shape[1])


def repeated_prompt(context: npt.ArrayLike, query: npt.ArrayLike, passes: int = 2) -> Exact:
    """The prompt read p times: (context, query) repeated; p = 2 is the JRT prompt.

    >>> repeated_prompt([[0], [1]], [0]).ravel().tolist()
    [0, 1, 0, 0, 1, 0]

    Args:
        context: (N - 1, d).
        query: (d,), numbers or symbols.
        passes: p ≥ 1.

    Returns:
        (p N, d).

    Raises:
        ValueError: when query and context differ in width, or passes < 1.
    """
    _require_at_least(1, passes=passes)
    rows = np.array(context, dtype=object)
    last = np.array(query, dtype=object)
    if rows.ndim != 2 or last.shape != rows.shape[1:]:
        raise ValueError(
            f"query has shape {last.shape}, context {rows.shape}: (d,) and (N - 1, d) are needed"
        )
    return np.tile(np.vstack([rows, last[None]]), (passes, 1))


def send_coefficients(
    stack: BaseConvStack, context: npt.ArrayLike, *, channel: int = 0, passes: int = 2
) -> CoefficientMessage:
    """Alice's part: turn the context, which she alone knows, into a message.

    With the context fixed, the stack's last output is a polynomial in the d query bits. It has
    degree ≤ 2^L however often the prompt is repeated, and bits equal their powers, so that its
    multilinear coefficients up to min(2^L, d) say everything about it.

    >>> stack = random_stack(6, 2, 1, seed=0)  # N = 3, read twice
    >>> message = send_coefficients(stack, [[0, 1], [1, 1]])
    >>> message.numbers  # 1, q₀, q₁, q₀ q₁
    4
    >>> evaluate_message(message, [1, 0]) == stack(repeated_prompt([[0, 1], [1, 1]], [1, 0]))[-1, 0]
    True

    Args:
        stack: for passes · N positions; known to both.
        context: (N - 1, d), entries 0 or 1: the prompt without its last position.
        channel: which output channel answers.
        passes: how often the prompt is read.

    Returns:
        The message, its length the same for all contexts.

    Raises:
        ValueError: when the context does not fit the stack, or there is no such channel.

    Source:
        Proof of Theorem G.6.
    """
    rows = _zero_one_rows("context", context, distinct=False)
    if (passes * (len(rows) + 1), rows.shape[1]) != (stack.seq_len, stack.width):
        raise ValueError(
            f"context has shape {rows.shape}: read {passes} times with a query, it must fill "
            f"the stack's {stack.seq_len} positions of {stack.width} channels"
        )
    if not 0 <= channel < stack.width:
        raise ValueError(f"channel = {channel}: 0 ≤ channel < {stack.width} is needed")
    query = sympy.symbols(f"q:{rows.shape[1]}")
    prompt = repeated_prompt(rows, query, passes)
    polynomial = stack_polynomials(stack, prompt, multilinear=True)[-1, channel]
    degree = min(stack.degree_bound, stack.width)
    denominator = stack.denominator ** (2 * (stack.degree_bound - 1))
    field = coefficient_bits(stack.seq_len, stack.width, len(stack.layers), stack.magnitude)
    terms = polynomial.as_dict()
    payload = 0
    for number, monomial in enumerate(query_monomials(stack.width, degree)):
        exponents = tuple(int(i in monomial) for i in range(stack.width))
        numerator = int(terms.get(exponents, sympy.QQ(0)) * denominator)
        payload |= (numerator % 2**field) << (number * field)
    return CoefficientMessage(stack.width, degree, denominator, field, payload)


def evaluate_message(message: CoefficientMessage, query: npt.ArrayLike) -> Fraction:
    """Bob's part: evaluate the polynomial he was sent at his query bits.

    Args:
        message: from `send_coefficients`.
        query: (d,), entries 0 or 1.

    Returns:
        What the stack answers to that query after Alice's context, exactly.

    Raises:
        ValueError: unless the query is d bits.

    Source:
        Proof of Theorem G.6.
    """
    bits = _zero_one_rows("query", np.array(query)[None])[0]
    _require_shape("query", bits, (message.width,))
    field = message.coefficient_bits
    total = 0
    for number, monomial in enumerate(query_monomials(message.width, message.degree)):
        if all(bits[i] for i in monomial):
            numerator = (message.payload >> (number * field)) % 2**field
            total += numerator - (numerator >> (field - 1)) * 2**field
    return Fraction(total, message.denominator)


def query_monomials(width: int, degree: int) -> Iterator[tuple[int, ...]]:
    """The monomials of a message in their order: sets of at most `degree` of d query bits.

    >>> list(query_monomials(2, 2))
    [(), (0,), (1,), (0, 1)]
    """
    for size in range(min(width, degree) + 1):
        yield from combinations(range(width), size)


def index_recall_stack(pairs: int) -> BaseConvStack:
    """Answer associative recall over n given keys in two layers, at the price of width d = n.

    Key i is one-hot; a value is d times its bit. The first layer multiplies query channel i by
    the value of pair i in the last copy of the prompt, which a filter of its own fetches; the
    second adds up the channels. It makes the protocol answer INDEX.

    >>> context = recall_context([[1, 0], [0, 1]], [[0, 0], [1, 1]])
    >>> [int(index_recall_stack(2)(repeated_prompt(context, q))[-1, 0]) for q in ([1, 0], [0, 1])]
    [0, 1]

    Args:
        pairs: n ≥ 1; pair i is the i-th of the context.

    Returns:
        A stack for the JRT prompt, N = 2 (2 n + 1) positions, whose answer is channel 0 (and any
        other) at the last one.

    Raises:
        ValueError: unless pairs ≥ 1.

    Source:
        Ours: INDEX in the proof of Theorem G.6, with the widest encoding.
    """
    _require_at_least(1, pairs=pairs)
    seq_len = 2 * (2 * pairs + 1)
    fetch = _constant(0, seq_len, pairs)
    for pair in range(pairs):
        fetch[2 * (pairs - pair) - 1, pair] = 1
    zero = _constant(0, seq_len, pairs)
    match = BaseConv(weight=_identity(pairs), bias_1=zero, kernel=fetch, bias_2=zero)
    add = BaseConv(weight=_constant(1, pairs, pairs), bias_1=zero, kernel=zero, bias_2=zero + 1)
    return BaseConvStack((match, add))


def coefficient_bits(seq_len: int, width: int, layers: int, magnitude: int) -> int:
    """Bits that hold any coefficient's numerator, sign included.

    Let M_ℓ bound the sum of the absolute numerators of an output after ℓ layers, M_0 = 1. A layer
    multiplies a sum of ≤ d + 1 such outputs by one of ≤ N + 1, each weighted by at most B, so
    that M_{ℓ+1} = B² (d + 1)(N + 1) M_ℓ²; reducing powers never raises the sum.

    >>> coefficient_bits(seq_len=6, width=2, layers=1, magnitude=3)  # 3² · 3 · 7 = 189 < 2⁸
    9

    Args:
        seq_len: N, positions the stack reads, repetitions included.
        width: d.
        layers: L ≥ 1.
        magnitude: B, see `BaseConvStack.magnitude`.

    Returns:
        Bits: 1 + (2^L - 1) · bit length of B² (d + 1)(N + 1).

    Raises:
        ValueError: unless all four are at least 1.
    """
    _require_at_least(1, seq_len=seq_len, width=width, layers=layers, magnitude=magnitude)
    growth = magnitude**2 * (width + 1) * (seq_len + 1)
    return 1 + ((1 << layers) - 1) * growth.bit_length()


def message_bits(seq_len: int, width: int, layers: int, magnitude: int) -> int:
    """Bits of Alice's message: Σ_{k ≤ 2^L} C(d, k) coefficients of `coefficient_bits` each.

    >>> message_bits(seq_len=6, width=2, layers=1, magnitude=3)
    36

    Args and errors: as `coefficient_bits`.
    """
    each = coefficient_bits(seq_len, width, layers, magnitude)
    return coefficient_message_bits(layers, width, each)


def recall_layers_needed(
    pairs: int, width: int, parameter_bits: int, *, passes: int = 2, index_bits: int | None = None
) -> int:
    """Least L whose message could carry INDEX: a lower bound on layers for associative recall.

    A stack that recalls any of n values of one bit each answers INDEX on n bits by one message of
    `message_bits`; that many bits are needed, n when it is never wrong. So L layers are too
    few if `message_bits` < n. (`theory.bounds.recall_layers` takes the bits of a coefficient as
    given; here they follow from those of a parameter, and grow with L.) For
    log₂ d ≤ (log₂ n)^{1-ε} that gives L ≥ ε log₂ log₂ n - O(1).

    >>> recall_layers_needed(pairs=2**64, width=64, parameter_bits=64)
    5

    Args:
        pairs: n ≥ 1, pairs of distinct keys; the prompt has 2 n + 1 positions.
        width: d ≥ log₂ n, at least 1, so that n keys of d bits differ.
        parameter_bits: b ≥ 1; each parameter is an integer of absolute value ≤ 2^b over a common
            denominator ≤ 2^b.
        passes: how often the prompt is read; it hardly matters.
        index_bits: what INDEX on n bits costs, if not n: for a model that may err, take the
            randomized bound.

    Returns:
        L, at least 1 and at most max(1, ⌈log₂ d⌉): a polynomial of degree d can be any function.

    Raises:
        ValueError: when an argument is below 1, the keys do not fit the width, or
            index_bits > pairs (sending all bits is always enough).

    Source:
        Theorem G.6, made explicit.
    """
    _require_at_least(1, pairs=pairs, width=width, parameter_bits=parameter_bits, passes=passes)
    needed = pairs if index_bits is None else index_bits
    if not 1 <= needed <= pairs:
        raise ValueError(f"index_bits = {needed}: 1 ≤ index_bits ≤ pairs = {pairs} is needed")
    if (pairs - 1).bit_length() > width:
        raise ValueError(f"pairs = {pairs}, width = {width}: pairs ≤ 2^width is needed")
    seq_len = passes * (2 * pairs + 1)
    layers = 1
    while message_bits(seq_len, width, layers, 2**parameter_bits) < needed:
        layers += 1
    return layers


# ------------------------------------------------------------------------ parts of the above


def _base_conv(u: Exact, weight: Exact, bias_1: Exact, kernel: Exact, bias_2: Exact) -> Exact:
    """z = (u W + B¹) ⊙ (K ∗ u + B²) over any commutative ring that the entries come from."""
    convolved = np.array([(kernel[i::-1] * u[: i + 1]).sum(axis=0) for i in range(len(u))])
    gated: Exact = (u @ weight + bias_1) * (convolved + bias_2)
    return gated


def _cap_exponents(polynomial: PolyElement) -> PolyElement:
    return polynomial.ring.from_dict(_capped(polynomial.items()))


def _capped(terms: Any) -> dict[tuple[int, ...], Any]:
    """Exponents to coefficients, each exponent cut to 1 and equal terms added."""
    capped: dict[tuple[int, ...], Any] = {}
    for exponents, coefficient in terms:
        support = tuple(min(e, 1) for e in exponents)
        capped[support] = capped[support] + coefficient if support in capped else coefficient
    return capped


def _monomials(points: npt.NDArray[np.int64], degree: int) -> Iterator[npt.NDArray[np.int64]]:
    """Every multilinear monomial of at most this degree, as its value at each point."""
    for variables in query_monomials(points.shape[1], degree):
        yield np.asarray(points[:, variables].all(axis=1), dtype=np.int64)


def _digits(element: int, digits: int, base: int) -> tuple[int, ...]:
    _require_at_least(1, digits=digits, base=base)
    if not 0 <= element < base**digits:
        raise ValueError(f"element = {element}: 0 ≤ element < {base}^{digits} is needed")
    return tuple(element // base**place % base for place in reversed(range(digits)))


def _variables(width: int) -> tuple[tuple[sympy.Symbol, ...], tuple[sympy.Symbol, ...]]:
    return sympy.symbols(f"x:{width}"), sympy.symbols(f"y:{width}")


def _identity(width: int) -> npt.NDArray[np.int64]:
    return np.eye(width, dtype=np.int64)


def _constant(value: int, rows: int, columns: int) -> npt.NDArray[np.int64]:
    return np.full((rows, columns), value, dtype=np.int64)


def _delay(delay: int, seq_len: int, width: int) -> npt.NDArray[np.int64]:
    """The filter that shifts every channel by `delay` positions."""
    kernel = _constant(0, seq_len, width)
    kernel[delay] = 1
    return kernel


def _elementwise(function: Any, array: Exact) -> Exact:
    """Apply a function to each entry, keeping entries as objects whatever their type."""
    result: Exact = np.empty(array.shape, dtype=object)
    for place in product(*map(range, array.shape)):
        result[place] = function(array[place])
    return result


def _fraction(name: str, entry: Any) -> Fraction:
    if not isinstance(entry, Rational):
        raise ValueError(f"{name} holds {entry!r}: integers and fractions are allowed")
    return Fraction(int(entry.numerator), int(entry.denominator))


def _fractions(name: str, values: npt.ArrayLike) -> Exact:
    array = np.array(values, dtype=object)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: (rows, columns) is needed, none zero")
    return _elementwise(lambda entry: _fraction(name, entry), array)


def _zero_one_rows(
    name: str, values: npt.ArrayLike, *, distinct: bool = True
) -> npt.NDArray[np.int64]:
    array = np.array(values)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: (rows, columns) is needed, none zero")
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds {sorted(set(array.flat))}: only 0 and 1 are allowed")
    if distinct and len(np.unique(array, axis=0)) < len(array):
        raise ValueError(f"{name} has a row twice among {array.tolist()}: distinct rows are needed")
    return array.astype(np.int64)


def _points_and_values(
    points: npt.ArrayLike, values: npt.ArrayLike
) -> tuple[npt.NDArray[np.int64], Exact]:
    places = _zero_one_rows("points", points)
    return places, _integers("values", values, len(places))


def _integers(name: str, entries: npt.ArrayLike, count: int) -> Exact:
    array = np.array(entries, dtype=object)
    _require_shape(name, array, (count,))
    if not all(isinstance(entry, Integral) for entry in array):
        raise ValueError(f"{name} holds {array.tolist()}: integers are needed")
    return array


def _require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: {shape} is needed")


def _require_at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} = {value}: at least {least} is needed")
