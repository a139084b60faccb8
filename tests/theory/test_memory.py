from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.memory import memory_needs


@settings(deadline=None, max_examples=40)
@given(
    size_a=st.integers(1, 9),
    size_b=st.integers(1, 9),
    room=st.integers(0, 20),
    passes=st.integers(1, 5),
)
def test_no_algorithm_holds_less_than_its_bound(
    size_a: int, size_b: int, room: int, passes: int
) -> None:
    needs = {
        need.what: need for need in memory_needs(size_a + size_b + room, size_a, size_b, passes)
    }
    pairs = [("one pass, no errors", f"OnePass, {kind}") for kind in ("a list", "packed")]
    if passes > 2:
        pairs.append((f"{passes} passes, no errors, largest state", f"MultiPass({passes})"))
    if passes == 2:
        pairs.append(("2 passes, no errors, largest state", "JustReadTwice"))
    for bound, algorithm in pairs:
        assert needs[bound].a_first <= needs[algorithm].a_first
        assert needs[bound].b_first <= needs[algorithm].b_first
    assert needs["one pass, error 1/10"].a_first <= needs["one pass, no errors"].a_first


def test_fingerprints_pay_off_in_large_universes_only() -> None:
    for universe, pays in ((2**11, False), (2**40, True)):
        needs = {need.what: need for need in memory_needs(universe, 4, 256)}
        short, exact = needs["Fingerprint, error 1/10"], needs["OnePass, a list"]
        assert (short.a_first < exact.a_first) is pays


def test_order_matters_in_one_pass_and_not_in_two() -> None:
    needs = {need.what: need for need in memory_needs(2048, 4, 256)}
    assert needs["OnePass, a list"].b_first > 40 * needs["OnePass, a list"].a_first
    assert needs["JustReadTwice"].b_first == needs["JustReadTwice"].a_first


@pytest.mark.parametrize(
    "arguments",
    [(8, 5, 4, 2), (8, 0, 4, 2), (8, 2, 2, 0), (8, 2, 2, 2, Fraction(1, 2))],
)
def test_bad_arguments(arguments: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"size_a|passes|error = 1/2"):
        memory_needs(*arguments)
