"""What states hold: bits of A that a probe finds, beside what is proved and what is carried."""

from __future__ import annotations

from collections.abc import Callable
from math import comb, log2

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.bounds import proved_bits
from figures.drawing import Drawing, NothingToDraw
from figures.palette import ORDINAL_COLOURS, model_label
from figures.runs import probed_runs, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, label_outside
from sdsim.config import Selection

_NOTE = """\
At the boundary between A and B. Carried: the bits of the budget. Found by a probe: a lower bound \
on I(state; A), on examples that it was not trained on. Proved by accuracy: what whatever reads \
once must hold to name the common element as often. Marks: seeds; lines: their means. Dashes: \
log₂ C(n, |A|), all that there is to know of A. Of {runs} runs, {wrong} have an accuracy that \
proves 0.01 bits more than the probe's interval allows: by chance, or as the probe misses it.
{provenance}"""
_OVER_TIME_NOTE = """\
A lower bound on I(state; A) after each token, by a probe, on examples that it was not trained on; \
means over seeds. Vertical lines: what is carried there is in as many bits as the legend says; \
between them the state is of full precision. Dashes: all that could be known of A by then. Dots: \
log₂ (n / |A|), what a state holds of A that knows the common element alone.
{provenance}"""
QUANTITIES = (
    ("state_bits", "Carried", "0.4"),
    ("held", "Found by a probe", ORDINAL_COLOURS[0]),
    ("proved", "Proved by accuracy", ORDINAL_COLOURS[3]),
)
"""The three numbers of a state: column of `measured`, label, colour."""

_RUN = ("run_id", "model", "passes", "universe_size", "size_a", "size_b", "seed")
_HELD = ("held", "held_low", "held_high")
_COLUMNS, _ROW_HEIGHT = 3, 2.0
_HUNDREDTH = 0.01  # of a bit: a probe spreads a little of its probability evenly over all sets


