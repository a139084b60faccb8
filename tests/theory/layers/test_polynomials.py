"""Stacks as polynomials: against the stack itself, the whole cube and interpolation."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.layers.strategies import RATIONALS, stacks, variables
from theory.layers.base_conv import BaseConv, BaseConvStack
from theory.layers.degrees import boolean_degree, multilinear_coefficients
from theory.layers.polynomials import multilinear_part, product_stack, stack_polynomials


def value(polynomial: sympy.Poly, point: dict[Any, Fraction]) -> Fraction:
    exact = polynomial.as_expr().subs(
        {s: sympy.Rational(v.numerator, v.denominator) for s, v in point.items()}
    )
    return Fraction(int(exact.p), int(exact.q))


@given(stacks(3, 2, 2), st.data())
@settings(max_examples=30, deadline=None)
def test_polynomials_have_the_stacks_values_and_its_degree(
    stack: BaseConvStack, data: st.DataObject
) -> None:
    prompt = variables(stack.seq_len, stack.width)
    polynomials = stack_polynomials(stack, prompt)
    point = {symbol: data.draw(RATIONALS) for symbol in prompt.flat}
    outputs = stack([[point[s] for s in row] for row in prompt])
    for i, c in np.ndindex(prompt.shape):
        assert value(polynomials[i, c], point) == outputs[i, c]
        assert polynomials[i, c].total_degree() <= 2 ** len(stack.layers)
        later = set(prompt[i + 1 :].flat)  # causal: nothing after position i
        assert not later & polynomials[i, c].as_expr().free_symbols


@given(stacks(3, 2, 2))
@settings(max_examples=20, deadline=None)
def test_multilinear_form_is_interpolation_on_the_cube(stack: BaseConvStack) -> None:
    prompt = variables(stack.seq_len, stack.width)
    reduced = stack_polynomials(stack, prompt, multilinear=True)[-1, 0]
    full = stack_polynomials(stack, prompt)[-1, 0]
    values = np.empty((2,) * prompt.size, dtype=object)
    for bits in product((0, 1), repeat=prompt.size):
        values[bits] = stack(np.reshape(bits, prompt.shape))[-1, 0]
    coefficients = multilinear_coefficients(values)
    terms = {tuple(map(int, e)): coefficients[tuple(e)] for e in np.argwhere(coefficients)}
    assert {e: Fraction(int(c.p), int(c.q)) for e, c in reduced.as_dict().items() if c} == terms
    assert reduced == multilinear_part(full)
    assert boolean_degree(values) == max((sum(e) for e in terms), default=0)


def test_numbers_and_symbols_mix_and_symbols_repeat() -> None:
    x = sympy.Symbol("x")
    polynomial = stack_polynomials(product_stack(2), [[x], [Fraction(1, 2)], [6], [x]])[-1, 0]
    assert polynomial == sympy.Poly(3 * x**2, x, domain="QQ")


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_product_stack_attains_the_degree(layers: int) -> None:
    stack = product_stack(layers)
    u = np.arange(2, 2 + 2**layers)[:, None]
    assert stack(u)[-1, 0] == int(np.prod(u.astype(object)))
    polynomial = stack_polynomials(stack, variables(2**layers, 1))[-1, 0]
    assert polynomial.total_degree() == stack.degree_bound == 2**layers
    assert multilinear_part(polynomial) == polynomial


STACK = BaseConvStack((BaseConv([[1]], [[1]], [[1]], [[1]]),))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stack_polynomials(STACK, [[1]]), "inputs has no symbol"),
        (lambda: stack_polynomials(STACK, [[sympy.Symbol("x")] * 2]), "inputs has shape"),
        (
            lambda: stack_polynomials(product_stack(1), [[sympy.Symbol("x")], [0.5]]),
            "inputs holds 0.5",
        ),
        (lambda: product_stack(0), "layers = 0"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
