"""What theory proves of measured accuracies: the bits that one pass must hold, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from figures.style import Floats
from theory import average_recall_bits, average_search_bits


def proved_bits(slice_: dict[str, Any], accuracy: float) -> float | None:
    """The least bits with which one pass attains an accuracy on uniform instances of a slice.

    Args:
        slice_: task, options, passes, order, universe_size, size_a and size_b, as `by_slice` has.
        accuracy: share of right answers, averaged over instances.

    Returns:
        Bits; None where nothing is proved here: several passes, decisions, other tasks.
    """
    if slice_["passes"] != 1:
        return None
    a, b, error = slice_["size_a"], slice_["size_b"], 1 - accuracy
    if slice_["task"] == "set_disjointness":
        options = json.loads(slice_["options"])
        if options["answer"] != "token":
            return None
        return average_search_bits(slice_["universe_size"], a, b, error)
    if slice_["task"] == "associative_recall":
        # Context first: the values of `a` keys. Query first: which of `b` keys to come.
        values = slice_["vocab_size"] // 2 - 2
        alphabet = values if slice_["order"] == "context_first" else b
        return average_recall_bits(a, alphabet, error)
    return None


def best_accuracy(slices: Iterable[dict[str, Any]], bits: Floats) -> Floats | None:
    """The best mean accuracy over some slices that one pass can attain with so many bits of state.

    Args:
        slices: as in `proved_bits`, equally weighted.
        bits: of one state, the same for all slices.

    Returns:
        Accuracies like `bits`; None if nothing is proved of one of the slices.
    """
    grid = np.linspace(0, 1, 401)
    curves = []
    for one in slices:
        needed = [proved_bits(one, float(accuracy)) for accuracy in grid]
        if None in needed:
            return None
        # The bound grows with the accuracy: the last that it allows.
        allowed = np.searchsorted(np.array(needed, dtype=float), bits, side="right") - 1
        curves.append(grid[np.maximum(allowed, 0)])
    mean: Floats = np.mean(curves, axis=0)
    return mean
