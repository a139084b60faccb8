"""Memory within a budget of bits: accuracy against bits, and the bits that an accuracy takes.

These draw runs whose state was quantized in training (`sdsim.models.budget`), each trained on one
pair of sizes or on several.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from figures.axes import bits_axis
from figures.bounds import best_accuracy, bitmap_accuracies, proved_bits, zero_error_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, VIOLET, model_label
from figures.pooling import by_slice
from figures.runs import chosen_runs, differences, provenance_note
from figures.style import (
    PAGE_WIDTH,
    add_legend,
    add_note,
    draw_floors,
    draw_intervals,
    intervals_note,
    label_outside,
    last_set_note,
    printable,
)
from sdsim.config import Selection

TARGET = 0.9
"""Of the way from the accuracy that takes no memory to 1."""

_TASK = ("task", "options", "vocab_size", "universe_size")
_LINE = (*_TASK, "model", "series", "trained", "passes")
_SIZES = ("width", "feature_dim", "state_bits_per_number")
"""Settings that tell series of a model apart where they take several values."""

_SLICE = ("size_a", "size_b", "order", "chance", "last_set_chance")
_ROW_HEIGHT = 1.75
_BITMAP_LINE: dict[str, Any] = {
    "color": VIOLET,
    "linestyle": (0, (4, 1, 1, 1, 1, 1)),
    "linewidth": 0.9,
    "label": "Bitmap of k elements",
}
_NEEDED_NOTE = """\
Each model reads A, then B, and what it knows of A crosses the boundary between them in a budget \
of bits that it was trained with. Marks: the bits with which accuracy comes {target:.0%} of the \
way from what takes no memory of A (naming any token of B, 1/|B|) to 1, read off between the \
budgets that were tried; lines through them: where the ends of its intervals do; small marks: \
single seeds. {intervals}Arrows up: no budget that was tried is enough; down: the smallest is \
already. Shaded: proved impossible at that accuracy for whatever reads once, on average over \
uniform instances. Dashes: log₂ C(n, |A|), all of A without errors; dots: \
log₂ C(n, min(|A|, |B|)), what Algorithm 3 stores on two readings (no bound). \
{bitmap}{unfinished}"""
_ACCURACY_NOTE = """\
Each panel: accuracy against the bits that cross from A to B, seeds pooled; small marks: single \
seeds. {intervals}Shaded: proved impossible for whatever reads once, on average over uniform \
instances. {bitmap}{floor}{unfinished}"""
_BITMAP = (
    "Bitmap of k elements: k bits say which of k elements are in A, nothing tells of the others. "
)
_UNFINISHED = "Open marks: accuracy of some run still rose when training reached its limit. "


def draw_needed(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Bits that an accuracy takes over |A|, a panel for each model; lines are readings.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `needed`'s columns, without those of single seeds.

    Raises:
        NothingToDraw: unless some model has budgets at three or more sizes |A| of one |A| + |B|.
        ValueError: see `chosen_runs`.
    """
    runs, slices = budgeted(table, select)
    rows = needed(slices).filter(
        pl.col("size_a").n_unique().over(*_LINE, "total") > 2, pl.col("task") == "set_disjointness"
    )
    if rows.is_empty():
        raise NothingToDraw("no model has budgets at three sizes |A| of one |A| + |B|")
    panels = rows.select(*_TASK, "total", "model", "series", "trained").unique(maintain_order=True)
    columns = min(len(panels), 3)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 2.4 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, panel in zip(grid.flat, panels.iter_rows(named=True), strict=False):
        draw_needed_panel(ax, rows.filter(**panel))
        n = panel["universe_size"]
        how = "" if panel["trained"] == "alone" else f", {panel['trained']}"
        name = f"{model_label(panel['model'])} {printable(panel['series'])}".rstrip()
        ax.set_title(f"{name}{how}\nn = {n}, |A| + |B| = {panel['total']}")
    label_outside(grid, len(panels), "|A|, the set that comes first", "Bits across the boundary")
    add_legend(figure)
    used = runs.join(slices, on="setting", how="semi")
    unfinished = _UNFINISHED if (rows["converged"] < rows["runs"]).any() else ""
    intervals = intervals_note(rows["seeds"])
    note = _NEEDED_NOTE.format(
        target=TARGET,
        intervals=intervals,
        bitmap=_BITMAP if rows["bitmap"].is_not_null().any() else "",
        unfinished=unfinished,
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, rows.drop("single"))


