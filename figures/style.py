"""One look for all figures: print size, fonts, and a colour, marker and line for each model."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, floor, log2
from typing import TypeAlias

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

PAGE_WIDTH = 6.75
"""Inches: the text width of a two-column page."""

_SETTINGS = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.8,
    "savefig.dpi": 220,
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
}
_NOTE_SIZE = 6.5
_WIDE_GAP, _MARGIN, _BREAK = 4, 0.3, 0.35  # a factor; octaves; octaves
_NOTE_LETTERS = 138
_LEGEND_LETTERS, _HANDLE_LETTERS, _LEGEND_ROW = 110, 8, 0.16  # inches

# Okabe and Ito's colours, which stay apart for colour-blind readers; their yellow is too pale.
_BLUE, _ORANGE, _GREEN, _VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
_PURPLE, _SKY, _BLACK = "#CC79A7", "#56B4E9", "#000000"
_GREY, _BROWN, _VIOLET = "#777777", "#7A4A12", "#6A3D9A"  # not theirs; each with markers of its own


@dataclass(frozen=True)
class SeriesStyle:
    """How a series (a model, or one variant of it) is drawn; no two share colour and marker."""

    label: str
    colour: str
    marker: str
    line: str


_MODELS = {
    "based": SeriesStyle("Based (causal)", _BLUE, "o", "-"),
    "based_noncausal": SeriesStyle("Based (non-causal)", _ORANGE, "s", "--"),
    "jrt_rnn": SeriesStyle("JRT-RNN", _GREEN, "D", "-."),
    "gru": SeriesStyle("GRU", _VERMILION, "P", ":"),
    "lstm": SeriesStyle("LSTM", _PURPLE, "*", "-."),
    "attention": SeriesStyle("Attention", _BLACK, "X", "--"),
    "base_conv": SeriesStyle("BaseConv alone", _GREY, "x", "-"),
    "mamba2": SeriesStyle("Mamba-2", _SKY, "^", "-"),
    "prefix_mamba2": SeriesStyle("Mamba-2, prefix", _SKY, "v", "--"),
    "gla": SeriesStyle("GLA", _BROWN, "h", "-"),
    "prefix_gla": SeriesStyle("GLA, prefix", _BROWN, "H", "--"),
    "gated_deltanet": SeriesStyle("Gated DeltaNet", _VIOLET, "<", "-"),
    "prefix_gated_deltanet": SeriesStyle("Gated DeltaNet, prefix", _VIOLET, ">", "--"),
    "one_pass": SeriesStyle("Exact, one pass", _BLACK, "*", ""),
    "just_read_twice": SeriesStyle("Just read twice (Alg. 3)", _BLACK, "p", ""),
    "multi_pass": SeriesStyle("Exact, several passes", _BLACK, "d", ""),
    "fingerprint": SeriesStyle("Fingerprints", _BLACK, ".", "-"),
    "random_kernel": SeriesStyle("Random-feature attention", _GREY, "+", "-"),
}
for _size, _marker in (("tiny", "8"), ("360m", "h"), ("1b3", "d")):
    for _kind, _label, _colour in (
        ("based", "Based", _BLUE),
        ("jrt", "JRT-RNN", _GREEN),
        ("transformer", "Transformer", _ORANGE),
    ):
        _MODELS[f"{_kind}_{_size}"] = SeriesStyle(f"{_label} ({_size})", _colour, _marker, "-")

_OTHER_COLOURS = (_SKY, _PURPLE, _BLACK, _BLUE, _VERMILION, _GREEN, _ORANGE)
_OTHER_MARKERS = "hp<>8d^v"


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save within this: matplotlib's defaults and ours, whatever the user has set."""
    with matplotlib.style.context(_SETTINGS, after_reset=True):
        yield


