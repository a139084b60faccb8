from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.one_pass.exact import one_pass_bits
from theory.passes.bounds import multi_pass_bits, two_way_bits

sizes_of_disjoint_sets = st.tuples(
    st.integers(1, 200), st.integers(1, 200), st.integers(0, 200)
).map(lambda drawn: (sum(drawn), *drawn[:2]))  # (n, a, b)


@given(sizes_of_disjoint_sets)
def test_two_ways_the_smaller_set_counts(case):
    n, a, b = case
    bits = two_way_bits(n, a, b)
    assert bits == two_way_bits(n, b, a) >= min(a, b)
    assert 2**bits >= min(comb(n, a), comb(n, b)) > 2**bits // 2


@given(sizes_of_disjoint_sets, st.integers(2, 20))
def test_the_messages_of_many_passes_suffice_for_the_rank_and_no_shorter_ones(case, passes):
    n, a, b = case
    bits, messages = multi_pass_bits(n, a, b, passes), 2 * passes - 1
    least = min(comb(n, a), comb(n, b))
    assert 2 ** (bits * messages) >= least > 2 ** ((bits - 1) * messages)
    assert bits <= multi_pass_bits(n, a, b, passes - 1)
    assert multi_pass_bits(n, a, b, 1) == one_pass_bits(n, a)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (two_way_bits, (4, 3, 2), r"size_a \+ size_b ≤ universe"),
        (two_way_bits, (4, -1, 2), "size_a = -1: at least 0"),
        (multi_pass_bits, (4, 2, 2, 0), "passes = 0: at least 1"),
        (multi_pass_bits, (4, 2, 3, 1), r"size_a \+ size_b ≤ universe"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
