"""Learning curves: whether runs have converged, and whether a gap between the orders is there then.

A line is a mean over runs that differ in their seed alone. A run that has stopped counts in it with
its last value, so that a line does not jump where a seed stops.
"""

from __future__ import annotations

import json
import textwrap
from math import ceil
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from figures.bits import ORDERS
from figures.drawing import Drawing, NothingToDraw
from figures.order import PANELS
from figures.palette import model_label, ordinal_colours
from figures.runs import SERIES, SIZES, chosen_runs, differences, provenance_note
from figures.style import (
    PAGE_WIDTH,
    UNKNOWN_STATE,
    add_legend,
    add_note,
    draw_floors,
    label_outside,
    last_set_note,
    printable,
)
from sdsim.config import Selection
from sdsim.store.table import config_columns

_NOTE = """\
Accuracy on training examples, over each hundredth of the steps. Bold: mean over seeds; one that \
has stopped counts with its last value. Thin: single seeds. {of_figure}{converged}{left_out}
"""
_OF_ORDERS = """\
Bars: lowest and highest seed. A difference says something of memory only where both orders have \
converged, and away from that of the floors. """
_ALONE = """\
Where a row names two sizes, each order was trained alone; its runs are paired by seed. """
_FALLING = """\
In the last fifth of a run that trains until it has converged the learning rate falls, and \
accuracy often rises once more. """
_UNFINISHED = "Open marks: accuracy of some run still rose when training reached its limit. "
_UNKNOWN = "Whether {which} have converged was not asked. "

_ORDERS = ("short_first", "long_first")
_PANEL = (*SERIES, "passes", "trained_on")
_LINES, _PANELS, _ROWS, _COLUMNS = 8, 30, 8, 5  # at most
_LABELS = 10  # of lines, in one legend for all panels; where there are more, each has its own
_NAMES = 6  # of what is not drawn
_TITLE_LETTERS = 110  # in a row of panels


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Accuracy over steps, a panel for each model and what it is trained on; a line for each size.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and a row per line and step: experiment, model, variant, passes, trained_on,
        line, state_bits, runs and converged, as in `_lines`; step, accuracy, lowest and highest of
        a seed, and running_accuracy, how many seeds have not stopped.

    Raises:
        NothingToDraw: if no run kept its learning curve, or if no learning rate is chosen.
        ValueError: see `chosen_runs`.
    """
    runs = _with_curves(table, select)
    lines = _lines(runs)
    seeds = _held(runs.unique("run", maintain_order=True), "accuracy")
    means = _means(seeds, "accuracy")
    drawn, left_out = _within_limits(lines, _PANELS)
    rows = _rows(drawn)
    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 1.5 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(rows[0]), squeeze=False, sharex=True, sharey=True)
    panels = [panel for row in rows for panel in row]
    if _share_legend(drawn):
        _name_lines(grid[0][0], drawn, in_panel=False)
    for ax, panel in zip(grid.flat, panels, strict=True):
        if panel is None:
            ax.set_axis_off()
            continue
        ax.set_title(_title(panel, drawn, _TITLE_LETTERS // len(rows[0])), fontsize=7)
        here = drawn.filter(**panel)
        if here.is_empty():
            ax.text(0.5, 0.5, "not run", ha="center", color="0.5", transform=ax.transAxes)
            continue
        _draw_lines(ax, "accuracy", here, means, seeds)
        draw_floors(ax, here["chance"][0], here["last_set"][0])
        if not _share_legend(drawn):
            _name_lines(ax, here, in_panel=True)
    grid[0][0].set_ylim(0, 1.05)
    _steps_axis(grid[0][0])
    used = max(place for place, panel in enumerate(panels) if panel) + 1
    label_outside(grid, used, "Steps, thousands", "Accuracy")
    add_legend(figure)
    note = _note(drawn, last_set_note(drawn["last_set"]), left_out)
    add_note(figure, note + provenance_note(table, runs))
    return Drawing(figure, _numbers(lines, means))


def draw_by_order(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Accuracy over steps with the long set first, with the short set first, and their difference.

    A row of three panels for each model and what it is trained on: several pairs of sizes together,
    or a pair, and its mirror image, alone.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and a row per line and step, as of `draw`, with short_first, long_first and gap
        (short_first - long_first) in place of accuracy.

    Raises:
        NothingToDraw: if no run kept its learning curve on sizes (a, b) with a < b along with
            (b, a), or if no learning rate is chosen.
        ValueError: see `chosen_runs`.
    """
    runs = _mirrored(_with_curves(table, select))
    if runs.is_empty():
        raise NothingToDraw("no curve is known of a pair of sizes (a, b) with a < b and of (b, a)")
    lines = _lines(runs)
    seeds = _by_order(_held(runs, "slice_accuracy"), runs)
    means = _means(seeds, *PANELS)
    drawn, left_out = _within_limits(lines, _ROWS)
    rows = drawn.select(_PANEL).unique(maintain_order=True).to_dicts()
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 1.25 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), len(PANELS), squeeze=False, sharex=True)
    if _share_legend(drawn):
        _name_lines(grid[0][0], drawn, in_panel=False)
    for axes, panel in zip(grid, rows, strict=True):
        here = drawn.filter(**panel)
        for ax, name in zip(axes, PANELS, strict=True):
            _draw_lines(ax, name, here, means, seeds)
            if name == "gap":
                ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
                draw_floors(ax, None, here["last_set_gap"][0])
            else:
                draw_floors(ax, here[f"chance_{name}"][0], here[f"last_set_{name}"][0])
                ax.set_ylim(0, 1.05)
        if not _share_legend(drawn):
            _name_lines(axes[0], here, in_panel=True)
        axes[0].set_ylabel(f"{_title(panel, drawn, 26)}\nAccuracy".lstrip())
        axes[2].set_ylabel("Difference")
    for ax, title in zip(grid[0], PANELS.values(), strict=True):
        ax.set_title(title)
    _steps_axis(grid[0][0])
    grid[-1][1].set_xlabel("Steps, thousands")
    add_legend(figure)
    alone = _ALONE if (runs["pairs"] == 1).any() else ""
    of_orders = _OF_ORDERS + alone + last_set_note(drawn["last_set_gap"])
    note = _note(drawn, of_orders, left_out)
    add_note(figure, note + provenance_note(table, runs))
    return Drawing(figure, _numbers(lines, means))


