from fractions import Fraction
from itertools import combinations, permutations, product
from math import ceil, comb, e, log, log2, perm

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import bounds, one_pass_bits
from theory.bounds import (
    all_told_apart,
    average_recall_bits,
    average_search_bits,
    binary_entropy,
    binary_recall_layers,
    bits_to_name,
    bloom_bits,
    check_sizes,
    coefficient_message_bits,
    disjointness_matrix,
    fano_bits,
    fingerprint_bits,
    index_bits,
    index_curve,
    index_length,
    membership_bits,
    membership_curve,
    multi_pass_bits,
    multi_pass_chunk_bits,
    multi_pass_curve,
    one_pass_curve,
    one_pass_search_bits,
    p_hot_recall_layers,
    rank,
    recall_layers,
    two_way_bits,
)

HALF = Fraction(1, 2)


@st.composite
def universe_and_size(draw):
    universe = draw(st.integers(0, 300))
    return universe, draw(st.integers(0, universe))


@st.composite
def disjoint_sizes(draw, largest=200):
    size_a = draw(st.integers(1, largest))
    size_b = draw(st.integers(1, largest))
    return size_a + size_b + draw(st.integers(0, largest)), size_a, size_b


errors = st.fractions(0, Fraction(49, 100), max_denominator=1000)
positive_errors = st.fractions(Fraction(1, 1000), Fraction(49, 100), max_denominator=1000)


# ------------------------------------------------------------------------------- one pass


@given(universe_and_size())
def test_is_the_least_number_of_bits_that_names_every_subset(case):
    bits = one_pass_bits(*case)
    assert 2**bits >= comb(*case)
    assert bits == 0 or 2 ** (bits - 1) < comb(*case)


@given(universe_and_size())
def test_agrees_with_the_real_logarithm(case):
    assert log2(comb(*case)) - 1e-9 <= one_pass_bits(*case) < log2(comb(*case)) + 1 + 1e-9


def test_is_exact_where_floats_are_not():
    assert one_pass_bits(2**60, 1) == 60
    assert one_pass_bits(2**60 + 1, 1) == 61


@given(st.integers(1, 2**80))
def test_names_need_as_many_bits_as_the_last_number_has(count):
    assert 2 ** bits_to_name(count) >= count > 2 ** bits_to_name(count) // 2


@pytest.mark.parametrize(("universe", "size"), [(3, 4), (3, -1), (-1, 0)])
def test_refuses_what_is_no_subset(universe, size):
    with pytest.raises(ValueError, match="0 ≤ size ≤ universe"):
        one_pass_bits(universe, size)


def _subsets(universe, size):
    return [frozenset(chosen) for chosen in combinations(range(universe), size)]


def _sizes(largest, *, shared=0):
    return [
        (n, a, b)
        for n in range(1, largest + 1)
        for a in range(1, n + 1)
        for b in range(1, n - a + shared + 1)
    ]


def test_no_two_first_sets_may_share_a_state_when_deciding():
    for n, a, b in _sizes(7):
        rows = {tuple(bool(A & B) for B in _subsets(n, b)) for A in _subsets(n, a)}
        assert len(rows) == comb(n, a)


def _told_apart(first, second, others):
    """Some B meets each set in one element, and not in the same one."""
    return any(len(first & B) == len(second & B) == 1 and first & B != second & B for B in others)


def test_no_two_first_sets_may_share_a_state_when_naming_under_the_condition_and_only_then():
    for n, a, b in _sizes(6, shared=1):
        others = _subsets(n, b)
        told_apart = all(_told_apart(x, y, others) for x, y in combinations(_subsets(n, a), 2))
        assert told_apart == all_told_apart(n, a, b), (n, a, b)


def test_the_condition_on_naming_is_needed():
    others = _subsets(6, 3)
    assert not all(_told_apart(x, y, others) for x, y in combinations(_subsets(6, 3), 2))
    with pytest.raises(ValueError, match=r"universe ≥ 2 · size_a \+ size_b - 2"):
        one_pass_search_bits(6, 3, 3)


def test_naming_costs_as_much_as_deciding_or_nothing():
    assert one_pass_search_bits(32, 12, 4) == one_pass_bits(32, 12)
    assert one_pass_search_bits(5, 4, 2) == one_pass_bits(5, 4)
    assert one_pass_search_bits(32, 12, 1) == 0


