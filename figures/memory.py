"""Memory against order: the state that an accuracy takes as |A| and |B| trade places."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from figures.bounds import proved_bits, zero_error_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.pooling import by_slice
from figures.runs import (
    QUANTIZED_NOTE,
    chosen_runs,
    provenance_note,
    with_known_state,
    with_quantized,
)
from figures.style import PAGE_WIDTH, PALE, add_legend, add_note, intervals_note, task_label
from sdsim.config import Selection

_LEAST_SLICES = 3
_LEAST_A = pl.col("size_a").min().over("experiment", "total")
_TOLERANCE = 1e-9  # 0.7 stands (0.7 - 0.5) / 0.5 above a chance of 0.5: 0.4, not a hair less
_NOTE = """\
Marks: the smallest state whose accuracy, put on a scale from 0 for guessing to 1 for no \
error, reaches {target:g} (seeds pooled; what guessing yields differs along the axis). Thin line: \
the states at which the interval leaves open whether they do. {intervals}Arrow \
down: the smallest state tried is already enough. Open mark, arrow up: no state tried is enough; \
the largest is shown. Nothing is interpolated. Lower panel: the same, and the bound, over what is \
needed at the smallest |A|.
States are quantized to few bits per number where that was tested: {quantized} Bounds: \
⌈log₂ C(n, |A|)⌉ bits for no errors (n: possible tokens), and what the target's accuracy takes on \
average; no model that reads once lies in the shaded part. Models that see all of the input at \
once (non-causal, with a prefix) or read it again are not bound.
"""


def draw(table: pl.DataFrame, target: float = 0.5, *, select: Selection = "validation") -> Drawing:
    """Bits of state that reach a target, over |A|; a panel per task and |A| + |B|.

    A panel needs three slices of one |A| + |B|. Chance differs from slice to slice (1 / min(|A|,
    |B|) for naming the shared token), so that one raw accuracy would ask for much where sets are
    long and for nothing where one is short; the target is therefore on the scale from 0, guessing,
    to 1, no error. Guessing is at least as accurate as naming any token of the last set, in either
    order, so that no floor lies above 0 of that scale.

    Args:
        table: from `sdsim.store.table.load`.
        target: accuracy above chance to reach, in (0, 1].
        select: see `chosen_runs`.

    Returns:
        The figure, and `needed_memory`'s columns.

    Raises:
        NothingToDraw: if there is no panel.
        ValueError: for another target; also see `chosen_runs`.
    """
    runs = with_known_state(chosen_runs(table, passes="variant", select=select))
    needed = needed_memory(by_slice(with_quantized(runs)), target)
    if needed.is_empty():
        raise NothingToDraw(
            f"no {_LEAST_SLICES} slices have |A| + |B| in common, so that memory could be followed "
            "as |A| and |B| trade places"
        )
    panels = needed.partition_by("experiment", "total", maintain_order=True)
    styles = series_styles(needed.select("model", "variant").iter_rows())

    figure = Figure(figsize=(PAGE_WIDTH, 1.6 + 3.4 * len(panels)), layout="constrained")
    rows = figure.subplots(
        2 * len(panels), 1, squeeze=False, height_ratios=[3, 2] * len(panels)
    ).reshape(len(panels), 2)
    # Room for the arrows at both ends; the panels share the axis.
    drawn = [needed[name].drop_nulls() for name in ("bits", "bound", "bound_at_target")]
    bottom = 0.5 * max(1, min(min(column) for column in drawn if len(column)))
    for (absolute, relative), panel in zip(rows, panels, strict=True):
        _draw_panel(absolute, panel, styles, "bits")
        _draw_panel(relative, panel, styles, "relative")
        absolute.set_yscale("log")
        absolute.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        absolute.yaxis.set_minor_locator(NullLocator())
        absolute.set_ylim(bottom, 3 * max(needed["bits"]))
        absolute.set_ylabel("Recurrent state,\nbits (log scale)")
        total, universe, experiment = panel.select("total", "universe_size", "experiment").row(0)
        task = f"{task_label(experiment)}: " if experiment else ""
        absolute.set_title(f"{task}|A| + |B| = {total}, n = {universe}")
        relative.set_ylabel(f"… over that\nat |A| = {min(panel['size_a'].to_list())}")
        relative.set_xlabel(f"|A|, size of the set that comes first (|B| = {total} minus |A|)")
    add_legend(figure)
    used = runs.join(needed, on="experiment", how="semi")
    note = _NOTE.format(
        target=target, quantized=QUANTIZED_NOTE, intervals=intervals_note(needed["seeds"])
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, needed)


def needed_memory(slices: pl.DataFrame, target: float) -> pl.DataFrame:
    """The smallest measured state with which each series reaches the target on each slice.

    Args:
        slices: from `by_slice`.
        target: accuracy above chance, in (0, 1].

    Returns:
        A row per series (model and variant) and slice, for sums |A| + |B| with three slices and
        more: experiment, total (|A| + |B|), model, variant, universe_size, size_a, size_b, chance,
        target; bits, of the state; rounding, bits per number (null: not quantized); accuracy and
        above_chance at that state; reading, ``"exact"`` (a smaller state was tried and falls
        short), ``"at_most"`` (the smallest tried reaches the target) or ``"more_than"`` (none does;
        bits is the largest tried); bits_low and bits_high, the smallest states whose 95 % interval
        reaches the target, and lies above it (null where none does); relative, bits over those of
        the same series at the smallest |A| (null where those are not exact); bound, the bits of
        one-pass zero-error memory; bound_at_target, those that this accuracy takes in one pass on
        average (both null where that is not proved); efficiency, bound_at_target over bits.

    Raises:
        ValueError: for a target out of range.
    """
    if not 0 < target <= 1:
        raise ValueError(f"target = {target}: an accuracy above chance, in (0, 1]")
    slices = slices.with_columns(total=pl.col("size_a") + pl.col("size_b"))
    several = pl.col("size_a").n_unique().over("experiment", "total") >= _LEAST_SLICES
    keys = ("experiment", "total", "model", "variant", "size_a")
    groups = (
        slices.filter(several)
        .filter(pl.col("order").is_in(["short_first", "equal", "long_first"]))
        .sort(*keys, "state_bits", maintain_order=True)
        .partition_by(keys, maintain_order=True)
    )
    needed = pl.DataFrame([_needed(group, target) for group in groups], infer_schema_length=None)
    if needed.is_empty():
        return needed
    first = pl.col("bits").filter(pl.col("reading") == "exact", pl.col("size_a") == _LEAST_A)
    return needed.with_columns(
        relative=pl.col("bits") / first.first().over(keys[:-1]),
        efficiency=pl.col("bound_at_target") / pl.col("bits"),
    )


def _needed(tried: pl.DataFrame, target: float) -> dict[str, Any]:
    """One row of `needed_memory`, from all states of a series that were tried on one slice."""
    enough = tried.filter(pl.col("above_chance") >= target - _TOLERANCE)
    reached = enough.head(1) if len(enough) else tried.tail(1)
    at = reached.row(0, named=True)
    smaller = [size for size in tried["state_bits"] if size < at["state_bits"]]
    reading = "more_than" if enough.is_empty() else "exact" if smaller else "at_most"
    enough_right = at["chance"] + target * (1 - at["chance"])
    same = ("experiment", "total", "model", "variant", "universe_size", "size_a", "size_b")
    return {
        **{name: at[name] for name in (*same, "chance")},
        "target": target,
        "reading": reading,
        "bits": at["state_bits"],
        "rounding": at["rounding"],
        "bits_low": _first_bits(tried, pl.col("accuracy_high") >= enough_right),
        "bits_high": _first_bits(tried, pl.col("accuracy_low") >= enough_right),
        "accuracy": at["accuracy"],
        "above_chance": at["above_chance"],
        "seeds": at["seeds"],
        "enough_seeds": at["enough_seeds"],
        "bound": zero_error_bits(at) if at["passes"] == 1 else None,
        "bound_at_target": proved_bits(at, enough_right),
    }


def _first_bits(tried: pl.DataFrame, enough: pl.Expr) -> int | None:
    states: list[int] = tried.filter(enough)["state_bits"].to_list()
    return states[0] if states else None


def _draw_panel(
    ax: Axes, panel: pl.DataFrame, styles: dict[tuple[str, str], SeriesStyle], value: str
) -> None:
    """One task and one |A| + |B|: series side by side at each |A|, and the bound."""
    sizes = panel["size_a"].unique().sort().to_list()
    room = 0.75 * min(after - before for before, after in pairwise(sizes))
    here = set(panel.select("model", "variant").iter_rows())
    drawn = {series: style for series, style in styles.items() if series in here}
    for place, ((model, variant), style) in enumerate(drawn.items()):
        shift = room * ((place + 0.5) / len(drawn) - 0.5)
        series = panel.filter(model=model, variant=variant).drop_nulls(value)
        for point in series.iter_rows(named=True):
            _draw_point(ax, point["size_a"] + shift, point, style, value)
        ax.plot([], [], style.marker, color=style.colour, label=style.label)

    for column, label, line in (
        ("bound", "Bound: no errors", "-"),
        ("bound_at_target", "Bound: the same accuracy", ":"),
    ):
        bound = panel.drop_nulls(column).unique("size_a").sort("size_a")
        if bound.is_empty():
            continue
        unit = 1 if value == "bits" else bound[column][0]
        for size_a, height in zip(bound["size_a"], bound[column] / unit, strict=True):
            across = [size_a - room / 2, size_a + room / 2]
            ax.plot(across, [height, height], line, color="0.2", linewidth=1.2, zorder=1)
            if value == "bits" and column == "bound_at_target":
                ax.fill_between(across, height, 0.1, color="0.87", linewidth=0, zorder=0)
        ax.plot([], [], line, color="0.2", label=label)
    ax.set_xticks(sizes)


def _draw_point(ax: Axes, x: float, point: dict[str, Any], style: SeriesStyle, value: str) -> None:
    is_open = point["reading"] == "more_than"
    y = point[value]
    face = "white" if is_open else style.colour
    ax.plot([x], [y], style.marker, color=style.colour, markerfacecolor=face)
    unit = point["bits"] / y
    low, high = (point[name] or point["bits"] for name in ("bits_low", "bits_high"))
    opacity = 1 if point["enough_seeds"] else PALE
    ax.plot([x, x], [low / unit, high / unit], color=style.colour, linewidth=0.9, alpha=opacity)
    if point["reading"] == "exact":
        return
    arrow = {
        "arrowstyle": "<-" if is_open else "<|-",
        "color": style.colour,
        "linewidth": 0.8,
        "shrinkA": 0,
        "shrinkB": 3,
        "mutation_scale": 6,
    }
    away = (0, 13 if is_open else -13)
    ax.annotate("", xy=(x, y), xytext=away, textcoords="offset points", arrowprops=arrow)
