from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsim.store.intervals import (
    Z_95,
    accuracy_interval,
    difference,
    difference_interval,
    student_t,
    wilson,
)


@given(st.integers(1, 10**6), st.data())
def test_wilson_bounds_solve_the_score_equation(examples: int, data: st.DataObject) -> None:
    """A bound p is where the measured share is z standard errors *of p* away."""
    correct = data.draw(st.integers(0, examples))
    share = correct / examples
    for bound in wilson(correct, examples):
        distance = (share - bound) ** 2
        assert distance == pytest.approx(Z_95**2 * bound * (1 - bound) / examples, abs=1e-9)


@given(st.integers(1, 1000), st.integers(1, 1000), st.data())
def test_difference_is_antisymmetric_and_holds_the_gap(
    examples_1: int, examples_2: int, data: st.DataObject
) -> None:
    one = data.draw(st.integers(0, examples_1)), examples_1
    two = data.draw(st.integers(0, examples_2)), examples_2
    low, high = difference(*one, *two)
    assert difference(*two, *one) == pytest.approx((-high, -low))
    gap = one[0] / one[1] - two[0] / two[1]
    assert low - 1e-12 <= gap <= high + 1e-12


@pytest.mark.parametrize("counts", [(1, 0), (-1, 5), (6, 5)])
def test_bad_counts(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="correct = "):
        wilson(*counts)


@pytest.mark.parametrize(
    ("degrees", "share", "quantile"),
    [  # of printed tables
        (1, 0.95, 12.7062),
        (2, 0.95, 4.3027),
        (3, 0.95, 3.1824),
        (4, 0.95, 2.7764),
        (9, 0.95, 2.2622),
        (30, 0.95, 2.0423),
        (1, 0.99, 63.6567),
        (7, 0.99, 3.4995),
        (29, 0.99, 2.7564),
    ],
)
def test_students_quantiles(degrees: int, share: float, quantile: float) -> None:
    assert student_t(degrees, share) == pytest.approx(quantile, abs=1e-4)


def test_students_quantiles_fall_to_the_normal_one() -> None:
    quantiles = [student_t(degrees) for degrees in range(1, 200)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert student_t(10**5) == pytest.approx(Z_95, abs=1e-4)


_COUNT = st.integers(0, 200)


@given(st.lists(st.tuples(_COUNT, _COUNT), min_size=1, max_size=9))
def test_seeds_never_make_an_interval_shorter_than_the_examples_own(
    correct: list[tuple[int, int]],
) -> None:
    once, twice = ([(right, 200) for right in counts] for counts in zip(*correct, strict=True))
    both = [(sum(right for right, _ in seeds), 200 * len(seeds)) for seeds in (once, twice)]
    low, high = accuracy_interval(once)
    assert 0 <= low <= wilson(*both[0])[0]
    assert wilson(*both[0])[1] <= high <= 1
    low, high = difference_interval(once, twice)
    of_examples = difference(*both[0], *both[1])
    assert -1 <= low <= of_examples[0] + 1e-12
    assert of_examples[1] - 1e-12 <= high <= 1


def test_seeds_that_differ_make_it_longer() -> None:
    """With two, the mean's standard error is half of their difference, and t is 12.7."""
    alike, unlike = [(50, 100)] * 2, [(52, 100), (48, 100)]
    assert accuracy_interval(alike) == wilson(100, 200)
    low, high = accuracy_interval(unlike)
    assert (low + high) / 2 == pytest.approx(0.5)
    # Where the score's own interval ends: (p - 1/2)² = t² (2/100)² p (1 - p) / (1/4).
    assert (high - 0.5) ** 2 == pytest.approx(12.7062**2 * 0.02**2 * high * low / 0.25, rel=1e-4)
    low, high = difference_interval(unlike, [(50, 100)] * 2)
    assert [low, high] == pytest.approx([-12.7062 * 0.02, 12.7062 * 0.02], rel=1e-4)


@pytest.mark.parametrize(
    ("alpha", "beta"), [(2, 2), (8, 2), (50, 10), (200, 200), (200, 2)], ids=str
)
def test_the_interval_of_five_seeds_covers_their_mean(alpha: int, beta: int) -> None:
    """Seeds' accuracies from a beta distribution, each measured on 1000 examples."""
    random, examples, trials = np.random.default_rng(0), 1000, 2000
    mean, covered = alpha / (alpha + beta), []
    for accuracies in random.beta(alpha, beta, (trials, 5)):
        correct = random.binomial(examples, accuracies).tolist()
        low, high = accuracy_interval([(right, examples) for right in correct])
        covered.append(low <= mean <= high)
    assert fmean(covered) >= 0.93


@pytest.mark.parametrize("gap", [0.0, 0.05])
def test_pairing_takes_away_what_both_share(gap: float) -> None:
    """Seeds differ by far more than the gap does: only a paired interval is short, and it covers.

    Gaps vary by 0.01 over seeds, and by 0.02 by the examples.
    """
    random, examples, trials = np.random.default_rng(0), 1000, 1000
    covered, lengths, unpaired = [], [], []
    for shared in random.beta(10, 5, (trials, 5)) * 0.8 + 0.1:
        means = (shared + gap / 2, shared - gap / 2)
        once, twice = (
            [
                (right, examples)
                for right in random.binomial(
                    examples, mean + random.normal(0, 0.01 / 2**0.5, 5)
                ).tolist()
            ]
            for mean in means
        )
        low, high = difference_interval(once, twice)
        covered.append(low <= gap <= high)
        lengths.append(high - low)
        unpaired.append(difference_interval(once, [*twice[1:], twice[0]]))
    assert fmean(covered) >= 0.93
    assert fmean(lengths) < 0.3 * fmean(high - low for low, high in unpaired)
