from itertools import product
from math import comb

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.claims.instances import subsets
from theory.passes.rank import _PRIME, disjointness_matrix, rank


def test_the_matrix_is_of_full_rank_where_the_sets_fit_and_zero_elsewhere():
    for n in range(8):
        for a, b in product(range(n + 1), repeat=2):
            matrix = disjointness_matrix(n, a, b)
            assert matrix.shape == (comb(n, a), comb(n, b))
            assert rank(matrix) == (comb(n, min(a, b)) if a + b <= n else 0)


def test_the_matrix_says_which_subsets_are_disjoint():
    rows, columns = subsets(range(6), 2), subsets(range(6), 3)
    expected = [[int(not A & B) for B in columns] for A in rows]
    assert disjointness_matrix(6, 2, 3).tolist() == expected


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_rank_is_that_of_exact_arithmetic(data):
    rows, inner, columns = (data.draw(st.integers(1, 5)) for _ in range(3))
    entries = st.integers(-3, 3) | st.sampled_from([_PRIME, -_PRIME, 2**70])
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
    assert rank([[_PRIME, 0], [0, 1]]) == 2
    assert rank([[1, 1], [1, 1 + _PRIME]]) == 2
    assert rank(np.zeros((3, 0))) == 0


@pytest.mark.parametrize("matrix", [[1, 2], [[0.5]], [["a"]]])
def test_rank_refuses_what_is_no_matrix_of_integers(matrix):
    with pytest.raises(ValueError, match="matrix"):
        rank(matrix)


def test_the_matrix_refuses_what_is_no_subset():
    with pytest.raises(ValueError, match="size_a = 4: 0 ≤ size_a ≤ universe"):
        disjointness_matrix(3, 4, 1)
