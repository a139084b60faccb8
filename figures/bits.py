"""Accuracy against bits of state: networks and streaming algorithms on one pair of axes."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.axes import bits_axis
from figures.bounds import best_accuracy
from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.pooling import pool
from figures.runs import (
    QUANTIZED_NOTE,
    SERIES,
    chosen_runs,
    provenance_note,
    with_known_state,
    with_quantized,
)
from figures.style import (
    PAGE_WIDTH,
    add_legend,
    add_note,
    draw_floors,
    draw_intervals,
    intervals_note,
    last_set_note,
    task_label,
)
from sdsim.config import Selection

ORDERS = {
    "short_first": "Short set first (|A| < |B|)",
    "long_first": "Long set first (|A| > |B|)",
    "query_first": "Question first",
    "context_first": "Document first",
}
_LINES = 6
_NOTE = """\
Each line: the best accuracy that a kind of model reaches with a state of at most so many bits, \
over its sizes and over the bits that each number of the state is quantized to (the best of many \
is a little luckier than its interval says). {intervals}Quantized {quantized} Faint marks: all \
that was measured. Sizes of one order are pooled. {floor}{bound}
"""
_BOUND_NOTE = """\
Shaded: proved impossible for whatever reads once, on average over uniform instances; models that \
see all of the input at once (non-causal, with a prefix) or read it again are not bound. \
"""


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Rows of two panels, one for each order: for each task as many as its lines need.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and its points: the columns of `points`.

    Raises:
        NothingToDraw: unless some series has two sizes of state at an order.
        ValueError: see `chosen_runs`.
    """
    runs = with_known_state(chosen_runs(table, passes="variant", select=select))
    measured = points(with_quantized(runs))
    if measured.is_empty():
        raise NothingToDraw("no kind of model was tested with two sizes of state at two orders")
    styles = series_styles(measured.select("model", "variant").iter_rows())
    rows = _rows(measured, list(styles))
    figure = Figure(figsize=(PAGE_WIDTH, 1.7 + 2.7 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex=True, sharey=True)
    is_bound = False
    for row, (experiment, series) in zip(grid, rows, strict=True):
        of_task = measured.filter(experiment=experiment)
        for ax, order in zip(
            row, [name for name in ORDERS if name in of_task["order"]], strict=True
        ):
            here = of_task.filter(order=order)
            is_bound |= _draw_panel(ax, here, {key: styles[key] for key in series})
            ax.set_title(ORDERS[order])
        row[0].set_ylabel(f"{task_label(experiment)}\nAccuracy".lstrip())
    for ax in grid[-1]:
        ax.set_xlabel("Recurrent state per sequence, bits (log scale)")
    add_legend(figure)
    used = runs.join(measured, on="setting", how="semi")
    note = _NOTE.format(
        bound=_BOUND_NOTE if is_bound else "",
        intervals=intervals_note(measured["seeds"]),
        quantized=QUANTIZED_NOTE,
        floor=last_set_note(measured["last_set_chance"]),
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, measured.drop("slices"))


def _rows(
    measured: pl.DataFrame, legend: list[tuple[str, str]]
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Which series share a row of panels: six at most, families together, in the legend's order."""
    rows: list[tuple[str, list[tuple[str, str]]]] = []
    for task in measured.partition_by("experiment", maintain_order=True):
        described = task.select("model", "variant", "architecture").unique()
        family = {(model, variant): kind for model, variant, kind in described.iter_rows()}
        here = [series for series in legend if series in family]
        families: dict[str | None, list[tuple[str, str]]] = {}
        for series in here:
            families.setdefault(family[series], []).append(series)
        row: list[tuple[str, str]] = []
        for members in families.values():
            if row and len(row) + len(members) > _LINES:
                rows.append((task["experiment"][0], row))
                row = []
            row = row + members
        rows.append((task["experiment"][0], row))
    return rows


def points(runs: pl.DataFrame) -> pl.DataFrame:
    """Accuracy and state of every setting and quantization, the slices of an order pooled.

    Args:
        runs: from `with_quantized`.

    Returns:
        A row per setting, rounding and order, where an experiment has two orders: experiment,
        model, variant, setting, rounding (bits per number of a quantized state, else null), order,
        state_bits (the most over the slices), chance, last_set_chance, architecture, slices (what
        `figures.bounds` needs of each), what `pool` has, and best (no smaller state of the series
        has this accuracy).
    """
    keys = (*SERIES, "setting", "rounding", "order")
    described = ("task", "options", "passes", "universe_size", "vocab_size", "size_a", "size_b")
    pooled = (
        pool(
            runs.filter(pl.col("order").is_in(list(ORDERS))),
            keys,
            pl.col("state_bits").max(),
            pl.col("chance", "last_set_chance").mean(),
            pl.col("architecture").first(),
            pl.struct(described).unique(maintain_order=True).alias("slices"),
        )
        .filter(pl.col("order").n_unique().over("experiment") > 1)
        .sort(
            "experiment",
            "order",
            "model",
            "variant",
            "state_bits",
            "accuracy",
            "setting",
            "rounding",
        )
    )
    best_so_far = pl.col("accuracy").cum_max().shift(1, fill_value=-1.0).over(*SERIES, "order")
    return pooled.with_columns(best=pl.col("accuracy") > best_so_far)


def _draw_panel(ax: Axes, here: pl.DataFrame, styles: dict[tuple[str, str], SeriesStyle]) -> bool:
    """One order; whether a bound is proved there."""
    for (model, variant), style in styles.items():
        series = here.filter(model=model, variant=variant)
        best = series.filter("best")
        if series.is_empty():
            continue
        ax.plot(
            series["state_bits"],
            series["accuracy"],
            style.marker,
            color=style.colour,
            markersize=2,
            alpha=0.25,
            linewidth=0,
        )
        draw_intervals(ax, best["state_bits"], best, "accuracy", style.colour, across=False)
        ax.plot(
            best["state_bits"],
            best["accuracy"],
            style.marker + style.line,
            color=style.colour,
            markersize=3,
            label=style.label,
        )
    draw_floors(ax, here["chance"][0], here["last_set_chance"][0])
    ax.set_ylim(0, 1.05)
    low, high = 1.0, 2.0 * max(here["state_bits"])
    bits = np.geomspace(low, high, 400)
    described = here.row(0, named=True)
    once = {"order": described["order"], "passes": 1}
    possible = best_accuracy([slice_ | once for slice_ in described["slices"]], bits)
    bits_axis(ax)
    ax.set_xlim(low, high)
    if possible is None:
        return False
    ax.fill_between(bits, possible, 1.05, color="0.87", linewidth=0, zorder=0)
    ax.plot(bits, possible, color="0.2", linewidth=0.9, label="Bound, one pass", zorder=1)
    return True
