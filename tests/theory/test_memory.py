from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.counting import ceil_log2_binomial
from theory.memory import memory_needs
from theory.setting import prompt, prompt_tokens


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
        held = "HashTower(2), packed, error 1/10"
        assert needs["one pass, error 1/10"].a_first > 0 < needs[held].a_first
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


def test_what_does_not_end_in_time_is_left_open() -> None:
    reported = []
    needs = memory_needs(
        2048,
        4,
        256,
        passes=10**6,
        max_seconds=0.5,
        progress=lambda done, total: reported.append((done, total)),
    )
    found = {need.what: (need.a_first, need.b_first) for need in needs}
    assert found.pop("MultiPass(1000000)") == (None, None)
    assert None not in [bits for pair in found.values() for bits in pair]
    assert reported == [(done, 11) for done in range(1, 12)]


def test_where_no_tower_is_looked_for_its_bits_are_left_open() -> None:
    for sizes, error in (((2000, 4, 600), Fraction(1, 10)), ((64, 4, 4), Fraction(1, 10**12))):
        rows = {need.what: need for need in memory_needs(*sizes, 2, error)}
        (tower,) = (row for what, row in rows.items() if what.startswith("HashTower"))
        assert (tower.a_first, tower.b_first) == (None, None)
        assert rows["JustReadTwice"].a_first is not None


def test_the_stream_is_the_prompt() -> None:
    assert tuple(prompt_tokens(range(3), range(3, 5), 2)) == prompt(range(3), range(3, 5), 2)


def test_sets_too_large_to_be_held_have_bounds_at_once() -> None:
    needs = memory_needs(10**12, 10**8, 3 * 10**9, max_seconds=0.01)
    assert needs[0].a_first == ceil_log2_binomial(10**12, 10**8)
    assert [need.a_first for need in needs if need.kind == "held"] == [None] * 5
