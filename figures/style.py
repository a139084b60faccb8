"""One look for all figures: print size and fonts, the legend above and the note below."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from math import ceil
from typing import Any

import matplotlib.style
import polars as pl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from numpy.typing import NDArray

from sdsim.display import escaped, shown
from sdsim.store.intervals import LEAST_SEEDS

PAGE_WIDTH = 6.75
"""Inches: the text width of a two-column page."""

GUESSING = "Guessing"
"""Label of the accuracy of the best guess, see `synthetic.Task.chance`."""

UNKNOWN_STATE = "state unknown"
"""What stands in place of a size of state that is neither measured nor stated."""

LAST_SET = "Any token of the last set"
"""Label of the accuracy of naming any token of B, which needs no memory of A."""

_FONT = "DejaVu Sans"  # comes with matplotlib
_RC_PARAMS = {
    "font.family": _FONT,
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
    "text.parse_math": False,  # names are data: a dollar is a dollar
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
}
PALE = 0.35
"""Opacity of an interval that rests on too few seeds for a verdict."""

_NOTE_SIZE, _NOTE_LETTERS = 6.5, 138  # points; letters of a line
_NOTE_LEADING = 1.2  # of its size, from line to line
_LEGEND_LETTERS, _HANDLE_LETTERS, _LEGEND_ROW = 110, 8, 0.16  # letters; letters; inches


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save within this: matplotlib's defaults and ours, whatever the user has set."""
    with matplotlib.style.context(_RC_PARAMS, after_reset=True):
        yield


def printable(text: str) -> str:
    """A user's text for a figure: what its font or matplotlib cannot show is escaped.

    Letters are drawn from left to right as they stand in the text: Hebrew is turned round, Arabic
    and its like, whose letters change their shape in a word, are escaped. A hair space keeps a
    legend from leaving out a label that begins with an underscore.
    """
    glyphs = _glyphs()
    drawn = [
        escaped(letter)
        if ord(letter) not in glyphs or unicodedata.bidirectional(letter) == "AL"
        else letter
        for letter in shown(text)
    ]
    line = _RIGHT_TO_LEFT.sub(lambda run: run[0][::-1], "".join(drawn))
    return f"\N{HAIR SPACE}{line}" if line.startswith("_") else line


_HEBREW = "\u0590-\u05ff\ufb1d-\ufb4f"
_RIGHT_TO_LEFT = re.compile(rf"[{_HEBREW}](?:[\s{_HEBREW}]*[{_HEBREW}])?")


@cache
def _glyphs() -> frozenset[int]:
    """The characters of the figures' font."""
    return frozenset(get_font(findfont(FontProperties(family=_FONT))).get_charmap())


def add_legend(figure: Figure) -> None:
    """One legend above all panels, with each label once, floors last, in as few rows as fit."""
    labelled: dict[str, Artist] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            labelled.setdefault(label, handle)
    labelled |= {label: labelled.pop(label) for label in (GUESSING, LAST_SET) if label in labelled}
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


def draw_intervals(
    ax: Axes, places: Iterable[float], pooled: pl.DataFrame, name: str, colour: str, *, across: bool
) -> None:
    """The intervals of a column, pale where they rest on too few seeds for a verdict.

    Args:
        ax: with the column on its y axis, or `across` on its x axis.
        places: on the other axis, one for each row.
        pooled: from `figures.pooling`: <name>_low, <name>_high and enough_seeds.
        name: of the column.
        colour: of the line.
        across: whether the intervals lie across.
    """
    colours = [to_rgba(colour, 1 if enough else PALE) for enough in pooled["enough_seeds"]]
    draw = ax.hlines if across else ax.vlines
    ends = pooled[f"{name}_low"], pooled[f"{name}_high"]
    draw(list(places), *ends, colors=colours, linewidth=1.6 if across else 0.9)


def intervals_note(seeds: pl.Series) -> str:
    """What a note says of intervals: what they cover, and which are no ground for a verdict."""
    most, least = seeds.max(), seeds.min()
    if most == 1:
        return (
            "Intervals: 95 %, of the test examples alone; with one seed for each setting they say "
            "nothing of other seeds: no verdict. "
        )
    alone = "; of single seeds, the test examples alone" if least == 1 else ""
    few = (
        f" Pale: fewer than {LEAST_SEEDS} seeds, no verdict." if (seeds < LEAST_SEEDS).any() else ""
    )
    return f"Intervals: 95 %, over seeds and test examples{alone}.{few} "


def label_outside(grid: NDArray[Any], panels: int, x: str, y: str) -> None:
    """Label the axes at the left, and those with no panel below; switch off the unused ones.

    Args:
        grid: axes (rows, columns), which share x and y, filled row by row.
        panels: how many of them are used.
        x, y: labels.
    """
    for place, ax in enumerate(grid.flat):
        if place >= panels:
            ax.set_axis_off()
        elif place + grid.shape[1] >= panels:
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(x)
    for row in grid:
        row[0].set_ylabel(y)


def draw_floors(ax: Axes, chance: object, last_set_chance: object) -> None:
    """Lines at the accuracies that need no memory.

    Args:
        ax: accuracy is vertical.
        chance: of the best guess.
        last_set_chance: of naming any token of the set that stands last; None: no line.
    """
    for value, dashes, label in (
        (chance, (1, 1), GUESSING),
        (last_set_chance, (4, 2, 1, 2), LAST_SET),
    ):
        if isinstance(value, float):
            ax.axhline(value, color="0.4", linestyle=(0, dashes), linewidth=0.9, label=label)


def last_set_note(chances: pl.Series) -> str:
    """What a note says of the line of `LAST_SET`, where there is one."""
    explained = f"{LAST_SET}: the accuracy of naming one of B, which takes no memory of A. "
    return explained if chances.is_not_null().any() else ""


def add_note(figure: Figure, note: str) -> None:
    """Small print at the foot: what the marks mean and what the numbers rest on."""
    parts = [printable(part) for part in note.split("\n")]
    lines = [line for part in parts for line in textwrap.wrap(part, _NOTE_LETTERS)]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_NOTE_SIZE, color="0.25")


def take_note(figure: Figure) -> str:
    """The text of `add_note`, in one line; it and its room are taken off the figure."""
    note = figure.get_supxlabel()
    if not note:
        return ""
    figure.supxlabel("")
    lines = note.split("\n")
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height - len(lines) * _NOTE_SIZE * _NOTE_LEADING / 72)
    # A line that ends in a hyphen was broken within a word.
    return re.sub(r"(?<=\w-)\n", "", note).replace("\n", " ")


def task_label(experiment: str) -> str:
    """What tells a row's task from the others, short enough to stand beside an axis."""
    return "\n".join(
        textwrap.wrap(textwrap.shorten(printable(experiment), 90, placeholder=" …"), 30)
    )
