"""What the numbers of a code say: how much of each is the membership of a single element in A.

A state that is carried in a few numbers of a few bits is a code for A. The plainest code is a
bitmap, a bit for each of some elements (`theory.bitmap_search_accuracy`); others mix elements, as
hash values do. This tells them apart, number by number.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import torch
from torch import Tensor


class Explained(NamedTuple):
    """The element that a number of a code speaks of most.

    Attributes:
        element: from 0 to n − 1.
        share: I(number; element ∈ A) / H(number), from 0 to 1; 0 of a number that never changes.
    """

    element: int
    share: float


def explained_by_elements(codes: Tensor, sets: Tensor, universe_size: int) -> list[Explained]:
    """For each number of a code, how much of it the membership of one element explains.

    >>> sets = torch.tensor([[0, 1], [0, 2], [1, 2], [0, 3], [1, 3], [2, 3]])
    >>> has_1 = (sets == 1).any(1).int()
    >>> explained_by_elements(torch.stack([1 - has_1, 0 * has_1], dim=1), sets, 4)
    [Explained(element=1, share=1.0), Explained(element=0, share=0.0)]

    Args:
        codes: of each example, whole numbers from 0 up, (examples, numbers).
        sets: A of each example, int64 (examples, a), elements from 0 to n − 1.
        universe_size: n.

    Returns:
        One for each number. The information is that of the examples' frequencies: of many examples,
        since of N it is too large by about (levels − 1) / (1.4 N) bits.
    """
    codes = codes.long()
    members = torch.zeros(len(sets), universe_size, dtype=torch.float64)
    members.scatter_(1, sets, 1)
    found = []
    for number in codes.unbind(1):
        levels = torch.nn.functional.one_hot(number).double()  # (examples, levels)
        inside = levels.T @ members / len(sets)  # (levels, n)
        level = levels.mean(0)[:, None]
        joint = torch.stack([inside, level - inside])
        total = _entropy(level).sum()
        shared = total + _entropy(joint.sum(1)).sum(0) - _entropy(joint).sum((0, 1))
        best = int(shared.argmax())
        found.append(Explained(best, min(1.0, float(shared[best] / total)) if total else 0.0))
    return found


def _entropy(share: Tensor) -> Tensor:
    """−p log₂ p of each; 0 at 0 (and where rounding left less)."""
    share = share.clamp(min=0)
    return -torch.xlogy(share, share) / log(2)
