"""How a stored run learned: the points of its learning curve, in a file beside its record."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from pathlib import Path

from sdsim.training.result import CurvePoint

CURVE = "curve.csv"
"""Name of the file: step, loss, accuracy over each hundredth of the training."""

_COLUMNS = ("step", "loss", "accuracy")
_MOST_STEPS = 2**63  # a table holds less


def curve_text(curve: Sequence[CurvePoint], sizes: Sequence[tuple[int, int]]) -> str:
    """The content of a curve's file; what is not known or not finite is left empty.

    Args:
        curve: of a run.
        sizes: of its train tasks, which name the columns of their accuracies.
    """
    lines = [",".join([*_COLUMNS, *_task_columns(sizes)])]
    for point in curve:
        numbers = (point.loss, point.accuracy, *point.by_task)
        lines.append(
            ",".join([str(point.step), *("" if x is None else f"{x:.6g}" for x in numbers)])
        )
    return "\n".join(lines) + "\n"


def read_curve(folder: Path, sizes: Sequence[tuple[int, int]]) -> list[CurvePoint]:
    """A run's curve; no point where none was kept, no `by_task` where earlier versions kept none.

    Args:
        folder: of the run.
        sizes: of its train tasks.

    Raises:
        ValueError: for a damaged file, or one of other tasks.
    """
    file = folder / CURVE
    if not file.exists():
        return []
    try:
        header, *lines = file.read_text(encoding="utf-8").splitlines()
        if header.split(",") not in ([*_COLUMNS, *_task_columns(sizes)], [*_COLUMNS]):
            raise ValueError(f"columns {header}")
        curve = [_point(line, header.count(",")) for line in lines]
        steps = [0, *(point.step for point in curve), _MOST_STEPS]
        if not all(one < other for one, other in pairwise(steps)):
            raise ValueError("its steps do not rise")
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({error})") from error
    return curve


def _task_columns(sizes: Sequence[tuple[int, int]]) -> list[str]:
    return [f"accuracy_{a}_{b}" for a, b in sizes] if len(sizes) > 1 else []


def _point(line: str, numbers: int) -> CurvePoint:
    step, *cells = line.split(",")
    loss, accuracy, *by_task = (float(cell) if cell else None for cell in cells)
    if (
        len(cells) != numbers
        or accuracy is None
        or not all(0 <= each <= 1 for each in (accuracy, *by_task) if each is not None)
        or not isfinite(loss or 0)
    ):
        raise ValueError(f"line {line!r}")
    return CurvePoint(int(step), loss, accuracy, tuple(by_task))
