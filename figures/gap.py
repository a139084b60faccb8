"""The order gap of each architecture, its causal reader beside its readers of the prefix."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing, NothingToDraw
from figures.style import PAGE_WIDTH, add_legend, add_note, model_label, task_label
from figures.summary import basis, by_order, chosen_runs, networks

_FAMILY = {"jrt_rnn": "based", "based_noncausal": "based"}
_READERS = {
    "causal": ("Causal", "#0072B2", "o"),
    "prefix": ("With a prefix (JRT)", "#009E73", "D"),
    "noncausal": ("Non-causal", "#E69F00", "s"),
}
_NOTE = """\
Gap: accuracy with the short set first minus accuracy with the long set first, sizes and seeds \
pooled. Thick: 95 % interval of the pooled test examples; thin, where several seeds were run: two \
standard errors of the mean over seeds. Names: state in bytes, accuracy short first / long first. \
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A row for each model and size of its state, families together; a panel for each task.

    Args:
        table: from `sdsim.store.load`.

    Returns:
        The figure, and `by_order`'s columns with family and reader.

    Raises:
        NothingToDraw: unless two architectures, or two readers of one, were tested in both orders.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(networks(table))
    orders = by_order(runs)
    if orders.is_empty() or orders["model"].n_unique() < 2:
        raise NothingToDraw("it takes two kinds of network, tested on (a, b) and (b, a)")
    family = pl.col("model").replace(_FAMILY).str.strip_prefix("prefix_")
    is_prefix = pl.col("model").str.starts_with("prefix_") | (pl.col("model") == "jrt_rnn")
    reader = (
        pl.when(is_prefix)
        .then(pl.lit("prefix"))
        .when(pl.col("model").str.ends_with("_noncausal"))
        .then(pl.lit("noncausal"))
        .otherwise(pl.lit("causal"))
    )
    orders = orders.with_columns(family=family, reader=reader).sort(
        "experiment", "family", "reader", "variant", "state_bytes", "setting"
    )
    experiments = orders["experiment"].unique(maintain_order=True).to_list()
    rows = [orders.filter(experiment=experiment) for experiment in experiments]
    figure = Figure(
        figsize=(PAGE_WIDTH, 1.2 + 0.19 * sum(map(len, rows)) + 0.4 * len(rows)),
        layout="constrained",
    )
    panels = figure.subplots(
        len(rows), 1, squeeze=False, sharex=True, height_ratios=[max(2, len(r)) for r in rows]
    )[:, 0]
    for ax, experiment, here in zip(panels, experiments, rows, strict=True):
        _draw_panel(ax, here)
        if experiment:
            ax.set_title(task_label(experiment).replace("\n", " "))
    panels[-1].set_xlabel("Accuracy, short set first minus long set first")
    add_legend(figure)
    add_note(figure, _NOTE + basis(table, runs.join(orders, on="setting", how="semi")))
    return Drawing(figure, orders)


def _draw_panel(ax: Axes, here: pl.DataFrame) -> None:
    place, places, before = 0.0, [], None
    for row in here.iter_rows(named=True):
        if before is not None and row["family"] != before:
            ax.axhline(place + 0.8, color="0.85", linewidth=0.6)
            place += 0.6
        place, before = place + 1, row["family"]
        places.append(place)
        label, colour, marker = _READERS[row["reader"]]
        if row["gap_standard_error"] is not None:
            reach = 2 * row["gap_standard_error"]
            ends = [row["gap"] - reach, row["gap"] + reach]
            ax.plot(ends, [place] * 2, color=colour, linewidth=0.7)
        ends = [row["gap_low"], row["gap_high"]]
        ax.plot(ends, [place] * 2, color=colour, linewidth=2.2, alpha=0.6)
        ax.plot([row["gap"]], [place], marker, color=colour, label=label, linewidth=0)
    names = [
        f"{model_label(row['model'])} {row['variant']}".rstrip()
        + f"  {row['state_bytes']:,} B  {row['short_first']:.2f} / {row['long_first']:.2f}"
        for row in here.iter_rows(named=True)
    ]
    ax.set_yticks(places, names)
    ax.set_ylim(place + 0.8, 0.2)
    ax.axvline(0, color="0.4", linewidth=0.8, zorder=1)
    ax.grid(visible=False, axis="y")
