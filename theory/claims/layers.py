"""Claims about stacks of gated convolutions as polynomials (Appendix G.1 to G.11)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import comb, prod

import numpy as np
import numpy.typing as npt
import sympy

from ..checks import Exact
from ..layers.approximation import (
    BestApproximation,
    approximate_degree,
    best_approximation,
)
from ..layers.base_conv import BaseConvStack, random_stack
from ..layers.codes import binary_code, p_hot_code
from ..layers.degrees import (
    boolean_degree,
    certifies,
    layers_for_degree,
    least_degree,
    monomials,
    multilinear_coefficients,
)
from ..layers.equality import (
    binary_equality,
    binary_equality_stack,
    equality_certificate,
    equality_on_pairs,
    p_hot_equality,
    p_hot_equality_stack,
    sign_equality_stack,
)
from ..layers.index import (
    evaluate_message,
    index_recall_stack,
    message_bits,
    recall_context,
    recall_layers,
    repeated_prompt,
    send_coefficients,
)
from ..layers.polynomials import multilinear_part, product_stack, stack_polynomials
from .claim import Claim, Evidence, require

# ------------------------------------------------------------------------------------- G.1

STACK_SIZES = ((1, 1, 4), (2, 2, 1), (4, 1, 2), (3, 2, 2), (2, 1, 3), (1, 2, 3))
"""(N, d, L) of the random stacks; N is even where the prompt can be one that is read twice."""


def check_degree_bound() -> Evidence:
    """Degree ≤ 2^L on random stacks, once and twice read, and = 2^L on the product stacks."""
    instances = 0
    for seq_len, width, layers in STACK_SIZES:
        fresh = _symbols(seq_len, width)
        prompts = [fresh]
        if seq_len % 2 == 0:
            prompts.append(np.tile(_symbols(seq_len // 2, width), (2, 1)))
        for seed, prompt in product(range(3), prompts):
            stack = random_stack(seq_len, width, layers, seed=seed)
            _require_polynomials_are_the_stack(stack, prompt, seed)
            instances += 1
    for layers in range(1, 5):
        stack = product_stack(layers)
        polynomial = stack_polynomials(stack, _symbols(stack.seq_len, 1))[-1, 0]
        for form, name in ((polynomial, "polynomial"), (multilinear_part(polynomial), "function")):
            require(
                form.total_degree() == 2**layers,
                f"product stack, L = {layers}: the {name} has degree {form.total_degree()}",
            )
        instances += 1
    return Evidence(instances, f"random stacks (N, d, L) in {STACK_SIZES}, product stacks L ≤ 4")


def _require_polynomials_are_the_stack(stack: BaseConvStack, prompt: Exact, seed: int) -> None:
    polynomials = stack_polynomials(stack, prompt)
    rng = np.random.default_rng(seed)
    symbols = polynomials[0, 0].gens
    point = [Fraction(int(rng.integers(-9, 10)), int(rng.integers(1, 5))) for _ in symbols]
    values = dict(zip(symbols, point, strict=True))
    outputs = stack([[values[symbol] for symbol in row] for row in prompt])
    for place in np.ndindex(outputs.shape):
        polynomial = polynomials[place]
        where = f"{prompt.shape} prompt in {len(symbols)} variables, seed {seed}, output {place}"
        require(
            polynomial.total_degree() <= stack.degree_bound,
            f"{where}: degree {polynomial.total_degree()} > {stack.degree_bound}",
        )
        require(
            _evaluate(polynomial, point) == outputs[place],
            f"{where}: the polynomial's value at {point} is not the stack's {outputs[place]}",
        )


# ------------------------------------------------------------------------------------- G.6

PROTOCOL_SIZES = ((1, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2), (3, 3, 1), (3, 3, 2))
"""(m, d, L) of the random stacks that are run as a protocol."""

LOG_PAIRS = (16, 256, 4096, 65536)
"""log₂ m in the bound on layers: powers of 16, whose fourth roots are whole."""


def check_index_protocol() -> Evidence:
    """Bob's value is the model's, and INDEX is answered."""
    return Evidence(
        _check_protocol_on_random_stacks() + _check_protocol_answers_index(),
        f"all queries on random stacks (m, d, L) in {PROTOCOL_SIZES}; INDEX for m ≤ 4",
    )


def _check_protocol_on_random_stacks() -> int:
    instances = 0
    for (pairs, width, layers), passes in product(PROTOCOL_SIZES, (1, 2)):
        rng = np.random.default_rng(pairs)
        seq_len = passes * (2 * pairs + 1)
        stack = random_stack(seq_len, width, layers, seed=pairs + layers)
        context = rng.integers(0, 2, (2 * pairs, width))
        message = send_coefficients(stack, context, channel=width - 1, passes=passes)
        where = f"m = {pairs}, d = {width}, L = {layers}, p = {passes}"
        require(
            message.bits == message_bits(seq_len, width, layers, stack.magnitude),
            f"{where}: the message has {message.bits} bits, not those of the formula",
        )
        for query in product((0, 1), repeat=width):
            output = stack(repeated_prompt(context, query, passes))[-1, width - 1]
            require(
                evaluate_message(message, query) == output,
                f"{where}, query {query}: Bob finds {evaluate_message(message, query)}, "
                f"the model {output}",
            )
            instances += 1
    return instances


def _check_protocol_answers_index() -> int:
    instances = 0
    for pairs in range(1, 5):
        stack = index_recall_stack(pairs)
        keys = np.eye(pairs, dtype=np.int64)
        payloads = set()
        for bits in product((0, 1), repeat=pairs):
            context = recall_context(keys, np.repeat(np.array(bits)[:, None], pairs, axis=1))
            message = send_coefficients(stack, context)
            payloads.add(message.payload)
            for index in range(pairs):
                answer = evaluate_message(message, keys[index])
                require(answer == bits[index], f"x = {bits}, i = {index}: answer {answer}")
                instances += 1
        require(len(payloads) == 2**pairs, f"m = {pairs}: only {len(payloads)} messages")
        require(message.bits >= pairs, f"m = {pairs}: answered with {message.bits} bits")
    return instances


def check_layers_grow() -> Evidence:
    """L ≥ ε log log m - 2 for d = 2^{(log m)^{1-ε}}, and for d = log m, where ε is as good as 1."""
    instances = 0
    for log_pairs in LOG_PAIRS:
        log_log = log_pairs.bit_length() - 1
        widths = {Fraction(1): log_pairs}
        for quarters in (2, 3):  # 1 - ε in quarters
            widths[1 - Fraction(quarters, 4)] = 2**2 ** (log_log * quarters // 4)
        for epsilon, width in widths.items():
            layers = recall_layers(2**log_pairs, width, parameter_bits=log_pairs)
            require(
                layers >= epsilon * log_log - 2,
                f"log m = {log_pairs}, ε = {epsilon}: {layers} layers could carry INDEX, "
                f"fewer than ε log log m - 2 = {epsilon * log_log - 2}",
            )
            instances += 1
    return Evidence(instances, f"log₂ m in {LOG_PAIRS}, d = 2^{{(log m)^{{1-ε}}}}, ε = 1/2, 3/4, 1")


# ------------------------------------------------------------------------------------- G.7


def check_binary_equality() -> Evidence:
    """EQ of d-bit strings: degree 2d by interpolation, and a stack of ⌈log₂ 2d⌉ layers."""
    for width in range(1, 8):
        values = _binary_equality_values(width)
        degree = boolean_degree(values)
        require(degree == 2 * width, f"d = {width}: EQ has degree {degree}, not {2 * width}")
        stack = binary_equality_stack(width)
        require(
            len(stack.layers) == layers_for_degree(degree),
            f"d = {width}: {len(stack.layers)} layers for degree {degree}",
        )
        if width > 5:
            continue
        polynomial = binary_equality(width)
        coefficients = multilinear_coefficients(values)
        terms = {tuple(map(int, e)): int(coefficients[tuple(e)]) for e in np.argwhere(coefficients)}
        require(terms == polynomial.as_dict(), f"d = {width}: the product is not EQ's polynomial")
        computed = stack_polynomials(stack, _pair_symbols(width), multilinear=True)[1, 0]
        require(computed == polynomial, f"d = {width}: the stack computes {computed.as_expr()}")
    return Evidence(7, "all pairs of strings of d ≤ 7 bits; the polynomials for d ≤ 5")


def check_value_raises_degree() -> Evidence:
    """The answer v · EQ(k, q), the value's bit a variable too, has degree 2d + 1."""
    for width, null in product(range(1, 7), (0, 1, 2)):
        equal = _binary_equality_values(width)
        answers = [null * (1 - equal) + bit * equal for bit in (0, 1)]
        degree = boolean_degree(answers)
        require(
            degree == 2 * width + 1,
            f"d = {width}, Null = {null}: the answer's bit has degree {degree}",
        )
    return Evidence(18, "all keys, queries and value bits for d ≤ 6; Null 0, 1 or 2")


