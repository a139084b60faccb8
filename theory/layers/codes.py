"""Elements as rows of 0 and 1: in binary, and p-hot."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..checks import require_at_least, with_python_integers


@with_python_integers
def binary_code(elements: npt.ArrayLike, bits: int) -> npt.NDArray[np.int64]:
    """The elements in binary, lowest bit first: `(k,)` to `(k, bits)`.

    >>> binary_code([6], 4).tolist()
    [[0, 1, 1, 0]]

    Raises:
        ValueError: for an element outside 0 … 2^bits - 1.
    """
    return _digits(elements, bits, 2)


@with_python_integers
def p_hot_code(elements: npt.ArrayLike, digits: int, base: int) -> npt.NDArray[np.int64]:
    """The elements as p digits in base m, the lowest first, each one-hot: `(k,)` to `(k, p · m)`.

    >>> p_hot_code([5], 2, 3).tolist()  # digits 2 and 1
    [[0, 0, 1, 0, 1, 0]]

    Args:
        elements: in 0 … m^p - 1.
        digits: p ≥ 1; one digit is the one-hot code.
        base: m = n^{1/p} ≥ 1, for n elements.

    Raises:
        ValueError: unless the arguments are as above.

    Source:
        Theorem G.11 of arXiv:2407.05483.
    """
    require_at_least(1, digits=digits, base=base)
    one_hot = np.eye(base, dtype=np.int64)[_digits(elements, digits, base)]
    return one_hot.reshape(len(one_hot), digits * base)


def _digits(elements: npt.ArrayLike, count: int, base: int) -> npt.NDArray[np.int64]:
    numbers = np.asarray(elements, dtype=np.int64)
    if np.any((numbers < 0) | (numbers >= base**count)):
        largest = base**count - 1
        raise ValueError(f"elements = {numbers.tolist()}: 0 … {largest} fit {count} digits")
    return numbers[:, None] // base ** np.arange(count) % base