def draw_accuracy(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Accuracy over bits, a panel for each pair of sizes; lines are models and readings.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and its points.

    Raises:
        NothingToDraw: unless some model was tried with two budgets.
        ValueError: see `chosen_runs`.
    """
    runs, slices = budgeted(table, select)
    panels = (
        slices.filter(pl.col("state_bits").n_unique().over(*_LINE, "size_a", "size_b") > 1)
        .select(*_TASK, *_SLICE)
        .unique(maintain_order=True)
        .sort("task", "vocab_size", pl.col("size_a") + pl.col("size_b"), "size_a")
    )
    if panels.is_empty():
        raise NothingToDraw("no model was tried with two budgets of bits")
    lines = slices.select("model", "series", "trained", "passes").unique().sort(pl.all())
    columns = len(panels) if len(panels) <= 3 else min(4, -(-len(panels) // 2))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + _ROW_HEIGHT * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    bits = slices["state_bits"].to_list()
    span = (min(bits) / 1.5, max(bits) * 1.5)
    for ax, panel in zip(grid.flat, panels.iter_rows(named=True), strict=False):
        here = slices.filter(**{name: value for name, value in panel.items() if value is not None})
        draw_accuracy_panel(ax, here, lines.rows(), span)
        ax.set_title(f"|A| = {panel['size_a']}, |B| = {panel['size_b']}")
    label_outside(grid, len(panels), "Bits (log scale)", "Accuracy")
    add_legend(figure)
    used = runs.join(slices, on="setting", how="semi")
    unfinished = _UNFINISHED if (slices["converged"] < slices["seeds"]).any() else ""
    note = _ACCURACY_NOTE.format(
        floor=last_set_note(slices["last_set_chance"]),
        bitmap=_BITMAP if any(map(bitmap_accuracies, panels.iter_rows(named=True))) else "",
        intervals=intervals_note(slices["seeds"]),
        unfinished=unfinished,
    )
    add_note(figure, note + provenance_note(table, used))
    return Drawing(figure, slices.drop("single", "seed_list"))


def needed(slices: pl.DataFrame) -> pl.DataFrame:
    """The bits with which a target is reached.

    Args:
        slices: `budgeted`'s.

    Returns:
        A row per line (task, options, vocab_size, universe_size, model, series, trained, passes)
        and slice (size_a, size_b, order): total = |A| + |B|; target, an accuracy; bits, with which
        it is reached, null if with none; smallest and largest, the least and the most that were
        tried; bits_low and bits_high, where the ends of the accuracies' intervals reach it; single,
        the bits of each seed, where all budgets have the same seeds; proved, the bits that it takes
        whatever reads once, and stored, those of all of A, null where nothing is proved; ratio of
        bits to proved; runs, and how many converged; seeds, the fewest of a budget, and
        enough_seeds, whether these are enough for a verdict.
    """
    rows = []
    for (*line,), group in slices.group_by(*_LINE, *_SLICE, maintain_order=True):
        described = dict(zip((*_LINE, *_SLICE), line, strict=True))
        floor = described["last_set_chance"] or described["chance"]
        target = floor + TARGET * (1 - floor)
        points = group.sort("state_bits")
        bits = points["state_bits"].to_list()
        reached = _reached(bits, points["accuracy"].to_list(), target)
        once = described | {"passes": 1}
        proved, stored = proved_bits(once, target), zero_error_bits(once)
        alike = len({tuple(seeds) for seeds in points["seed_list"].to_list()}) == 1
        bitmap = bitmap_accuracies(once)
        accuracies = zip(*points["single"].to_list(), strict=True) if alike else ()
        single = [_reached(bits, list(each), target) for each in accuracies]
        rows.append(
            described
            | {
                "total": described["size_a"] + described["size_b"],
                "target": target,
                "bits": reached,
                "smallest": min(bits),
                "largest": max(bits),
                "bits_low": _reached(bits, points["accuracy_high"].to_list(), target),
                "bits_high": _reached(bits, points["accuracy_low"].to_list(), target),
                "single": single,
                "proved": proved,
                "stored": None if stored is None else float(stored),
                "bitmap": _reached(range(1, len(bitmap)), bitmap[1:], target) if bitmap else None,
                "ratio": reached / proved if reached and proved else None,
                "runs": points["seeds"].sum(),
                "converged": None if points["converged"].has_nulls() else points["converged"].sum(),
                "seeds": points["seeds"].min(),
                "enough_seeds": points["enough_seeds"].all(),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None).sort(*_LINE, "total", "size_a")


def _reached(bits: Sequence[int], accuracies: Sequence[float], target: float) -> float | None:
    """Where accuracy first reaches the target, between two budgets on a log scale of bits."""
    if accuracies[0] >= target:
        return float(bits[0])
    for (low, below), (high, above) in pairwise(zip(bits, accuracies, strict=True)):
        if above >= target:
            share = (target - below) / (above - below)
            return float(low * (high / low) ** share)
    return None


def budgeted(table: pl.DataFrame, select: Selection) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The chosen runs that had a budget, and their slices, seeds pooled; errors as `draw_needed`.

    The slices have more columns: trained, ``alone`` on one pair of sizes or ``mixed``; series, what
    tells the model's settings from others of it, budget apart; seed_list, and single, the
    accuracies of these seeds.
    """
    with_budget = table.filter(pl.col("state_bits_per_number").fill_null(0) > 0)
    if with_budget.is_empty():
        raise NothingToDraw("no run had a budget of bits")
    runs = chosen_runs(with_budget, axes=("passes",), select=select)
    trained = pl.when(pl.col("train_sizes").map_elements(_count, pl.Int64) > 1).then(
        pl.lit("mixed")
    )
    several = differences(_SIZES, ["model"])
    each = (
        runs.with_columns(
            trained=trained.otherwise(pl.lit("alone")),
            series=pl.concat_str("variant", *several, separator=" ", ignore_nulls=True),
        )
        .sort("seed", maintain_order=True)
        .group_by("setting", "size_a", "size_b", maintain_order=True)
        .agg(
            pl.col("trained", "series").first(),
            seed_list=pl.col("seed"),
            single=pl.col("correct") / pl.col("examples"),
        )
    )
    slices = by_slice(runs).join(
        each, on=("setting", "size_a", "size_b"), how="left", maintain_order="left"
    )
    return runs, slices


def _count(sizes: str) -> int:
    return len(json.loads(sizes))


def draw_needed_panel(ax: Axes, rows: pl.DataFrame) -> None:
    bounds = rows.unique("size_a", maintain_order=True).sort("size_a")
    sizes = bounds["size_a"].to_list()
    proved = bounds["proved"].fill_null(0).to_list()
    ax.fill_between(sizes, 1, np.maximum(proved, 1), color="0.87", linewidth=0, zorder=0)
    ax.plot(sizes, proved, color="0.2", linewidth=0.9, label="Bound, one reading", zorder=1)
    ax.text(sizes[-1], 1.1, "impossible in one reading", ha="right", fontsize=6, color="0.3")
    shorter = [
        min(stored, other)
        for stored, other in zip(
            bounds["stored"].to_list(), bounds["stored"].to_list()[::-1], strict=True
        )
    ]
    ax.plot(sizes, bounds["stored"].to_list(), "--", color="0.4", linewidth=0.8, label="All of A")
    if bounds["bitmap"].is_not_null().all():
        ax.plot(sizes, bounds["bitmap"].to_list(), **_BITMAP_LINE)
    if sizes == [rows["total"][0] - size for size in sizes[::-1]]:
        ax.plot(sizes, shorter, ":", color="0.4", linewidth=0.9, label="All of the shorter set")
    for passes in rows["passes"].unique().sort():
        line = rows.filter(passes=passes).sort("size_a")
        colour = ORDINAL_COLOURS[(passes - 1) % len(ORDINAL_COLOURS)]
        label = {1: "Read once", 2: "Read twice"}.get(passes, f"Read {passes} times")
        bits = line["bits"].fill_null(float("nan"))  # where no budget is enough, the line breaks
        ax.plot(line["size_a"], bits, "-", color=colour, label=label)
        ended = line.drop_nulls("bits_low").with_columns(
            pl.col("bits_high").fill_null(pl.col("largest"))
        )
        draw_intervals(ax, ended["size_a"], ended, "bits", colour, across=False)
        for row in line.iter_rows(named=True):
            _draw_needed_mark(ax, row, colour)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_locator(LogLocator(base=2, numticks=8))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xticks(sizes)


def _draw_needed_mark(ax: Axes, row: dict[str, Any], colour: str) -> None:
    size = row["size_a"]
    singles = [bits for bits in row["single"] if bits is not None]
    ax.plot([size] * len(singles), singles, "o", color=colour, markersize=2, alpha=0.4)
    if row["bits"] is None:
        ax.plot([size], [row["largest"]], "^", color=colour, markerfacecolor="white")
        return
    marker = "v" if row["bits"] == row["smallest"] else "o"
    ax.plot([size], [row["bits"]], marker, color=colour, mfc=_face(row, "runs", colour))


def _face(row: dict[str, Any], runs: str, colour: str) -> str:
    """What a mark is filled with: white where some run is known not to have converged."""
    return "white" if row["converged"] is not None and row["converged"] < row[runs] else colour


def draw_accuracy_panel(
    ax: Axes, here: pl.DataFrame, lines: Sequence[tuple[Any, ...]], span: tuple[float, float]
) -> None:
    for number, (model, series, trained, passes) in enumerate(lines):
        line = here.filter(model=model, series=series, trained=trained, passes=passes)
        line = line.sort("state_bits")
        if line.is_empty():
            continue
        colour = ORDINAL_COLOURS[number % len(ORDINAL_COLOURS)]
        how = "" if trained == "alone" else f", {trained}"
        name = f"{model_label(model)} {printable(series)}".rstrip()
        times = {1: "", 2: ", read twice"}.get(passes, f", read {passes} times")
        bits, accuracy = line["state_bits"], line["accuracy"]
        ax.plot(bits, accuracy, "-", color=colour, label=f"{name}{how}{times}")
        draw_intervals(ax, bits, line, "accuracy", colour, across=False)
        for row in line.iter_rows(named=True):
            singles = row["single"]
            ax.plot([row["state_bits"]] * len(singles), singles, ".", color=colour, alpha=0.4, ms=2)
            point = (row["state_bits"], row["accuracy"])
            ax.plot(*point, "o", color=colour, mfc=_face(row, "seeds", colour), ms=3)
    first = here.row(0, named=True)
    draw_floors(ax, first["chance"], first["last_set_chance"])
    bits_axis(ax)
    ax.set_xlim(*span)
    ax.set_ylim(0, 1.05)
    held = np.geomspace(*span, 200, dtype=np.float64)
    possible = best_accuracy([first | {"passes": 1}], held)
    if possible is not None:
        ax.fill_between(held, possible, 1.05, color="0.87", linewidth=0, zorder=0)
        ax.plot(held, possible, color="0.2", linewidth=0.9, label="Bound, one reading", zorder=1)
    if bitmap := bitmap_accuracies(first):
        ax.plot(range(1, len(bitmap)), bitmap[1:], **_BITMAP_LINE)
