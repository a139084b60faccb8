"""Paired statistics, against enumeration and against resampling item by item."""

from math import comb

import numpy as np
import pytest

from sdsim.evaluation.statistics import bootstrap, mcnemar, mean_difference, paired


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (7, 2), (2, 7), (5, 5), (30, 11)])
def test_mcnemar_is_the_binomial_test(gained: int, lost: int) -> None:
    changed = gained + lost
    weights = [comb(changed, count) / 2**changed for count in range(changed + 1)]
    as_uneven = sum(
        weight
        for count, weight in enumerate(weights)
        if abs(2 * count - changed) >= abs(gained - lost)
    )
    assert mcnemar(gained, lost) == pytest.approx(min(1.0, as_uneven))


def test_many_items_are_no_overflow() -> None:
    assert 0 < mcnemar(2000, 1900) < 1
    assert mcnemar(0, 5000) < 1e-300


def test_gains_and_losses_are_counted_on_the_same_items() -> None:
    before = [True, True, False, False, False, True]
    after = [True, False, True, True, False, True]
    found = paired(before, after)
    assert (found.gained, found.lost, found.before.right, found.after.right) == (2, 1, 3, 4)
    assert found.difference == pytest.approx(1 / 6)
    differences = np.array(after, float) - np.array(before, float)
    assert found.standard_error == pytest.approx(differences.std() / np.sqrt(6))
    assert found.before.standard_error == pytest.approx(0.5 / np.sqrt(6))
    for wrong in ([], [True]):
        with pytest.raises(ValueError, match="items"):
            paired(wrong, after)


def test_the_interval_is_that_of_items_drawn_anew() -> None:
    differences = np.array([1] * 30 + [-1] * 10 + [0] * 60)
    drawn = np.random.default_rng(3).choice(differences, (4000, 100)).mean(1)
    expected = np.quantile(drawn, (0.025, 0.975))
    assert bootstrap(30, 10, 100) == pytest.approx(expected, abs=0.015)
    assert bootstrap(0, 0, 50) == (0.0, 0.0)
    assert bootstrap(30, 10, 100) == bootstrap(30, 10, 100), "nothing is left to chance"


def test_the_mean_over_tasks_weighs_them_alike() -> None:
    large = paired([False] * 400, [True] * 100 + [False] * 300)
    small = paired([False] * 10, [True] * 5 + [False] * 5)
    mean, low, high = mean_difference([large, small])
    assert mean == pytest.approx((0.25 + 0.5) / 2)
    assert low < mean < high
    spread = (large.standard_error**2 + small.standard_error**2) ** 0.5 / 2
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
