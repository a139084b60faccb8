"""The hash tower as a streaming algorithm: its rule, its error, its bits."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest

from theory.algorithms.hash_tower import HashTower
from theory.counting import ceil_log2, ceil_log2_binomial
from theory.passes.protocols import examine
from theory.passes.tower import Level, Tower
from theory.setting import Marker, is_right, prompt

TENTH = Fraction(1, 10)

TOWERS = [
    Tower(2, 3, (Level(5, 2),)),
    Tower(2, 3, (Level(3, 2), Level(4, 2), Level(7, 1))),
    Tower(3, 2, (Level(3, 3), Level(4, 2), Level(3, 1))),
    Tower(2, 2, (Level(2, 2), Level(3, 1), Level(3, 2), Level(9, 1), Level(2, 1))),
]


def expected(model: HashTower, first, second):
    """The answer by the rule of `theory.passes.tower`, with the algorithm's own cells."""
    sets = [first, second]
    held = first
    for number, level in enumerate(model.tower.levels):
        occupied = {model._cell(number, x) for x in held}
        if len(occupied) > level.capacity:
            return None if model.search else True
        held = [x for x in sets[(number + 1) % 2] if model._cell(number, x) in occupied]
    if model.search:
        return held[0] if held else None
    return bool(held)


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("tower", TOWERS)
def test_it_follows_the_rule(tower: Tower, search: bool) -> None:
    answers = set()
    for seed in range(4):
        model = HashTower(6, tower=tower, seed=seed, search=search)
        for first in combinations(range(6), tower.size_a):
            for second in combinations(range(6), tower.size_b):
                answer = model.run(prompt(first, second, tower.passes)).answer
                assert answer == expected(model, first, second)
                assert search or answer or not set(first) & set(second)
                answers.add(answer)
    assert len(answers) > 1


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize(("a", "b"), [(10, 10), (3, 25), (25, 3)])
def test_errors_are_as_frequent_as_promised(a: int, b: int, search: bool) -> None:
    for passes in (1, 2, 3):
        tower = HashTower.drawn(10**6, a, b, passes, TENTH, seed=0, search=search).tower
        promised = tower.error("search" if search else "decision")
        assert promised <= 0.1
        wrong, trials = 0, 400
        for seed in range(trials):
            drawn = random.Random(seed).sample(range(10**6), a + b)
            first, second = drawn[:a], drawn[a:]
            if search:
                second = [*second[1:], first[0]]  # last, which is the worst place
            model = HashTower(10**6, tower=tower, seed=seed, search=search)
            answer = model.run(prompt(first, second, passes)).answer
            wrong += not is_right(answer, first, second)
        slack = 4 * (trials * promised * (1 - promised)) ** 0.5
        assert abs(wrong - trials * promised) <= slack, (passes, wrong, promised)


def test_every_message_fits_its_bits() -> None:
    for tower in TOWERS:
        for packed in (False, True):
            model = HashTower(6, tower=tower, seed=1, packed=packed)
            report = examine(model, 6, tower.size_a, tower.size_b, tower.passes)
            assert report.declares_enough


@pytest.mark.parametrize("tower", TOWERS)
def test_the_marker_after_a_reading_leaves_the_states_of_its_level(tower: Tower) -> None:
    states = [set() for _ in tower.levels]
    for seed in range(3):
        model = HashTower(7, tower=tower, seed=seed)
        for first in combinations(range(7), tower.size_a):
            for second in combinations(range(7), tower.size_b):
                state = model.start()
                for token in prompt(first, second, tower.passes):
                    state = model.step(state, token)
                    level = model._level(state) - 1
                    if token in (Marker.PREFIX, Marker.SEPARATOR) and level >= 0:
                        assert not state.filling
                        states[level].add((state.occupied, state.gave_up))
    assert all(1 < len(x) <= y for x, y in zip(states, tower.states, strict=True))


def test_both_levels_are_counted() -> None:
    tower = Tower(2, 3, (Level(30, 2), Level(40, 3), Level(50, 2)))
    model = HashTower(8, tower=tower, seed=0, search=True)
    assert model.header_bits == 2 + 2 + 2 * 2 + 4  # copies, flags, two sizes, answer
    state = model.start()
    for token in prompt([1, 2], [2, 3, 4])[:-1]:
        state = model.step(state, token)
    assert state.occupied == {model._cell(0, 1), model._cell(0, 2)}
    assert state.filling
    cells = 2 * ceil_log2(30) + len(state.filling) * ceil_log2(40)
    assert model.bits(state) == model.header_bits + cells
    packed = HashTower(8, tower=tower, seed=0, search=True, packed=True)
    cells = ceil_log2_binomial(30, 2) + ceil_log2_binomial(40, len(state.filling))
    assert packed.bits(state) == packed.header_bits + cells
    second = replace(model.step(state, Marker.PREFIX), filling=frozenset([3]))
    level = model.bits(second) - model.header_bits
    assert level == len(second.occupied) * ceil_log2(40) + ceil_log2(50)


def test_it_gives_up_when_a_level_is_full() -> None:
    tower = Tower(1, 3, (Level(1, 1), Level(10**6, 1), Level(5, 1)))
    for search in (False, True):
        model = HashTower(10, tower=tower, seed=0, search=search)
        state = model.start()
        for token in prompt([9], [1, 2, 3], 2)[:4]:
            state = model.step(state, token)
        assert not state.gave_up
        state = model.step(state, 2)
        assert state.gave_up
        assert state.occupied == state.filling == frozenset()
        assert model.run(prompt([9], [1, 2, 9], 2)).answer is (None if search else True)


def test_the_state_does_not_depend_on_the_universe() -> None:
    peaks = set()
    for universe in (2**10, 2**60):
        model = HashTower.drawn(universe, 16, 16, 2, TENTH, seed=3, packed=True)
        peaks.add(model.run(prompt(range(16), range(16, 32), 2)).peak_bits)
    assert len(peaks) == 1


def test_seeds_name_functions() -> None:
    tower = TOWERS[1]
    cells = {
        tuple(HashTower(9, tower=tower, seed=seed)._cell(level, x) for x in range(9))
        for seed in range(5)
        for level in range(2)
    }
    assert len(cells) == 10


def test_what_is_no_stream_is_refused() -> None:
    model = HashTower(9, tower=TOWERS[1], seed=0)
    with pytest.raises(ValueError, match="more than passes = 2 copies"):
        model.run(prompt([1, 2], [3, 4, 5], 3))
    with pytest.raises(ValueError, match="1 copies; passes = 2 are needed"):
        model.run(prompt([1, 2], [3, 4, 5], 1))
    with pytest.raises(ValueError, match="token = 9"):
        model.run(prompt([1, 9], [3, 4, 5], 2))
    with pytest.raises(ValueError, match="seed = -1"):
        HashTower(9, tower=TOWERS[1], seed=-1)
