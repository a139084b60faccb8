"""BaseConv and stacks of it against Definition G.1 in plain loops, in both views."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.theory.layers.strategies import RATIONALS, stacks
from theory.based.recurrent_layers import Model
from theory.layers.base_conv import (
    BaseConv,
    BaseConvStack,
    InputDependentFilters,
    delay,
    random_stack,
)

few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def run_by_loops(stack: BaseConvStack, u: Any) -> list[list[Fraction]]:
    """Definition G.1 entry by entry, in plain Python."""
    hidden = [[Fraction(entry) for entry in row] for row in u]
    N, d = stack.seq_len, stack.width
    for layer in stack.layers:
        hidden = [
            [
                (sum(hidden[i][k] * layer.W[k, c] for k in range(d)) + layer.B1[i, c])
                * (sum(layer.K[i - j, c] * hidden[j][c] for j in range(i + 1)) + layer.B2[i, c])
                for c in range(d)
            ]
            for i in range(N)
        ]
    return hidden


@given(stacks(3, 2, 2), st.data())
@few
def test_stack_is_the_definition_entry_by_entry(stack: BaseConvStack, data: st.DataObject) -> None:
    row = st.lists(RATIONALS, min_size=stack.width, max_size=stack.width)
    u = data.draw(st.lists(row, min_size=stack.seq_len, max_size=stack.seq_len))
    assert stack(u).tolist() == run_by_loops(stack, u)


def test_layer_in_floating_point_is_a_convolution() -> None:
    stack = random_stack(6, 3, 1, seed=3)
    layer = stack.layers[0]
    u = np.random.default_rng(0).integers(-5, 6, (6, 3))
    W, B1, K, B2 = (p.astype(float) for p in layer.parameters)
    convolved = np.stack([np.convolve(K[:, c], u[:, c])[:6] for c in range(3)], axis=1)
    np.testing.assert_allclose(layer(u).astype(float), (u @ W + B1) * (convolved + B2))


def test_parameters_are_exact_and_read_only() -> None:
    layer = BaseConv([[Fraction(1, 3)]], [[np.int64(2)]], [[sympy.Rational(1, 7)]], [[True]])
    assert [p[0, 0] for p in layer.parameters] == [Fraction(1, 3), 2, Fraction(1, 7), 1]
    assert [type(p[0, 0]) for p in layer.parameters] == [Fraction, int, Fraction, int]
    with pytest.raises(ValueError, match="read-only"):
        layer.W[0, 0] = 0


def test_random_stack_depends_on_the_seed_alone() -> None:
    one, same, other = (random_stack(3, 2, 2, seed=seed) for seed in (5, 5, 6))
    flat = [
        [p.tolist() for layer in s.layers for p in layer.parameters] for s in (one, same, other)
    ]
    assert flat[0] == flat[1] != flat[2]


@given(stacks(3, 2, 2))
@few
def test_magnitude_bounds_numerators_and_denominator(stack: BaseConvStack) -> None:
    entries = [e for layer in stack.layers for p in layer.parameters for e in p.flat]
    scaled = [e * stack.denominator for e in entries]
    assert all(e.denominator == 1 for e in scaled)
    assert stack.magnitude == max(stack.denominator, *(abs(e) for e in scaled))


def test_no_product_overflows() -> None:
    square = BaseConv(W=[[1]], B1=[[0]], K=[[1]], B2=[[0]])
    assert BaseConvStack((square,) * 3)([[2**40]]).tolist() == [[2**320]]


def test_a_layer_computes_over_any_ring() -> None:
    ring, x, y = sympy.ring("x, y", sympy.QQ)
    layer = BaseConv(W=[[2]], B1=[[0], [3]], K=[[0], [1]], B2=[[0], [1]]).over(ring)
    assert layer([[x], [y]]).tolist() == [[ring.zero], [(2 * y + 3) * (x + 1)]]


def random_base_conv(seed, length=7, width=3):
    generator = np.random.default_rng(seed)

    def sparse(*shape):
        return generator.integers(-2, 3, shape) * generator.integers(0, 2, shape)

    taps = sparse(width, length, length)
    filters = sparse(length, width)
    if seed % 2:
        # A coefficient at lag l is first used in row l: it may look at the rows up to there.
        taps *= np.tri(length, dtype=int)
        filters = InputDependentFilters(taps, source=seed % width)
    layer = BaseConv(sparse(width, width), sparse(length, width), filters, sparse(length, width))
    return layer, sparse(length, width)


@few
@given(seeds)
def test_base_conv_is_its_definition(seed):
    layer, u = random_base_conv(seed)
    filters = layer.K
    if isinstance(filters, InputDependentFilters):
        filters = np.einsum("clp,p->lc", filters.taps, u[:, filters.source])
    output = layer(u)
    for t, c in np.ndindex(u.shape):
        convolved = sum(filters[t - j, c] * u[j, c] for j in range(t + 1))
        gate = u[t] @ layer.W[:, c] + layer.B1[t, c]
        assert output[t, c] == gate * (convolved + layer.B2[t, c])


@few
@given(seeds)
def test_base_conv_row_by_row_gives_the_same(seed):
    layer, u = random_base_conv(seed)
    output, sizes = Model((layer,)).run_recurrently(u)
    assert np.array_equal(output, layer(u))
    assert sizes[-1].numbers <= 1 + 2 * len(u)  # nothing is left to be delayed


def test_a_delay_carries_as_many_entries_as_it_delays():
    length = 10
    layer = BaseConv(
        W=np.zeros((2, 2), dtype=int),
        B1=np.ones((length, 2), dtype=int),
        K=delay(3, length, 2) * [1, 0],
        B2=np.zeros((length, 2), dtype=int),
    )
    _, sizes = Model((layer,)).run_recurrently(np.ones((length, 2), dtype=int))
    assert [size.numbers - 1 for size in sizes] == [1, 2, 3, 3, 3, 3, 3, 2, 1, 0]


def test_base_conv_refuses_filters_that_look_ahead():
    length = 3
    taps = np.zeros((1, length, length), dtype=int)
    taps[0, 0, 2] = 1  # lag 0 looks at row 2
    gate = np.array([[0], [1], [1]])
    parts = {"W": [[0]], "K": InputDependentFilters(taps, 0), "B2": 0 * gate}
    with pytest.raises(ValueError, match="position 1 needs a later row"):
        BaseConv(B1=gate, **parts)
    closed = BaseConv(B1=[[0], [0], [1]], **parts)
    assert closed(np.array([[4], [5], [6]])).ravel().tolist() == [0, 0, 36]


ONE = [[1]]
LAYER = BaseConv(ONE, ONE, ONE, ONE)
STACK = BaseConvStack((LAYER,))
DEPENDENT = BaseConv(ONE, ONE, InputDependentFilters(np.ones((1, 1, 1), dtype=int), 0), ONE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: BaseConv([[0.5]], ONE, ONE, ONE), "W holds 0.5"),
        (lambda: BaseConv([1], ONE, ONE, ONE), r"W has shape \(1,\)"),
        (lambda: BaseConv([[]], ONE, ONE, ONE), "W has shape"),
        (lambda: BaseConv([[1, 1]], ONE, ONE, ONE), r"W has shape \(1, 2\)"),
        (lambda: BaseConv(ONE, [[1], [1]], ONE, ONE), "B1 has shape|K has shape"),
        (lambda: BaseConv(ONE, ONE, ONE, [[1, 1]]), "B2 has shape"),
        (lambda: LAYER([[1], [1]]), "u has shape"),
        (lambda: STACK([[1.0]]), "u holds 1.0"),
        (lambda: STACK([[1, 1]]), "u has shape"),
        (lambda: BaseConvStack(()), r"layers have shapes \[\]"),
        (lambda: BaseConvStack((LAYER, random_stack(2, 1, 1, seed=0).layers[0])), "layers have sh"),
        (lambda: BaseConvStack((DEPENDENT,)), "K depends on the input"),
        (
            lambda: BaseConv(ONE, ONE, InputDependentFilters(np.ones((1, 2, 2)), 0), ONE),
            r"K.taps has shape \(1, 2, 2\)",
        ),
        (lambda: random_stack(0, 1, 1, seed=0), "seq_len = 0"),
        (lambda: random_stack(1, 1, 0, seed=0), "layers = 0"),
        (lambda: random_stack(1, 1, 1, seed=0, denominator=0), "denominator = 0"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
