import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdsim.bench.generation import obvious_loop
from synthetic import IGNORE_INDEX, Batch, SetDisjointness
from synthetic.set_disjointness import Answer


@st.composite
def tasks(draw: st.DrawFn) -> SetDisjointness:
    size_a, size_b = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    answer: Answer = draw(st.sampled_from(["token", "decision", "all"]))
    return SetDisjointness(
        vocab_size=size_a + size_b + 5 + draw(st.integers(0, 20)),
        size_a=size_a,
        size_b=size_b,
        passes=draw(st.integers(1, 3)),
        answer=answer,
        common=draw(st.integers(1, min(size_a, size_b))) if answer == "all" else 1,
    )


def sets(task: SetDisjointness, row: list[int]) -> tuple[list[int], list[int]]:
    return row[1 : 1 + task.size_a], row[2 + task.size_a : 2 + task.size_a + task.size_b]


@given(tasks(), st.integers(0, 2**40), st.integers(0, 2**40))
def test_examples_are_valid(task: SetDisjointness, seed: int, start: int) -> None:
    batch = task.sample(5, seed=seed, start=start)
    assert batch.inputs.shape == batch.targets.shape == (5, task.seq_len)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    assert batch.prefix_len == task.seq_len
    assert (batch.targets[:, : -task.common] == IGNORE_INDEX).all()
    first_ordinary = task.vocab_size - task.universe_size
    answers = batch.targets[:, -task.common :].tolist()
    for row, answer in zip(batch.inputs.tolist(), answers, strict=True):
        set_a, set_b = sets(task, row)
        once = [task.PREFIX, *set_a, task.SEP_SETS, *set_b]
        assert row == once * task.passes + [task.SEP_ANSWER] * task.common
        assert len(set(set_a)) == task.size_a
        assert len(set(set_b)) == task.size_b
        assert all(first_ordinary <= token < task.vocab_size for token in set_a + set_b)
        shared = set(set_a) & set(set_b)
        if task.answer == "decision":
            assert len(shared) <= 1
            assert answer == [task.INTERSECTING if shared else task.DISJOINT]
        else:
            assert answer == [token for token in set_b if token in shared]
            assert len(answer) == task.common


@pytest.mark.parametrize(
    ("answer", "digest"), [("token", "ec623d2f6ae93aaa"), ("decision", "a1a0ba117dd16a6d")]
)
def test_the_streams_of_stored_runs_stay(answer: Answer, digest: str) -> None:
    batch = SetDisjointness(36, 4, 12, 2, answer).sample(100, seed=3, start=5, split="test")
    tokens = torch.cat([batch.inputs, batch.targets]).numpy()
    assert hashlib.sha256(tokens.tobytes()).hexdigest()[:16] == digest


@pytest.mark.parametrize(
    ("size_a", "size_b", "common"), [(4, 12, 1), (4, 8, 3), (8, 4, 3), (4, 5, 4), (5, 5, 2)]
)
def test_shared_tokens_are_a_uniform_choice(size_a: int, size_b: int, common: int) -> None:
    """Every sequence of places in A, with every set of places in B, equally often.

    And the best place scores `chance`.
    """
    examples = 40_000
    task = SetDisjointness(40, size_a, size_b, answer="all", common=common)
    batch = task.sample(examples, seed=0)
    answers = batch.targets[:, -common:]
    cell, best = torch.zeros(examples, dtype=torch.int64), torch.zeros(common)
    for start, size in ((1, size_a), (2 + size_a, size_b)):
        places = batch.inputs[:, start : start + size, None] == answers[:, None]
        cell = cell * size**common + places.int().argmax(1) @ size ** torch.arange(common)
        best = best.maximum(places.float().mean(0).max(0).values)
    counts = torch.unique(cell, return_counts=True)[1].double()
    assert len(counts) == math.perm(size_a, common) * math.comb(size_b, common)
    expected, degrees = examples / len(counts), len(counts) - 1
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    assert chi_squared <= degrees + 6 * (2 * degrees) ** 0.5
    assert float(best.mean()) == pytest.approx(task.chance, abs=4 * 0.5 / examples**0.5)


def test_decisions_are_balanced() -> None:
    task = SetDisjointness(64, 4, 12, answer="decision")
    labels = task.sample(10_000, seed=0).targets[:, -1]
    share = float((labels == task.INTERSECTING).double().mean())
    assert abs(share - 0.5) < 4 * 0.5 / 100  # four standard deviations