# ------------------------------------------------------------------------------------- G.11

ELIMINATED = ((1, 2), (1, 3), (1, 4), (1, 5), (2, 2), (2, 3), (3, 2))
"""(p, m) where the least degree is found by linear algebra over all pairs of encodings."""

CERTIFIED = ((1, 9), (2, 4), (3, 3), (4, 2))
"""(p, m) where our certificate is checked against every monomial of degree 2p - 1."""

COMPUTED = ((1, 3), (2, 2), (2, 3), (3, 2), (4, 2), (5, 2))
"""(p, m) where a stack's polynomial is compared with EQ's."""


def check_p_hot_equality() -> Evidence:
    """MQAR solves EQ; p-hot EQ has degree 2p and no less, and a stack of ⌈log₂ 2p⌉ layers."""
    for key, query in product(range(6), repeat=2):
        found = _recall([(key, key)], query) is not None
        require(found == (key == query), f"recall of {query} from {key} finds: {found}")
    for digits, base in ELIMINATED:
        points, values = _p_hot_pairs(digits, base)
        degree = least_degree(points, values)
        require(degree == 2 * digits, f"p = {digits}, m = {base}: EQ has degree {degree}")
    for digits, base in CERTIFIED:
        points, values = _p_hot_pairs(digits, base)
        weights = equality_certificate(digits, base)
        require(
            certifies(weights, points, values, 2 * digits - 1),
            f"p = {digits}, m = {base}: the certificate against degree {2 * digits - 1} fails",
        )
    for digits, base in COMPUTED:
        _require_stack_computes_p_hot_equality(digits, base)
    return Evidence(
        36 + len(ELIMINATED) + len(CERTIFIED) + len(COMPUTED),
        f"(p, m) in {ELIMINATED} by elimination, {CERTIFIED} by certificate, {COMPUTED} computed",
    )


