import random
from fractions import Fraction
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.algorithms.one_pass import Fingerprint, coin_count
from theory.one_pass.filters import false_positive_bound
from theory.setting import prompt


def meets(universe, k, coins, first, second):
    algorithm = Fingerprint(universe, fingerprint_bits=k, coins=coins)
    return algorithm.run(prompt(first, second)).answer


def test_coins_name_every_function_of_the_family_once():
    """P = 5 and 8 buckets: h(x) = (αx + β) mod 5 in full."""
    tables = {
        tuple(h._key(x) for x in range(5))
        for h in (Fingerprint(5, fingerprint_bits=3, coins=c) for c in range(coin_count(5)))
    }
    assert tables == {
        tuple((a * x + b) % 5 for x in range(5)) for a in range(1, 5) for b in range(5)
    }


@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_two_elements_collide_as_often_as_two_residues(k):
    """(αx + β, αy + β) runs once over all pairs of distinct residues mod 13."""
    same = sum(r % 2**k == s % 2**k for r in range(13) for s in range(13) if r != s)
    assert coin_count(13) == 13 * 12
    hits = sum(meets(13, k, coins, [3], [11]) for coins in range(coin_count(13)))
    assert hits == same


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 11), st.permutations(range(11)), st.integers(0, 3), st.integers(0, 8))
def test_the_exact_false_positive_rate_is_within_the_bound(universe, order, size_a, k):
    elements = [x for x in order if x < universe]
    first, second = elements[:size_a], elements[size_a : size_a + 3]
    count = coin_count(universe)
    rate = Fraction(sum(meets(universe, k, coins, first, second) for coins in range(count)), count)
    assert rate <= false_positive_bound(k, len(first), len(second))


def upper_tail(trials, rate, least):
    """P[Binomial(trials, rate) ≥ least]."""
    return sum(
        comb(trials, k) * rate**k * (1 - rate) ** (trials - k) for k in range(least, trials + 1)
    )


def false_positives(fingerprint_bits, trials):
    """How many of the seeds 0, 1, … take two disjoint sets of 8 and 16 elements to meet.

    The sets are drawn, not intervals: those have few differences, so their collisions coincide
    and are rarer than the union bound allows.
    """
    drawn = random.Random(0).sample(range(100_003), 24)
    stream = prompt(drawn[:8], drawn[8:])
    return sum(
        Fingerprint.drawn(100_003, fingerprint_bits, seed=seed).run(stream).answer
        for seed in range(trials)
    )


def test_the_measured_false_positive_rate_obeys_the_bound():
    """At confidence 1 - 10⁻⁶: were the rate at the bound, as many hits had no smaller chance."""
    trials, bound = 400, false_positive_bound(10, 8, 16)
    assert bound == Fraction(1, 8)
    assert upper_tail(trials, bound, false_positives(10, trials)) >= Fraction(1, 10**6)
    # The test has power: fingerprints two bits shorter fail it.
    assert upper_tail(trials, bound, false_positives(8, trials)) < Fraction(1, 10**6)


def test_the_search_version_names_the_wrong_element_within_the_bound():
    universe, k, first, second = 11, 3, [0, 5], [7, 9, 5]
    named = [
        Fingerprint(universe, search=True, fingerprint_bits=k, coins=coins)
        .run(prompt(first, second))
        .answer
        for coins in range(coin_count(universe))
    ]
    wrong = sum(answer != 5 for answer in named)
    assert None not in named
    # Only 7 and 9 can be taken for an element of A.
    assert 0 < Fraction(wrong, coin_count(universe)) <= false_positive_bound(k, 2, 2)


def test_long_fingerprints_make_no_error():
    assert not any(meets(7, 3, coins, [0, 2, 5], [1, 3, 6]) for coins in range(coin_count(7)))


def test_seeds_decide_the_coins():
    drawn = [Fingerprint.drawn(1000, 5, seed=seed).coins for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fingerprint(8, fingerprint_bits=-1, coins=0), "fingerprint_bits = -1"),
        (lambda: Fingerprint(8, fingerprint_bits=3, coins=110), "coins = 110: 0 ≤ coins < 110"),
        (lambda: Fingerprint(8, fingerprint_bits=3, coins=-1), "coins = -1"),
        (lambda: coin_count(0), "universe = 0"),
    ],
)
def test_impossible_configurations_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
