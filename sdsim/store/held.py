"""What the states of a stored run hold of A: rows of a file beside its record."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sdsim.files import write_text

HELD = "held.csv"
"""Name of the file in a run's folder."""


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


def write_held(folder: Path, rows: Sequence[Held]) -> None:
    """Write a run's rows, in place of those that it had."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Held._fields)
    writer.writerows([f"{x:.6g}" if isinstance(x, float) else x for x in row] for row in rows)
    write_text(folder / HELD, text.getvalue())


def read_held(folder: Path) -> list[Held]:
    """A run's rows; none where nothing was probed.

    Raises:
        ValueError: for a damaged file.
    """
    file = folder / HELD
    if not file.exists():
        return []
    try:
        header, *lines = csv.reader(file.read_text(encoding="utf-8").splitlines())
        if tuple(header) != Held._fields:
            raise ValueError(f"columns {', '.join(header)}")
        return [
            Held(*map(int, line[:3]), *map(float, line[3:7]), *map(int, line[7:])) for line in lines
        ]
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error})") from error
