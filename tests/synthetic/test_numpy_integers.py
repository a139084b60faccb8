"""Sizes, seeds and places in the stream may be NumPy's integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from synthetic import (
    AssociativeRecall,
    GeneralAssociativeRecall,
    MultiQueryAssociativeRecall,
    SetDisjointness,
)


@pytest.mark.parametrize(
    "make",
    [
        lambda to: SetDisjointness(to(64), to(4), to(16), passes=to(2), common=to(1)),
        lambda to: AssociativeRecall(to(64), to(4), to(2), passes=to(2)),
        lambda to: MultiQueryAssociativeRecall(to(64), to(4), to(2)),
        lambda to: MultiQueryAssociativeRecall(
            to(64), to(4), to(2), gaps="power_law", query_len=to(9)
        ),
        lambda to: GeneralAssociativeRecall(to(64), to(4), to(2)),
    ],
)
def test_a_task_is_the_same(make: Callable[[Any], Any]) -> None:
    given, expected = make(np.int64), make(int)
    assert given == expected
    assert hash(given) == hash(expected)
    assert type(given.vocab_size) is int
    batch = given.sample(np.int64(5), seed=np.int64(3), start=np.uint8(2))
    assert torch.equal(batch.inputs, expected.sample(5, seed=3, start=2).inputs)


@pytest.mark.parametrize("size", [np.int64(0), np.float64(4), "4", None])
def test_what_is_no_size_is_refused(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size_a = .*: a whole number of at least 1 is needed"):
        SetDisjointness(64, size, 16)
