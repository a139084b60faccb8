"""All figures of a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import polars as pl

from figures import (
    answers,
    bench,
    bits,
    budget,
    card,
    code,
    curves,
    gap,
    held,
    memory,
    order,
    passes,
    perplexity,
    rates,
    slices,
    theory,
    tradeoff,
)
from figures import cards as compare
from figures.drawing import Drawing, NothingToDraw
from figures.pooling import by_slice
from figures.runs import chosen_runs
from figures.style import house_style
from sdsim.card.record import read_card
from sdsim.config import Selection
from sdsim.files import write_text
from sdsim.reading import reason as reason_of
from sdsim.store.table import load
from theory.setting import Problem
from theory.tradeoff import Point

logger = logging.getLogger(__name__)

FIGURES: dict[str, Callable[..., Drawing]] = {
    "order": order.draw,
    "memory": memory.draw,
    "bits": bits.draw,
    "gap": gap.draw,
    "passes": passes.draw,
    "budget": budget.draw_accuracy,
    "needed": budget.draw_needed,
    "held": held.draw,
    "held_over_time": held.draw_over_time,
    "code": code.draw,
    "steps": order.draw_over_steps,
    "curves": curves.draw,
    "curves_by_order": curves.draw_by_order,
    "rates": rates.draw,
}
"""File name and function of each figure, called as ``draw(table, select=…)``.

A new figure is a module and a line here.
"""

OVER_STATE = ("order", "bits", "budget")
"""The figures that show accuracy against the size of the state.

Where the runs allow none of them, as on a task of one order, or where a state is unknown,
`figures.slices` does."""

THEORY_FIGURES: dict[str, Callable[[], Drawing]] = {
    "memory_over_time": theory.draw_over_time,
    "memory_against_size": theory.draw_against_size,
}
"""The figures that need no runs."""


def draw_theory(out: Path | str) -> list[Path]:
    """Draw the figures of theory alone into a folder; as reproducible as those of `draw_all`."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with house_style():
        drawings = {name: draw() for name, draw in THEORY_FIGURES.items()}
        return [path for name, drawn in drawings.items() for path in drawn.save(out / name)]


