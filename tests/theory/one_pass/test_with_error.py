from fractions import Fraction
from itertools import combinations, permutations, product
from math import log2, perm

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.claims.instances import sizes_up_to
from theory.one_pass.exact import one_pass_bits
from theory.one_pass.with_error import (
    average_recall_bits,
    average_search_bits,
    binary_entropy,
    fano_bits,
    index_bits,
    index_length,
)

HALF = Fraction(1, 2)
TENTH = Fraction(1, 10)
errors = st.fractions(0, Fraction(49, 100), max_denominator=1000)


sizes_of_disjoint_sets = st.tuples(
    st.integers(1, 200), st.integers(1, 200), st.integers(0, 200)
).map(lambda drawn: (sum(drawn), *drawn[:2]))  # (n, a, b)


@given(st.fractions(0, 1, max_denominator=1000))
def test_entropy_is_symmetric_and_below_one(p):
    value = float(binary_entropy(p))
    assert value == pytest.approx(float(binary_entropy(1 - p)), abs=1e-12)
    assert (value == 1) == (p == HALF)
    assert (value == 0) == (p in (0, 1))
    assert 4 * p * (1 - p) - 1e-12 <= value <= 1  # its usual lower bound


def test_entropy_is_exact():
    three_quarters = binary_entropy(Fraction(1, 4)) - (2 - Fraction(3, 4) * sympy.log(3, 2))
    assert sympy.simplify(three_quarters) == 0


@pytest.mark.parametrize("p", [Fraction(-1, 2), Fraction(3, 2)])
def test_entropy_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="0 ≤ probability ≤ 1"):
        binary_entropy(p)


def _room(n, a, b, pairs, problem):
    """Elements that the reduction from INDEX uses: the pairs, the rest of A, the rest of B."""
    return 2 * pairs + (a - pairs) + (b - (1 if problem == "decision" else 2)) <= n


@pytest.mark.parametrize("problem", ["decision", "search"])
def test_as_long_a_string_fits_as_there_is_room_for(problem):
    for n, a, b in sizes_up_to(12, shared=int(problem == "search")):
        fitting = [k for k in range(a + 1) if _room(n, a, b, k, problem)]
        expected = 0 if problem == "search" and b == 1 else max(fitting)
        assert index_length(n, a, b, problem) == expected


@given(sizes_of_disjoint_sets, errors)
@settings(deadline=None)
def test_error_saves_bits_and_none_without_it(case, error):
    n, a, b = case
    assert index_bits(n, a, b, Fraction(0)) == index_length(n, a, b) <= one_pass_bits(n, a)
    assert float(index_bits(n, a, b, error)) <= index_length(n, a, b)
    wide = 2 * a + b - 1
    assert index_bits(wide, a, b, Fraction(0)) == a
    assert index_bits(max(n, wide), a, b, Fraction(1, 4)) == a * (
        1 - binary_entropy(Fraction(1, 4))
    )


def _best_average(table, messages):
    """Best share of right answers over all ways to send one of `messages` for each row.

    `table` (rows, questions, answers) has the chance of each row, question and right answer.
    """
    best = 0.0
    rows = len(table)
    # The first row's message may be called 0: names do not matter.
    for tail in product(range(messages), repeat=rows - 1):
        sent = np.array((0, *tail))
        right = sum(table[sent == m].sum(0).max(1).sum() for m in range(messages))
        best = max(best, float(right))
    return best


def _search_table(n, a, b):
    """Chance of each A, B and common element, uniform as the sweeps draw them."""
    firsts = list(combinations(range(n), a))
    seconds = list(combinations(range(n), b))
    table = np.zeros((len(firsts), len(seconds), n))
    for i, first in enumerate(firsts):
        for j, second in enumerate(seconds):
            common = set(first) & set(second)
            if len(common) == 1:
                table[i, j, common.pop()] = 1
    return table / table.sum()


