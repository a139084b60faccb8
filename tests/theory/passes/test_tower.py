"""Chances of a hash tower against all hash functions, and the towers that are found."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb, log2

import pytest

from theory.passes.tower import LARGEST_SET, LEAST_ERROR, Level, Tower, tower_for, tower_within


def readings(tower: Tower, first: list[int], second: list[int]) -> list[list[int]]:
    """The sets in the order in which the levels take them; then the one that asks the last."""
    return [first, second] * tower.passes


def passing(
    tower: Tower, functions: tuple[tuple[int, ...], ...], sets: list[list[int]]
) -> list[int] | None:
    """The elements of B that pass the last level, in order; None if the tower gives up."""
    held = sets[0]
    for level, cell, other in zip(tower.levels, functions, sets[1:], strict=True):
        occupied = {cell[x] for x in held}
        if len(occupied) > level.capacity:
            return None
        held = [x for x in other if cell[x] in occupied]
    return held


TOWERS = [
    Tower(2, 2, (Level(4, 2),)),
    Tower(2, 2, (Level(2, 2), Level(2, 1), Level(2, 2))),
    Tower(1, 3, (Level(2, 1), Level(2, 1), Level(2, 1))),
    Tower(2, 1, (Level(3, 2), Level(2, 1), Level(2, 1))),
    Tower(3, 1, (Level(2, 3), Level(2, 1), Level(1, 1))),
]


@pytest.mark.parametrize("tower", TOWERS)
def test_chances_are_those_of_all_functions(tower: Tower) -> None:
    a, b = tower.size_a, tower.size_b
    for shared in (0, 1):
        n = a + b - shared
        first, others = list(range(a)), list(range(a, n))
        right = last = 0.0
        total = 0
        tables = [list(product(range(level.cells), repeat=n)) for level in tower.levels]
        for functions in product(*tables):
            total += 1
            second = others + first[a - shared :]
            kept = passing(tower, functions, readings(tower, first, second))
            if kept is None:
                continue
            right += 1 / len(kept) if shared else not kept
            last += kept == [first[-1]] if shared else not kept
        problem = "search" if shared else "decision"
        mean = right / total if shared else (1 + right / total) / 2
        assert tower.accuracy(problem) == pytest.approx(mean)
        assert tower.error(problem) == pytest.approx(1 - last / total)


def test_sets_that_meet_are_never_missed() -> None:
    tower = TOWERS[1]
    for functions in product(product(range(2), repeat=3), repeat=3):
        kept = passing(tower, functions, readings(tower, [0, 1], [2, 1]))
        assert kept is None or 1 in kept


def test_states_are_the_sets_within_the_capacity() -> None:
    tower = Tower(2, 2, (Level(4, 2), Level(3, 2), Level(5, 1)))
    assert tower.passes == 2
    assert tower.states == (4 + 6, 1 + 3 + 3 + 1, 1 + 5 + 1)
    assert tower.bits == log2(10)
    assert Tower(5, 1, (Level(1, 5),)).bits == 0


@pytest.mark.parametrize("problem", ["decision", "search"])
@pytest.mark.parametrize("sizes", [(12, 12), (5, 30), (30, 5), (1, 1)])
def test_more_passes_take_fewer_bits_for_the_same_error(sizes, problem) -> None:
    towers = [tower_for(*sizes, passes, 0.05, problem) for passes in (1, 2, 3)]
    assert [tower.passes for tower in towers] == [1, 2, 3]
    assert all(0 <= tower.error(problem) <= 0.05 for tower in towers)
    if sizes != (1, 1):
        bits = [tower.bits for tower in towers]
        assert bits == sorted(bits, reverse=True)
        assert bits[2] < bits[0] - 4
        fewer = tower_within(*sizes, 1, bits[0] - 1.01, problem)
        assert fewer.error(problem) > 0.05


def test_the_smallest_errors_are_kept() -> None:
    tower = tower_for(8, 8, 2, LEAST_ERROR)
    assert 0 <= tower.error("decision") <= LEAST_ERROR
    assert tower.bits > tower_for(8, 8, 2, 1e-6).bits


def test_read_twice_the_order_hardly_matters() -> None:
    long_first, short_first = (tower_for(*sizes, 2, 0.1).bits for sizes in ((60, 4), (4, 60)))
    assert short_first < long_first < short_first + 5
    assert long_first < tower_for(60, 4, 1, 0.1).bits / 8


def test_two_bits_an_element_are_enough_twice() -> None:
    """One pass takes log₂(b / δ) and more; storing 128 of 10⁹ elements, over 22 bits for each."""
    bits = [tower_for(128, 128, passes, 0.05).bits / 128 for passes in (1, 2, 3)]
    assert bits == pytest.approx([12.70, 2.10, 1.40], abs=0.05)
    assert log2(comb(10**9, 128)) / 128 > 22


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_more_bits_are_more_accurate(passes: int) -> None:
    towers = [tower_within(6, 4, passes, bits, "search") for bits in (2, 5, 9, 14, 22, 30)]
    accuracies = [tower.accuracy("search") for tower in towers]
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.3 < 0.9 < accuracies[-1]
    for tower, bits in zip(towers, (2, 5, 9, 14, 22, 30), strict=True):
        assert bits - 2.5 < tower.bits <= bits


def test_levels_are_no_larger_than_float_numbers_are_exact() -> None:
    tower = tower_within(2, 2, 2, 900)
    assert max(level.cells for level in tower.levels) <= 2**60
    assert tower.error("search") < 1e-6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Level(0, 1), "cells = 0"),
        (lambda: Level(1, 0), "capacity = 0"),
        (lambda: Tower(0, 1, (Level(1, 1),)), "size_a = 0"),
        (lambda: Tower(1, LARGEST_SET + 1, (Level(1, 1),)), "size_b = "),
        (lambda: Tower(1, 1, (Level(1, 1),) * 2), "2 of them; an odd number"),
        (lambda: Tower(1, 1, ()), "0 of them"),
        (lambda: Tower(3, 1, (Level(9, 2),)), "first_capacity = 2: at least 3"),
        (lambda: tower_within(1, 1, 1, -1), "bits = -1"),
        (lambda: tower_within(1, 1, 0, 1), "passes = 0"),
        (lambda: tower_within(0, 1, 1, 1), "size_a = 0"),
        (lambda: tower_for(1, 1, 1, Fraction(0)), "error = 0: 1/1000000000 ≤ error < 1"),
        (lambda: tower_for(1, 1, 1, 1), "error = 1"),
        (lambda: tower_for(1, LARGEST_SET + 1, 1, 0.1), "size_b = "),
    ],
)
def test_what_is_no_tower_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