def draw(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Bits over bits carried, a panel for each model and pair of sizes.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `figures.runs.chosen_runs`.

    Returns:
        The figure, and `measured`'s columns.

    Raises:
        NothingToDraw: if no run was probed at its first boundary.
    """
    probed = probed_runs(table, "held", select)
    if probed.is_empty() or (rows := measured(probed)).is_empty():
        raise NothingToDraw("no run was probed; `sdsim probe` does it")
    figure = _draw_panels(rows, _draw_panel, "Bits carried")
    wrong = rows.filter(pl.col("proved") > pl.col("held_high") + _HUNDREDTH)
    counts = {"runs": rows["run_id"].n_unique(), "wrong": wrong["run_id"].n_unique()}
    provenance = _provenance(table, probed, rows)
    add_note(figure, _NOTE.format(**counts, provenance=provenance))
    return Drawing(figure, rows)


def draw_over_time(table: pl.DataFrame, *, select: Selection = "validation") -> Drawing:
    """Bits held of A over tokens read, a line for each budget.

    Arguments and panels as `draw`.

    Returns:
        The figure, and `over_time`'s columns.

    Raises:
        NothingToDraw: if no run was probed at several positions.
    """
    probed = probed_runs(table, "held", select)
    if probed.is_empty() or (rows := over_time(probed)).is_empty():
        raise NothingToDraw("no run was probed after every token; `sdsim probe positions=all` does")
    figure = _draw_panels(rows, _draw_panel_over_time, "Tokens read")
    add_note(figure, _OVER_TIME_NOTE.format(provenance=_provenance(table, probed, rows)))
    return Drawing(figure, rows)


def measured(probed: pl.DataFrame) -> pl.DataFrame:
    """The three numbers of each run at the first boundary.

    Args:
        probed: of ``probed_runs(…, "held", …)``.

    Returns:
        A row per run and slice that was probed: run_id, model, passes, universe_size, size_a,
        size_b, seed, accuracy, state_bits; held with its interval (held_low, held_high); proved,
        null for several readings. The run's efficiency is in two parts: filled, held / state_bits
        (at least: the probe may miss some), and used, proved / held.
    """
    found = _by_position(probed).filter(pl.col("position") == pl.col("size_a") + 2)
    proved = []
    for row in found.iter_rows(named=True):
        bits = proved_bits(row, row["accuracy"])
        # Without errors a state takes whole bits; of A it holds no more than there is to know.
        everything = log2(comb(row["universe_size"], row["size_a"]))
        proved.append(None if bits is None else min(bits, everything))
    return (
        found.with_columns(proved=pl.Series(proved, dtype=pl.Float64))
        .with_columns(
            filled=pl.col("held") / pl.col("state_bits"),
            used=pl.when(pl.col("held") > 0).then(pl.col("proved") / pl.col("held")),
        )
        .select(*_RUN, "accuracy", "state_bits", *_HELD, "proved", "filled", "used")
        .sort("model", "passes", "size_a", "state_bits", "seed")
    )


def over_time(probed: pl.DataFrame) -> pl.DataFrame:
    """What each run holds of A, where it was probed at several positions.

    Args:
        probed: of ``probed_runs(…, "held", …)``.

    Returns:
        A row per run, slice and position: run_id, model, passes, universe_size, size_a, size_b,
        seed, state_bits, position, held, held_low, held_high.
    """
    return (
        _by_position(probed)
        .filter(pl.len().over("run_id", "size_a", "size_b") > 1)
        .select(*_RUN, "state_bits", "position", *_HELD)
        .sort("model", "passes", "size_a", "state_bits", "seed", "position")
    )


def _by_position(probed: pl.DataFrame) -> pl.DataFrame:
    """A row for each position, with held, held_low, held_high."""
    found = {"position": "position", "held_low": "low", "held_high": "high", "held": "bits"}
    return (
        probed.filter(pl.col("task") == "set_disjointness")
        .explode("held")
        .with_columns(**{name: pl.col("held").struct.field(field) for name, field in found.items()})
    )


def _provenance(table: pl.DataFrame, probed: pl.DataFrame, rows: pl.DataFrame) -> str:
    return provenance_note(table, probed.join(rows, on="run_id", how="semi"))


def _draw_panels(
    rows: pl.DataFrame, draw_panel: Callable[[Axes, pl.DataFrame], None], x: str
) -> Figure:
    """A panel for each model and pair of sizes: bits of A over `x`."""
    panels = rows.select("model", "passes", "universe_size", "size_a", "size_b").unique(
        maintain_order=True
    )
    columns = min(len(panels), _COLUMNS)
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + _ROW_HEIGHT * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax, panel in zip(grid.flat, panels.iter_rows(named=True), strict=False):
        draw_panel(ax, rows.filter(**panel))
        times = "" if panel["passes"] == 1 else f", read {panel['passes']} times"
        sizes = f"|A| = {panel['size_a']}, |B| = {panel['size_b']}"
        ax.set_title(f"{model_label(panel['model'])}{times}\n{sizes}")
    label_outside(grid, len(panels), x, "Bits of A")
    add_legend(figure)
    return figure


def _draw_panel(ax: Axes, rows: pl.DataFrame) -> None:
    for name, label, colour in QUANTITIES:
        known = rows.drop_nulls(name)
        ax.plot(known["state_bits"], known[name], ".", color=colour, markersize=3, alpha=0.5)
        means = known.group_by("state_bits").agg(mean=pl.col(name).mean()).sort("state_bits")
        ax.plot(means["state_bits"], means["mean"], color=colour, label=label)
    row = rows.row(0, named=True)
    everything = log2(comb(row["universe_size"], row["size_a"]))
    ax.axhline(everything, color="0.4", linestyle="--", linewidth=0.8, label="All of A")
    ax.set_ylim(0, 1.3 * everything)


def _draw_panel_over_time(ax: Axes, rows: pl.DataFrame) -> None:
    for number, (bits, line) in enumerate(rows.group_by("state_bits", maintain_order=True)):
        means = line.group_by("position").agg(pl.col("held").mean()).sort("position")
        colour = ORDINAL_COLOURS[number % len(ORDINAL_COLOURS)]
        ax.plot(
            means["position"], means["held"], ".-", color=colour, label=f"{bits[0]} bits carried"
        )
    row = rows.row(0, named=True)
    n, a, passes = row["universe_size"], row["size_a"], row["passes"]
    everything, last = log2(comb(n, a)), max(rows["position"].to_list())
    # The first token opens A, the next |A| are its elements.
    read = [min(max(0, position - 1), a) for position in range(1, last + 1)]
    known = [everything - log2(comb(n - t, a - t)) for t in read]
    ax.plot(range(1, last + 1), known, color="0.4", linestyle="--", linewidth=0.8, label="All of A")
    ax.axhline(log2(n / a), color="0.4", linestyle=":", linewidth=0.9, label="The common element")
    once = a + row["size_b"] + 2
    crossings = [start * once + end for start in range(passes) for end in (a + 2, once)]
    for position in crossings[:-1]:
        ax.axvline(position, color="0.75", linewidth=0.8, zorder=0)
    ax.set_ylim(0, 1.3 * everything)
