"""What each further pass over the input gains: accuracy against passes and state."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.axes import bits_axis
from figures.bounds import zero_error_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.pooling import by_slice
from figures.runs import SERIES, chosen_runs, networks, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, draw_floors, last_set_note
from sdsim.store.intervals import difference

_EASY, _HARD = ("short_first", "query_first"), ("long_first", "context_first")
_NOTE = """\
Each sequence is shown p times. Above: accuracy over state, all sizes of sets pooled; diamonds: \
algorithms, at the most bits held at any time; triangles: bits that some state must hold to make \
no errors, where that is proved (one pass: log₂ C(n, |A|); deciding in p > 1: \
log₂ C(n, min) / (2p - 1); the largest over the sizes). Below: accuracy gained over one pass \
fewer with the same model, with the 95 % interval of the pooled test examples; filled: short set \
(or question) first, open: long set (or document) first; states side by side, small to large. \
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A column for each model that was run with several numbers of passes.

    Args:
        table: from `sdsim.store.table.load`.

    Returns:
        The figure, and `gains`' columns.

    Raises:
        NothingToDraw: if no model was.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(table, passes="column")
    every = by_slice(runs).filter(pl.col("order") != "equal")
    trained = every.join(networks(runs), on="setting", how="semi", maintain_order="left")
    algorithms = every.join(trained, on="setting", how="anti", maintain_order="left")
    slices = trained.filter(pl.col("passes").n_unique().over(SERIES) > 1)
    if slices.is_empty():
        raise NothingToDraw("no model was run with two numbers of passes")
    columns = slices.select(SERIES).unique(maintain_order=True).rows()
    figure = Figure(figsize=(max(PAGE_WIDTH, 2.2 * len(columns)), 5.6), layout="constrained")
    grid = figure.subplots(2, len(columns), squeeze=False, sharey="row")
    gained = gains(slices)
    for (above, below), column in zip(grid.T, columns, strict=True):
        experiment, model, variant = column
        here = {"experiment": experiment, "model": model, "variant": variant}
        _draw_accuracy(above, slices.filter(**here), algorithms.filter(experiment=experiment))
        _draw_gains(below, gained.filter(**here))
        (task,) = slices.filter(**here)["task"].unique().to_list()
        name = f"{model_label(model)} {variant}".rstrip()
        above.set_title(f"{name}\n{task.replace('_', ' ')}")
    grid[0][0].set_ylabel("Accuracy")
    grid[1][0].set_ylabel("Accuracy gained by the last pass")
    add_legend(figure)
    beside = algorithms.join(slices, on="experiment", how="semi")
    used = runs.join(pl.concat([slices, beside]), on="setting", how="semi")
    add_note(
        figure, _NOTE + last_set_note(slices["last_set_chance"]) + provenance_note(table, used)
    )
    return Drawing(figure, gained)


def gains(slices: pl.DataFrame) -> pl.DataFrame:
    """What one more pass gains.

    Args:
        slices: from `by_slice`, of ``chosen_runs(…, passes="column")``.

    Returns:
        A row per experiment, model, variant, sizes of it, order and passes p:
        state_bits, accuracy, examples and, where p - 1 passes were run too, gain with gain_low and
        gain_high.
    """
    keys = (*SERIES, "width", "feature_dim", "order", "passes")
    pooled = (
        slices.group_by(keys, maintain_order=True)
        .agg(pl.col("state_bits").max(), pl.col("examples", "correct").sum())
        .sort(keys)
    )
    fewer = pooled.with_columns(pl.col("passes") + 1).select(
        *keys, examples_before="examples", correct_before="correct"
    )
    joined = pooled.join(fewer, on=keys, how="left", nulls_equal=True, maintain_order="left")
    rows = []
    for row in joined.iter_rows(named=True):
        gain: tuple[float | None, ...] = (None, None, None)
        if row["examples_before"] is not None:
            now, before = row["correct"], row["correct_before"]
            low, high = difference(now, row["examples"], before, row["examples_before"])
            gain = (now / row["examples"] - before / row["examples_before"], low, high)
        rows.append(gain)
    names = ("gain", "gain_low", "gain_high")
    measured = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
    return (
        joined.with_columns(accuracy=pl.col("correct") / pl.col("examples"))
        .drop("examples_before", "correct_before", "correct")
        .hstack(measured)
    )


def _pooled(slices: pl.DataFrame) -> pl.DataFrame:
    return (
        slices.group_by("passes", "setting", maintain_order=True)
        .agg(
            pl.col("state_bits").max(),
            accuracy=pl.col("correct").sum() / pl.col("examples").sum(),
        )
        .sort("passes", "state_bits")
    )


def _draw_accuracy(ax: Axes, slices: pl.DataFrame, algorithms: pl.DataFrame) -> None:
    """Accuracy over the state, a line for each number of passes; all sizes pooled."""
    pooled, exact = _pooled(slices), _pooled(algorithms)
    for passes in pooled["passes"].unique().sort():
        colour = _colour(passes)
        line = pooled.filter(passes=passes)
        ax.plot(line["state_bits"], line["accuracy"], "o-", color=colour, label=_passes(passes))
        known = exact.filter(passes=passes)
        ax.plot(known["state_bits"], known["accuracy"], "D", color=colour, markeredgecolor="0.2")
        rows = slices.filter(passes=passes).iter_rows(named=True)
        bounds = [zero_error_bits(row) for row in rows]
        proved = [bound for bound in bounds if bound is not None]
        if len(proved) == len(bounds):
            ax.plot([max(proved)], [1.05], "v", color=colour, clip_on=False)
    draw_floors(ax, slices["chance"].mean(), slices["last_set_chance"].mean())
    ax.set_ylim(0, 1.05)
    bits_axis(ax)
    ax.set_xlabel("Recurrent state, bits (log scale)")


def _draw_gains(ax: Axes, gained: pl.DataFrame) -> None:
    measured = gained.drop_nulls("gain")
    states = measured.select("width", "feature_dim").unique(maintain_order=True).rows()
    for index, (width, feature_dim) in enumerate(states):
        for orders, shift, is_open in ((_EASY, -0.06, False), (_HARD, 0.06, True)):
            rows = measured.filter(
                pl.col("order").is_in(orders), width=width, feature_dim=feature_dim
            )
            for row in rows.iter_rows(named=True):
                colour = _colour(row["passes"])
                x = row["passes"] + shift + 0.22 * (index - (len(states) - 1) / 2)
                ax.plot([x, x], [row["gain_low"], row["gain_high"]], color=colour, linewidth=0.9)
                face = "white" if is_open else colour
                ax.plot([x], [row["gain"]], "o", color=colour, markerfacecolor=face)
    ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    passes = measured["passes"].unique().sort().to_list()
    ax.set_xticks(passes, [f"{p - 1} → {p}" for p in passes])
    ax.set_xlabel("Passes")


def _colour(passes: int) -> str:
    return ORDINAL_COLOURS[(passes - 1) % len(ORDINAL_COLOURS)]


def _passes(number: int) -> str:
    return f"{number} pass" if number == 1 else f"{number} passes"