def series_styles(series: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SeriesStyle]:
    """A style for each (model, variant), in the order of the legend.

    The project's models look the same in every figure; their variants differ in the marker. Other
    models take what is left, in alphabetical order.
    """
    styles: dict[tuple[str, str], SeriesStyle] = {}
    taken: set[tuple[str, str]] = set()
    known = list(_MODELS)
    for model, variant in sorted(
        set(series), key=lambda one: (known.index(one[0]) if one[0] in known else len(known), one)
    ):
        if model in _MODELS:
            usual = _MODELS[model]
            choices = [usual] + [replace(usual, marker=marker) for marker in _OTHER_MARKERS]
        else:
            choices = [
                SeriesStyle(model, colour, marker, "-")
                for marker in _OTHER_MARKERS
                for colour in _OTHER_COLOURS
            ]
        free = (style for style in choices if (style.colour, style.marker) not in taken)
        style = next(free, choices[0])
        taken.add((style.colour, style.marker))
        styles[model, variant] = replace(style, label=f"{style.label} {variant}".rstrip())
    return styles


def model_label(model: str) -> str:
    """What the figures call a model."""
    return _MODELS[model].label if model in _MODELS else model


def bits_axis(ax: Axes) -> None:
    """A log x axis in bits, powers of two."""
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())


def add_legend(figure: Figure) -> None:
    """One legend above all panels, with each label once, in as few rows as fit."""
    labelled: dict[str, Artist] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            labelled.setdefault(label, handle)
    letters = [len(label) + _HANDLE_LETTERS for label in labelled]
    columns = len(letters) if sum(letters) <= _LEGEND_LETTERS else _LEGEND_LETTERS // max(letters)
    # A long legend makes the figure higher, not its panels smaller.
    width, height = figure.get_size_inches()
    rows = ceil(len(letters) / max(1, columns))
    figure.set_size_inches(width, height + _LEGEND_ROW * max(0, rows - 2))
    figure.legend(
        list(labelled.values()),
        list(labelled),
        loc="outside upper center",
        ncols=max(1, columns),
        columnspacing=1.4,
    )


def add_note(figure: Figure, note: str) -> None:
    """Small print at the foot: what the marks mean and what the numbers rest on."""
    lines = [line for part in note.splitlines() for line in textwrap.wrap(part, _NOTE_LETTERS)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_NOTE_SIZE, color="0.25")


def task_label(experiment: str) -> str:
    """What tells a row's task from the others, short enough to stand beside an axis."""
    return "\n".join(textwrap.wrap(textwrap.shorten(experiment, 90, placeholder=" …"), 30))


def bytes_axis(ax: Axes, sizes: Iterable[int]) -> None:
    """A log x axis in bytes that leaves out the empty octaves between families of models.

    Where nothing lies between two sizes for a factor of `_WIDE_GAP`, the axis is broken (grey).
    """
    exponents = sorted({log2(size) for size in sizes})
    spans = [[exponents[0] - _MARGIN, exponents[0] + _MARGIN]]
    for exponent in exponents[1:]:
        if exponent - spans[-1][1] > log2(_WIDE_GAP):
            spans.append([exponent - _MARGIN, exponent + _MARGIN])
        spans[-1][1] = exponent + _MARGIN
    knots = [bound for span in spans for bound in span]
    places = [0.0]
    for index, (before, after) in enumerate(pairwise(knots)):
        places.append(places[-1] + (after - before if index % 2 == 0 else _BREAK))

    def forward(size: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            place: Floats = np.interp(np.log2(size), knots, places)
        return place

    def inverse(place: Floats) -> Floats:
        size: Floats = np.exp2(np.interp(place, places, knots))
        return size

    ax.set_xscale("function", functions=(forward, inverse))
    ax.set_xlim(2 ** knots[0], 2 ** knots[-1])
    for (_, last), (first, _) in pairwise(spans):
        for panel in ax.get_shared_x_axes().get_siblings(ax):
            panel.axvspan(2**last, 2**first, color="0.93", linewidth=0, zorder=0)
    ticks = [tick for low, high in spans for tick in _ticks(low, high)]
    ax.set_xticks(ticks, [_bytes(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())


def _ticks(low: float, high: float) -> list[float]:
    """Powers of two between two exponents, four at most; halfway ones where there is but one."""
    powers = [2.0**power for power in range(ceil(low), floor(high) + 1)]
    if len(powers) < 2:
        halfway = [1.5 * 2.0**power for power in range(floor(low), ceil(high))]
        return sorted([*powers, *(size for size in halfway if low < log2(size) < high)])
    return powers[:: ceil(len(powers) / 4)]


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {unit}"
        value /= 1024
    return f"{value:g} GiB"
