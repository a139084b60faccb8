"""Checks of arguments, shared by all modules.

Each raises `ValueError` that names the argument, its value and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from functools import wraps
from numbers import Integral, Number, Rational
from typing import Any, ParamSpec, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Exact: TypeAlias = npt.NDArray[np.object_]
"""An array of exact numbers (int, Fraction) or of elements of another ring."""


P = ParamSpec("P")
R = TypeVar("R")


def with_python_integers(function: Callable[P, R]) -> Callable[P, R]:
    """The function, called with Python's integers in place of NumPy's, which overflow.

    >>> with_python_integers(lambda universe: 2**universe)(np.int64(64)) == 2**64
    True
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*map(_plain, args), **{name: _plain(x) for name, x in kwargs.items()})

    return call


def _plain(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(map(_plain, value))
    return int(value) if isinstance(value, np.integer) else value


def make_integers_python(fields: object) -> None:
    """Replace the integers of NumPy among a dataclass's fields; for a `__post_init__`."""
    for name, value in vars(fields).items():
        object.__setattr__(fields, name, _plain(value))


def require_at_least(least: int, **values: int) -> None:
    """Raise `ValueError` for the first of the values that is below `least`.

    >>> require_at_least(1, passes=0)
    Traceback (most recent call last):
    ValueError: passes = 0: at least 1 is needed
    """
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} = {value}: at least {least} is needed")


def require_between(
    low: int | Fraction,
    high: int | Fraction,
    *,
    open_low: bool = False,
    open_high: bool = False,
    **values: float | Fraction,
) -> None:
    """Raise `ValueError` for the first of the values outside the interval from low to high.

    >>> require_between(0, Fraction(1, 2), open_high=True, error=Fraction(1, 2))
    Traceback (most recent call last):
    ValueError: error = 1/2: 0 ≤ error < 1/2 is needed

    Args:
        low, high: the ends, themselves allowed unless `open_low`, `open_high`.
        values: the arguments to check, by name.
    """
    below, above = ("<" if is_open else "≤" for is_open in (open_low, open_high))
    for name, value in values.items():
        enough = value > low if open_low else value >= low
        little = value < high if open_high else value <= high
        if not (enough and little):
            raise ValueError(f"{name} = {value}: {low} {below} {name} {above} {high} is needed")


def require_subset(universe: int, size: int, name: str = "size") -> None:
    """Raise `ValueError` unless `universe` elements have a subset of this size."""
    if not 0 <= size <= universe:
        raise ValueError(f"universe = {universe}, {name} = {size}: 0 ≤ {name} ≤ universe is needed")


def require_distinct(**values: Sequence[Hashable]) -> None:
    """Raise `ValueError` for the first sequence that holds an element twice."""
    for name, elements in values.items():
        if len(set(elements)) < len(elements):
            raise ValueError(f"{name} = {elements}: distinct elements are needed")


def require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless the array has this shape."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}: {shape} is needed")


def exact_number(name: str, entry: Any) -> int | Fraction:
    """The entry as int, or as Fraction where it is not whole.

    Raises:
        ValueError: unless it is a rational number; a float is none.
    """
    if isinstance(entry, Integral):  # bool, and integers of numpy and sympy, too
        return int(entry)
    if isinstance(entry, Rational):
        return Fraction(int(entry.numerator), int(entry.denominator))
    raise ValueError(f"{name} holds {entry!r}: integers and fractions are allowed")


def exact_matrix(name: str, values: npt.ArrayLike) -> Exact:
    """The values as a new array `(rows, columns)` that arithmetic does not round.

    Numbers become int or Fraction; elements of another ring, such as polynomials, stay as they are.

    Raises:
        ValueError: for another number of dimensions, no entry, or a number that is not rational.
    """
    array = np.array(values, dtype=object)
    _require_two_dimensions(name, array)
    for place in np.ndindex(array.shape):
        if isinstance(array[place], Number | str):
            array[place] = exact_number(name, array[place])
    return array


def zero_one_rows(
    name: str, values: npt.ArrayLike, *, distinct: bool = True
) -> npt.NDArray[np.int64]:
    """The values as an array `(rows, columns)` of 0 and 1.

    Raises:
        ValueError: for another number of dimensions, no entry, an entry that is neither 0 nor 1,
            or, if `distinct`, a row that occurs twice.
    """
    array = np.array(values)
    _require_two_dimensions(name, array)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} holds {sorted(set(array.flat))}: only 0 and 1 are allowed")
    if distinct and len(np.unique(array, axis=0)) < len(array):
        raise ValueError(f"{name} has a row twice among {array.tolist()}: distinct rows are needed")
    return array.astype(np.int64)


def _require_two_dimensions(name: str, array: npt.NDArray[Any]) -> None:
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}: (rows, columns) is needed, none zero")
