"""Time against length and batch, in the form of Table 5 of arXiv:2407.05483."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogFormatter, NullLocator, StrMethodFormatter

from figures.drawing import Drawing, NothingToDraw
from figures.palette import TIMED
from figures.style import PAGE_WIDTH, add_legend, add_note

_AXES = {"length": "Length N, tokens", "batch": "Batch, sequences"}


def draw(title: str, table: pl.DataFrame) -> Drawing:
    """Milliseconds on the left, times faster than softmax attention on the right.

    Over the length, at the batch that was measured at most lengths (the largest of them); a second
    row over the batch in the same way, where several were measured.

    Args:
        title: what was measured.
        table: rows of `kernels.bench.Timing` or of `sdsim.bench.models.ModelTiming`.

    Raises:
        NothingToDraw: if fewer than two cases were measured.
    """
    timed = table.filter(pl.col("seconds").is_not_null()).with_columns(
        milliseconds=pl.col("seconds") * 1e3,
        milliseconds_low=pl.col("seconds_low") * 1e3,
        milliseconds_high=pl.col("seconds_high") * 1e3,
    )
    rows = [axis for axis in _AXES if timed[axis].n_unique() > 1]
    if not rows:
        raise NothingToDraw("it takes two lengths, or two batches")
    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 2.6 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for (left, right), axis in zip(grid, rows, strict=True):
        other = "batch" if axis == "length" else "length"
        counts = timed.group_by(other).agg(pl.col(axis).n_unique()).sort(axis, other)
        at = counts[other][-1]
        fixed = timed.filter(pl.col(other) == at)
        _draw_panel(left, axis, fixed, "milliseconds")
        if "limit" in fixed.columns:
            _draw_roofline(left, axis, fixed)
        _draw_panel(right, axis, fixed, "speedup")
        right.axhline(1, color="0.4", linewidth=0.8, zorder=1)
        left.set_ylabel(f"Milliseconds\n({other} {at:,})")
        right.set_ylabel("Softmax's time over this one's")
    add_legend(figure)
    add_note(figure, f"{title}. Marks: medians of several calls; bars: quartiles.")
    return Drawing(figure, table)


def _draw_panel(ax: Axes, axis: str, timed: pl.DataFrame, quantity: str) -> None:
    for method, style in TIMED.items():
        series = timed.filter(pl.col("method") == method).drop_nulls(quantity).sort(axis)
        if series.is_empty():
            continue
        ax.plot(
            series[axis],
            series[quantity],
            style.marker + style.line,
            color=style.colour,
            label=style.label,
        )
        if f"{quantity}_low" in series.columns:
            low, high = series[f"{quantity}_low"], series[f"{quantity}_high"]
            ax.vlines(series[axis], low, high, color=style.colour, linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.xaxis.set_major_locator(FixedLocator(sorted(timed[axis].unique().to_list())))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.2, 0.5)))
    ax.set_xlabel(_AXES[axis])


def _draw_roofline(ax: Axes, axis: str, timed: pl.DataFrame) -> None:
    """JRT-RNN's time at the device's roofline, the column `limit`."""
    cases = timed.unique(axis).sort(axis)
    label = "JRT-RNN's work at the device's roofline"
    ax.plot(cases[axis], cases["limit"] * 1e3, color="0.6", linestyle=(0, (4, 2)), label=label)
