"""Perplexity on AR hits and on the rest, over frequency and distance (Figure 3 of the paper)."""

from __future__ import annotations

from math import ceil, sqrt

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from figures.drawing import Drawing, NothingToDraw
from figures.palette import SeriesStyle, series_styles
from figures.style import PAGE_WIDTH, add_legend, add_note
from sdsim.evaluation.statistics import LEAST_DOCUMENTS

_PANELS = {  # label of the axis, base of its scale
    "frequency": ("Occurrences of the bigram in training", 10),
    "distance": ("Tokens since it stood last", 2),
}
_GROUPS = {"hits": "AR hits", "rest": "the rest"}
_NOTE = """\
AR hit: a token that ends a bigram which stood earlier in the same context and is rare in \
training. Left: bigrams that stood at least {far:,} tokens before (hits), and those that are in \
their context for the first time (the rest); {zero}right: bigrams with fewer than {rare:,} \
occurrences in training; the band is those that are there for the first time. Intervals: 95 %, \
documents drawn anew; none where a mark rests on fewer than {least} documents.
"""


def draw(table: pl.DataFrame) -> Drawing:
    """A panel over the frequency of bigrams in training, and one over distance.

    Args:
        table: from `sdsim.evaluation.slices.slice_table`.

    Raises:
        NothingToDraw: if no bigram stands twice in a context.
    """
    drawn = table.filter(pl.col("panel") != "all")
    if drawn.filter(group="hits").is_empty():
        raise NothingToDraw("no bigram stands twice in a context")
    models = dict.fromkeys(table["model"])
    styles = series_styles((model, "") for model in models)
    figure = Figure(figsize=(PAGE_WIDTH, 3.4), layout="constrained")
    has_zero = not drawn.filter(pl.col("panel") == "frequency", pl.col("low") == 0).is_empty()
    panels = zip(figure.subplots(1, 2, sharey=True), _PANELS, strict=True)
    for ax, panel in panels:
        for model in models:
            for group in _GROUPS:
                series = drawn.filter(model=model, panel=panel, group=group)
                _draw_series(ax, series, styles[model, ""], group)
        label, base = _PANELS[panel]
        ax.set_xscale("log", base=base)
        ax.set_xticks(_ticks(ax, base, has_zero and panel == "frequency"))
        ax.xaxis.set_major_formatter(FuncFormatter(_occurrences))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xlabel(label)
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        ax.yaxis.set_minor_formatter(NullFormatter())
    figure.axes[0].set_ylabel("Perplexity")
    add_legend(figure)
    zero = "0 on the axis: none; " if has_zero else ""
    rare, far = table.select("rare", "far").row(0)
    add_note(figure, _NOTE.format(rare=rare, far=far, zero=zero, least=LEAST_DOCUMENTS))
    return Drawing(figure, table)


_ZERO = 0.5
"""Where bigrams without an occurrence in training stand on a log axis."""


def _occurrences(value: float, _: int) -> str:
    return "0" if value < 1 else f"{value:,.0f}"


def _ticks(ax: Axes, base: int, has_zero: bool) -> list[float]:
    """Powers of the base within the axis, seven at most, and the place of zero."""
    low, high = ax.get_xlim()
    powers = [float(base**power) for power in range(64) if low <= base**power <= high]
    shown = powers[:: max(1, ceil(len(powers) / 7))]
    return [_ZERO, *shown] if has_zero else shown


def _draw_series(ax: Axes, series: pl.DataFrame, style: SeriesStyle, group: str) -> None:
    """The slices of a model, at the middles of their bins; one slice without bounds, as a band."""
    label, is_hits = f"{style.label}: {_GROUPS[group]}", group == "hits"
    line, face = ("-", style.colour) if is_hits else ("--", "white")
    binned = series.drop_nulls("low").sort("low")
    if len(binned):
        places = [_middle(low, high) for low, high in binned.select("low", "high").iter_rows()]
        ax.plot(
            places,
            binned["perplexity"],
            style.marker + line,
            color=style.colour,
            markerfacecolor=face,
            label=label,
        )
        known = binned.with_columns(place=pl.Series(places)).drop_nulls("perplexity_low")
        ends = known["perplexity_low"], known["perplexity_high"]
        ax.vlines(known["place"], *ends, color=style.colour, linewidth=0.9)
        return
    for row in series.iter_rows(named=True):
        ax.axhline(row["perplexity"], color=style.colour, linestyle="--", label=label)
        if row["perplexity_low"] is not None:
            band = row["perplexity_low"], row["perplexity_high"]
            ax.axhspan(*band, color=style.colour, alpha=0.15, linewidth=0)


def _middle(low: int, high: int | None) -> float:
    """Of a bin, on a log axis."""
    if low == 0:
        return _ZERO
    return low if high is None else sqrt(low * high)
