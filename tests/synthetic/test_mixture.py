import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import AssociativeRecall, Mixture, SetDisjointness, Task

TASKS: tuple[Task, ...] = (
    SetDisjointness(36, 4, 12),
    SetDisjointness(36, 12, 4),
    AssociativeRecall(36, pairs=8),
    AssociativeRecall(36, pairs=8, order="query_first", passes=2),
)
weights_of_four = st.lists(
    st.one_of(st.integers(0, 5), st.floats(0, 5)), min_size=4, max_size=4
).filter(any)


@given(st.integers(1, 4), st.sampled_from([0.1, 1, 3.7]), st.integers(0, 30))
def test_equal_weights_take_turns(tasks: int, weight: float, steps: int) -> None:
    turns = list(itertools.islice(itertools.cycle(range(tasks)), steps))
    assert Mixture(TASKS[:tasks]).schedule(steps) == turns
    assert Mixture(TASKS[:tasks], (weight,) * tasks).schedule(steps) == turns


@given(weights_of_four, st.integers(0, 200))
def test_turns_follow_the_weights(weights: list[float], steps: int) -> None:
    """At every step: no task more than 1 − 1/4 turns ahead of its share, none 2 behind."""
    schedule = Mixture(TASKS, tuple(weights)).schedule(steps)
    assert len(schedule) == steps
    for done in range(steps + 1):
        for task, weight in enumerate(weights):
            ahead = schedule[:done].count(task) - done * weight / sum(weights)
            assert -2 < ahead < 0.75 + 1e-9
            assert weight or not schedule.count(task)


@given(weights_of_four, st.integers(0, 99), st.integers(0, 99))
def test_a_longer_run_starts_the_same(weights: list[float], steps: int, more: int) -> None:
    mixture = Mixture(TASKS, tuple(weights))
    assert mixture.schedule(steps + more)[:steps] == mixture.schedule(steps)


@given(weights_of_four, weights_of_four, weights_of_four, st.integers(0, 200))
def test_each_stage_is_a_mixture_of_its_own(
    first: list[float], second: list[float], third: list[float], steps: int
) -> None:
    schedule = Mixture(TASKS, tuple(first), ((0.1, tuple(second)), (0.75, tuple(third)))).schedule(
        steps
    )
    # In whole numbers: as a float, 0.1 is a little more than a tenth.
    starts = [0, -(-steps // 10), -(-3 * steps // 4), steps]
    stages = [
        Mixture(TASKS, tuple(weights)).schedule(end - start)
        for weights, (start, end) in zip(
            (first, second, third), itertools.pairwise(starts), strict=True
        )
    ]
    assert schedule == list(itertools.chain(*stages))


def test_turns_lie_evenly_apart() -> None:
    assert Mixture(TASKS[:2], (3, 1)).schedule(8) == [0, 0, 1, 0, 0, 0, 1, 0]
    assert Mixture(TASKS[:3], (2, 1, 1)).schedule(8) == [0, 1, 2, 0, 0, 1, 2, 0]


def test_its_vocabulary_is_that_of_its_tasks() -> None:
    assert Mixture(TASKS).vocab_size == 36


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tasks": ()}, "tasks is empty"),
        ({"tasks": (*TASKS[:1], SetDisjointness(37, 4, 12))}, r"vocab_size are \[36, 37\]"),
        ({"weights": (1,)}, r"weights = \(1,\): 4 are needed"),
        ({"weights": (1, 1, 1, -1)}, "weights = .* not negative"),
        ({"weights": (1, 1, 1, math.nan)}, "weights = .* must be finite"),
        ({"weights": (1, 1, 1, math.inf)}, "weights = .* must be finite"),
        ({"weights": (0, 0, 0, 0)}, "weights = .* not all 0"),
        ({"curriculum": ((0.5, (1, 1)),)}, r"curriculum: weights = \(1, 1\): 4 are needed"),
        ({"curriculum": ((0, (1, 1, 1, 1)),)}, r"stages start at \[0\]: they must lie between"),
        ({"curriculum": ((1, (1, 1, 1, 1)),)}, r"stages start at \[1\]"),
        ({"curriculum": ((0.5, (1,) * 4), (0.5, (1,) * 4))}, "in increasing order"),
    ],
)
def test_bad_mixtures(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Mixture(**{"tasks": TASKS, **arguments})


def test_negative_steps() -> None:
    with pytest.raises(ValueError, match="steps = -1: at least 0"):
        Mixture(TASKS).schedule(-1)
