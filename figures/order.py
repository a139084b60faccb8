"""Accuracy with the long set first, with the short set first, and their gap: over state, or steps.

After Figure 2 of arXiv:2407.05483.
"""

from __future__ import annotations

import json
from math import ceil

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

from figures.axes import bytes_axis
from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.pooling import by_order
from figures.runs import chosen_runs, networks, provenance_note, with_known_state
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

PANELS = {
    "long_first": "Long set first\n(|A| > |B|)",
    "short_first": "Short set first\n(|A| < |B|)",
    "gap": "Difference\n(short first minus long first)",
}
_NOTE = """\
Each sequence shows a set A, then a set B, and asks {question}. {sizes}
Marks: mean over seeds and sizes. Dashes: single seeds. {intervals}Guessing: mean over the same \
sizes. {floor}"""
_AXIS_NOTE = "Grey: the axis leaves out sizes that no model has.\n"
_STEPS_NOTE = """\
Each point is a training of its own, to the end of its schedule. The floors differ between the \
orders, so that a gap of models near them says nothing of memory.
"""
_TICKS = 5
_UNFINISHED = "Open marks: accuracy still rose when training reached its limit.\n"


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Three panels (long first, short first, difference); a row of them for each task.

    Large marks are a setting's mean over its seeds, with 95 % intervals; small ones single seeds.
    `figures.runs` and `figures.pooling` say how runs are chosen and pooled.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `by_order`'s columns for settings (there seed is null) and for single seeds.

    Raises:
        NothingToDraw: if no slice was tested along with its mirror image.
        ValueError: see `chosen_runs`.
    """
    runs = with_known_state(chosen_runs(networks(table), select=select))
    settings = by_order(runs)
    seeds = by_order(runs, each_seed=True).drop_nulls("seed")
    if settings.is_empty():
        raise NothingToDraw("no pair of sizes (a, b) with a < b was tested along with (b, a)")
    figure, grid = _draw_rows(settings, seeds, "state_bytes")
    bytes_axis(grid[0][0], settings["state_bytes"])
    grid[-1][1].set_xlabel("Recurrent state per sequence, bytes (log scale)")
    return _finished(figure, table, runs, settings, seeds, _AXIS_NOTE)


def draw_over_steps(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """The same three panels over the length of training, for runs that differ in it.

    Each point is a run of its own, with a schedule of its own. Early in training a gap may be
    nothing but that of the floors, which differ between the orders.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        As `draw`.

    Raises:
        NothingToDraw: unless a model of one size was trained for two numbers of steps.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(networks(table), axes=("steps",), select=select)
    size = pl.format("{} B", "state_bytes")
    several = pl.col("state_bytes").n_unique().over("experiment", "model", "variant") > 1
    lines = pl.concat_str("variant", pl.when(several).then(size), separator=" ", ignore_nulls=True)
    lengths = pl.col("steps_done").n_unique().over("experiment", "model", "variant")
    settings, seeds = (
        by_order(runs, each_seed=each_seed)
        .with_columns(variant=lines.str.strip_chars())
        .filter(lengths > 1)
        .sort("experiment", "model", "variant", "steps_done")
        for each_seed in (False, True)
    )
    seeds = seeds.drop_nulls("seed")
    if settings.is_empty():
        raise NothingToDraw("no model was trained for two numbers of steps")
    figure, grid = _draw_rows(settings, seeds, "steps_done")
    grid[0][0].set_xscale("log")
    ticks = settings["steps_done"].unique().sort().to_list()
    ticks = ticks[:: ceil(len(ticks) / _TICKS)]
    grid[0][0].set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    grid[0][0].xaxis.set_minor_locator(NullLocator())
    grid[-1][1].set_xlabel("Steps of training (log scale)")
    return _finished(figure, table, runs, settings, seeds, _STEPS_NOTE)


def _draw_rows(
    settings: pl.DataFrame, seeds: pl.DataFrame, x: str
) -> tuple[Figure, NDArray[np.object_]]:
    """Three panels over a column, a row of them for each task; the figure and its axes."""
    styles = series_styles(settings.select("model", "variant").iter_rows())
    experiments = settings["experiment"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 2.6 * len(experiments)), layout="constrained")
    grid = figure.subplots(len(experiments), len(PANELS), squeeze=False, sharex=True)
    for row, experiment in zip(grid, experiments, strict=True):
        here = pl.col("experiment") == experiment
        for ax, panel in zip(row, PANELS, strict=True):
            _draw_panel(ax, panel, settings.filter(here), seeds.filter(here), styles, x)
        row[0].set_ylabel(f"{task_label(experiment)}\nAccuracy".lstrip())
        row[2].set_ylabel("Accuracy difference")
    for ax, title in zip(grid[0], PANELS.values(), strict=True):
        ax.set_title(title)
    return figure, grid


def _finished(
    figure: Figure,
    table: pl.DataFrame,
    runs: pl.DataFrame,
    settings: pl.DataFrame,
    seeds: pl.DataFrame,
    of_axis: str,
) -> Drawing:
    """With its legend, its note and its numbers."""
    add_legend(figure)
    used = runs.join(settings, on="setting", how="semi")
    note = _note(used, settings) + of_axis
    if (settings["converged"] < settings["seeds"]).any():
        note += _UNFINISHED
    add_note(figure, note + provenance_note(table, used))
    data = pl.concat([settings.with_columns(seed=None), seeds], how="diagonal_relaxed")
    return Drawing(figure, data)


def _draw_panel(
    ax: Axes,
    panel: str,
    settings: pl.DataFrame,
    seeds: pl.DataFrame,
    styles: dict[tuple[str, str], SeriesStyle],
    x: str,
) -> None:
    """One column of `settings`, a line per series, over another column."""
    for (model, variant), style in styles.items():
        series = {"model": model, "variant": variant}
        means, single = settings.filter(**series), seeds.filter(**series)
        if len(means):
            draw_intervals(ax, means[x], means, panel, style.colour, across=False)
            ax.plot(
                means[x],
                means[panel],
                style.marker + style.line,
                color=style.colour,
                label=style.label,
            )
            unfinished = means.filter(pl.col("converged") < pl.col("seeds"))
            ax.plot(
                unfinished[x],
                unfinished[panel],
                style.marker,
                color=style.colour,
                markerfacecolor="white",
            )
            ax.plot(
                single[x],
                single[panel],
                "_",
                color=style.colour,
                markersize=6,
                alpha=0.5,
            )
    if panel == "gap":
        ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    else:
        draw_floors(ax, settings["chance"][0], settings[f"last_set_{panel}"][0])
        ax.set_ylim(0, 1.05)


def _note(runs: pl.DataFrame, settings: pl.DataFrame) -> str:
    answers = {json.loads(options).get("answer") for options in runs["options"].unique()}
    question = {
        ("token",): "for the one token that is in both",
        ("decision",): "whether a token is in both",
        ("all",): "for all tokens that are in both",
    }.get(tuple(answers), "what is in both")
    sizes = settings["sizes"].str.replace_all(" ", ", ").unique().to_list()
    pooled = f"Sizes |A|+|B|: {sizes[0]}, and the reverse." if len(sizes) == 1 else ""
    floor = last_set_note(settings["last_set_short_first"])
    intervals = intervals_note(settings["seeds"])
    return _NOTE.format(question=question, sizes=pooled, floor=floor, intervals=intervals)
