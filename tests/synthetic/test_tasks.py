"""What holds for every task."""

import itertools
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic import (
    IGNORE_INDEX,
    AssociativeRecall,
    GeneralAssociativeRecall,
    MultiQueryAssociativeRecall,
    NoisyAssociativeRecall,
    SelectiveCopying,
    SetDisjointness,
    Split,
    Task,
)

TASKS: list[Task] = [
    SetDisjointness(64, 9, 4),
    SetDisjointness(64, 4, 9, passes=2, answer="decision"),
    SetDisjointness(64, 4, 9, answer="all", common=3),
    AssociativeRecall(64, pairs=9, queries=4),
    AssociativeRecall(65, pairs=9, queries=4, order="query_first", passes=2),
    GeneralAssociativeRecall(64, pairs=9, queries=4),
    GeneralAssociativeRecall(64, pairs=9, queries=4, order="query_first", null_share=0.2),
    MultiQueryAssociativeRecall(64, pairs=9, queries=4),
    MultiQueryAssociativeRecall(64, 9, queries=4, passes=2, gaps="power_law", query_len=11),
    AssociativeRecall(64, pairs=9),
    NoisyAssociativeRecall(64, pairs=9, queries=4),
    NoisyAssociativeRecall(65, 9, order="query_first", passes=2, noise=5, noise_tokens=3),
    SelectiveCopying(20, items=6, delay=3),
    SelectiveCopying(20, items=6, delay=3, passes=2, blanks=1),
]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_batch_is_what_the_contract_says(task: Task) -> None:
    batch = task.sample(50, seed=0)
    assert batch.inputs.shape == batch.targets.shape == (50, task.seq_len)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.inputs.min() >= 0
    assert batch.inputs.max() < task.vocab_size
    answered = batch.targets != IGNORE_INDEX
    assert (answered.sum(1) == answered[0].sum()).all()
    assert 0 < batch.prefix_len <= task.seq_len
    assert 0 < task.chance < 1
    assert task.sample(0, seed=0).inputs.shape == (0, task.seq_len)


@given(st.sampled_from(TASKS), st.integers(0, 2**40), st.integers(1, 20), st.integers(0, 20))
def test_an_example_depends_on_its_index_alone(
    task: Task, start: int, size: int, skip: int
) -> None:
    whole = task.sample(skip + size, seed=3, start=start)
    part = task.sample(size, seed=3, start=start + skip)
    assert torch.equal(whole.inputs[skip:], part.inputs)
    assert torch.equal(whole.targets[skip:], part.targets)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_seeds_and_splits_are_unrelated_streams(task: Task) -> None:
    streams = [
        {tuple(row) for row in task.sample(200, seed=seed, split=split).inputs.tolist()}
        for seed in (0, 1)
        for split in get_args(Split)
    ]
    assert [len(rows) for rows in streams] == [200] * 6
    assert not any(first & second for first, second in itertools.combinations(streams, 2))


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_a_numpy_seed_names_the_same_stream(task: Task) -> None:
    numpy_seed: Any = np.int64(5)
    ours = task.sample(3, seed=numpy_seed).inputs
    assert torch.equal(ours, task.sample(3, seed=5).inputs)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_more_passes_show_the_same(task: Any) -> None:
    once, triple = (replace(task, passes=p).sample(9, seed=0) for p in (1, 3))
    answers = [batch.targets[batch.targets != IGNORE_INDEX] for batch in (once, triple)]
    assert torch.equal(*answers)
    pass_len = (triple.inputs.shape[1] - once.inputs.shape[1]) // 2
    for i in range(3):
        shown = triple.inputs[:, i * pass_len : (i + 1) * pass_len]
        assert torch.equal(shown, once.inputs[:, :pass_len])
    assert torch.equal(triple.targets[:, 2 * pass_len :], once.targets), "the last pass is asked"
    assert (triple.targets[:, : 2 * pass_len] == IGNORE_INDEX).all()
    assert triple.prefix_len == 2 * pass_len + once.prefix_len


@pytest.mark.parametrize("task", TASKS, ids=str)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": -1}, "batch_size = -1, start = 0"),
        ({"start": -2}, "batch_size = 1, start = -2"),
        ({"start": 2**63 - 1}, "less than 2^63"),
        ({"split": "dev"}, "split = 'dev': one of train, validation, test"),
    ],
    ids=str,
)
def test_bad_samples(task: Task, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("^", r"\^")):
        task.sample(**{"batch_size": 1, "seed": 0, **arguments})


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_segment_boundaries_are_where_the_sides_change(task: Task) -> None:
    """Behind every [sep], and before every [prefix] but the first."""
    (row,) = task.sample(1, seed=0).inputs.tolist()
    # Special tokens 0 and 1, whatever else is in the sequence.
    expected = [place + 1 for place, token in enumerate(row) if token == 1]
    expected += [place for place, token in enumerate(row) if token == 0 and place > 0]
    assert list(task.segment_boundaries) == sorted(expected)
    assert len(task.segment_boundaries) == 2 * task.passes - 1