def _with_curves(table: pl.DataFrame, select: Selection) -> pl.DataFrame:
    """The chosen runs that kept a curve.

    With pairs, the number of those that it was trained on; trained_on, what tells its panel from
    others of the model; key, which the runs of a line share; run, which tells these apart.
    """
    if select == "released":
        raise NothingToDraw("no learning rate is chosen: each order shows its best run")
    if (table["curve"].list.len() == 0).all():
        raise NothingToDraw("no run kept its learning curve; earlier versions kept none")
    runs = chosen_runs(table, axes=("steps", "passes", "train_sizes"), select=select).filter(
        pl.col("curve").list.len() > 0
    )
    if runs.is_empty():
        raise NothingToDraw("no run that is shown kept its learning curve")
    # The order of recall belongs to the run, not to its setting.
    is_recall = pl.col("order").is_in(["query_first", "context_first"])
    asked = pl.when(is_recall).then("order").otherwise(pl.lit("")).alias("order")
    trained_on = pl.struct("train_sizes", asked).map_elements(_trained_on, pl.String)
    return runs.with_columns(
        pairs=pl.col("train_sizes").str.json_decode(pl.List(pl.List(pl.Int64))).list.len(),
        trained_on=trained_on,
        key=pl.concat_str("setting", asked, separator=" "),
        run="run_id",
    )


def _trained_on(row: dict[str, str]) -> str:
    sizes, order = json.loads(row["train_sizes"]), row["order"]
    if len(sizes) == 1 and not order:
        return "|A| = {}, |B| = {}".format(*sizes[0])
    return " ".join([*filter(None, [ORDERS.get(order)]), *(f"{a}+{b}" for a, b in sizes)])


def _mirrored(runs: pl.DataFrame) -> pl.DataFrame:
    """The slices whose curve is known along with that of their mirror image, of the same seed.

    With a key that runs share which differ in their seed alone or, trained on one pair of sizes, in
    which of the two comes first; run is a slice of one of them.
    """
    alike = [name for name in config_columns() if name not in ("lr", "seed", "train_sizes")]
    on_slice = pl.element().struct.field("slice_accuracy")
    smaller, larger = pl.min_horizontal("size_a", "size_b"), pl.max_horizontal("size_a", "size_b")
    known = (
        runs.filter(
            pl.col("order").is_in(["short_first", "long_first"]),
            pl.col("curve").list.eval(on_slice.is_not_null()).list.any(),
        )
        .with_columns(
            trained_on=pl.when(pl.col("pairs") == 1)
            .then(pl.format("sizes {} and {}", smaller, larger))
            .otherwise("trained_on"),
            run=pl.format("{} {} {}", "run_id", "size_a", "size_b"),
        )
        .with_columns(key=pl.col("run_id").first().over(*alike, "trained_on"))
    )
    mirror = known.select("key", "seed", size_a="size_b", size_b="size_a")
    return known.join(mirror, on=["key", "seed", "size_a", "size_b"], how="semi")


