"""A stack as a one-way protocol, and the bound on layers, against the stack and by search."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.layers.strategies import stacks, variables
from theory.layers.base_conv import BaseConv, BaseConvStack, random_stack
from theory.layers.degrees import layers_for_degree, monomials
from theory.layers.index import (
    CoefficientMessage,
    coefficient_bits,
    evaluate_message,
    index_recall_stack,
    message_bits,
    recall_context,
    recall_layers,
    repeated_prompt,
    send_coefficients,
)
from theory.layers.polynomials import product_stack, stack_polynomials
from theory.one_pass.with_error import binary_entropy


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.data())
@settings(max_examples=25, deadline=None)
def test_bob_finds_what_the_model_answers(
    pairs: int, width: int, layers: int, passes: int, data: st.DataObject
) -> None:
    context = data.draw(
        st.lists(st.tuples(*[st.integers(0, 1)] * width), min_size=2 * pairs, max_size=2 * pairs)
    )
    seq_len = passes * (2 * pairs + 1)
    stack = random_stack(seq_len, width, layers, seed=data.draw(st.integers(0, 10**6)))
    channel = data.draw(st.integers(0, width - 1))
    message = send_coefficients(stack, context, channel=channel, passes=passes)
    assert message.numbers == len(list(monomials(width, 2**layers)))
    assert 0 <= message.payload < 2**message.bits
    assert message.bits == message_bits(seq_len, width, layers, stack.magnitude)
    # A layer squares the denominator that it is given, and that of its own parameters.
    assert message.denominator == stack.denominator ** (2 * (2**layers - 1))
    for query in product((0, 1), repeat=width):
        prompt = [*context, query] * passes
        assert evaluate_message(message, query) == stack(prompt)[-1, channel]


def test_degree_limits_the_message() -> None:
    stack = random_stack(3, 4, 1, seed=1)
    message = send_coefficients(stack, np.eye(2, 4, dtype=int), passes=1)
    assert message.numbers == 1 + 4 + 6  # degree 2 in 4 query bits
    for query in product((0, 1), repeat=4):
        prompt = [[1, 0, 0, 0], [0, 1, 0, 0], query]
        assert evaluate_message(message, query) == stack(prompt)[-1, 0]


@given(stacks(4, 3, 2))
@settings(max_examples=40, deadline=None)
def test_coefficient_bits_hold_every_numerator(stack: BaseConvStack) -> None:
    polynomials = stack_polynomials(stack, variables(stack.seq_len, stack.width), multilinear=True)
    denominator = stack.denominator ** (2 * (2 ** len(stack.layers) - 1))
    bits = coefficient_bits(stack.seq_len, stack.width, len(stack.layers), stack.magnitude)
    for polynomial in polynomials.flat:
        numerators = [c * denominator for c in polynomial.coeffs()]
        assert all(c.q == 1 for c in numerators)
        assert sum(abs(c) for c in numerators) < 2 ** (bits - 1)


@given(st.integers(1, 2**40), st.integers(0, 60), st.integers(1, 64), st.integers(1, 3))
@settings(deadline=None)
def test_layers_needed_is_the_least_that_could_carry_index(
    pairs: int, extra: int, parameter_bits: int, passes: int
) -> None:
    width = max(1, (pairs - 1).bit_length()) + extra
    layers = recall_layers(pairs, width, parameter_bits, passes=passes)
    seq_len = passes * (2 * pairs + 1)
    magnitude = 2**parameter_bits
    assert message_bits(seq_len, width, layers, magnitude) >= pairs
    assert layers == 1 or message_bits(seq_len, width, layers - 1, magnitude) < pairs
    assert 1 <= layers <= max(1, layers_for_degree(width))
    error = Fraction(1, 10)
    fewer = recall_layers(pairs, width, parameter_bits, passes=passes, error=error)
    needed = float(pairs * (1 - binary_entropy(error)))
    assert message_bits(seq_len, width, fewer, magnitude) >= needed * (1 - 1e-12)
    if fewer > 1:
        assert message_bits(seq_len, width, fewer - 1, magnitude) < needed * (1 + 1e-12)
    assert fewer <= layers


def test_layers_needed_grow_with_the_pairs_and_fall_with_the_width() -> None:
    needed = [recall_layers(2**t, t, t) for t in (4, 16, 64, 256, 1024)]
    assert needed == sorted(set(needed))
    by_width = [recall_layers(2**256, 2**w, 256) for w in (8, 16, 32, 64)]
    assert by_width == sorted(set(by_width), reverse=True)


@pytest.mark.parametrize("layers", range(1, 5))
@pytest.mark.parametrize("width", [1, 3, 6])
def test_message_has_a_coefficient_for_each_monomial(layers: int, width: int) -> None:
    listed = [m for m in product((0, 1), repeat=width) if sum(m) <= 2**layers]
    assert message_bits(5, width, layers, 3) == coefficient_bits(5, width, layers, 3) * len(listed)


STACK = BaseConvStack((BaseConv([[1]], [[1]], [[1]], [[1]]),))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: recall_context([[1], [1]], [[1], [0]]), "keys has a row twice"),
        (lambda: recall_context([[1], [0]], [[1]]), "values has shape"),
        (lambda: recall_context([[2]], [[1]]), "keys holds"),
        (lambda: repeated_prompt([[1, 0]], [1]), "query has shape"),
        (lambda: repeated_prompt([[1]], [1], 0), "passes = 0"),
        (lambda: send_coefficients(product_stack(1), [[1]]), "context has shape"),
        (lambda: send_coefficients(product_stack(1), [[1, 0]], passes=1), "context has shape"),
        (lambda: send_coefficients(STACK, [[3]], passes=1), "context holds"),
        (lambda: send_coefficients(product_stack(2), [[1]], channel=1), "channel = 1"),
        (
            lambda: evaluate_message(CoefficientMessage(2, 1, 1, 3, 0), [1]),
            r"query has shape \(1,\)",
        ),
        (
            lambda: evaluate_message(CoefficientMessage(1, 1, 1, 3, 0), [2]),
            "query holds",
        ),
        (lambda: index_recall_stack(0), "pairs = 0"),
        (lambda: coefficient_bits(1, 1, 0, 1), "layers = 0"),
        (lambda: recall_layers(0, 1, 1), "pairs = 0"),
        (lambda: recall_layers(5, 2, 1), "pairs = 5, width = 2"),
        (lambda: recall_layers(4, 2, 1, error=Fraction(1, 2)), "error = 1/2: 0 ≤ error < 1/2"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_layers_at_the_very_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message just long enough is enough; a fraction of a bit takes a whole one."""
    assert message_bits(2 * 1008 + 1, 10, 1, 2) == 1008
    assert recall_layers(1008, 10, 1, passes=1) == 1
    needed = 2977 * (1 - float(binary_entropy(Fraction(1, 10))))
    assert message_bits(2 * 2977 + 1, 12, 1, 2) == int(needed) < needed
    assert recall_layers(2977, 12, 1, passes=1, error=Fraction(1, 10)) == 2
    lengths = []
    monkeypatch.setattr(
        "theory.layers.index.message_bits", lambda length, *_: lengths.append(length) or 10**9
    )
    recall_layers(6, 3, 1, passes=3)
    assert lengths == [3 * (2 * 6 + 1)]


def test_coefficient_bits_at_the_smallest_sizes() -> None:
    """1 + (2^L - 1) times the bit length of B² (d + 1)(N + 1) = 4."""
    assert coefficient_bits(1, 1, 1, 1) == 1 + 3
    assert coefficient_bits(1, 1, 2, 1) == 1 + 3 * 3
