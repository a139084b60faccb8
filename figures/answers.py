"""Questions about texts, by prompt: how many are answered right, and what a prompt gains."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.style import PAGE_WIDTH, add_legend, add_note, task_label
from sdsim.store.intervals import Z_95

_NOTE = """\
Left: right answers, with 1.96 standard errors over items. Right: how many more are right with a \
prompt than with the first one, on the same items, with bootstrap intervals at 95 % (items drawn \
anew). Other prompts and other seeds of training are not in the intervals.
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A line for each model and task; accuracy on the left, gains on the right.

    Args:
        table: rows of `sdsim.evaluation.report.Row`.

    Raises:
        NothingToDraw: if the table is empty.
    """
    if table.is_empty():
        raise NothingToDraw("no question has been answered")
    keys = ("model", "weights", "options", "context", "task")
    lines = list(dict.fromkeys(table.select(keys).iter_rows()))
    places = {line: place for place, line in enumerate(reversed(lines))}
    prompts = dict.fromkeys(table["prompt"])
    styles = series_styles((prompt, "") for prompt in prompts)
    figure = Figure(figsize=(PAGE_WIDTH, 1.5 + 0.45 * len(lines)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for number, prompt in enumerate(prompts):
        shift = 0.5 * ((number + 0.5) / len(prompts) - 0.5)
        rows = table.filter(prompt=prompt)
        rows = rows.with_columns(
            place=pl.Series([places[line] - shift for line in rows.select(keys).iter_rows()]),
            accuracy_low=pl.col("accuracy") - Z_95 * pl.col("standard_error"),
            accuracy_high=pl.col("accuracy") + Z_95 * pl.col("standard_error"),
        )
        _draw_prompt(left, rows, "accuracy", styles[prompt, ""])
        _draw_prompt(right, rows.drop_nulls("difference"), "difference", styles[prompt, ""])
    one_model = len({line[:-1] for line in lines}) == 1
    labels = [line[-1] if one_model else f"{line[0]}: {line[-1]}" for line in places]
    left.set_yticks(list(places.values()), [task_label(label) for label in labels])
    left.set_ylim(-0.5, len(lines) - 0.5)
    left.set_xlabel("Right answers, %")
    right.axvline(0, color="0.4", linewidth=0.8)
    right.set_xlabel("More right answers, points")
    add_legend(figure)
    model = f"{lines[0][0]}. " if one_model else ""
    add_note(figure, model + _NOTE)
    return Drawing(figure, table)


def _draw_prompt(ax: Axes, rows: pl.DataFrame, name: str, style: SeriesStyle) -> None:
    """One prompt's values of a column, lying across, with their intervals."""
    if rows.is_empty():
        return
    ax.plot(rows[name], rows["place"], style.marker, color=style.colour, label=style.label)
    ends = rows[f"{name}_low"], rows[f"{name}_high"]
    ax.hlines(rows["place"], *ends, color=style.colour, linewidth=0.9)
