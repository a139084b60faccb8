"""INDEX and the layers that associative recall takes: a stack as a one-way protocol (Theorem G.6).

Alice knows the key–value pairs, Bob the query. With the pairs fixed, what L layers compute is a
polynomial of degree at most 2^L in Bob's query bits, so that its coefficients are a message from
which he answers. INDEX bounds the length of that message, and so L, from below (`recall_layers`).

Source: Just read twice (arXiv:2407.05483), Theorem G.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import sympy

from ..checks import (
    Exact,
    require_at_least,
    require_between,
    require_shape,
    with_python_integers,
    zero_one_rows,
)
from ..counting import ceil_log2, subsets_up_to
from ..one_pass.with_error import binary_entropy
from .base_conv import BaseConv, BaseConvStack
from .degrees import monomials
from .polynomials import stack_polynomials


@dataclass(frozen=True)
class CoefficientMessage:
    """What Alice sends: the coefficients of one output in Bob's query bits, as a bit string.

    Bob knows the stack, hence everything but the payload.

    Attributes:
        width: d, Bob's query bits.
        degree: no monomial of more query bits is sent.
        denominator: common to all coefficients.
        coefficient_bits: bits a coefficient's numerator takes (two's complement).
        payload: the numerators, in the order of `monomials`, the first in the lowest bits.
    """

    width: int
    degree: int
    denominator: int
    coefficient_bits: int
    payload: int

    @property
    def numbers(self) -> int:
        """How many coefficients are sent, Σ_{k ≤ degree} C(d, k)."""
        return subsets_up_to(self.width, self.degree)

    @property
    def bits(self) -> int:
        """Bits of the whole message."""
        return self.numbers * self.coefficient_bits


def recall_context(keys: npt.ArrayLike, values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Interleave encoded keys and values, k₁ v₁ k₂ v₂ …: an associative-recall prompt's pairs.

    >>> recall_context([[0, 1], [1, 0]], [[1, 1], [0, 0]]).tolist()
    [[0, 1], [1, 1], [1, 0], [0, 0]]

    Args:
        keys: (m, d), entries 0 or 1, distinct rows.
        values: (m, d), entries 0 or 1.

    Returns:
        (2 m, d).

    Raises:
        ValueError: when the shapes differ, an entry is not 0 or 1, or a key occurs twice.
    """
    first = zero_one_rows("keys", keys)
    second = zero_one_rows("values", values, distinct=False)
    require_shape("values", second, first.shape)
    return np.stack([first, second], axis=1).reshape(-1, first.shape[1])


@with_python_integers
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
    require_at_least(1, passes=passes)
    rows = np.array(context, dtype=object)
    last = np.array(query, dtype=object)
    if rows.ndim != 2 or last.shape != rows.shape[1:]:
        raise ValueError(
            f"query has shape {last.shape}, context {rows.shape}: (d,) and (N - 1, d) are needed"
        )
    return np.tile(np.vstack([rows, last[None]]), (passes, 1))


@with_python_integers
def send_coefficients(
    stack: BaseConvStack, context: npt.ArrayLike, *, channel: int = 0, passes: int = 2
) -> CoefficientMessage:
    """Alice's part: turn the context, which she alone knows, into a message.

    With the context fixed, the stack's last output is a polynomial in the d query bits. It has
    degree ≤ 2^L however often the prompt is repeated, and bits equal their powers, so that its
    multilinear coefficients up to min(2^L, d) say everything about it.

    >>> from .base_conv import random_stack
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
        passes: p ≥ 1, how often the prompt is read.

    Returns:
        The message, its length the same for all contexts.

    Raises:
        ValueError: when the context does not fit the stack, or there is no such channel.

    Source:
        Proof of Theorem G.6.
    """
    rows = zero_one_rows("context", context, distinct=False)
    if (passes * (len(rows) + 1), rows.shape[1]) != (stack.seq_len, stack.width):
        raise ValueError(
            f"context has shape {rows.shape}: read {passes} times with a query, it must fill "
            f"the stack's {stack.seq_len} positions of {stack.width} channels"
        )
    require_between(0, stack.width, open_high=True, channel=channel)
    query = sympy.symbols(f"q:{rows.shape[1]}")
    prompt = repeated_prompt(rows, query, passes)
    polynomial = stack_polynomials(stack, prompt, multilinear=True)[-1, channel]
    degree = min(stack.degree_bound, stack.width)
    denominator = stack.denominator ** (2 * (stack.degree_bound - 1))
    field = coefficient_bits(stack.seq_len, stack.width, len(stack.layers), stack.magnitude)
    terms = polynomial.as_dict()
    payload = 0
    for number, monomial in enumerate(monomials(stack.width, degree)):
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
    bits = zero_one_rows("query", np.array(query)[None])[0]
    require_shape("query", bits, (message.width,))
    field = message.coefficient_bits
    total = 0
    for number, monomial in enumerate(monomials(message.width, message.degree)):
        if all(bits[i] for i in monomial):
            numerator = (message.payload >> (number * field)) % 2**field
            total += numerator - (numerator >> (field - 1)) * 2**field
    return Fraction(total, message.denominator)


