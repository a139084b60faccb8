import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsim.store.intervals import Z_95, difference, wilson


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