def _lines(runs: pl.DataFrame) -> pl.DataFrame:
    """What the lines of a figure are, in order.

    Args:
        runs: a row per run and slice, with the columns of `_with_curves`.

    Returns:
        A row per key: experiment, model, variant, passes and trained_on, alike in a panel; line,
        its name there; state_bits (the most over the slices); runs, and converged, how many of
        these have (null: not known of all). The floors chance and last_set, null unless the slices
        are what was trained on, in equal shares; with _<order> those of an order; last_set_gap.
        Unfinished_accuracy, unfinished_gap and unfinished_<order>: whether some run of these is
        known not to have converged.
    """
    slices = pl.struct("size_a", "size_b").n_unique()
    equally = (slices == pl.col("pairs").first()) & pl.all_horizontal(
        pl.col("test_sizes", "weights", "curriculum").first() == "[]"
    )
    unfinished = ~pl.col("converged")
    floors = {"chance": pl.col("chance"), "last_set": pl.col("last_set_chance")}
    lines = runs.group_by("key", maintain_order=True).agg(
        pl.col(*_PANEL, *SIZES, "steps").first(),
        pl.col("state_bits", "state_bytes").max(),
        pl.col("size_a").min(),
        total=(pl.col("size_a") + pl.col("size_b")).max(),
        slices=slices,
        runs=pl.col("run_id").n_unique(),
        converged=pl.when(pl.col("converged").is_not_null().all()).then(
            pl.col("run_id").filter("converged").n_unique()
        ),
        **dict.fromkeys(("unfinished_accuracy", "unfinished_gap"), unfinished.any()),
        **{f"unfinished_{order}": _of(order, unfinished).any() for order in _ORDERS},
        **{name: pl.when(equally).then(floor.mean()) for name, floor in floors.items()},
        **{
            f"{name}_{order}": _of(order, floor).mean()
            for name, floor in floors.items()
            for order in _ORDERS
        },
    )
    gap = pl.col("last_set_short_first") - pl.col("last_set_long_first")
    return lines.with_columns(line=_line_name(), last_set_gap=gap).sort(
        *_PANEL[:-1], "slices", "total", "size_a", "trained_on", "state_bits", "steps", "key"
    )


def _line_name() -> pl.Expr:
    """The size of the state; if that of several lines of a panel is the same, what differs."""
    among = [*_PANEL, "state_bits"]
    in_bits = pl.col("state_bits").map_elements(lambda bits: f"{bits:,} bits", pl.String)
    in_bytes = pl.col("state_bytes").map_elements(lambda number: f"{number:,} B", pl.String)
    steps = pl.col("steps").map_elements(lambda number: f"{number:,} steps", pl.String)
    return pl.concat_str(
        pl.when(pl.col("state_bits_per_number") > 0)
        .then(in_bits)
        .otherwise(in_bytes.fill_null(UNKNOWN_STATE)),
        pl.when(pl.col("steps").n_unique().over(among) > 1).then(steps),
        *differences(SIZES, [*among, "steps"]),
        separator=", ",
        ignore_nulls=True,
    )


def _held(runs: pl.DataFrame, name: str) -> pl.DataFrame:
    """A number of each run at all steps of its line; once the run has stopped, the last one holds.

    Args:
        runs: with key and run.
        name: of a field of curve. Where it is not known, the last one before holds.

    Returns:
        Rows key, run, step, the number (null before the first one), running_<name>.
    """
    points = (
        runs.select("key", "run", "curve")
        .explode("curve")
        .select("key", "run", *(pl.col("curve").struct.field(field) for field in ("step", name)))
    )
    steps, single = points.select("key", "step").unique(), points.select("key", "run").unique()
    last = pl.col("step").filter(pl.col(name).is_not_null()).max().over("key", "run")
    return (
        single.join(steps, on="key")
        .join(points, on=["key", "run", "step"], how="left")
        .sort("key", "run", "step")
        .with_columns(
            pl.col(name).forward_fill().over("key", "run"),
            (pl.col("step") <= last).alias(f"running_{name}"),
        )
    )


