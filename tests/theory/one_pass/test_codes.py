from fractions import Fraction

import pytest

from theory.one_pass.bitmap import bitmap_search_accuracy
from theory.one_pass.codes import search_accuracy_found
from theory.one_pass.optima import best_accuracies
from theory.one_pass.rate_distortion import search_accuracy


@pytest.mark.parametrize(("a", "b"), [(2, 2), (3, 2), (2, 3), (4, 2)])
def test_at_tiny_sizes_the_best_code_of_all_is_found(a, b):
    for states, best in enumerate(best_accuracies(5, a, b, 4, "search"), start=1):
        assert search_accuracy_found(5, a, b, states, restarts=64) == best


@pytest.mark.parametrize(("a", "b"), [(2, 6), (4, 4), (6, 2)])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_codes_found_lie_between_a_bitmap_and_the_bound(a, b, bits):
    found = search_accuracy_found(9, a, b, 1 << bits, restarts=3)
    assert bitmap_search_accuracy(9, a, b, bits) <= found
    assert float(found) <= search_accuracy(9, a, b, bits) + 1e-9


def test_more_than_a_bitmap_is_found():
    assert search_accuracy_found(8, 3, 3, 8, restarts=8) > bitmap_search_accuracy(8, 3, 3, 3)


def test_states_for_every_set_make_no_errors():
    assert search_accuracy_found(40, 5, 5, 10**6) == 1
    assert search_accuracy_found(6, 3, 2, 1) == Fraction(1, 2)


def test_what_is_too_large_is_refused():
    with pytest.raises(ValueError, match="cases: more than"):
        search_accuracy_found(40, 8, 8, 16)
    with pytest.raises(ValueError, match="restarts = 0"):
        search_accuracy_found(6, 2, 2, 4, restarts=0)