def _require_stack_computes_p_hot_equality(digits: int, base: int) -> None:
    stack = p_hot_equality_stack(digits, base)
    wanted = p_hot_equality(digits, base)
    where = f"p = {digits}, m = {base}"
    require(wanted.total_degree() == 2 * digits, f"{where}: degree {wanted.total_degree()}")
    require(
        len(stack.layers) == layers_for_degree(2 * digits),
        f"{where}: {len(stack.layers)} layers for degree {2 * digits}",
    )
    channels = stack_polynomials(stack, _pair_symbols(digits * base))[1, :base]
    require(sum(channels[1:], channels[0]) == wanted, f"{where}: the stack computes another one")


# ------------------------------------------------------------------- outputs that are not exact


def check_within() -> Evidence:
    """EQ's approximate degree is twice AND's, by a witness and a polynomial on all pairs."""
    instances = 0
    for width in range(1, 5):
        points = np.array(list(product((0, 1), repeat=2 * width)))
        agreeing = (points[:, :width] == points[:, width:]).sum(axis=1)
        for degree in range(width):
            best = best_approximation(width, degree)
            where = f"d = {width}, k = {degree}"
            values = np.array(best.values, dtype=object)[agreeing]
            reached = boolean_degree(values.reshape((2,) * (2 * width)))
            require(reached <= 2 * degree, f"{where}: degree {reached} in the pair")
            error = max(
                abs(value - (x == width)) for value, x in zip(values, agreeing, strict=True)
            )
            require(error == best.error, f"{where}: error {error}, not {best.error}")
            witness = _witness(best)
            weights = np.array([witness[x] for x in agreeing], dtype=object)
            for monomial in monomials(2 * width, 2 * degree + 1):
                total = weights[points[:, monomial].all(axis=1)].sum()
                require(total == 0, f"{where}: the witness sums to {total} on {monomial}")
            shown = weights[agreeing == width].sum() / abs(weights).sum()
            require(abs(shown) == best.error, f"{where}: the witness shows {shown}")
            instances += 1
    return Evidence(instances, "all pairs of strings of d ≤ 4 bits, all degrees of AND below d")


def _witness(best: BestApproximation) -> dict[int, Fraction]:
    """Weights by the number of equal bits that polynomials of degree k sum to zero."""
    weights = {}
    for x in range(best.width + 1):
        others = prod(x - y for y in best.points if y != x)
        weights[x] = Fraction(int(x in best.points), others * comb(best.width, x))
    return weights


def check_growth_within() -> Evidence:
    """Between √(d / 6) and √d · 3/2, so that half of log₂ d layers remain."""
    degrees = {}
    for width in (1, 2, 4, 8, 16, 32, 64, 128):
        degree = degrees[width] = approximate_degree(width, Fraction(1, 3))
        within = width <= 6 * degree**2 and 4 * degree**2 <= 9 * width
        require(within or width == 1, f"d = {width}: degree {degree}")
    return Evidence(len(degrees), f"ε = 1/3, degrees {degrees}")


