"""Accuracy against state size with the long set first, with the short set first, and their gap.

After Figure 2 of arXiv:2407.05483.
"""

from __future__ import annotations

import json

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.axes import bytes_axis
from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.pooling import by_order
from figures.runs import chosen_runs, networks, provenance_note
from figures.style import PAGE_WIDTH, add_legend, add_note, draw_floors, last_set_note, task_label

_PANELS = {
    "long_first": "Long set first\n(|A| > |B|)",
    "short_first": "Short set first\n(|A| < |B|)",
    "gap": "Difference\n(short first minus long first)",
}
_NOTE = """\
Each sequence shows a set A, then a set B, and asks {question}. {sizes}
Marks: mean over seeds and sizes, with the 95 % interval of the pooled test examples (the spread \
between seeds is not in it). Dashes: single seeds. Guessing: mean over the same sizes. \
{floor}Grey: the axis leaves out sizes that no model has.
"""
_UNFINISHED = "Open marks: accuracy still rose when training reached its limit.\n"


def draw(table: pl.DataFrame) -> Drawing:
    """Three panels (long first, short first, difference); a row of them for each task.

    Large marks are a setting's mean over its seeds, with 95 % intervals; small ones single seeds.
    `figures.runs` and `figures.pooling` say how runs are chosen and pooled.

    Args:
        table: from `sdsim.store.table.load`.

    Returns:
        The figure, and `by_order`'s columns for settings (there seed is null) and for single seeds.

    Raises:
        NothingToDraw: if no slice was tested along with its mirror image.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(networks(table))
    settings, seeds = by_order(runs), by_order(runs, each_seed=True)
    if settings.is_empty():
        raise NothingToDraw("no pair of sizes (a, b) with a < b was tested along with (b, a)")
    styles = series_styles(settings.select("model", "variant").iter_rows())
    experiments = settings["experiment"].unique(maintain_order=True).to_list()

    figure = Figure(figsize=(PAGE_WIDTH, 1.3 + 2.6 * len(experiments)), layout="constrained")
    grid = figure.subplots(len(experiments), len(_PANELS), squeeze=False, sharex=True)
    for row, experiment in zip(grid, experiments, strict=True):
        here = pl.col("experiment") == experiment
        for ax, panel in zip(row, _PANELS, strict=True):
            _draw_panel(ax, panel, settings.filter(here), seeds.filter(here), styles)
        row[0].set_ylabel(f"{task_label(experiment)}\nAccuracy".lstrip())
        row[2].set_ylabel("Accuracy difference")
    for ax, title in zip(grid[0], _PANELS.values(), strict=True):
        ax.set_title(title)
    bytes_axis(grid[0][0], settings["state_bytes"])
    grid[-1][1].set_xlabel("Recurrent state per sequence, bytes (log scale)")
    add_legend(figure)
    used = runs.join(settings, on="setting", how="semi")
    note = _note(used, settings)
    if (settings["converged"] < settings["seeds"]).any():
        note += _UNFINISHED
    add_note(figure, note + provenance_note(table, used))
    data = pl.concat([settings.with_columns(seed=None), seeds], how="diagonal_relaxed")
    return Drawing(figure, data)


def _draw_panel(
    ax: Axes,
    panel: str,
    settings: pl.DataFrame,
    seeds: pl.DataFrame,
    styles: dict[tuple[str, str], SeriesStyle],
) -> None:
    """One column of `settings`, a line per series, over the state."""
    for (model, variant), style in styles.items():
        series = {"model": model, "variant": variant}
        means, single = settings.filter(**series), seeds.filter(**series)
        below = means[panel] - means[f"{panel}_low"]
        above = means[f"{panel}_high"] - means[panel]
        if len(means):
            ax.errorbar(
                means["state_bytes"],
                means[panel],
                yerr=[below.to_list(), above.to_list()],
                fmt=style.marker + style.line,
                color=style.colour,
                elinewidth=0.8,
                label=style.label,
            )
            unfinished = means.filter(pl.col("converged") < pl.col("seeds"))
            ax.plot(
                unfinished["state_bytes"],
                unfinished[panel],
                style.marker,
                color=style.colour,
                markerfacecolor="white",
            )
            ax.plot(
                single["state_bytes"],
                single[panel],
                "_",
                color=style.colour,
                markersize=6,
                alpha=0.5,
            )
    if panel == "gap":
        ax.axhline(0, color="0.4", linewidth=0.8, zorder=1)
    else:
        draw_floors(ax, settings["chance"][0], settings[f"last_set_{panel}"][0])
        ax.set_ylim(0, 1.05)


def _note(runs: pl.DataFrame, settings: pl.DataFrame) -> str:
    answers = {json.loads(options).get("answer") for options in runs["options"].unique()}
    question = {
        ("token",): "for the one token that is in both",
        ("decision",): "whether a token is in both",
        ("all",): "for all tokens that are in both",
    }.get(tuple(answers), "what is in both")
    sizes = settings["sizes"].str.replace_all(" ", ", ").unique().to_list()
    pooled = f"Sizes |A|+|B|: {sizes[0]}, and the reverse." if len(sizes) == 1 else ""
    floor = last_set_note(settings["last_set_short_first"])
    return _NOTE.format(question=question, sizes=pooled, floor=floor)
