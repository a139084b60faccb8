"""The disjointness matrix and its rank, whose logarithm bounds two-way communication."""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt

from ..checks import require_subset, with_python_integers

_PRIME = 2**31 - 1  # products of two residues fit 64 bits


@with_python_integers
def disjointness_matrix(universe: int, size_a: int, size_b: int) -> npt.NDArray[np.int64]:
    """1 where the a-subset of a row and the b-subset of a column are disjoint, else 0.

    >>> disjointness_matrix(3, 1, 2)
    array([[0, 0, 1],
           [0, 1, 0],
           [1, 0, 0]])

    Args:
        universe: n, elements to draw from.
        size_a: a, 0 ≤ a ≤ n.
        size_b: b, 0 ≤ b ≤ n.

    Returns:
        Shape ``(C(n, a), C(n, b))``, subsets in lexicographic order.

    Raises:
        ValueError: unless the sizes are as above.
    """
    require_subset(universe, size_a, "size_a")
    require_subset(universe, size_b, "size_b")
    rows = _indicators(universe, size_a)  # (C(n, a), n)
    columns = _indicators(universe, size_b)  # (C(n, b), n)
    common: npt.NDArray[np.int64] = rows @ columns.T
    return np.equal(common, 0).astype(np.int64)


def rank(matrix: npt.ArrayLike) -> int:
    """The rank over the rationals of a matrix of integers, exactly.

    A minor that is not 0 modulo a prime is not 0, so that the rank modulo the prime is a lower
    bound; when it is full, it is the rank. Otherwise fraction-free elimination decides.

    >>> rank([[1, 2], [2, 4]]), rank([[2**31 - 1]])
    (1, 1)

    Args:
        matrix: integers, shape ``(rows, columns)``.

    Returns:
        The rank, 0 … min(rows, columns).

    Raises:
        ValueError: if it has not two dimensions or an entry is no integer.

    Source:
        Bareiss 1968 for the elimination.
    """
    entries = np.array(matrix, dtype=object)
    if entries.ndim != 2:
        raise ValueError(f"matrix has shape {entries.shape}: two dimensions are needed")
    if not all(isinstance(entry, (int, np.integer)) for entry in entries.flat):
        raise ValueError("matrix: every entry is to be an integer")
    modular = _rank_modulo((entries % _PRIME).astype(np.int64))
    if modular == min(entries.shape):
        return modular
    return _rank_fraction_free(entries)


def _rank_modulo(entries: npt.NDArray[np.int64]) -> int:
    rows, columns = entries.shape
    done = 0
    for column in range(columns):
        pivots = np.flatnonzero(entries[done:, column])
        if pivots.size == 0:
            continue
        entries[[done, done + pivots[0]]] = entries[[done + pivots[0], done]]
        inverse = pow(int(entries[done, column]), -1, _PRIME)
        pivot_row = entries[done] * inverse % _PRIME
        factors = entries[done + 1 :, column, None]
        entries[done + 1 :] = (entries[done + 1 :] - factors * pivot_row % _PRIME) % _PRIME
        done += 1
        if done == rows:
            break
    return done


def _rank_fraction_free(entries: npt.NDArray[Any]) -> int:
    """Bareiss: after k steps an entry is a minor of order k + 1, so the division is exact."""
    rows, columns = entries.shape
    done, last = 0, 1
    for column in range(columns):
        if done == rows:
            break
        pivots = [row for row in range(done, rows) if entries[row, column]]
        if not pivots:
            continue
        entries[[done, pivots[0]]] = entries[[pivots[0], done]]
        pivot = entries[done, column]
        below = entries[done + 1 :]
        entries[done + 1 :] = (below * pivot - np.outer(below[:, column], entries[done])) // last
        done, last = done + 1, pivot
    return done


def _indicators(universe: int, size: int) -> npt.NDArray[np.int64]:
    """The subsets of that size in lexicographic order as rows of 0 and 1."""
    members = np.array(list(combinations(range(universe), size)), dtype=np.int64)
    indicators = np.zeros((comb(universe, size), universe), dtype=np.int64)
    np.put_along_axis(indicators, members.reshape(len(indicators), size), 1, axis=1)
    return indicators
