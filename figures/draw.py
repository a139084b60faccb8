"""All figures of a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from figures import memory, order
from figures.drawing import Drawing, NothingToDraw
from figures.style import house_style
from sdsim.results import load

logger = logging.getLogger(__name__)

FIGURES: dict[str, Callable[[pl.DataFrame], Drawing]] = {
    "order": order.draw,
    "memory": memory.draw,
}
"""File name and function of each figure. A new figure is a module and a line here."""


def draw_all(store: Path | str, out: Path | str) -> list[Path]:
    """Draw every figure that the runs of a store allow.

    Same runs, same bytes, in any process and at any time, given the same versions of matplotlib
    and polars. A figure that the runs do not allow is skipped, with the reason in the log.

    Args:
        store: folder of runs, read only.
        out: folder for the figures, made if need be; earlier figures in it are replaced.

    Returns:
        Paths of what was written: each figure as PDF and PNG, its numbers as CSV.

    Raises:
        ValueError: if the store holds no run, or none that can be shown.
    """
    table, out = load(store), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, draw in FIGURES.items():
        with house_style(), _skipping(name):
            paths += draw(table).save(out / name)
    return paths


@contextmanager
def _skipping(name: str) -> Iterator[None]:
    try:
        yield
    except NothingToDraw as reason:
        logger.info("figure %r is left out: %s", name, reason)