# ---------------------------------------------------------------- the matrix and its rank


def test_the_matrix_is_of_full_rank_where_the_sets_fit_and_zero_elsewhere():
    for n in range(8):
        for a, b in product(range(n + 1), repeat=2):
            matrix = disjointness_matrix(n, a, b)
            assert matrix.shape == (comb(n, a), comb(n, b))
            assert rank(matrix) == (comb(n, min(a, b)) if a + b <= n else 0)


def test_the_matrix_says_which_subsets_are_disjoint():
    rows, columns = _subsets(6, 2), _subsets(6, 3)
    expected = [[int(not A & B) for B in columns] for A in rows]
    assert disjointness_matrix(6, 2, 3).tolist() == expected


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_rank_is_that_of_exact_arithmetic(data):
    rows, inner, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    entries = st.integers(-3, 3) | st.sampled_from([bounds._PRIME, -bounds._PRIME, 2**70])
    left = data.draw(
        st.lists(st.lists(entries, min_size=inner, max_size=inner), min_size=rows, max_size=rows)
    )
    right = data.draw(
        st.lists(
            st.lists(entries, min_size=columns, max_size=columns), min_size=inner, max_size=inner
        )
    )
    matrix = np.array(left, dtype=object) @ np.array(right, dtype=object)
    before = matrix.copy()
    assert rank(matrix) == sympy.Matrix(matrix.tolist()).rank()
    assert (matrix == before).all()


def test_rank_does_not_trust_the_prime():
    assert rank([[bounds._PRIME, 0], [0, 1]]) == 2
    assert rank([[1, 1], [1, 1 + bounds._PRIME]]) == 2
    assert rank(np.zeros((3, 0))) == 0


@pytest.mark.parametrize("matrix", [[1, 2], [[0.5]], [["a"]]])
def test_rank_refuses_what_is_no_matrix_of_integers(matrix):
    with pytest.raises(ValueError, match="matrix"):
        rank(matrix)


# ------------------------------------------------------------------- two ways, many passes


@given(disjoint_sizes())
def test_two_ways_the_smaller_set_counts(case):
    n, a, b = case
    bits = two_way_bits(n, a, b)
    assert bits == two_way_bits(n, b, a) >= min(a, b)
    assert 2**bits >= min(comb(n, a), comb(n, b)) > 2**bits // 2


@given(disjoint_sizes(), st.integers(2, 20))
def test_the_messages_of_many_passes_suffice_for_the_rank_and_no_shorter_ones(case, passes):
    n, a, b = case
    bits, messages = multi_pass_bits(n, a, b, passes), 2 * passes - 1
    least = min(comb(n, a), comb(n, b))
    assert 2 ** (bits * messages) >= least > 2 ** ((bits - 1) * messages)
    assert bits <= multi_pass_bits(n, a, b, passes - 1)
    assert multi_pass_bits(n, a, b, 1) == one_pass_bits(n, a)


@given(disjoint_sizes(), st.integers(2, 20))
def test_chunks_cover_the_smaller_set_and_no_smaller_ones_do(case, passes):
    n, a, b = case
    chunk, rest = divmod(multi_pass_chunk_bits(n, a, b, passes), bits_to_name(n))
    assert rest == 0
    assert chunk * (passes - 1) >= min(a, b) > (chunk - 1) * (passes - 1)
    assert multi_pass_chunk_bits(n, a, b, passes) >= multi_pass_bits(n, a, b, passes)


# ------------------------------------------------------------------------ one pass with error


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
    for n, a, b in _sizes(12, shared=int(problem == "search")):
        fitting = [k for k in range(a + 1) if _room(n, a, b, k, problem)]
        expected = 0 if problem == "search" and b == 1 else max(fitting)
        assert index_length(n, a, b, problem) == expected


@given(disjoint_sizes(50), errors)
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


