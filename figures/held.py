"""What states hold: bits of A that a probe finds, beside what is proved and what is carried."""

from __future__ import annotations

from math import comb, log2

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.bounds import proved_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.runs import chosen_runs, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, label_outside
from sdsim.config import Selection

_NOTE = """\
At the boundary between A and B. Carried: the bits of the budget. Found by a probe: a lower bound \
on I(state; A), on examples that it was not trained on. Proved by accuracy: what whatever reads \
once must hold to name the common element as often. Marks: seeds; lines: their means. Dashes: \
log₂ C(n, |A|), all that there is to know of A. Of {runs} runs, {wrong} have an accuracy that \
proves 0.01 bits more than the probe's interval allows: by chance, or as the probe misses it.
{provenance}"""
_QUANTITIES = (
    ("state_bits", "Carried", "0.4"),
    ("held", "Found by a probe", ORDINAL_COLOURS[0]),
    ("proved", "Proved by accuracy", ORDINAL_COLOURS[3]),
)
_COLUMNS, _ROW_HEIGHT = 3, 2.0
_HUNDREDTH = 0.01  # of a bit: a probe spreads a little of its probability evenly over all sets


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Bits over bits carried, a panel for each model and pair of sizes.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `measured`'s columns.

    Raises:
        NothingToDraw: if no run was probed at its first boundary.
    """
    rows = measured(table, select)
    if rows.is_empty():
        raise NothingToDraw("no run was probed; `sdsim probe` does it")
    panels = rows.select("model", "passes", "universe_size", "size_a", "size_b").unique(
        maintain_order=True
    )
    columns = min(len(panels), _COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + _ROW_HEIGHT * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, panel in zip(grid.flat, panels.iter_rows(named=True), strict=False):
        _draw_panel(ax, rows.filter(**panel))
        times = "" if panel["passes"] == 1 else f", read {panel['passes']} times"
        sizes = f"|A| = {panel['size_a']}, |B| = {panel['size_b']}"
        ax.set_title(f"{model_label(panel['model'])}{times}\n{sizes}")
    label_outside(grid, len(panels), "Bits carried", "Bits of A")
    add_legend(figure)
    wrong = rows.filter(pl.col("proved") > pl.col("held_high") + _HUNDREDTH)
    counts = {"runs": rows["run_id"].n_unique(), "wrong": wrong["run_id"].n_unique()}
    used = chosen_runs(table, axis="passes", select=select).join(rows, on="run_id", how="semi")
    add_note(figure, _NOTE.format(**counts, provenance=provenance_note(table, used)))
    return Drawing(figure, rows)


def measured(table: pl.DataFrame, select: Selection = "validation") -> pl.DataFrame:
    """The three numbers of each chosen run at the first boundary.

    Returns:
        A row per run and slice that was probed: run_id, model, passes, universe_size, size_a,
        size_b, seed, accuracy, state_bits; held with its interval (held_low, held_high); proved,
        null for several readings.
    """
    if (table["held"].list.len() == 0).all():
        return table.clear()
    chosen = chosen_runs(table, axis="passes", select=select)
    is_probed = pl.col("held").list.len() > 0
    probed = (
        chosen.filter(is_probed, pl.col("task") == "set_disjointness")
        .explode("held")
        .with_columns(
            position=pl.col("held").struct.field("position"),
            held_low=pl.col("held").struct.field("low"),
            held_high=pl.col("held").struct.field("high"),
            held=pl.col("held").struct.field("bits"),
        )
        .filter(pl.col("position") == pl.col("size_a") + 2)
    )
    proved = []
    for row in probed.iter_rows(named=True):
        bits = proved_bits(row, row["accuracy"])
        # Without errors a state takes whole bits; of A it holds no more than there is to know.
        everything = log2(comb(row["universe_size"], row["size_a"]))
        proved.append(None if bits is None else min(bits, everything))
    columns = ("run_id", "model", "passes", "universe_size", "size_a", "size_b", "seed")
    return (
        probed.with_columns(proved=pl.Series(proved, dtype=pl.Float64))
        .select(*columns, "accuracy", "state_bits", "held", "held_low", "held_high", "proved")
        .sort("model", "passes", "size_a", "state_bits", "seed")
    )


def _draw_panel(ax: Axes, rows: pl.DataFrame) -> None:
    for name, label, colour in _QUANTITIES:
        known = rows.drop_nulls(name)
        ax.plot(known["state_bits"], known[name], ".", color=colour, markersize=3, alpha=0.5)
        means = known.group_by("state_bits").agg(mean=pl.col(name).mean()).sort("state_bits")
        ax.plot(means["state_bits"], means["mean"], color=colour, label=label)
    row = rows.row(0, named=True)
    everything = log2(comb(row["universe_size"], row["size_a"]))
    ax.axhline(everything, color="0.4", linestyle="--", linewidth=0.8, label="All of A")
    ax.set_ylim(0, 1.3 * everything)