@pytest.mark.parametrize(
    ("n", "a", "b", "bits"),
    [
        *((4, 2, 2, 1), (4, 1, 2, 1), (4, 1, 3, 1), (5, 2, 2, 1), (5, 1, 3, 1), (6, 1, 2, 1)),
        *((6, 2, 2, 1), (4, 1, 3, 2), (4, 2, 2, 2), (5, 1, 4, 2), (6, 1, 4, 2)),
    ],
)
def test_no_message_beats_the_average_bound(n, a, b, bits):
    """Against all functions from A to a message, each read in the best way."""
    best = _best_average(_search_table(n, a, b), 2**bits)
    assert average_search_bits(n, a, b, 1 - best) <= bits + 1e-9
    # And the bound says something: guessing is below the best.
    assert average_search_bits(n, a, b, 1 - best) > 0


@pytest.mark.parametrize(("letters", "alphabet", "bits"), [(2, 3, 1), (1, 4, 1), (2, 3, 2)])
def test_no_message_beats_the_bound_of_recall(letters, alphabet, bits):
    contexts = list(permutations(range(alphabet), letters))
    table = np.zeros((len(contexts), letters, alphabet))
    for i, values in enumerate(contexts):
        table[i, range(letters), values] = 1
    best = _best_average(table / table.sum(), 2**bits)
    assert 0 < average_recall_bits(letters, alphabet, 1 - best) <= bits + 1e-9


@pytest.mark.parametrize(
    ("n", "queries", "pairs", "bits"),
    [(4, 1, 3, 1), (4, 2, 3, 1), (5, 1, 4, 2), (8, 1, 4, 1), (4, 2, 2, 1)],
)
def test_no_message_about_queries_beats_the_bound_of_recall(n, queries, pairs, bits):
    """Query first: of n keys some are asked for, then pairs come, the keys asked for among them."""
    asked = list(permutations(range(n), queries))
    contexts = list(combinations(range(n), pairs))
    table = np.zeros((len(asked), len(contexts) * queries, n))
    for i, keys in enumerate(asked):
        for j, context in enumerate(contexts):
            if set(keys) <= set(context):
                table[i, range(j * queries, (j + 1) * queries), keys] = 1
    best = _best_average(table / table.sum(), 2**bits)
    assert 0 < average_recall_bits(queries, pairs, 1 - best) <= bits + 1e-9


@given(st.integers(1, 40), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_average_bounds_fall_with_the_error(n, a, b, error):
    if a + b - 1 > n:
        return
    exact = average_search_bits(n, a, b, 0.0)
    assert 0 <= average_search_bits(n, a, b, error) <= exact <= one_pass_bits(n, a)
    assert average_search_bits(n, a, b, 1 - 1 / b) == 0  # naming one of B
    assert fano_bits(a, b, min(error, 0.5)) >= fano_bits(a, b, min(1, error + 0.1)) - 1e-9
    assert average_recall_bits(min(a, b), b, 0.0) == pytest.approx(log2(perm(b, min(a, b))))


def test_the_blocks_must_fit_the_universe():
    """Of 4 blocks, 3 elements each and 3 more are 15 of 16; 4 each and 2 more would be 18."""
    assert average_search_bits(16, 4, 6, 0.0) == pytest.approx(4 * log2(3))
    assert average_search_bits(18, 4, 6, 0.0) == pytest.approx(4 * 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fano_bits(-1, 2, 0.1), "count = -1"),
        (lambda: fano_bits(1, 0, 0.1), "alphabet = 0"),
        (lambda: fano_bits(1, 2, 1.1), "error = 1.1: 0 ≤ error ≤ 1"),
        (lambda: average_search_bits(8, 5, 5, 0.1), "universe = 8"),
        (lambda: average_recall_bits(3, 2, 0.1), "alphabet = 2"),
    ],
)
def test_average_bounds_refuse(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (index_length, (4, 2, 3), r"size_a \+ size_b ≤ universe"),
        (index_bits, (4, 2, 2, HALF), "error = 1/2: 0 ≤ error < 1/2"),
        (index_bits, (4, 2, 2, -TENTH), "error = -1/10: 0 ≤ error < 1/2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
