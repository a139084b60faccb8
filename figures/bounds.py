"""What theory proves of measured accuracies: the bits that one pass must hold, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from figures.axes import Floats
from theory import (
    all_told_apart,
    average_recall_bits,
    average_search_bits,
    multi_pass_bits,
    one_pass_search_bits,
)


def zero_error_bits(slice_: dict[str, Any]) -> int | None:
    """The least bits that some state holds of whatever makes no errors on a slice.

    Args:
        slice_: as in `proved_bits`.

    Returns:
        Bits; None where nothing is proved here. Several passes are bounded for decisions alone: the
        promise of exactly one common element, which the search has, makes two-way protocols
        cheaper than their rank.
    """
    if slice_["task"] != "set_disjointness":
        return None
    n, a, b = slice_["universe_size"], slice_["size_a"], slice_["size_b"]
    passes: int = slice_["passes"]
    answer = _answer(slice_)
    if answer == "decision" and a + b <= n:
        return multi_pass_bits(n, a, b, passes)
    if answer == "token" and passes == 1 and (b == 1 or all_told_apart(n, a, b)):
        return one_pass_search_bits(n, a, b)
    return None


def _answer(slice_: dict[str, Any]) -> str:
    answer: str = json.loads(slice_["options"]).get("answer", "token")
    return answer


def proved_bits(slice_: dict[str, Any], accuracy: float) -> float | None:
    """The least bits with which one pass attains an accuracy on uniform instances of a slice.

    Args:
        slice_: task, options, passes, order, universe_size, size_a and size_b, as `by_slice` has.
        accuracy: fraction of right answers, averaged over instances.

    Returns:
        Bits, for an accuracy of 1 those of `zero_error_bits` too; None where nothing is proved
        here: several passes, decisions, other tasks.
    """
    if slice_["passes"] != 1:
        return None
    a, b, error = slice_["size_a"], slice_["size_b"], 1 - accuracy
    if slice_["task"] == "set_disjointness":
        if _answer(slice_) != "token":
            return None
        always = (zero_error_bits(slice_) or 0) if error == 0 else 0
        return max(always, average_search_bits(slice_["universe_size"], a, b, error))
    if slice_["task"] == "associative_recall":
        # Context first: the values of `a` keys. Query first: which of `b` keys to come.
        values = slice_["vocab_size"] // 2 - 2
        alphabet = values if slice_["order"] == "context_first" else b
        return average_recall_bits(a, alphabet, error)
    return None


def best_accuracy(slices: Iterable[dict[str, Any]], bits: Floats) -> Floats | None:
    """What no mean accuracy over some slices can exceed in one pass with so many bits of state.

    Args:
        slices: as in `proved_bits`, equally weighted.
        bits: of one state, the same for all slices.

    Returns:
        Accuracies like `bits`, rounded up to a grid of 1/400; None if nothing is proved of one of
        the slices.
    """
    grid = np.linspace(0, 1, 401)
    curves = []
    for slice_ in slices:
        needed = [proved_bits(slice_, float(accuracy)) for accuracy in grid]
        if None in needed:
            return None
        # The bound grows with the accuracy: the first that it rules out.
        ruled_out = np.searchsorted(np.array(needed, dtype=float), bits, side="right")
        curves.append(grid[np.minimum(ruled_out, len(grid) - 1)])
    mean: Floats = np.mean(curves, axis=0)
    return mean
