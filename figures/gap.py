"""The order gap of each architecture, its causal reader beside its readers of the prefix."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing, NothingToDraw
from figures.palette import READERS, model_label
from figures.pooling import by_order
from figures.runs import chosen_runs, networks, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, printable, task_label

_NOTE = """\
Gap: accuracy with the short set first minus accuracy with the long set first, sizes and seeds \
pooled. Thick: 95 % interval of the pooled test examples; thin, where several seeds were run: two \
standard errors of the mean over seeds. Names: state in bytes, accuracy short first / long first. \
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A row for each model and size of its state, families together; a panel for each task.

    Args:
        table: from `sdsim.store.table.load`.

    Returns:
        The figure, and `by_order`'s columns with family and reader, see `with_family`.

    Raises:
        NothingToDraw: unless two architectures, or two readers of one, were tested in both orders.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(networks(table))
    orders = by_order(runs)
    if orders.is_empty() or orders["model"].n_unique() < 2:
        raise NothingToDraw("it takes two kinds of network, tested on (a, b) and (b, a)")
    orders = with_family(orders, runs).sort(
        "experiment", "family", "reader", "model", "variant", "state_bytes", "setting"
    )
    panels = orders.partition_by("experiment", maintain_order=True)
    figure = Figure(
        figsize=(PAGE_WIDTH, 1.2 + 0.19 * len(orders) + 0.4 * len(panels)),
        layout="constrained",
    )
    heights = [max(2, len(panel)) for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=heights)
    for ax, panel in zip(grid.flat, panels, strict=True):
        _draw_panel(ax, panel)
        if experiment := panel["experiment"][0]:
            ax.set_title(task_label(experiment).replace("\n", " "))
    grid[-1][0].set_xlabel("Accuracy, short set first minus long set first")
    add_legend(figure)
    used = runs.join(orders, on="setting", how="semi")
    add_note(figure, _NOTE + provenance_note(table, used))
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


def _draw_panel(ax: Axes, panel: pl.DataFrame) -> None:
    place, places, before = 0.0, [], None
    for row in panel.iter_rows(named=True):
        if before is not None and row["family"] != before:
            ax.axhline(place + 0.8, color="0.85", linewidth=0.6)
            place += 0.6
        place, before = place + 1, row["family"]
        places.append(place)
        style = READERS[row["reader"]]
        if row["gap_standard_error"] is not None:
            reach = 2 * row["gap_standard_error"]
            ends = [row["gap"] - reach, row["gap"] + reach]
            ax.plot(ends, [place] * 2, color=style.colour, linewidth=0.7)
        ends = [row["gap_low"], row["gap_high"]]
        ax.plot(ends, [place] * 2, color=style.colour, linewidth=2.2, alpha=0.6)
        ax.plot(
            [row["gap"]],
            [place],
            style.marker,
            color=style.colour,
            label=style.label,
            linewidth=0,
        )
    names = [
        f"{model_label(row['model'])} {printable(row['variant'])}".rstrip()
        + f"  {row['state_bytes']:,} B  {row['short_first']:.2f} / {row['long_first']:.2f}"
        for row in panel.iter_rows(named=True)
    ]
    ax.set_yticks(places, names)
    ax.set_ylim(place + 0.8, 0.2)
    ax.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    ax.grid(visible=False, axis="y")