@given(st.integers(1, 60), st.integers(1, 60), positive_errors)
@settings(deadline=None)
def test_fingerprints_come_close_to_a_perfect_filter(size_a, size_b, error):
    filtered = float(membership_bits(size_a, size_b, error))
    assert filtered == pytest.approx(size_a * log2(size_b / error))
    assert float(bloom_bits(size_a, size_b, error)) == pytest.approx(filtered / log(2))
    cells = ceil(size_a * size_b / error)
    bits = fingerprint_bits(size_a, size_b, error)
    states = sum(comb(cells, size) for size in range(1, size_a + 1))
    assert 2**bits >= states > 2**bits // 2
    assert bits <= size_a * log2(e * cells / size_a) + 1
    # The bound that no algorithm with this error beats, in a universe that has room.
    room = 2 * size_a + size_b - 1
    assert bits >= float(index_bits(room, size_a, size_b, error))


# ---------------------------------------------------------------------------------- layers


def _degree(values, variables):
    """Of the multilinear polynomial with these values on {0, 1}^n: Moebius inversion."""
    coefficients = np.array(values).reshape((2,) * variables)
    for axis in range(variables):
        low, high = np.split(coefficients, 2, axis=axis)
        coefficients = np.concatenate((low, high - low), axis=axis)
    return max(int(sum(place)) for place in np.argwhere(coefficients))


@pytest.mark.parametrize("code_bits", [1, 2, 3, 4, 5])
def test_layers_reach_the_degree_of_equality(code_bits):
    values = np.eye(1 << code_bits, dtype=int)
    degree = _degree(values, 2 * code_bits)
    layers = binary_recall_layers(code_bits)
    assert 2**layers >= degree == 2 * code_bits > 2 ** (layers - 1)


@given(st.integers(1, 10**6))
def test_p_hot_layers_are_the_paper_s_floor(digits):
    layers = p_hot_recall_layers(digits)
    assert 2**layers <= 2 * digits < 2 ** (layers + 1)
    assert layers <= binary_recall_layers(digits)  # the ceiling of the same number


@pytest.mark.parametrize("layers", range(5))
@pytest.mark.parametrize("query_bits", [1, 3, 6])
def test_message_has_a_coefficient_for_each_monomial(layers, query_bits):
    monomials = [m for m in product((0, 1), repeat=query_bits) if sum(m) <= 2**layers]
    assert coefficient_message_bits(layers, query_bits, 7) == 7 * len(monomials)


@given(st.integers(1, 40), st.integers(0, 40), st.integers(1, 64), errors)
@settings(deadline=None)
def test_recall_layers_are_the_first_with_a_long_enough_message(pair_bits, more, width, error):
    pairs, query_bits = 2**pair_bits, pair_bits + more
    layers = recall_layers(pairs, query_bits, width, error)
    needed = float(pairs * (1 - binary_entropy(error)))
    assert coefficient_message_bits(layers, query_bits, width) >= needed * (1 - 1e-12)
    assert layers <= (query_bits - 1).bit_length()
    if layers:
        assert coefficient_message_bits(layers - 1, query_bits, width) < needed * (1 + 1e-12)


def test_recall_layers_grow_like_log_log():
    """d = (log₂ N)², ε → 1: the layers grow as log₂ log₂ N does, less log₂ log₂ d."""
    layers = [recall_layers(2**bits, bits**2, 64) for bits in (16, 64, 256, 1024)]
    assert layers == sorted(layers)
    assert layers[-1] >= log2(1024 / log2(1024**2)) - 1


# ----------------------------------------------------------------------------------- curves


@given(disjoint_sizes(), st.integers(1, 9), positive_errors)
@settings(deadline=None)
def test_curves_are_the_bounds_before_rounding(case, passes, error):
    n, a, b = case
    assert ceil(one_pass_curve(n, a) - 1e-9) <= one_pass_bits(n, a) < one_pass_curve(n, a) + 1
    curve = multi_pass_curve(n, a, b, passes)
    assert ceil(curve - 1e-9) <= multi_pass_bits(n, a, b, passes) < curve + 1
    for problem in ("decision", "search"):
        exact = float(index_bits(n, a, b, error, problem))
        assert index_curve(n, a, b, float(error), problem) == pytest.approx(exact, abs=1e-9)
    assert membership_curve(a, b, float(error)) == pytest.approx(
        float(membership_bits(a, b, error))
    )


