"""What the states of a stored run hold of A: rows of files beside its record."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar, get_type_hints

from sdsim.files import write_text

HELD = "held.csv"
"""Name of the file in a run's folder that has rows of `Held`."""

CODE = "code.csv"
"""That which has rows of `CodeNumber`."""


class Held(NamedTuple):
    """Bits of A in the state of a run's model, after so many tokens of a test slice.

    Attributes:
        size_a, size_b: of the slice.
        position: tokens read.
        bits, low, high: a lower bound on I(state; A) and its 95 % interval, see
            `sdsim.training.probe`.
        total_bits: log₂ C(n, a).
        examples: that the probe was trained and tested on.
    """

    size_a: int
    size_b: int
    position: int
    bits: float
    low: float
    high: float
    total_bits: float
    examples: int

    @property
    def place(self) -> tuple[int, int, int]:
        """Of which state it says how much it holds."""
        return self.size_a, self.size_b, self.position


class CodeNumber(NamedTuple):
    """Which element a number that crosses the first boundary speaks of, in a test slice.

    Attributes:
        size_a, size_b: of the slice.
        number: from 0.
        element, share: of `sdsim.training.code.Explained`.
        examples: that it was counted on.
    """

    size_a: int
    size_b: int
    number: int
    element: int
    share: float
    examples: int


_Row = TypeVar("_Row", Held, CodeNumber)
_FILES: dict[type[Held] | type[CodeNumber], str] = {Held: HELD, CodeNumber: CODE}


def write_rows(folder: Path, kind: type[_Row], rows: Sequence[_Row]) -> None:
    """Write a run's rows of a kind, in place of those that it had."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kind._fields)
    writer.writerows([f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows)
    write_text(folder / _FILES[kind], text.getvalue())


def read_rows(folder: Path, kind: type[_Row]) -> list[_Row]:
    """A run's rows of a kind; none where nothing was probed.

    Raises:
        ValueError: for a damaged file.
    """
    file = folder / _FILES[kind]
    if not file.exists():
        return []
    types = get_type_hints(kind).values()
    try:
        header, *lines = csv.reader(file.read_text(encoding="utf-8").splitlines())
        if tuple(header) != kind._fields:
            raise ValueError(f"columns {', '.join(header)}")
        return [
            kind(*[read(text) for read, text in zip(types, line, strict=True)]) for line in lines
        ]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error})") from error
