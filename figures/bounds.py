"""What theory proves of measured accuracies: the bits that one pass must hold, and the reverse."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from figures.axes import Floats
from theory import (
    all_told_apart,
    bitmap_search_accuracy,
    decision_accuracy,
    decision_bits,
    multi_pass_bits,
    one_pass_search_bits,
    recall_accuracy,
    recall_bits,
    search_accuracy,
    search_bits,
)

_Bound = Callable[..., float]


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
        here: several passes, several common elements, other tasks.
    """
    bounds = _bounds_of(slice_)
    if bounds is None:
        return None
    proved, _, sizes = bounds
    always = (zero_error_bits(slice_) or 0) if accuracy == 1 else 0
    return max(always, proved(*sizes, 1 - accuracy))


def best_accuracy(slices: Iterable[dict[str, Any]], bits: Floats) -> Floats | None:
    """What no mean accuracy over some slices can exceed in one pass with so many bits of state.

    Args:
        slices: as in `proved_bits`, equally weighted.
        bits: of one state, the same for all slices.

    Returns:
        Accuracies like `bits`; None if nothing is proved of one of the slices.
    """
    curves = []
    for slice_ in slices:
        bounds = _bounds_of(slice_)
        if bounds is None:
            return None
        _, possible, sizes = bounds
        curves.append([possible(*sizes, float(held)) for held in bits])
    mean: Floats = np.mean(curves, axis=0)
    return mean


def _bounds_of(slice_: dict[str, Any]) -> tuple[_Bound, _Bound, tuple[int, ...]] | None:
    """What bounds a slice: bits from an error, accuracy from bits, of which sizes."""
    if slice_["passes"] != 1:
        return None
    n, a, b = slice_["universe_size"], slice_["size_a"], slice_["size_b"]
    if slice_["task"] == "set_disjointness":
        answer = _answer(slice_)
        if answer == "token":
            return search_bits, search_accuracy, (n, a, b)
        if answer == "decision" and a + b <= n:
            return decision_bits, decision_accuracy, (n, a, b)
    if slice_["task"] == "associative_recall":
        # Context first: the values of `a` keys. Query first: which of `b` keys to come.
        values = slice_["vocab_size"] // 2 - 2
        alphabet = values if slice_["order"] == "context_first" else b
        return recall_bits, recall_accuracy, (a, alphabet)
    return None


def bitmap_accuracies(slice_: dict[str, Any]) -> list[float]:
    """Accuracy of one bit for each of k elements, for k = 0, 1 … n; empty where it is not known.

    Args:
        slice_: as in `proved_bits`.
    """
    if slice_["task"] != "set_disjointness" or _answer(slice_) != "token":
        return []
    return _bitmap_accuracies(slice_["universe_size"], slice_["size_a"], slice_["size_b"])


@lru_cache
def _bitmap_accuracies(n: int, a: int, b: int) -> list[float]:
    return [float(bitmap_search_accuracy(n, a, b, bits)) for bits in range(n + 1)]
