"""Accuracy against bits of state, networks and machines on one pair of axes, under the bound."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.bounds import best_accuracy
from figures.drawing import Drawing, NothingToDraw
from figures.style import (
    PAGE_WIDTH,
    SeriesStyle,
    add_legend,
    add_note,
    bits_axis,
    series_styles,
    task_label,
)
from figures.summary import ROUNDED, basis, by_slice, chosen_runs, with_roundings
from sdsim.store.intervals import wilson

_ORDERS = {
    "short_first": "Short set first (|A| < |B|)",
    "long_first": "Long set first (|A| > |B|)",
    "query_first": "Question first",
    "context_first": "Document first",
}
_NOTE = """\
Each line: the best accuracy that a kind of model reaches with a state of at most so many bits, \
over its sizes and over the bits that each number of the state is rounded to, with the 95 % \
interval of the test examples (the best of many is a little luckier than that). Rounded {rounded} \
Faint marks: all that was measured. Sizes of one order are pooled. {bound}
"""
_BOUND_NOTE = """\
Shaded: proved impossible for whatever reads once, on average over uniform instances; models that \
see all of the input at once (non-causal, with a prefix) or read it again are not bound. \
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A row of panels for each task, one for each order.

    Args:
        table: from `sdsim.store.load`.

    Returns:
        The figure, and its points: the columns of `points`.

    Raises:
        NothingToDraw: unless some series has two sizes of state at an order.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(table, across_passes=True)
    measured = points(by_slice(with_roundings(runs)))
    if measured.is_empty():
        raise NothingToDraw("no kind of model was tested with two sizes of state at two orders")
    styles = series_styles(measured.select("model", "variant").iter_rows())
    experiments = measured["experiment"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(PAGE_WIDTH, 1.7 + 2.9 * len(experiments)), layout="constrained")
    grid = figure.subplots(len(experiments), 2, squeeze=False, sharex=True, sharey=True)
    is_bound = False
    for row, experiment in zip(grid, experiments, strict=True):
        here = measured.filter(experiment=experiment)
        for ax, order in zip(row, [name for name in _ORDERS if name in here["order"]], strict=True):
            is_bound |= _draw_panel(ax, here.filter(order=order), styles)
            ax.set_title(_ORDERS[order])
        row[0].set_ylabel(f"{task_label(experiment)}\nAccuracy".lstrip())
    for ax in grid[-1]:
        ax.set_xlabel("Recurrent state per sequence, bits (log scale)")
    add_legend(figure)
    shown = runs.join(measured, on="setting", how="semi")
    note = _NOTE.format(bound=_BOUND_NOTE if is_bound else "", rounded=ROUNDED)
    add_note(figure, note + basis(table, shown))
    return Drawing(figure, measured.drop("slices"))


def points(slices: pl.DataFrame) -> pl.DataFrame:
    """Accuracy and state of every setting and rounding, the slices of an order pooled.

    Args:
        slices: from `by_slice` of `with_roundings`.

    Returns:
        A row per setting, rounding and order, where an experiment has two orders: experiment,
        model, variant, setting, rounding, order, state_bits (the most over the slices), accuracy
        with its interval (accuracy_low, accuracy_high), chance, best (no smaller state of the
        series has this accuracy), and slices, what `figures.bounds` needs of each.
    """
    keys = ("experiment", "model", "variant", "setting", "rounding", "order")
    described = ("task", "options", "passes", "order", "universe_size", "vocab_size")
    total = pl.col("examples").sum()
    pooled = (
        slices.filter(pl.col("order").is_in(list(_ORDERS)))
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("state_bits").max(),
            accuracy=pl.col("correct").sum() / total,
            correct=pl.col("correct").sum(),
            examples=total,
            chance=pl.col("chance").mean(),
            slices=pl.struct(*(name for name in described if name != "order"), "size_a", "size_b"),
        )
        .filter(pl.col("order").n_unique().over("experiment") > 1)
        .sort("experiment", "order", "model", "variant", "state_bits", "accuracy")
    )
    series = ("experiment", "order", "model", "variant")
    so_far = pl.col("accuracy").cum_max().shift(1, fill_value=-1.0).over(series)
    intervals = [wilson(*row) for row in pooled.select("correct", "examples").iter_rows()]
    return pooled.with_columns(
        best=pl.col("accuracy") > so_far,
        accuracy_low=pl.Series([low for low, _ in intervals], dtype=pl.Float64),
        accuracy_high=pl.Series([high for _, high in intervals], dtype=pl.Float64),
    )


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
        ax.vlines(
            best["state_bits"],
            best["accuracy_low"],
            best["accuracy_high"],
            color=style.colour,
            linewidth=0.8,
        )
        ax.plot(
            best["state_bits"],
            best["accuracy"],
            style.marker + style.line,
            color=style.colour,
            markersize=3,
            label=style.label,
        )
    ax.axhline(here["chance"][0], color="0.4", linestyle=(0, (1, 1)), label="Guessing")
    ax.set_ylim(0, 1.05)
    low, high = 1.0, 2.0 * max(here["state_bits"])
    bits = np.geomspace(low, high, 400)
    described = here.row(0, named=True)
    slices = [{**one, "order": described["order"]} for one in described["slices"]]
    possible = best_accuracy([{**one, "passes": 1} for one in slices], bits)
    bits_axis(ax)
    ax.set_xlim(low, high)
    if possible is None:
        return False
    ax.fill_between(bits, possible, 1.05, color="0.87", linewidth=0, zorder=0)
    ax.plot(bits, possible, color="0.2", linewidth=0.9, label="Bound, one pass", zorder=1)
    return True
