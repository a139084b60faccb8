"""What the numbers of a code say: each of one element, as a bitmap's bits do, or of many."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.runs import probed_runs, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, label_outside
from sdsim.config import Selection

_NOTE = """\
Of each number that crosses from A to B, the information that it has of whether one element is in \
A, the one that it tells most of, as a part of its entropy: 1 of a bitmap's bits, little of hash \
values. Marks: seeds, means over the numbers; lines: means over seeds.
{provenance}"""
_COLUMNS = 3


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Share of a number that one element explains over bits, a panel for each model and reading.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        The figure, and `shares`' columns.

    Raises:
        NothingToDraw: if no run with a budget was probed.
    """
    probed = probed_runs(table, "code", select)
    if probed.is_empty():
        raise NothingToDraw("no run with a budget of bits was probed; `sdsim probe` does it")
    rows = shares(probed)
    panels = rows.select("model", "passes", "universe_size").unique(maintain_order=True)
    columns = min(len(panels), _COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 2.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    sizes = rows["size_a"].unique().sort().to_list()
    for ax, panel in zip(grid.flat, panels.iter_rows(named=True), strict=False):
        _draw_panel(ax, rows.filter(**panel), sizes)
        times = "" if panel["passes"] == 1 else f", read {panel['passes']} times"
        ax.set_title(f"{model_label(panel['model'])}{times}, n = {panel['universe_size']}")
    label_outside(grid, len(panels), "Bits carried", "Share of one element")
    add_legend(figure)
    add_note(figure, _NOTE.format(provenance=provenance_note(table, probed)))
    return Drawing(figure, rows)


def shares(probed: pl.DataFrame) -> pl.DataFrame:
    """What was found of the numbers of each run's code.

    Args:
        probed: of ``probed_runs(…, "code", …)``.

    Returns:
        A row per run and slice: run_id, model, passes, universe_size, size_a, size_b, seed,
        state_bits; numbers, how many cross the first boundary; share, the mean over them of what
        one element explains; elements, how many different ones these are.
    """
    code = pl.col("code").list
    return probed.select(
        *("run_id", "model", "passes", "universe_size", "size_a", "size_b", "seed"),
        "state_bits",
        numbers=code.len(),
        share=code.eval(pl.element().struct.field("share")).list.mean(),
        elements=code.eval(pl.element().struct.field("element")).list.n_unique(),
    ).sort("model", "passes", "state_bits", "size_a", "seed")


def _draw_panel(ax: Axes, rows: pl.DataFrame, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        here, colour = rows.filter(size_a=size), ORDINAL_COLOURS[number % len(ORDINAL_COLOURS)]
        if here.is_empty():
            continue
        ax.plot(here["state_bits"], here["share"], ".", color=colour, markersize=3, alpha=0.5)
        means = here.group_by("state_bits").agg(pl.col("share").mean()).sort("state_bits")
        ax.plot(means["state_bits"], means["share"], color=colour, label=f"|A| = {size}")
    ax.set_ylim(0, 1.05)
