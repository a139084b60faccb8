"""Stacks of BaseConv layers as exact polynomials in their input.

An L-layer data-independent stack computes, in every output, a polynomial of degree at most 2^L in
its input: found by running the layers on symbols.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import sympy
from sympy.polys.rings import PolyElement, PolyRing

from ..checks import Exact, exact_number, require_at_least, require_shape, with_python_integers
from .base_conv import BaseConv, BaseConvStack, delay, elementwise


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
    require_shape("inputs", entries, (stack.seq_len, stack.width))
    symbols = list(dict.fromkeys(e for e in entries.flat if isinstance(e, sympy.Symbol)))
    if not symbols:
        raise ValueError("inputs has no symbol: at least one sympy.Symbol is needed")
    ring = PolyRing(symbols, sympy.QQ, sympy.lex)
    generators = dict(zip(symbols, ring.gens, strict=True))

    def constant(number: Any) -> PolyElement:
        exact = exact_number("inputs", number)
        return ring.ground_new(sympy.QQ(exact.numerator, exact.denominator))

    hidden = elementwise(lambda e: generators[e] if e in generators else constant(e), entries)
    for layer in stack.layers:
        hidden = layer.over(constant)(hidden)
        if multilinear:
            hidden = elementwise(_cap_exponents, hidden)
    return elementwise(lambda p: sympy.Poly.from_dict(dict(p), *symbols, domain=sympy.QQ), hidden)


@with_python_integers
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
    require_at_least(1, layers=layers)
    seq_len = 2**layers
    zero = np.zeros((seq_len, 1), dtype=np.int64)
    return BaseConvStack(
        tuple(
            BaseConv(W=[[1]], B1=zero, K=delay(2**level, seq_len, 1), B2=zero)
            for level in range(layers)
        )
    )


def multilinear_part(polynomial: sympy.Poly) -> sympy.Poly:
    """Reduce every power x^k to x: the same function wherever the variables are 0 or 1.

    >>> x, y = sympy.symbols("x y")
    >>> multilinear_part(sympy.Poly(x**3 * y - x, x, y)).as_expr()
    x*y - x
    """
    terms = _capped(polynomial.as_dict().items())
    return sympy.Poly.from_dict(terms, *polynomial.gens, domain=polynomial.domain)


def _cap_exponents(polynomial: PolyElement) -> PolyElement:
    return polynomial.ring.from_dict(_capped(polynomial.items()))


def _capped(terms: Any) -> dict[tuple[int, ...], Any]:
    """Exponents to coefficients, each exponent cut to 1 and equal terms added."""
    capped: dict[tuple[int, ...], Any] = {}
    for exponents, coefficient in terms:
        support = tuple(min(e, 1) for e in exponents)
        capped[support] = capped[support] + coefficient if support in capped else coefficient
    return capped
