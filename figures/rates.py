"""Accuracy against learning rate: how narrow the window is, and whether the rates tried hold it."""

from __future__ import annotations

from math import ceil
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.pooling import pool
from figures.runs import SERIES, SIZES, provenance_note, rated_runs
from figures.style import (
    PAGE_WIDTH,
    UNKNOWN_STATE,
    add_legend,
    add_note,
    draw_intervals,
    intervals_note,
    label_outside,
    printable,
)
from sdsim.config import Selection

_LINES, _COLUMNS, _RATES = 6, 3, 5
_NOTE = """\
Accuracy at each learning rate that was run, sizes and orders pooled; a panel for each model (of \
many sizes: several), a colour for each size of its state. Ring: the rate that the other figures \
show. Arrow: it is the lowest or the highest that was run, so a better one may lie beyond. \
{intervals}{diverged}
"""
_DIVERGED_NOTE = "Crosses: some runs at this rate diverged, and are left out of its mean."


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Panels of six lines at most, models of one family side by side.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `figures.runs.chosen_runs`.

    Returns:
        The figure, and `by_rate`'s columns.

    Raises:
        NothingToDraw: unless a setting was run at two learning rates and one of them is chosen.
        ValueError: see `figures.runs.rated_runs`.
    """
    if select == "released":
        raise NothingToDraw("no learning rate is chosen: each order shows its best run")
    rated = rated_runs(table)
    rates = by_rate(rated)
    if rates.is_empty():
        raise NothingToDraw("no setting was run at two learning rates")
    panels = _panels(rates)
    rows = ceil(len(panels) / _COLUMNS)
    figure = Figure(figsize=(PAGE_WIDTH, 1.2 + 2.1 * rows), layout="constrained")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for ax, panel in zip(grid.flat, panels, strict=False):
        draw_panel(ax, panel)
    label_outside(grid, len(panels), "Learning rate (log scale)", "Accuracy")
    _name_marks(grid[0][0], rates)
    add_legend(figure)
    note = _NOTE.format(
        intervals=intervals_note(rates["seeds"].drop_nulls()),
        diverged=_DIVERGED_NOTE if rates["diverged"].sum() else "",
    )
    shown = rated.filter(~pl.col("diverged")).join(rates, on="setting", how="semi")
    add_note(figure, note + provenance_note(table, shown))
    return Drawing(figure, rates)


def by_rate(rated: pl.DataFrame) -> pl.DataFrame:
    """Accuracy of every setting at each of its learning rates, its seeds pooled.

    Args:
        rated: from `figures.runs.rated_runs`.

    Returns:
        A row per setting that was run at several rates and rate: experiment, architecture, model,
        variant, width, feature_dim, budget, features, setting, rate; state_bits (the largest over
        the slices); diverged, the number of runs that did, which are in no mean;
        validation_accuracy, null where there is none; what `figures.pooling.pool` has of the test
        examples, null where every run diverged; chosen, whether this rate is.
    """
    keys = ("experiment", "architecture", *SERIES[1:], *SIZES, "setting", "rate")
    several = rated.filter(pl.col("chosen_by") != "only").with_columns(rate="lr")
    kept = ~pl.col("diverged")
    described = several.group_by(keys, maintain_order=True).agg(
        pl.col("state_bits").max(),
        pl.col("run_id").filter("diverged").n_unique().alias("diverged"),
        pl.col("validation_accuracy").filter(kept).mean(),
        (pl.col("rate") == pl.col("chosen_lr")).first().alias("chosen"),
    )
    measured = pool(several.filter(kept), keys).drop("lr")
    return described.join(measured, on=keys, how="left", nulls_equal=True).sort(
        "experiment", "architecture", "model", "variant", "state_bits", "setting", "rate"
    )


def _panels(rates: pl.DataFrame) -> list[pl.DataFrame]:
    """A model's settings on one task together, as many as fit into a panel."""
    lines = 1 if rates["validation_accuracy"].is_null().all() else 2
    panels = []
    for series in rates.partition_by("experiment", "model", "variant", maintain_order=True):
        settings = series.partition_by("setting", maintain_order=True)
        of_panel = ceil(len(settings) / ceil(len(settings) / (_LINES // lines)))
        panels += [
            pl.concat(settings[start : start + of_panel])
            for start in range(0, len(settings), of_panel)
        ]
    return panels


def draw_panel(ax: Axes, panel: pl.DataFrame) -> None:
    handles, names = [], []
    for colour, setting in zip(
        ORDINAL_COLOURS, panel.partition_by("setting", maintain_order=True), strict=False
    ):
        at = setting.drop_nulls("accuracy")
        draw_intervals(ax, at["rate"], at, "accuracy", colour, across=False)
        handles += ax.plot(at["rate"], at["accuracy"], "o-", color=colour, markersize=3)
        names.append(_size(setting.row(0, named=True)))
        validated = at.drop_nulls("validation_accuracy")
        ax.plot(*validated["rate", "validation_accuracy"], "--", color=colour, linewidth=0.8)
        _draw_chosen(ax, setting, colour)
        lost = setting.filter(pl.col("diverged") > 0)
        ax.plot(lost["rate"], [0.02] * len(lost), "x", color=colour)
    rates = panel["rate"].unique().sort().to_list()
    ax.set_xscale("log")
    ax.set_xmargin(0.15)
    ticks = rates[:: ceil(len(rates) / _RATES)]
    ax.set_xticks(ticks, [f"{rate:g}" for rate in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_ylim(0, 1.05)
    first = panel.row(0, named=True)
    name = f"{model_label(first['model'])} {printable(first['variant'])}".rstrip()
    ax.set_title("\n".join([*filter(None, [printable(first["experiment"])]), name]))
    ax.legend(handles, names, fontsize=6, loc="best")


def _size(setting: dict[str, Any]) -> str:
    """Of a setting's state, as the legend has it."""
    if setting["state_bits"] is None:
        return UNKNOWN_STATE
    if setting["state_bits_per_number"]:  # a budget; else 0, or null of an algorithm
        return f"{setting['state_bits']:,} bits"
    return f"{ceil(setting['state_bits'] / 8):,} B"


def _draw_chosen(ax: Axes, setting: pl.DataFrame, colour: str) -> None:
    """A ring; at the edge of the rates, an arrow that points beyond."""
    (chosen,) = setting.filter("chosen").iter_rows(named=True)
    place = chosen["rate"], chosen["accuracy"]
    ax.plot(*place, "o", color=colour, markerfacecolor="none", markersize=8)
    if chosen["lr_at_edge"]:
        side = 1 if chosen["rate"] == setting["rate"].max() else -1
        ax.annotate(
            "",
            xy=place,
            xytext=(16 * side, 0),
            textcoords="offset points",
            arrowprops={"arrowstyle": "<-", "color": colour, "shrinkA": 0, "shrinkB": 5},
        )


def _name_marks(ax: Axes, rates: pl.DataFrame) -> None:
    """What lines and marks mean, for the legend above all panels."""
    ax.plot([], [], "o-", color="0.3", markersize=3, label="Test examples")
    if rates["validation_accuracy"].is_not_null().any():
        ax.plot([], [], "--", color="0.3", linewidth=0.8, label="Validation examples")
    ax.plot([], [], "o", color="0.3", markerfacecolor="none", markersize=8, label="Chosen")
    if rates["diverged"].sum():
        ax.plot([], [], "x", color="0.3", label="Runs that diverged")
