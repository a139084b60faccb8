"""The order gap of each architecture, its causal reader beside its readers of the prefix."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing, NothingToDraw
from figures.palette import READERS, model_label
from figures.pooling import by_order
from figures.runs import chosen_runs, networks, provenance_note
from figures.style import (
    LAST_SET,
    PAGE_WIDTH,
    UNKNOWN_STATE,
    add_legend,
    add_note,
    draw_intervals,
    intervals_note,
    printable,
    task_label,
)
from sdsim.config import Selection

_NOTE = """\
Gap: accuracy with the short set first minus accuracy with the long set first, in the same runs, \
sizes and seeds pooled. {intervals}Names: state in bytes, accuracy short first / long first. \
{converged}{floor}
"""


_FLOOR_NOTE = (
    f"{LAST_SET}: naming one of B takes no memory of A, so that a model that has learned no more "
    "leans to one order."
)


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """A row for each model and size of its state, families together; a panel for each task.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `by_order`'s columns with family and reader, see `with_family`.

    Raises:
        NothingToDraw: unless two architectures, or two readers of one, were tested in both orders.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(networks(table), select=select)
    orders = by_order(runs)
    if orders.is_empty() or orders["model"].n_unique() < 2:
        raise NothingToDraw("it takes two kinds of network, tested on (a, b) and (b, a)")
    orders = with_family(orders, runs).sort(
        "experiment", "family", "reader", "model", "variant", "state_bytes", "setting"
    )
    panels = orders.partition_by("experiment", maintain_order=True)
    figure = Figure(
        figsize=(PAGE_WIDTH, 1.3 + 0.19 * len(orders) + 0.6 * len(panels)),
        layout="constrained",
    )
    heights = [max(2, len(panel)) + 1 for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for ax, panel in zip(grid.flat, panels, strict=True):
        _draw_panel(ax, panel)
    limits = grid[0][0].get_xlim()
    for ax, panel in zip(grid.flat, panels, strict=True):
        _draw_floor(ax, panel, limits)
        if experiment := panel["experiment"][0]:
            ax.set_title(task_label(experiment).replace("\n", " "))
    grid[-1][0].set_xlabel("Accuracy, short set first minus long set first")
    add_legend(figure)
    used = runs.join(orders, on="setting", how="semi")
    note = _NOTE.format(
        intervals=intervals_note(orders["seeds"]),
        converged=_converged_note(orders),
        floor=_FLOOR_NOTE if orders["last_set_short_first"].is_not_null().any() else "",
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, orders)


def with_family(orders: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """The rows with family and reader, both from the configs of their runs.

    Models of one architecture are a family, which has the name of its causal model (the first one
    in alphabetical order; where there is none, of any model). A reader that is not known is taken
    to be causal.

    Args:
        orders: from `by_order`.
        runs: those that were pooled, with the columns reader and architecture.
    """
    causal = pl.col("reader") == "causal"
    by_name = pl.col("model").sort_by(~causal, "model")
    described = (
        runs.with_columns(reader=pl.col("reader").replace("unknown", "causal"))
        .with_columns(family=by_name.first().over("architecture"))
        .select("setting", "family", "reader")
        .unique("setting")
    )
    return orders.join(described, on="setting", how="left", maintain_order="left")


def _converged_note(orders: pl.DataFrame) -> str:
    """What a note says of gaps that are not to be interpreted."""
    unknown = orders["converged"].is_null().sum()
    open_marks = (
        "Open marks: accuracy still rose when training reached its limit; such a gap may be one of "
        "unfinished training. "
        if (orders["converged"] < orders["seeds"]).any()
        else ""
    )
    if not unknown:
        return open_marks
    which = "these" if unknown == len(orders) else f"{unknown} of these"
    return (
        f"{open_marks}Whether {which} have converged is not known: a gap may be one of unfinished "
        "training. "
    )


def _draw_panel(ax: Axes, panel: pl.DataFrame) -> None:
    place, places, before = 0.0, [], None
    for row in panel.iter_rows(named=True):
        if before is not None and row["family"] != before:
            ax.axhline(place + 0.8, color="0.85", linewidth=0.6)
            place += 0.6
        place, before = place + 1, row["family"]
        places.append(place)
        style = READERS[row["reader"]]
        draw_intervals(ax, [place], panel[len(places) - 1], "gap", style.colour, across=True)
        still_rose = row["converged"] is not None and row["converged"] < row["seeds"]
        ax.plot(
            [row["gap"]],
            [place],
            style.marker,
            color=style.colour,
            markerfacecolor="white" if still_rose else style.colour,
            label=style.label,
            linewidth=0,
        )
    names = [
        f"{model_label(row['model'])} {printable(row['variant'])}".rstrip()
        + f"  {_state(row['state_bytes'])}  {row['short_first']:.2f} / {row['long_first']:.2f}"
        for row in panel.iter_rows(named=True)
    ]
    ax.set_yticks(places, names)
    ax.set_ylim(place + 0.8, 0.2)
    ax.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    ax.grid(visible=False, axis="y")


def _state(size: int | None) -> str:
    return UNKNOWN_STATE if size is None else f"{size:,} B"


def _draw_floor(ax: Axes, panel: pl.DataFrame, limits: tuple[float, float]) -> None:
    """A last row: what needs no memory. Where its gap lies far to the left, an arrow points there.

    Args:
        ax: with all rows of the panel.
        panel: as in `_draw_panel`.
        limits: of the gaps that were measured.
    """
    short, long = panel.select("last_set_short_first", "last_set_long_first").row(0)
    if short is None:
        return
    place = ax.get_ylim()[0] + 0.6
    ax.axhline(place - 0.8, color="0.85", linewidth=0.6)
    ax.set_ylim(place + 0.8, 0.2)
    names = [label.get_text() for label in ax.get_yticklabels()]
    ax.set_yticks([*ax.get_yticks(), place], [*names, f"{LAST_SET}  {short:.2f} / {long:.2f}"])
    gap, (low, high) = short - long, limits
    if gap >= low - (high - low) / 2:
        ax.plot([gap], [place], "|", color="0.4", markersize=7, markeredgewidth=1.2)
        return
    ax.annotate(
        f"{gap:.2f}".replace("-", "\N{MINUS SIGN}"),
        xy=(0, place),
        xytext=(22, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=7,
        color="0.3",
        arrowprops={"arrowstyle": "->", "color": "0.4"},
    )