def check_by_sign() -> Evidence:
    """One layer and the sign of a sum, on all pairs."""
    instances = 0
    for width in range(1, 6):
        stack = sign_equality_stack(width)
        require(stack.degree_bound == 2, f"d = {width}: degree {stack.degree_bound}")
        for pair in product(product((0, 1), repeat=width), repeat=2):
            logit = sum(stack(pair)[1]) - width + Fraction(1, 2)
            right = (logit > 0) == (pair[0] == pair[1])
            require(right, f"d = {width}: {logit} for {pair}")
            instances += 1
    return Evidence(instances, "all pairs of strings of d ≤ 5 bits")


# ------------------------------------------------------------------------ parts of the above


def _recall(pairs: Sequence[tuple[int, int]], query: int) -> int | None:
    """Multi-query associative recall, one query: the value of its key, or None for Null."""
    return dict(pairs).get(query)


def _symbols(rows: int, columns: int) -> Exact:
    symbols = np.array(sympy.symbols(f"u:{rows * columns}"), dtype=object)
    return symbols.reshape(rows, columns)


def _pair_symbols(width: int) -> list[tuple[sympy.Symbol, ...]]:
    return [sympy.symbols(f"x:{width}"), sympy.symbols(f"y:{width}")]


def _evaluate(polynomial: sympy.Poly, point: Sequence[Fraction]) -> Fraction:
    """Term by term, apart from sympy's own evaluation."""
    total = Fraction(0)
    for exponents, coefficient in polynomial.as_dict().items():
        term = Fraction(int(coefficient.p), int(coefficient.q))
        for base, exponent in zip(point, exponents, strict=True):
            term *= base**exponent
        total += term
    return total


def _binary_equality_values(width: int) -> Exact:
    points, values = equality_on_pairs(binary_code(range(2**width), width))
    cube: Exact = np.empty((2,) * (2 * width), dtype=object)
    cube[tuple(points.T)] = values
    return cube


def _p_hot_pairs(digits: int, base: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return equality_on_pairs(p_hot_code(range(base**digits), digits, base))


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.1",
        "L BaseConv layers compute polynomials of degree at most 2^L, and some have degree 2^L.",
        check_degree_bound,
        hypotheses="weights that do not depend on the input; no other nonlinearity",
        strength="sample",
    ),
    Claim(
        "G.6",
        "A stack on the JRT prompt is a one-way INDEX protocol that sends the coefficients of a "
        "degree-2^L polynomial.",
        check_index_protocol,
        hypotheses="weights as above, rational with a common denominator; bits as inputs",
        strength="construction",
    ),
    Claim(
        "G.6, layers",
        "So recall needs ε log log m - 2 layers, m pairs.",
        check_layers_grow,
        hypotheses="log₂ d ≤ (log₂ m)^{1-ε}, log₂ m bits a parameter; a bounded error is allowed",
        strength="formula",
    ),
    Claim(
        "G.7",
        "EQ of d-bit strings has degree 2d, so recall needs ⌈log₂ 2d⌉ layers; for EQ so many do.",
        check_binary_equality,
        hypotheses="weights as above; outputs exact, not read by a threshold or argmax",
        strength="exhaustive",
    ),
    Claim(
        "G.7, within ε",
        "EQ has an ε-approximate degree of twice AND's, so that recall needs ⌈log₂ 2k⌉ layers, k "
        "that of AND of d bits; in p-hot encoding, of p bits.",
        check_within,
        hypotheses="weights as above; outputs within ε < 1/2 of EQ's on all pairs",
        strength="exhaustive",
    ),
    Claim(
        "G.7, growth within ε",
        "AND of d bits has approximate degree Θ(√d), so that ½ log₂ d + O(1) layers are needed "
        "(Nisan and Szegedy 1994).",
        check_growth_within,
        hypotheses="ε = 1/3; powers of 2 up to 128",
        strength="formula",
    ),
    Claim(
        "G.7, by sign",
        "One layer decides EQ, by the sign of ½ - Σ (x_i - y_i)²: a model that is read by its "
        "larger logit needs no more, whatever d.",
        check_by_sign,
        hypotheses="a linear readout with a threshold or argmax",
        strength="construction",
    ),
    Claim(
        "value-degree",
        "With the value's bit an input as well, recall has degree 2d + 1: ⌈log₂(2d + 1)⌉ layers.",
        check_value_raises_degree,
        hypotheses="as G.7",
        strength="exhaustive",
    ),
    Claim(
        "G.8/G.11",
        "Recall solves EQ, whose least degree in p-hot encoding is 2p: ⌈log₂ 2p⌉ layers, and so "
        "many do with a linear readout.",
        check_p_hot_equality,
        hypotheses="as G.7; base ≥ 2",
        strength="exhaustive",
    ),
)