def test_curves_broadcast_and_do_not_overflow():
    curve = multi_pass_curve(2**62, np.array([[1], [2]]), 4, np.array([1, 2, 3]))
    assert curve.shape == (2, 3)
    assert curve.dtype == np.float64
    assert curve[0].tolist() == pytest.approx([62, 62 / 3, 62 / 5])
    assert one_pass_curve(2**40, 3) == pytest.approx(log2(comb(2**40, 3)))
    assert one_pass_curve([], []).shape == (0,)
    assert index_curve(64, 16, 4, [0.0]).tolist() == [16]


# ----------------------------------------------------------------------------------- errors

TENTH = Fraction(1, 10)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (bits_to_name, (0,), "count = 0: at least 1"),
        (check_sizes, (4, 3, 2), r"size_a = 3, size_b = 2: size_a \+ size_b ≤ universe"),
        (check_sizes, (4, 3, 3, "search"), r"size_a \+ size_b - 1 ≤ universe"),
        (check_sizes, (4, 0, 3), "size_a = 0: at least 1"),
        (check_sizes, (4, 1, 1, "name"), "problem = 'name': 'decision' or 'search'"),
        (all_told_apart, (4, 3, 3), r"size_a \+ size_b - 1 ≤ universe"),
        (one_pass_search_bits, (4, 1, 0), "size_b = 0: at least 1"),
        (two_way_bits, (4, 3, 2), r"size_a \+ size_b ≤ universe"),
        (two_way_bits, (4, -1, 2), "size_a = -1: at least 0"),
        (multi_pass_bits, (4, 2, 2, 0), "passes = 0: at least 1"),
        (multi_pass_bits, (4, 2, 3, 1), r"size_a \+ size_b ≤ universe"),
        (multi_pass_chunk_bits, (4, 2, 2, 1), "passes = 1: at least 2"),
        (multi_pass_chunk_bits, (0, 0, 0, 2), "universe = 0: at least 1"),
        (multi_pass_chunk_bits, (4, 2, 5, 2), "size_b = 5: 0 ≤ size_b ≤ universe"),
        (index_length, (4, 2, 3), r"size_a \+ size_b ≤ universe"),
        (index_bits, (4, 2, 2, HALF), "error = 1/2: 0 ≤ error < 1/2"),
        (index_bits, (4, 2, 2, -TENTH), "error = -1/10: 0 ≤ error < 1/2"),
        (membership_bits, (1, 1, Fraction(0)), "error = 0: 0 < error < 1/2"),
        (membership_bits, (0, 1, TENTH), "size_a = 0: at least 1"),
        (bloom_bits, (1, 0, TENTH), "size_b = 0: at least 1"),
        (fingerprint_bits, (1, 1, HALF), "error = 1/2: 0 < error < 1/2"),
        (binary_recall_layers, (0,), "code_bits = 0: at least 1"),
        (p_hot_recall_layers, (0,), "digits = 0: at least 1"),
        (coefficient_message_bits, (-1, 1, 1), "layers = -1: at least 0"),
        (coefficient_message_bits, (1, 0, 1), "query_bits = 0: at least 1"),
        (coefficient_message_bits, (1, 1, 0), "bits_per_coefficient = 0: at least 1"),
        (recall_layers, (0, 1, 1), "pairs = 0: at least 1"),
        (recall_layers, (9, 3, 1), "pairs = 9, query_bits = 3: pairs ≤ 2"),
        (recall_layers, (8, 3, 1, HALF), "error = 1/2: 0 ≤ error < 1/2"),
        (disjointness_matrix, (3, 4, 1), "size_a = 4: 0 ≤ size_a ≤ universe"),
        (one_pass_curve, (4, [1, 5]), "size = 5: 0 ≤ size ≤ universe"),
        (multi_pass_curve, (4, 2, [2, 3], 1), r"size_a \+ size_b ≤ universe"),
        (multi_pass_curve, (4, 2, 2, [1, 0]), "passes = 0: at least 1"),
        (index_curve, (8, 2, 2, [0.1, 0.5]), "error = 0.5: 0 ≤ error < 1/2"),
        (membership_curve, (2, 2, [0.1, 0.0]), "error = 0.0: 0 < error < 1/2"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


# --------------------------------------------------------------------- error on average


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
