"""What each further pass over the input gains: accuracy against passes and state."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.axes import bits_axis
from figures.bounds import zero_error_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.pooling import by_seed, by_slice, of_seeds, pool, with_difference
from figures.runs import SERIES, chosen_runs, networks, provenance_note, with_known_state
from figures.style import (
    PAGE_WIDTH,
    add_legend,
    add_note,
    draw_floors,
    draw_intervals,
    intervals_note,
    last_set_note,
)
from sdsim.config import Selection

_EASY, _HARD = ("short_first", "query_first"), ("long_first", "context_first")
_ROWS = (
    "Accuracy, short set\nor question first",
    "Accuracy, long set\nor document first",
    "Accuracy gained\nby the last pass",
)
_NOTE = """\
Each sequence is shown p times. First two rows: accuracy over state, all sizes of an order pooled; \
diamonds: algorithms, at the most bits held at any time; triangles: bits that some state must hold \
to make no errors, where that is proved (one pass: log₂ C(n, |A|); deciding in p > 1: \
log₂ C(n, min) / (2p - 1); the largest over the sizes). Last row: accuracy gained over one pass \
fewer with the same model, paired by seed; filled: short set (or question) first, open: long set \
(or document) first; states side by side, small to large. {intervals}{floor}
"""


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """A column for each model that was run with several numbers of passes.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `gains`' columns.

    Raises:
        NothingToDraw: if no model was.
        ValueError: see `chosen_runs`.
    """
    # Runs within a budget of bits have figures of their own, `figures.budget`.
    unlimited = table.filter(pl.col("state_bits_per_number").fill_null(0) == 0)
    if unlimited.is_empty():
        raise NothingToDraw("every run had a budget of bits")
    runs = with_known_state(chosen_runs(unlimited, axes=("passes",), select=select))
    ordered = runs.filter(pl.col("order") != "equal")
    trained = networks(ordered).filter(pl.col("passes").n_unique().over(SERIES) > 1)
    if trained.is_empty():
        raise NothingToDraw("no model was run with two numbers of passes")
    algorithms = ordered.filter(pl.col("machine").is_not_null()).join(
        trained, on="experiment", how="semi"
    )
    columns = trained.sort(*SERIES).select(SERIES).unique(maintain_order=True).rows()
    figure = Figure(figsize=(max(PAGE_WIDTH, 2.2 * len(columns)), 7.6), layout="constrained")
    grid = figure.subplots(3, len(columns), squeeze=False, sharey="row")
    gained = gains(trained)
    for axes, column in zip(grid.T, columns, strict=True):
        here = dict(zip(SERIES, column, strict=True))
        rows = trained.filter(**here)
        beside = algorithms.filter(experiment=here["experiment"])
        axes[0].sharex(axes[1])
        drawn = []
        for ax, orders in zip(axes, (_EASY, _HARD), strict=False):
            of_order = pl.col("order").is_in(orders)
            if rows.filter(of_order).is_empty():
                ax.set_axis_off()
                continue
            _draw_accuracy(ax, rows.filter(of_order), beside.filter(of_order))
            drawn.append(ax)
        drawn[-1].set_xlabel("Recurrent state, bits (log scale)")
        _draw_gains(axes[2], gained.filter(**here))
        (task,) = rows["task"].unique().to_list()
        name = f"{model_label(here['model'])} {here['variant']}".rstrip()
        drawn[0].set_title(f"{name}\n{task.replace('_', ' ')}")
    for row, label in zip(grid, _ROWS, strict=True):
        first = next((ax for ax in row if ax.axison), row[0])
        first.set_ylabel(label)
        first.tick_params(labelleft=True)
    add_legend(figure)
    used = pl.concat([trained, algorithms])
    note = _NOTE.format(
        intervals=intervals_note(gained["seeds"]), floor=last_set_note(trained["last_set_chance"])
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, gained)


def gains(runs: pl.DataFrame) -> pl.DataFrame:
    """What one more pass gains.

    Args:
        runs: of ``chosen_runs(…, axes=("passes",))``.

    Returns:
        A row per experiment, model, variant, sizes of it, order and passes p: state_bits, what
        `pool` has and, of the seeds that were run with p - 1 passes too, gain with gain_low and
        gain_high (null where there are none).
    """
    keys = (*SERIES, "width", "feature_dim", "order", "passes")
    counts = by_seed(runs, keys, pl.col("correct", "examples").sum())
    fewer = counts.select(
        *keys, "seed", correct_before="correct", examples_before="examples"
    ).with_columns(pl.col("passes") + 1)
    both = counts.join(fewer, on=[*keys, "seed"], nulls_equal=True, maintain_order="left")
    names = ("correct", "examples", "correct_before", "examples_before")
    gained = with_difference(of_seeds(both, keys, *names), "gain", names[:2], names[2:])
    return (
        pool(runs, keys, pl.col("state_bits").max())
        .join(
            gained.select(*keys, "gain", "gain_low", "gain_high"),
            on=keys,
            how="left",
            nulls_equal=True,
        )
        .sort(keys)
    )


def _pooled(runs: pl.DataFrame) -> pl.DataFrame:
    return pool(runs, ("passes", "setting"), pl.col("state_bits").max()).sort(
        "passes", "state_bits", "setting"
    )


def _draw_accuracy(ax: Axes, runs: pl.DataFrame, algorithms: pl.DataFrame) -> None:
    """One order: accuracy over the state, a line for each number of passes; all sizes pooled."""
    pooled, exact, slices = _pooled(runs), _pooled(algorithms), by_slice(runs)
    for passes in pooled["passes"].unique().sort():
        colour = _colour(passes)
        line = pooled.filter(passes=passes)
        draw_intervals(ax, line["state_bits"], line, "accuracy", colour, across=False)
        ax.plot(line["state_bits"], line["accuracy"], "o-", color=colour, label=_passes(passes))
        known = exact.filter(passes=passes)
        ax.plot(known["state_bits"], known["accuracy"], "D", color=colour, markeredgecolor="0.2")
        rows = slices.filter(passes=passes).iter_rows(named=True)
        bounds = [zero_error_bits(row) for row in rows]
        proved = [bound for bound in bounds if bound is not None]
        if len(proved) == len(bounds):
            ax.plot([max(proved)], [1.05], "v", color=colour, clip_on=False)
    draw_floors(ax, runs["chance"].mean(), runs["last_set_chance"].mean())
    ax.set_ylim(0, 1.05)
    bits_axis(ax)


def _draw_gains(ax: Axes, gained: pl.DataFrame) -> None:
    measured = gained.drop_nulls("gain")
    states = measured.select("width", "feature_dim").unique(maintain_order=True).rows()
    for index, (width, feature_dim) in enumerate(states):
        for orders, shift, is_open in ((_EASY, -0.06, False), (_HARD, 0.06, True)):
            rows = measured.filter(
                pl.col("order").is_in(orders), width=width, feature_dim=feature_dim
            )
            for row in rows.iter_slices(1):
                colour = _colour(row["passes"][0])
                x = row["passes"] + shift + 0.22 * (index - (len(states) - 1) / 2)
                draw_intervals(ax, x, row, "gain", colour, across=False)
                face = "white" if is_open else colour
                ax.plot(x, row["gain"], "o", color=colour, markerfacecolor=face)
    ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    passes = measured["passes"].unique().sort().to_list()
    ax.set_xticks(passes, [f"{p - 1} → {p}" for p in passes])
    ax.set_xlabel("Passes")


def _colour(passes: int) -> str:
    return ORDINAL_COLOURS[(passes - 1) % len(ORDINAL_COLOURS)]


def _passes(number: int) -> str:
    return f"{number} pass" if number == 1 else f"{number} passes"