@with_python_integers
def index_recall_stack(pairs: int) -> BaseConvStack:
    """Answer associative recall over m given keys in two layers, at the price of width d = m.

    Key i is one-hot; a value is d times its bit. The first layer multiplies query channel i by
    the value of pair i in the last copy of the prompt, which a filter of its own fetches; the
    second adds up the channels. It makes the protocol answer INDEX.

    >>> context = recall_context([[1, 0], [0, 1]], [[0, 0], [1, 1]])
    >>> [int(index_recall_stack(2)(repeated_prompt(context, q))[-1, 0]) for q in ([1, 0], [0, 1])]
    [0, 1]

    Args:
        pairs: m ≥ 1; pair i is the i-th of the context.

    Returns:
        A stack for the JRT prompt, N = 2 (2 m + 1) positions, whose answer is channel 0 (and any
        other) at the last one.

    Raises:
        ValueError: unless pairs ≥ 1.

    Source:
        Ours: INDEX in the proof of Theorem G.6, with the widest encoding.
    """
    require_at_least(1, pairs=pairs)
    seq_len = 2 * (2 * pairs + 1)
    zero = np.zeros((seq_len, pairs), dtype=np.int64)
    fetch = zero.copy()
    for pair in range(pairs):
        fetch[2 * (pairs - pair) - 1, pair] = 1
    match = BaseConv(W=np.eye(pairs, dtype=np.int64), B1=zero, K=fetch, B2=zero)
    add = BaseConv(W=np.full((pairs, pairs), 1), B1=zero, K=zero, B2=zero + 1)
    return BaseConvStack((match, add))


@with_python_integers
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
    require_at_least(1, seq_len=seq_len, width=width, layers=layers, magnitude=magnitude)
    growth = magnitude**2 * (width + 1) * (seq_len + 1)
    return 1 + ((1 << layers) - 1) * growth.bit_length()


@with_python_integers
def message_bits(seq_len: int, width: int, layers: int, magnitude: int) -> int:
    """Bits of Alice's message: Σ_{k ≤ 2^L} C(d, k) coefficients of `coefficient_bits` each.

    >>> message_bits(seq_len=6, width=2, layers=1, magnitude=3)
    36

    Args and errors: as `coefficient_bits`.
    """
    each = coefficient_bits(seq_len, width, layers, magnitude)
    degree = 2 ** min(layers, width.bit_length())  # a degree above d is no more than d
    return subsets_up_to(width, degree) * each


@with_python_integers
def recall_layers(
    pairs: int,
    width: int,
    parameter_bits: int,
    *,
    passes: int = 2,
    error: Fraction = Fraction(0),
) -> int:
    """Least L whose message could carry INDEX: a lower bound on layers for associative recall.

    A stack that recalls any of m values of one bit each answers INDEX on m bits by one message of
    `message_bits`, which takes (1 - H₂(δ)) · m bits if each answer is wrong with chance ≤ δ. So L
    layers are too few if `message_bits` is less. For log₂ d ≤ (log₂ m)^{1-ε} that gives
    L ≥ ε log₂ log₂ m - O(1).

    >>> recall_layers(pairs=2**64, width=64, parameter_bits=64)
    5

    Args:
        pairs: m ≥ 1, pairs of distinct keys; the prompt has 2 m + 1 positions.
        width: d ≥ log₂ m, at least 1, so that m keys of d bits differ.
        parameter_bits: b ≥ 1; each parameter is an integer of absolute value ≤ 2^b over a common
            denominator ≤ 2^b.
        passes: how often the prompt is read; it hardly matters.
        error: δ, 0 ≤ δ < 1/2.

    Returns:
        L, at least 1 and at most max(1, ⌈log₂ d⌉): a polynomial of degree d can be any function.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.6, made explicit.
    """
    require_at_least(1, pairs=pairs, width=width, parameter_bits=parameter_bits, passes=passes)
    require_between(0, Fraction(1, 2), open_high=True, error=error)
    if ceil_log2(pairs) > width:
        raise ValueError(f"pairs = {pairs}, width = {width}: pairs ≤ 2^width is needed")
    needed = int(sympy.ceiling(pairs * (1 - binary_entropy(error))))
    seq_len = passes * (2 * pairs + 1)
    layers = 1
    while message_bits(seq_len, width, layers, 2**parameter_bits) < needed:
        layers += 1
    return layers