def _by_order(held: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """Short_first, long_first and gap of each seed, from the accuracies on slices in `_held`."""
    described = runs.select("key", "run", "seed", "order")
    running = pl.col("running_slice_accuracy")
    of_order = {order: _mean(_of(order, pl.col("slice_accuracy"))) for order in _ORDERS}
    running_of_order = {f"running_{order}": _of(order, running).any() for order in _ORDERS}
    return (
        held.join(described, on=["key", "run"])
        .group_by("key", pl.col("seed").alias("run"), "step")
        .agg(running_gap=running.any(), **of_order, **running_of_order)
        .with_columns(gap=pl.col("short_first") - pl.col("long_first"))
        .sort("key", "run", "step")
    )


def _means(seeds: pl.DataFrame, *names: str) -> pl.DataFrame:
    """The means over seeds at each step.

    Args:
        seeds: key, run, step, and each name along with running_<name>.
        names: of what is averaged.

    Returns:
        Rows key, step, the means, lowest and highest of the last name; in running_<name> how many
        seeds have not stopped.
    """
    return (
        seeds.group_by("key", "step")
        .agg(
            *(_mean(pl.col(name)).alias(name) for name in names),
            pl.col(names[-1]).min().alias("lowest"),
            pl.col(names[-1]).max().alias("highest"),
            *(pl.col(f"running_{name}").sum() for name in names),
        )
        .sort("key", "step")
    )


def _of(order: str, column: pl.Expr) -> pl.Expr:
    return column.filter(pl.col("order") == order)


def _mean(column: pl.Expr) -> pl.Expr:
    """Null where one is not known: at other steps the mean would be over others."""
    return pl.when(column.is_not_null().all()).then(column.mean())


def _numbers(lines: pl.DataFrame, means: pl.DataFrame) -> pl.DataFrame:
    """The means, with what their lines are; to four digits, so that the file stays small."""
    described = lines.select(*_PANEL, "line", "state_bits", "runs", "converged", "key")
    numbers = described.join(means, on="key", maintain_order="left_right").drop("key")
    return numbers.with_columns(pl.col(pl.Float64).round(4))


def _within_limits(lines: pl.DataFrame, panels: int) -> tuple[pl.DataFrame, str]:
    """The lines that are drawn: of so many panels, of each so many; what a note says of others."""
    every = lines.select(_PANEL).unique(maintain_order=True)
    here = lines.join(every.head(panels), on=_PANEL, how="semi", maintain_order="left")
    # Of too many lines, some at even distances, the first and the last among them.
    number, count = pl.int_range(pl.len()).over(_PANEL), pl.len().over(_PANEL)
    place = number * (_LINES - 1) // (count - 1)
    is_drawn = (count <= _LINES) | (place != place.shift(1, fill_value=-1).over(_PANEL))
    drawn, thinned = here.filter(is_drawn), here.filter(~is_drawn)
    left_out = []
    if len(every) > panels:
        names = [_name(panel, " ") for panel in every[panels:].iter_rows(named=True)]
        left_out.append(f"at most {panels} panels, without {_some(names)}")
    if len(thinned):
        names = thinned["line"].unique(maintain_order=True).to_list()
        left_out.append(f"at most {_LINES} lines in a panel, without {_some(names)}")
    note = f"Drawn are {'; '.join(left_out)}: the numbers beside this figure have them. "
    return _coloured(drawn), note if left_out else ""


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _rows(drawn: pl.DataFrame) -> list[list[dict[str, Any] | None]]:
    """The panels, in rows of one length.

    A model that is trained on several things has rows of its own, with a panel for each of those
    that any model of its experiment is trained on. The others share rows.
    """
    together: list[dict[str, Any] | None] = []
    blocks = [together]
    for experiment in drawn.partition_by("experiment", maintain_order=True):
        trained_on = experiment["trained_on"].unique(maintain_order=True).to_list()
        for model in experiment.select(_PANEL[:-1]).unique(maintain_order=True).to_dicts():
            panels = [model | {"trained_on": each} for each in trained_on]
            if len(panels) > 1:
                blocks.append([*panels])
            else:
                together.extend(panels)
    if len(blocks) > 1:
        most = max(map(len, blocks[1:]))
        columns = ceil(most / ceil(most / _COLUMNS))
    else:
        columns = ceil(len(together) / ceil(len(together) / 3))
    rows = [
        block[start : start + columns]
        for block in blocks
        for start in range(0, len(block), columns)
    ]
    return [row + [None] * (columns - len(row)) for row in rows]


def _title(panel: dict[str, Any], drawn: pl.DataFrame, letters: int) -> str:
    """The panel's name, in lines of so many letters, without the one mix that all train on."""
    only = "+" in panel["trained_on"] and drawn["trained_on"].n_unique() == 1
    name = _name(panel | {"trained_on": ""} if only else panel, "\n")
    lines = [
        line
        for part in name.split("\n")
        for line in textwrap.wrap(textwrap.shorten(part, 2 * letters, placeholder=" …"), letters)
    ]
    return "\n".join(lines)


def _name(panel: dict[str, Any], separator: str) -> str:
    times = {1: "", 2: ", read twice"}.get(panel["passes"], f", read {panel['passes']} times")
    model = f"{model_label(panel['model'])} {printable(panel['variant'])}".rstrip() + times
    parts = [printable(panel["experiment"]), model, panel["trained_on"]]
    return separator.join(filter(None, parts))


def _coloured(drawn: pl.DataFrame) -> pl.DataFrame:
    """The lines with colour: dark to light as the state grows, in all panels or in each."""
    groups = [drawn] if _share_legend(drawn) else drawn.partition_by(_PANEL, maintain_order=True)
    coloured = []
    for group in groups:
        names = group.sort("state_bits", "steps", "line")["line"].unique(maintain_order=True)
        colours = dict(zip(names.to_list(), ordinal_colours(len(names)), strict=True))
        coloured.append(group.with_columns(colour=pl.col("line").replace_strict(colours)))
    return pl.concat(coloured)


def _share_legend(drawn: pl.DataFrame) -> bool:
    return drawn["line"].n_unique() <= _LABELS


def _name_lines(ax: Axes, lines: pl.DataFrame, *, in_panel: bool) -> None:
    """Name the colours, in a legend within the panel or for that of the figure."""
    handles, names = [], []
    in_order = lines.sort("state_bits", "steps", "line").select("line", "colour")
    for name, colour in in_order.unique(maintain_order=True).iter_rows():
        handles += ax.plot([], [], color=colour, label=None if in_panel else name)
        names.append(name)
    if in_panel:
        ax.legend(handles, names, fontsize=6, loc="best", frameon=True, edgecolor="none")


def _draw_lines(
    ax: Axes,
    name: str,
    here: pl.DataFrame,
    means: pl.DataFrame,
    seeds: pl.DataFrame,
) -> None:
    """A panel's lines: a column of the means, and of the seeds, over steps."""
    for line in here.iter_rows(named=True):
        colour, at = line["colour"], {"key": line["key"]}
        mean = means.filter(pl.col(f"running_{name}") > 0, **at).drop_nulls(name)
        ax.plot(mean["step"], mean[name], color=colour, zorder=3)
        end = mean.tail(1)
        if name == "gap":
            ax.vlines(end["step"], end["lowest"], end["highest"], colors=colour, linewidth=0.9)
        else:
            for seed in seeds.filter(f"running_{name}", **at).partition_by("run"):
                ax.plot(seed["step"], seed[name], color=colour, linewidth=0.35, alpha=0.4)
        if line[f"unfinished_{name}"]:
            ax.plot(end["step"], end[name], "o", color=colour, mfc="white", zorder=4)


def _steps_axis(ax: Axes) -> None:
    """Thousands of steps, for all panels that share this one's axis."""
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps / 1000:g}"))


def _note(drawn: pl.DataFrame, of_figure: str, left_out: str) -> str:
    unknown = drawn["converged"].is_null().sum()
    which = "these" if unknown == len(drawn) else f"those of {unknown} lines"
    converged = [
        _FALLING if unknown < len(drawn) else "",
        _UNFINISHED if drawn["unfinished_accuracy"].any() else "",
        _UNKNOWN.format(which=which) if unknown else "",
    ]
    return _NOTE.format(of_figure=of_figure, converged="".join(converged), left_out=left_out)
