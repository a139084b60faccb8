"""Accuracy against bits of state, each pair of sizes by itself: what any store can be drawn as."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.axes import bits_axis
from figures.drawing import Drawing
from figures.palette import SeriesStyle, series_styles
from figures.pooling import by_slice
from figures.runs import QUANTIZED_NOTE, chosen_runs, provenance_note, with_quantized
from figures.style import (
    PAGE_WIDTH,
    UNKNOWN_STATE,
    add_legend,
    add_note,
    draw_floors,
    draw_intervals,
    intervals_note,
    label_outside,
    last_set_note,
    task_label,
)
from sdsim.config import Selection

_COLUMNS = 3
_NOTE = """\
A panel for each pair of sizes (of recall |A| and |B| are pairs and queries, as they come). \
{intervals}\
{quantized}{unknown}{floor}
"""
_UNKNOWN_NOTE = f"Dashed across: {UNKNOWN_STATE}. "


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """A panel for each task and pair of sizes, a line for each kind of model over its sizes.

    A model whose state is neither measured nor stated has no place on the axis: its accuracy is a
    dashed line across.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `by_slice`'s columns.

    Raises:
        ValueError: see `chosen_runs`.
    """
    runs = with_quantized(chosen_runs(table, passes="variant", select=select))
    slices = by_slice(runs)
    styles = series_styles(slices.select("model", "variant").iter_rows())
    panels = slices.partition_by("experiment", "size_a", "size_b", maintain_order=True)
    panels.sort(key=lambda panel: panel.row(0, named=True)["experiment"])
    columns = min(len(panels), _COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(ax, panel, styles)
    if slices["state_bits"].is_not_null().any():
        bits_axis(grid[0][0])
        label_outside(grid, len(panels), "State, bits (log scale)", "Accuracy")
    else:
        grid[0][0].set_xticks([])
        label_outside(grid, len(panels), UNKNOWN_STATE.capitalize(), "Accuracy")
    add_legend(figure)
    note = _NOTE.format(
        intervals=intervals_note(slices["seeds"]),
        quantized=f"Quantized {QUANTIZED_NOTE} " if slices["rounding"].is_not_null().any() else "",
        unknown=_UNKNOWN_NOTE if slices["state_bits"].is_null().any() else "",
        floor=last_set_note(slices["last_set_chance"]),
    )
    add_note(figure, note + provenance_note(table, runs))
    return Drawing(figure, slices)


def _draw_panel(ax: Axes, panel: pl.DataFrame, styles: dict[tuple[str, str], SeriesStyle]) -> None:
    for (model, variant), style in styles.items():
        series = panel.filter(model=model, variant=variant).sort("state_bits", "accuracy")
        known = series.filter(pl.col("state_bits").is_not_null())
        if len(known):
            draw_intervals(ax, known["state_bits"], known, "accuracy", style.colour, across=False)
            ax.plot(
                known["state_bits"],
                known["accuracy"],
                style.marker + style.line,
                color=style.colour,
                label=style.label,
            )
        for accuracy in series.filter(pl.col("state_bits").is_null())["accuracy"]:
            ax.axhline(accuracy, linestyle="--", color=style.colour, label=style.label)
    first = panel.row(0, named=True)
    draw_floors(ax, first["chance"], first["last_set_chance"])
    ax.set_ylim(0, 1.05)
    sizes = f"|A| = {first['size_a']}, |B| = {first['size_b']}"
    ax.set_title("\n".join(filter(None, [task_label(first["experiment"]), sizes])))
