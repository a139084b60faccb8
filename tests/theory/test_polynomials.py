"""Gated convolutions as polynomials: against loops, the whole cube, and finite differences."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import polynomials as P

RATIONALS = st.fractions(min_value=-4, max_value=4, max_denominator=5)


@st.composite
def stacks(draw: st.DrawFn, max_len: int = 3, max_width: int = 2) -> P.BaseConvStack:
    return P.random_stack(
        draw(st.integers(1, max_len)),
        draw(st.integers(1, max_width)),
        draw(st.integers(1, 2)),
        seed=draw(st.integers(0, 10**6)),
        magnitude=draw(st.integers(1, 7)),
        denominator=draw(st.integers(1, 6)),
    )


def run_by_loops(stack: P.BaseConvStack, u: Any) -> list[list[Fraction]]:
    """Definition G.1 entry by entry, in plain Python."""
    hidden = [[Fraction(entry) for entry in row] for row in u]
    N, d = stack.seq_len, stack.width
    for layer in stack.layers:
        hidden = [
            [
                (sum(hidden[i][k] * layer.weight[k, c] for k in range(d)) + layer.bias_1[i, c])
                * (
                    sum(layer.kernel[i - j, c] * hidden[j][c] for j in range(i + 1))
                    + layer.bias_2[i, c]
                )
                for c in range(d)
            ]
            for i in range(N)
        ]
    return hidden


def variables(rows: int, columns: int) -> Any:
    return np.array(sympy.symbols(f"u:{rows * columns}"), dtype=object).reshape(rows, columns)


def value(polynomial: sympy.Poly, point: dict[Any, Fraction]) -> Fraction:
    exact = polynomial.as_expr().subs(
        {s: sympy.Rational(v.numerator, v.denominator) for s, v in point.items()}
    )
    return Fraction(int(exact.p), int(exact.q))


# --------------------------------------------------------------------------- layers and stacks


@given(stacks(max_len=4, max_width=3), st.data())
@settings(max_examples=40, deadline=None)
def test_stack_is_the_definition_entry_by_entry(
    stack: P.BaseConvStack, data: st.DataObject
) -> None:
    row = st.lists(RATIONALS, min_size=stack.width, max_size=stack.width)
    u = data.draw(st.lists(row, min_size=stack.seq_len, max_size=stack.seq_len))
    assert stack(u).tolist() == run_by_loops(stack, u)


def test_layer_in_floating_point_is_a_convolution() -> None:
    stack = P.random_stack(6, 3, 1, seed=3)
    layer = stack.layers[0]
    u = np.random.default_rng(0).integers(-5, 6, (6, 3))
    W, B1, K, B2 = (p.astype(float) for p in layer.parameters)
    convolved = np.stack([np.convolve(K[:, c], u[:, c])[:6] for c in range(3)], axis=1)
    np.testing.assert_allclose(layer(u).astype(float), (u @ W + B1) * (convolved + B2))


def test_parameters_are_exact_and_read_only() -> None:
    layer = P.BaseConv([[Fraction(1, 3)]], [[np.int64(2)]], [[sympy.Rational(1, 7)]], [[True]])
    assert [p[0, 0] for p in layer.parameters] == [Fraction(1, 3), 2, Fraction(1, 7), 1]
    assert all(type(p[0, 0]) is Fraction for p in layer.parameters)
    with pytest.raises(ValueError, match="read-only"):
        layer.weight[0, 0] = 0


def test_random_stack_depends_on_the_seed_alone() -> None:
    one, same, other = (P.random_stack(3, 2, 2, seed=seed) for seed in (5, 5, 6))
    flat = [
        [p.tolist() for layer in s.layers for p in layer.parameters] for s in (one, same, other)
    ]
    assert flat[0] == flat[1] != flat[2]


@given(stacks())
@settings(max_examples=30, deadline=None)
def test_magnitude_bounds_numerators_and_denominator(stack: P.BaseConvStack) -> None:
    entries = [e for layer in stack.layers for p in layer.parameters for e in p.flat]
    scaled = [e * stack.denominator for e in entries]
    assert all(e.denominator == 1 for e in scaled)
    assert stack.magnitude == max(stack.denominator, *(abs(e) for e in scaled))


# ------------------------------------------------------------------- stacks as polynomials


@given(stacks(), st.data())
@settings(max_examples=30, deadline=None)
def test_polynomials_have_the_stacks_values_and_its_degree(
    stack: P.BaseConvStack, data: st.DataObject
) -> None:
    prompt = variables(stack.seq_len, stack.width)
    polynomials = P.stack_polynomials(stack, prompt)
    point = {symbol: data.draw(RATIONALS) for symbol in prompt.flat}
    outputs = run_by_loops(stack, [[point[s] for s in row] for row in prompt])
    for i, c in np.ndindex(prompt.shape):
        assert value(polynomials[i, c], point) == outputs[i][c]
        assert polynomials[i, c].total_degree() <= 2 ** len(stack.layers)
        later = set(prompt[i + 1 :].flat)  # causal: nothing after position i
        assert not later & polynomials[i, c].as_expr().free_symbols


@given(stacks())
@settings(max_examples=20, deadline=None)
def test_multilinear_form_is_interpolation_on_the_cube(stack: P.BaseConvStack) -> None:
    prompt = variables(stack.seq_len, stack.width)
    reduced = P.stack_polynomials(stack, prompt, multilinear=True)[-1, 0]
    full = P.stack_polynomials(stack, prompt)[-1, 0]
    values = np.empty((2,) * prompt.size, dtype=object)
    for bits in product((0, 1), repeat=prompt.size):
        values[bits] = run_by_loops(stack, np.reshape(bits, prompt.shape).tolist())[-1][0]
    coefficients = P.multilinear_coefficients(values)
    terms = {tuple(map(int, e)): coefficients[tuple(e)] for e in np.argwhere(coefficients)}
    assert {e: Fraction(int(c.p), int(c.q)) for e, c in reduced.as_dict().items() if c} == terms
    assert reduced == P.multilinear_part(full)
    assert P.boolean_degree(values) == max((sum(e) for e in terms), default=0)


def test_numbers_and_symbols_mix_and_symbols_repeat() -> None:
    x = sympy.Symbol("x")
    polynomial = P.stack_polynomials(P.product_stack(2), [[x], [Fraction(1, 2)], [6], [x]])[-1, 0]
    assert polynomial == sympy.Poly(3 * x**2, x, domain="QQ")


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_product_stack_attains_the_degree(layers: int) -> None:
    stack = P.product_stack(layers)
    u = np.arange(2, 2 + 2**layers)[:, None]
    assert stack(u)[-1, 0] == int(np.prod(u.astype(object)))
    polynomial = P.stack_polynomials(stack, variables(2**layers, 1))[-1, 0]
    assert polynomial.total_degree() == stack.degree_bound == 2**layers
    assert P.multilinear_part(polynomial) == polynomial


@given(st.integers(1, 10**6))
def test_layers_for_degree_is_the_least_power_of_two(degree: int) -> None:
    layers = P.layers_for_degree(degree)
    assert 2**layers >= degree
    assert layers == 0 or 2 ** (layers - 1) < degree


# ----------------------------------------------------------------------------- degrees


@given(st.integers(1, 5), st.data())
@settings(deadline=None)
def test_moebius_inversion_is_undone_by_summing_over_subsets(n: int, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(RATIONALS, min_size=2**n, max_size=2**n)), dtype=object)
    values = values.reshape((2,) * n)
    before = values.copy()
    coefficients = P.multilinear_coefficients(values)
    assert (values == before).all()  # the argument is left alone
    for bits in product((0, 1), repeat=n):
        below = product(*(range(b + 1) for b in bits))
        assert sum(coefficients[subset] for subset in below) == values[bits]


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_least_degree_on_the_whole_cube_is_the_interpolants(n: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-2, 2), min_size=2**n, max_size=2**n))
    points = list(product((0, 1), repeat=n))
    degree = P.boolean_degree(np.reshape(np.array(values, dtype=object), (2,) * n))
    assert P.least_degree(points, values) == degree


@given(st.integers(1, 4), st.data())
@settings(max_examples=60, deadline=None)
def test_certificate_or_polynomial_on_any_part_of_the_cube(n: int, data: st.DataObject) -> None:
    cube = list(product((0, 1), repeat=n))
    points = data.draw(st.lists(st.sampled_from(cube), min_size=1, unique=True))
    values = data.draw(st.lists(st.integers(-2, 2), min_size=len(points), max_size=len(points)))
    degree = data.draw(st.integers(0, n))
    weights = P.degree_certificate(points, values, degree)
    # Least squares in floating point, the other way round: is there such a polynomial?
    columns = [
        [float(all(point[i] for i in subset)) for point in points]
        for size in range(degree + 1)
        for subset in combinations(range(n), size)
    ]
    matrix, wanted = np.array(columns).T, np.array(values, dtype=float)
    residual = wanted - matrix @ np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    assert (weights is None) == (np.abs(residual).max() < 1e-9)
    if weights is not None:
        assert P.certifies(weights, points, values, degree)
        assert not P.certifies(weights, points, values, n)


# ---------------------------------------------------------------------------- equality


def test_encodings() -> None:
    assert [P.binary_encoding(e, 2) for e in range(4)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert P.p_hot_encoding(7, 3, 2) == (0, 1, 0, 1, 0, 1)
    for digits, base in [(1, 5), (2, 3), (3, 2), (2, 1)]:
        rows = [P.p_hot_encoding(e, digits, base) for e in range(base**digits)]
        assert len(set(rows)) == base**digits
        blocks = np.reshape(rows, (-1, digits, base))
        assert (blocks.sum(axis=2) == 1).all()
        place_values = base ** np.arange(digits)[::-1]
        assert (blocks.argmax(axis=2) @ place_values == np.arange(base**digits)).all()


@pytest.mark.parametrize("width", [1, 2, 3])
def test_binary_equality_is_equality(width: int) -> None:
    polynomial = P.binary_equality(width)
    stack = P.binary_equality_stack(width)
    assert polynomial.total_degree() == 2 * width
    assert len(stack.layers) == P.layers_for_degree(2 * width)
    for x, y in product(product((0, 1), repeat=width), repeat=2):
        assert polynomial(*x, *y) == (x == y)
        assert stack([x, y])[1, 0] == (x == y)


@pytest.mark.parametrize("width", [5, 6, 7, 8])
def test_binary_equality_stack_for_longer_strings(width: int) -> None:
    stack = P.binary_equality_stack(width)
    assert len(stack.layers) == 4
    rng = np.random.default_rng(width)
    for x in rng.integers(0, 2, (8, width)):
        assert stack([x, x])[1, 0] == 1
        for place in range(width):
            y = x.copy()
            y[place] ^= 1
            assert stack([x, y])[1, 0] == 0


@pytest.mark.parametrize(("digits", "base"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2)])
def test_p_hot_equality_is_equality(digits: int, base: int) -> None:
    polynomial = P.p_hot_equality(digits, base)
    stack = P.p_hot_equality_stack(digits, base)
    assert polynomial.total_degree() == 2 * digits
    assert len(polynomial.terms()) == base**digits
    assert len(stack.layers) == P.layers_for_degree(2 * digits)
    rows = [P.p_hot_encoding(e, digits, base) for e in range(base**digits)]
    for (i, x), (j, y) in product(enumerate(rows), repeat=2):
        assert polynomial(*x, *y) == (i == j)
        assert stack([x, y])[1, :base].sum() == (i == j)


@pytest.mark.parametrize(
    ("digits", "base", "degree"),
    # One symbol a digit leaves one element: EQ is constant, and degree 2p is not needed.
    [(1, 1, 0), (2, 1, 0), (1, 2, 2), (1, 4, 2), (2, 2, 4), (3, 2, 6)],
)
def test_least_degree_of_p_hot_equality(digits: int, base: int, degree: int) -> None:
    rows = [P.p_hot_encoding(e, digits, base) for e in range(base**digits)]
    assert P.least_degree(*P.equality_on_pairs(rows)) == degree


@pytest.mark.parametrize(("digits", "base"), [(1, 2), (1, 5), (2, 2), (2, 4), (3, 2)])
def test_equality_certificate(digits: int, base: int) -> None:
    rows = [P.p_hot_encoding(e, digits, base) for e in range(base**digits)]
    points, values = P.equality_on_pairs(rows)
    weights = P.equality_certificate(digits, base)
    assert P.certifies(weights, points, values, 2 * digits - 1)
    assert not P.certifies(weights, points, values, 2 * digits)
    assert np.array(weights) @ values == 2**digits
    assert not P.certifies(0 * values, points, values, 0)
    # Any other weighting of one pair spoils it: the check looks at every monomial.
    spoilt = np.array(weights)
    spoilt[0] += 1
    assert not P.certifies(spoilt, points, values, 0)


# --------------------------------------------------------------------------- the protocol


@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 2), st.integers(1, 3), st.data())
@settings(max_examples=25, deadline=None)
def test_bob_finds_what_the_model_answers(
    pairs: int, width: int, layers: int, passes: int, data: st.DataObject
) -> None:
    context = data.draw(
        st.lists(st.tuples(*[st.integers(0, 1)] * width), min_size=2 * pairs, max_size=2 * pairs)
    )
    seq_len = passes * (2 * pairs + 1)
    stack = P.random_stack(seq_len, width, layers, seed=data.draw(st.integers(0, 10**6)))
    channel = data.draw(st.integers(0, width - 1))
    message = P.send_coefficients(stack, context, channel=channel, passes=passes)
    assert message.numbers == len(list(P.query_monomials(width, 2**layers)))
    assert 0 <= message.payload < 2**message.bits
    assert message.bits == P.message_bits(seq_len, width, layers, stack.magnitude)
    for query in product((0, 1), repeat=width):
        prompt = [*context, query] * passes
        assert P.evaluate_message(message, query) == run_by_loops(stack, prompt)[-1][channel]


def test_degree_limits_the_message() -> None:
    stack = P.random_stack(3, 4, 1, seed=1)
    message = P.send_coefficients(stack, np.eye(2, 4, dtype=int), passes=1)
    assert message.numbers == 1 + 4 + 6  # degree 2 in 4 query bits
    for query in product((0, 1), repeat=4):
        prompt = [[1, 0, 0, 0], [0, 1, 0, 0], query]
        assert P.evaluate_message(message, query) == run_by_loops(stack, prompt)[-1][0]


@given(stacks(max_len=4, max_width=3))
@settings(max_examples=40, deadline=None)
def test_coefficient_bits_hold_every_numerator(stack: P.BaseConvStack) -> None:
    polynomials = P.stack_polynomials(
        stack, variables(stack.seq_len, stack.width), multilinear=True
    )
    denominator = stack.denominator ** (2 * (2 ** len(stack.layers) - 1))
    bits = P.coefficient_bits(stack.seq_len, stack.width, len(stack.layers), stack.magnitude)
    for polynomial in polynomials.flat:
        numerators = [c * denominator for c in polynomial.coeffs()]
        assert all(c.q == 1 for c in numerators)
        assert sum(abs(c) for c in numerators) < 2 ** (bits - 1)


@pytest.mark.parametrize("pairs", [1, 2, 3, 4])
def test_index_is_answered_from_the_message(pairs: int) -> None:
    stack = P.index_recall_stack(pairs)
    keys = np.eye(pairs, dtype=int)
    for bits in product((0, 1), repeat=pairs):
        context = P.recall_context(keys, [[bit] * pairs for bit in bits])
        message = P.send_coefficients(stack, context)
        assert message.bits >= pairs
        assert tuple(P.evaluate_message(message, key) for key in keys) == bits
        outputs = [stack(P.repeated_prompt(context, key))[-1] for key in keys]
        assert [set(o) for o in outputs] == [{bit} for bit in bits]


@given(st.integers(1, 2**40), st.integers(0, 60), st.integers(1, 64), st.integers(1, 3))
def test_layers_needed_is_the_least_that_could_carry_index(
    pairs: int, extra: int, parameter_bits: int, passes: int
) -> None:
    width = max(1, (pairs - 1).bit_length()) + extra
    layers = P.recall_layers_needed(pairs, width, parameter_bits, passes=passes)
    seq_len = passes * (2 * pairs + 1)
    magnitude = 2**parameter_bits
    assert P.message_bits(seq_len, width, layers, magnitude) >= pairs
    assert layers == 1 or P.message_bits(seq_len, width, layers - 1, magnitude) < pairs
    assert 1 <= layers <= max(1, P.layers_for_degree(width))
    fewer = P.recall_layers_needed(
        pairs, width, parameter_bits, passes=passes, index_bits=(pairs + 1) // 2
    )
    assert fewer <= layers


def test_layers_needed_grow_with_the_pairs_and_fall_with_the_width() -> None:
    needed = [P.recall_layers_needed(2**t, t, t) for t in (4, 16, 64, 256, 1024)]
    assert needed == sorted(set(needed))
    by_width = [P.recall_layers_needed(2**256, 2**w, 256) for w in (8, 16, 32, 64)]
    assert by_width == sorted(set(by_width), reverse=True)


# ----------------------------------------------------------------------------- refusals

ONE = [[1]]
LAYER = P.BaseConv(ONE, ONE, ONE, ONE)
STACK = P.BaseConvStack((LAYER,))
SQUARE = [[0, 0], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: P.BaseConv([[0.5]], ONE, ONE, ONE), "weight holds 0.5"),
        (lambda: P.BaseConv([1], ONE, ONE, ONE), r"weight has shape \(1,\)"),
        (lambda: P.BaseConv([[]], ONE, ONE, ONE), "weight has shape"),
        (lambda: P.BaseConv([[1, 1]], ONE, ONE, ONE), r"weight has shape \(1, 2\)"),
        (lambda: P.BaseConv(ONE, [[1], [1]], ONE, ONE), "bias_1 has shape"),
        (lambda: P.BaseConv(ONE, ONE, ONE, [[1, 1]]), "bias_2 has shape"),
        (lambda: LAYER([[1], [1]]), "u has shape"),
        (lambda: STACK([[1.0]]), "u holds 1.0"),
        (lambda: STACK([[1, 1]]), "u has shape"),
        (lambda: P.BaseConvStack(()), r"layers have shapes \[\]"),
        (lambda: P.BaseConvStack((LAYER, P.product_stack(1).layers[0])), "layers have shapes"),
        (lambda: P.random_stack(0, 1, 1, seed=0), "seq_len = 0"),
        (lambda: P.random_stack(1, 1, 0, seed=0), "layers = 0"),
        (lambda: P.random_stack(1, 1, 1, seed=0, denominator=0), "denominator = 0"),
        (lambda: P.stack_polynomials(STACK, ONE), "inputs has no symbol"),
        (lambda: P.stack_polynomials(STACK, [[sympy.Symbol("x")] * 2]), "inputs has shape"),
        (
            lambda: P.stack_polynomials(P.product_stack(1), [[sympy.Symbol("x")], [0.5]]),
            "inputs holds 0.5",
        ),
        (lambda: P.product_stack(0), "layers = 0"),
        (lambda: P.layers_for_degree(0), "degree = 0"),
        (lambda: P.multilinear_coefficients(3), r"values has shape \(\)"),
        (lambda: P.multilinear_coefficients([1, 2, 3]), r"values has shape \(3,\)"),
        (lambda: P.boolean_degree([0.5, 1]), "values holds 0.5"),
        (lambda: P.degree_certificate(SQUARE, [0, 1, 1, 0], -1), "degree = -1"),
        (lambda: P.degree_certificate(SQUARE, [0, 1, 1], 1), "values has shape"),
        (lambda: P.degree_certificate([[2]], [0], 1), "points holds"),
        (lambda: P.degree_certificate(SQUARE, [0, 0.5, 1, 0], 1), "values holds"),
        (lambda: P.certifies([1, 0.5, 1, 1], SQUARE, [0, 1, 1, 0], 1), "weights holds"),
        (lambda: P.least_degree([[1], [1]], [0, 1]), "points has a row twice"),
        (lambda: P.certifies([1], SQUARE, [0, 1, 1, 0], 1), "weights has shape"),
        (lambda: P.certifies([1] * 4, SQUARE, [0, 1, 1, 0], -1), "degree = -1"),
        (lambda: P.binary_encoding(4, 2), "element = 4"),
        (lambda: P.binary_encoding(0, 0), "width = 0"),
        (lambda: P.p_hot_encoding(-1, 1, 2), "element = -1"),
        (lambda: P.p_hot_encoding(0, 1, 0), "base = 0"),
        (lambda: P.equality_on_pairs([[1], [1]]), "encodings has a row twice"),
        (lambda: P.equality_on_pairs([1, 0]), "encodings has shape"),
        (lambda: P.binary_equality(0), "width = 0"),
        (lambda: P.p_hot_equality(0, 2), "digits = 0"),
        (lambda: P.equality_certificate(1, 1), "base = 1"),
        (lambda: P.equality_certificate(0, 2), "digits = 0"),
        (lambda: P.binary_equality_stack(0), "width = 0"),
        (lambda: P.p_hot_equality_stack(1, 0), "base = 0"),
        (lambda: P.recall_context([[1], [1]], [[1], [0]]), "keys has a row twice"),
        (lambda: P.recall_context([[1], [0]], [[1]]), "values has shape"),
        (lambda: P.recall_context([[2]], [[1]]), "keys holds"),
        (lambda: P.repeated_prompt([[1, 0]], [1]), "query has shape"),
        (lambda: P.repeated_prompt([[1]], [1], 0), "passes = 0"),
        (lambda: P.send_coefficients(P.product_stack(1), [[1]]), "context has shape"),
        (lambda: P.send_coefficients(P.product_stack(1), [[1, 0]], passes=1), "context has shape"),
        (lambda: P.send_coefficients(STACK, [[3]], passes=1), "context holds"),
        (lambda: P.send_coefficients(P.product_stack(2), [[1]], channel=1), "channel = 1"),
        (
            lambda: P.evaluate_message(P.CoefficientMessage(2, 1, 1, 3, 0), [1]),
            r"query has shape \(1,\)",
        ),
        (
            lambda: P.evaluate_message(P.CoefficientMessage(1, 1, 1, 3, 0), [2]),
            "query holds",
        ),
        (lambda: P.index_recall_stack(0), "pairs = 0"),
        (lambda: P.coefficient_bits(1, 1, 0, 1), "layers = 0"),
        (lambda: P.recall_layers_needed(0, 1, 1), "pairs = 0"),
        (lambda: P.recall_layers_needed(5, 2, 1), "pairs = 5, width = 2"),
        (lambda: P.recall_layers_needed(4, 2, 1, index_bits=5), "index_bits = 5"),
        (lambda: P.recall_layers_needed(4, 2, 1, index_bits=0), "index_bits = 0"),
    ],
)
def test_invalid_input_is_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