def draw_tradeoff(
    points: Sequence[Point],
    universe: int,
    size_a: int,
    size_b: int,
    problem: Problem,
    out: Path | str,
) -> list[Path]:
    """Draw `theory.tradeoff.tradeoff`'s points as ``tradeoff``; returns paths as `draw_all` does.

    Args:
        points, universe, size_a, size_b, problem: of the trade-off.
        out: a folder, created if it is missing.
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    with house_style():
        drawing = tradeoff.draw(points, universe, size_a, size_b, problem)
        return drawing.save(Path(out) / "tradeoff")


def draw_bench(what: str, title: str, table: pl.DataFrame, out: Path | str) -> list[Path]:
    """Draw a report of ``sdsim bench`` as ``<what>_time``; returns paths as `draw_all` does.

    Args:
        what, title, table: of the report.
        out: a folder, created if it is missing.
    """
    Path(out).mkdir(parents=True, exist_ok=True)
    try:
        with house_style():
            return bench.draw(title, table).save(Path(out) / f"{what}_time")
    except NothingToDraw as reason:
        logger.warning("no figure of %s: %s", what, reason)
        return []


def draw_card(store: Path) -> tuple[pl.DataFrame, list[Path]]:
    """Draw the card of a store beside it, as ``<store>.pdf``, ``.png`` and ``.csv``.

    Returns:
        Its numbers, a row for each `figures.card.Answer`, and the paths.

    Raises:
        ValueError: if there is none that this version reads.
    """
    record = read_card(store)
    with house_style():
        drawing = card.draw(load(store), record)
        return drawing.data, drawing.save(store.parent / store.name)


def draw_cards(cards: Path, stores: Sequence[Path]) -> tuple[pl.DataFrame, list[Path]]:
    """Draw cards beside each other, as ``<cards>/comparison.pdf``, ``.png`` and ``.csv``.

    Returns:
        `figures.cards.compared`, and the paths.

    Raises:
        ValueError: as `draw_card`.
    """
    found = {store.name: card.answers(load(store), read_card(store)) for store in stores}
    with house_style():
        drawing = compare.draw(found)
        return drawing.data, drawing.save(cards / "comparison")


TEXT_FIGURES: dict[str, tuple[str, Callable[[pl.DataFrame], Drawing]]] = {
    "answers": ("table.csv", answers.draw),
    "perplexity": ("perplexity.csv", perplexity.draw),
}
"""File name of each figure of language models, the table that it is drawn from, its function."""


def draw_text(store: Path | str, out: Path | str, *, caption: bool = True) -> list[Path]:
    """Draw what ``sdsim evaluate`` or ``sdsim slices`` keeps; returns paths as `draw_all` does.

    Args:
        store: their folder.
        out: a folder, created if it is missing.
        caption: see `Drawing.save`.

    Raises:
        ValueError: if the folder holds neither table, or one is damaged.
    """
    found = {name: Path(store, file) for name, (file, _) in TEXT_FIGURES.items()}
    tables = {name: _read_table(path) for name, path in found.items() if path.exists()}
    if not tables:
        files = " or ".join(file for file, _ in TEXT_FIGURES.values())
        raise ValueError(f"{store} holds no {files}, of `sdsim evaluate` or `sdsim slices`")
    Path(out).mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, table in tables.items():
        try:
            with house_style():
                paths += TEXT_FIGURES[name][1](table).save(Path(out) / name, caption=caption)
        except NothingToDraw as reason:
            logger.warning("no figure of %s: %s", name, reason)
    return paths


def _read_table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_csv(path.read_bytes(), infer_schema_length=None)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path} cannot be read: {reason_of(error)}") from error


def draw_all(
    table: pl.DataFrame,
    out: Path | str,
    *,
    select: Selection = "validation",
    caption: bool = True,
    own: Sequence[str] = (),
) -> list[Path]:
    """Draw every figure that the runs of a store allow, accuracy against state in any case.

    Same runs, same bytes, in any process and at any time, given the same versions of matplotlib
    and polars. A figure that the runs do not allow is left out; the log says why, at the level
    INFO.

    Args:
        table: all its runs, from `sdsim.store.table.load`.
        out: folder for the figures, created if it is missing; earlier figures in it are replaced.
        select: which runs of a setting are shown, see `figures.runs.chosen_runs`.
        caption: see `Drawing.save`.
        own: import paths of figures of one's own, ``"package.module.function"``, each called as
            those of `FIGURES` are and drawn under the name of its function.

    Returns:
        Paths of what was written: each figure as PDF and PNG, its numbers as CSV; and
        slices.csv, every setting's accuracy on every pair of sizes.

    Raises:
        ValueError: if no run can be shown; for an import path where there is no function, or that
            makes no `Drawing`.
    """
    chosen = FIGURES | own_figures(own)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    left_out: list[str] = []
    for name, draw in chosen.items():
        try:
            paths += _drawn(out / name, draw, table, select, caption)
        except NothingToDraw as reason:
            logger.info("figure %r is left out: %s", name, reason)
            left_out.append(name)
            Drawing.remove(out / name)  # of other runs, from an earlier call
    if all(name in left_out for name in OVER_STATE) or table["state_bits"].is_null().any():
        return paths + _drawn(out / "slices", slices.draw, table, select, caption)
    Drawing.remove(out / "slices")
    numbers = out / "slices.csv"
    write_text(numbers, by_slice(chosen_runs(table, select=select)).write_csv())
    return [*paths, numbers]


def own_figures(paths: Sequence[str]) -> dict[str, Callable[..., Drawing]]:
    """Figures of one's own by the names of their functions.

    Raises:
        ValueError: for an import path where there is no function, or whose name is taken.
    """
    found: dict[str, Callable[..., Drawing]] = {}
    for path in paths:
        module, _, name = path.rpartition(".")
        try:
            draw = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"own = {path!r}: cannot be imported ({error})") from error
        if not callable(draw) or name in FIGURES or name in found or name == "slices":
            raise ValueError(f"own = {path!r}: a function whose name no other figure has")
        found[name] = draw
    return found


def _drawn(
    stem: Path,
    draw: Callable[..., Drawing],
    table: pl.DataFrame,
    select: Selection,
    caption: bool,
) -> list[Path]:
    """Draw a figure and write it; its paths."""
    with house_style():  # which writing depends on as well
        drawing = draw(table, select=select)
        if not isinstance(drawing, Drawing):
            kind = type(drawing).__name__
            raise ValueError(f"figure {stem.name!r}: it returns a {kind}, no Drawing")
        return drawing.save(stem, caption=caption)
