"""Tasks with tokens to leave out: selective copying, recall with noise."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthetic import AssociativeRecall, NoisyAssociativeRecall, SelectiveCopying

counts = st.integers(1, 6)
starts = st.integers(0, 2**40)


@given(counts, counts, counts, starts)
def test_what_is_copied_is_what_is_no_blank(
    items: int, delay: int, blanks: int, start: int
) -> None:
    task = SelectiveCopying(12, items, delay, blanks=blanks)
    batch = task.sample(5, seed=1, start=start)
    shown = batch.inputs[:, 1 : 1 + items + blanks]
    assert torch.equal(shown[shown != task.BLANK].view(5, items), batch.targets[:, -items:])
    assert (batch.inputs[:, 2 + items + blanks : -items] == task.BLANK).all()
    waiting = SelectiveCopying(12, items, delay + 3, blanks=blanks).sample(5, seed=1, start=start)
    assert torch.equal(waiting.inputs[:, 1 : 1 + items + blanks], shown), "whatever the delay"


def test_items_stand_anywhere_and_are_any_token() -> None:
    task = SelectiveCopying(12, items=2, delay=1, blanks=2)
    shown = task.sample(600, seed=0).inputs[:, 1:5]
    places = (shown != task.BLANK).int() @ torch.tensor([8, 4, 2, 1], dtype=torch.int32)
    assert sorted(set(places.tolist())) == [3, 5, 6, 9, 10, 12]
    found, times = shown[shown != task.BLANK].unique(return_counts=True)
    assert found.tolist() == list(range(4, 12))
    assert times.min() > 0.7 * 1200 / 8


@given(counts, st.integers(1, 8), st.integers(1, 4), starts)
def test_without_its_noise_it_is_recall(
    pairs: int, noise: int, noise_tokens: int, start: int
) -> None:
    vocab_size = 24
    task = NoisyAssociativeRecall(vocab_size, pairs, noise=noise, noise_tokens=noise_tokens)
    batch = task.sample(4, seed=1, start=start)
    for inputs, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        context = inputs[1 : 1 + 2 * pairs + noise]
        quiet = [token for token in context if token < vocab_size - noise_tokens]
        assert len(quiet) == 2 * pairs
        keys, values = quiet[::2], quiet[1::2]
        assert max(keys) < min(values), "no noise inside a pair, no pair torn apart"
        lookup = dict(zip(keys, values, strict=True))
        assert lookup[inputs[-2]] == targets[-1]
        for key, value in lookup.items():
            assert context[context.index(key) + 1] == value


def test_noise_stands_before_between_and_behind_the_pairs() -> None:
    task = NoisyAssociativeRecall(16, pairs=2, noise=1, noise_tokens=1)
    places = (task.sample(300, seed=0).inputs[:, 1:6] == 15).float().mean(0)
    assert places.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3], abs=0.1)
    assert task.universe_size == AssociativeRecall(15, pairs=2).universe_size


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SelectiveCopying(5, 1, 1), "vocab_size = 5: at least 6"),
        (lambda: SelectiveCopying(12, 1, 0), "delay = 0: a whole number of at least 1"),
        (lambda: NoisyAssociativeRecall(12, 3, noise_tokens=4), "pairs = 3 does not fit"),
        (lambda: NoisyAssociativeRecall(36, 3, noise=0), "noise = 0: a whole number"),
    ],
)
def test_sizes_that_do_not_fit(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
