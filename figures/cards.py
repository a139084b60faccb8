"""Cards beside each other: where each architecture stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from figures.budget import TARGET
from figures.card import WINDOW
from figures.drawing import Drawing
from figures.palette import BLUE, VERMILION, model_label
from figures.style import PAGE_WIDTH, add_legend, add_note
from sdsim.card.protocol import BITS, LONG_FIRST
from sdsim.store.intervals import LEAST_SEEDS

_SHORT_FIRST = LONG_FIRST[::-1]
_NOTE = """\
One row a card, in the order of the bits that it needs with the long set first. Bits needed: \
across the boundary, for {target:.0%} of the way from what takes no memory to no error; arrows: \
more than were tried; dashes: proved necessary. Gain: accuracy with two readings less that with \
one, the long set first, in the fewest bits that were tried. Held: of {bits} bits, by a probe: at \
least. Rates: the one that was chosen, and those within {window:g} of the best. Intervals: 95 %, \
over seeds and test examples{few}. Open marks: some run still rose at its limit."""


def compared(cards: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The numbers of each card in which architectures are compared.

    Args:
        cards: by name, `figures.card.answers` of each.

    Returns:
        A row for each card: name; short_needed and long_needed, bits, null where more than were
        tried; gap; gain; short_held and long_held; rate; recall_needed, of the most pairs; each
        with _low, _high, _beside, _seeds and _unfinished; state (bits); training and decoding
        (over a GRU's). Null where a card does not have it.
    """
    rows = [{"name": name} | _row(card) for name, card in cards.items()]
    return pl.DataFrame(rows, infer_schema_length=None).sort("long_needed", "name", nulls_last=True)


def _row(card: pl.DataFrame) -> dict[str, Any]:
    sizes = {"short": _SHORT_FIRST[0], "long": LONG_FIRST[0]}
    asked: dict[str, pl.DataFrame] = {}
    for order, size_a in sizes.items():
        of_size = card.filter(task="set_disjointness", passes=1, size_a=size_a)
        asked[f"{order}_needed"] = of_size.filter(question="bits needed")
        asked[f"{order}_held"] = of_size.filter(question="bits held of A")
    asked["gap"] = card.filter(question="order gap")
    asked["gain"] = card.filter(question="gain of reading again", passes=2)
    asked["rate"] = card.filter(question="learning rate")
    recall = card.filter(question="bits needed", task="associative_recall")
    asked["recall_needed"] = recall.sort("size_a").tail(1)
    row: dict[str, Any] = {"state": card.filter(question="state")["value"].item()}
    for name, found in asked.items():
        answer = found.row(0, named=True) if len(found) else dict.fromkeys(card.columns)
        row |= {name: answer["value"]}
        for part in ("low", "high", "beside", "seeds", "unfinished"):
            row[f"{name}_{part}"] = answer[part]
    for name in ("training", "decoding"):
        of_name = card.filter(question=name)
        row[name] = (of_name["value"] / of_name["beside"]).item() if len(of_name) else None
    return row


def draw(cards: Mapping[str, pl.DataFrame]) -> Drawing:
    """A row for each card, a panel for each question.

    Args:
        cards: as in `compared`.

    Returns:
        The figure, and `compared`'s columns.
    """
    rows = compared(cards)
    figure = Figure(figsize=(PAGE_WIDTH, 1.6 + 0.24 * len(rows)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True, squeeze=False, width_ratios=[3, 2, 2, 2])[0]
    places = list(range(len(rows)))[::-1]
    labels = [model_label(name) for name in rows["name"]]
    needed, gain, held, rate = axes
    for order, colour, shift in (("short", BLUE, 0.13), ("long", VERMILION, -0.13)):
        label = f"{order.capitalize()} set first"
        at = [place + shift for place in places]
        _draw_column(needed, rows, f"{order}_needed", at, colour, label)
        _draw_column(held, rows, f"{order}_held", at, colour, label)
        proved = rows[f"{order}_needed_beside"].drop_nulls().unique().to_list()
        needed.vlines(proved, -0.5, len(rows) - 0.5, color=colour, linewidth=0.8, linestyle="--")
    _draw_column(gain, rows, "gain", places, VERMILION, "")
    gain.axvline(0, color="0.4", linewidth=0.8)
    _draw_column(rate, rows, "rate", places, "0.2", "")
    rate.set_xscale("log")
    ends = sorted({*rows["rate_low"].to_list(), *rows["rate_high"].to_list()})
    outermost = ends[:: max(1, len(ends) - 1)]
    rate.set_xticks(outermost, [f"{end:g}" for end in outermost])
    rate.xaxis.set_minor_locator(NullLocator())
    needed.set_yticks(places, labels)
    needed.set_ylim(-0.5, len(rows) - 0.5)
    for ax, title in zip(axes, ("Bits needed", "Gain", "Bits held", "Learning rates"), strict=True):
        ax.set_title(title)
    add_legend(figure)
    seeds = [count for count in rows["long_needed_seeds"].to_list() if count is not None]
    few = (
        f" (fewer than {LEAST_SEEDS} seeds: no verdict)"
        if seeds and min(seeds) < LEAST_SEEDS
        else ""
    )
    add_note(figure, _NOTE.format(target=TARGET, window=WINDOW, bits=BITS, few=few))
    return Drawing(figure, rows)


def _draw_column(
    ax: Axes,
    rows: pl.DataFrame,
    name: str,
    places: Sequence[float],
    colour: str,
    label: str,
) -> None:
    """Marks with intervals; an arrow to the right where the value is more than was tried."""
    for place, row in zip(places, rows.iter_rows(named=True), strict=True):
        value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
        face = "white" if row[f"{name}_unfinished"] else colour
        if low is not None:
            ax.hlines(place, low, low if high is None else high, color=colour, linewidth=1.2)
        if value is not None:
            ax.plot(value, place, "o", color=colour, mfc=face, ms=3.5)
        elif row[f"{name}_seeds"] is not None:
            ax.plot(
                0.97,
                place,
                ">",
                color=colour,
                mfc="white",
                ms=3.5,
                transform=ax.get_yaxis_transform(),
            )
    if label:
        ax.plot([], [], "o", color=colour, ms=3.5, label=label)