@pytest.mark.parametrize(("size_a", "size_b"), [(4, 12), (12, 4), (2, 14)])
def test_no_shortcut(size_a: int, size_b: int) -> None:
    """Whatever ignores A's identity stays at chance, 1/|B|.

    The best such classifier knows, for each token and position of B, how often it is the answer.
    It is fitted here on the test data themselves, which can only flatter it. With the halves of
    the vocabulary fixed (the trap of section 2) it is perfect: it does find a shortcut.
    """
    task, examples = SetDisjointness(36, size_a, size_b), 40_000
    start_of_b = 2 + size_a

    def best_blind_accuracy(batch: Batch) -> float:
        set_b, label = batch.inputs[:, start_of_b:-1], batch.targets[:, -1]
        is_answer = set_b == label[:, None]
        position = torch.arange(size_b).expand_as(set_b)
        cell = position * task.vocab_size + set_b
        hits = torch.zeros(size_b * task.vocab_size).index_add_(
            0, cell.flatten(), is_answer.flatten().float()
        )
        seen = torch.bincount(cell.flatten(), minlength=len(hits)).clamp(min=1)
        guess = (hits / seen)[cell].argmax(1)
        return float(is_answer.gather(1, guess[:, None]).float().mean())

    chance = 1 / size_b
    honest = best_blind_accuracy(task.sample(examples, seed=0))
    # 36·|B| fitted frequencies overfit a little; four standard deviations on top.
    assert honest < chance + 0.02 + 4 * (chance * (1 - chance) / examples) ** 0.5
    assert best_blind_accuracy(with_fixed_halves(task, 2000)) == 1.0


def with_fixed_halves(task: SetDisjointness, examples: int) -> Batch:
    rng = np.random.default_rng(0)
    half_a, half_b = np.split(np.arange(4, task.vocab_size), 2)
    batch = obvious_loop(task, examples, rng)
    for row in range(examples):
        set_a = rng.choice(half_a, task.size_a, replace=False)
        set_b = rng.choice(half_b, task.size_b, replace=False)
        set_b[rng.integers(task.size_b)] = shared = rng.choice(set_a)
        batch.inputs[row, 2 + task.size_a : -1] = torch.from_numpy(set_b)
        batch.targets[row, -1] = int(shared)
    return batch


def test_same_distribution_as_the_obvious_loop() -> None:
    """Joint frequencies of (an element of A, the place of the answer, an other element of B)."""
    task, examples = SetDisjointness(4 + 6, 2, 3), 30_000
    ours = task.sample(examples, seed=0)
    loop = obvious_loop(task, examples, np.random.default_rng(0))

    def cells(batch: Batch) -> torch.Tensor:
        inputs, answer = batch.inputs, batch.targets[:, -1:]
        place = (inputs[:, 4:7] == answer).int().argmax(1)
        return torch.bincount(
            ((inputs[:, 1] - 4) * 3 + place) * 6 + inputs[:, 5] - 4, minlength=108
        ).double()

    sampled, looped = cells(ours), cells(loop)
    occurring = (sampled + looped) > 0
    chi_squared = float((((sampled - looped) ** 2) / (sampled + looped))[occurring].sum())
    degrees = int(occurring.sum()) - 1
    assert chi_squared < degrees + 5 * (2 * degrees) ** 0.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size_a": 0}, "size_a = 0"),
        ({"size_b": -1}, "size_b = -1"),
        ({"passes": 0}, "passes = 0"),
        ({"size_a": 10, "size_b": 9}, "10 + 9 does not fit: vocab_size = 20 leaves 16"),
        ({"answer": "maybe"}, "answer = 'maybe'"),
        ({"common": 0}, "common = 0"),
        ({"common": 2}, "common = 2: at most 1 for answer = 'token'"),
        ({"common": 2, "answer": "decision"}, "common = 2: at most 1 for answer = 'decision'"),
        ({"common": 3, "answer": "all"}, "common = 3: at most 2 for answer = 'all'"),
        ({"answer": "decision", "size_a": 8, "size_b": 8}, "leaves 15"),
        ({"vocab_size": 2}, "leaves 0"),
    ],
)
def test_bad_tasks(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        SetDisjointness(**{"vocab_size": 20, "size_a": 2, "size_b": 2, **change})
