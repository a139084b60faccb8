"""A figure as part of a page: SVG, its caption as text, and the numbers under the pointer.

The numbers come from the artists of the finished figure, whatever module drew it: each point of a
line or a scatter that is drawn in data coordinates, with the labels of its panel, its axes and its
series, and the interval through it. Faint artists (opacity below `_FAINT`) are single seeds, of
which a figure draws many; the table of runs has their numbers.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, TypeAlias, cast

import matplotlib as mpl
import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from figures.drawing import Drawing
from figures.style import take_note

_FAINT = 0.6
_APART = 3.0  # points of a page; of a line without marks, closer ones are one to a pointer
_PLAIN_NUMBER = re.compile(r"[\d.,]+(e[-+]?\d+)?\s*([KMG]?i?B)?", re.IGNORECASE)
_DIGITS = re.compile(r"(\.\d\d)\d+")
_PATHS = re.compile(r'(?<= d=")[^"]+|(?<= points=")[^"]+')
_DECLARED = re.compile(r"^.*?(?=<svg)|<metadata>.*?</metadata>\s*", re.DOTALL)
_IDS = re.compile(r'(\bid="|href="#|url\(#)')
_POINTS_PER_INCH = 72

Points: TypeAlias = NDArray[np.float64]
"""Places (N, 2), x and y."""

_Look: TypeAlias = tuple[Any, Any]
"""The marker of a line and its dashes."""


@dataclass(frozen=True)
class InlineFigure:
    """What a page shows of a figure.

    Attributes:
        svg: an ``<svg>`` element; its ids begin with the figure's name.
        caption: the note at the figure's foot, which the picture then lacks.
        points: JSON for the page's script: series, each with its panel, name and the labels of
            its axes; and points, each with the number of its series, its place in the SVG, and
            what its axes say there, intervals included.
    """

    svg: str
    caption: str
    points: str


def inline(name: str, drawing: Drawing) -> InlineFigure:
    """A drawing for a page, within `figures.style.house_style`; the drawing is then used up.

    Same numbers, same bytes, given the same version of matplotlib.

    Args:
        name: of the figure, letters and underscores.
        drawing: from a figure's module.
    """
    figure = drawing.figure
    caption = take_note(figure)
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    points = json.dumps(_numbers(figure, drawing.data), ensure_ascii=False, separators=(",", ":"))
    return InlineFigure(_tidied(name, text.getvalue()), caption, points)


def _tidied(name: str, svg: str) -> str:
    """Without what only files need, in hundredths of a point, with ids of its own."""
    svg = _DECLARED.sub("", svg)
    svg = _PATHS.sub(lambda path: " ".join(_DIGITS.sub(r"\1", path[0]).split()), svg)
    return _IDS.sub(rf"\g<1>{name}-", svg)


def _numbers(figure: Figure, data: pl.DataFrame) -> dict[str, Any]:
    """The points of a figure that has been drawn, see `InlineFigure`."""
    width, height = figure.get_size_inches() * _POINTS_PER_INCH
    to_page = np.array([width / figure.bbox.width, height / figure.bbox.height])
    known = _values(data)
    series: dict[tuple[str, ...], int] = {}
    points: list[list[Any]] = []
    for ax in figure.axes:
        if not ax.axison:
            continue
        names, bars = _Names(figure, ax), _bars(ax)
        panel = " ".join(ax.get_title().split())
        seen: set[tuple[str, float, float]] = set()
        labels = [_label(figure, ax, "x"), _label(figure, ax, "y")]
        for colour, look, marked, places in _artists(ax):
            described = (panel, names.of(colour, look), *labels)
            number = series.setdefault(described, len(series))
            on_page = ax.transData.transform(places) * to_page
            for (x, y), (left, bottom) in _apart(places, on_page, marked):
                if (colour, x, y) in seen:  # a line and the marks on it
                    continue
                seen.add((colour, x, y))
                around_x, around_y = bars.through(colour, x, y)
                said_x = f"{_said(ax.xaxis, x, known)} {around_x}".rstrip()
                said_y = f"{_said(ax.yaxis, y, known)} {around_y}".rstrip()
                place = round(left, 1), round(height - bottom, 1)
                points.append([number, *place, said_x, said_y])
    return {"series": [list(described) for described in series], "points": points}


def _artists(ax: Axes) -> Iterator[tuple[str, _Look, bool, Points]]:
    """Colour, marker and dashes, whether it has marks, and the points (N, 2) of each artist."""
    for line in ax.lines:
        is_bold = line.get_visible() and (line.get_alpha() or 1) >= _FAINT
        places: Points = np.asarray(line.get_xydata(), dtype=float).reshape(-1, 2)
        if is_bold and line.get_transform() == ax.transData:
            look = _look(line)
            yield _colour(line), look, look[0] not in ("None", "", None), places
    for cloud in ax.collections:
        if isinstance(cloud, PathCollection) and (cloud.get_alpha() or 1) >= _FAINT:
            places = np.asarray(cloud.get_offsets(), dtype=float)
            for colour, place in zip(
                _colours(cloud.get_facecolor(), len(places)), places, strict=True
            ):
                yield colour, ("", ""), True, place[None]


def _colours(colours: Any, count: int) -> list[str]:
    """One for each of the artists of a collection, which takes its colours in turn."""
    return list(islice(cycle([to_hex(colour) for colour in colours] or [""]), count))


def _apart(
    places: Points, on_page: Points, marked: bool
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The points that a pointer can tell apart, each with its place on the page."""
    before = None
    for place, at in zip(places, on_page, strict=True):
        if not np.isfinite([*place, *at]).all():
            continue
        if marked or before is None or np.abs(at - before).max() >= _APART:
            before = at
            yield (float(place[0]), float(place[1])), (float(at[0]), float(at[1]))


class _Bars:
    """The intervals of a panel, drawn as bars across it or up it."""

    def __init__(self) -> None:
        self.upright: dict[tuple[str, float], list[tuple[float, float]]] = {}
        self.across: dict[tuple[str, float], list[tuple[float, float]]] = {}

    def through(self, colour: str, x: float, y: float) -> list[str]:
        """The intervals of x and of y at a point, as text; "" where there is none."""
        of_x, of_y = self.across.get((colour, y), []), self.upright.get((colour, x), [])
        return [_around(x, of_x), _around(y, of_y)]


def _around(value: float, intervals: list[tuple[float, float]]) -> str:
    """The first interval that a value lies in."""
    found = ((low, high) for low, high in intervals if low <= value <= high)
    return next((f"[{_number(low)}, {_number(high)}]" for low, high in found), "")


def _bars(ax: Axes) -> _Bars:
    bars = _Bars()
    for lines in ax.collections:
        if not isinstance(lines, LineCollection):
            continue
        segments = lines.get_segments()
        colours = _colours(lines.get_colors(), len(segments))
        for colour, segment in zip(colours, segments, strict=True):
            (x0, y0), (x1, y1) = np.asarray(segment, dtype=float)[[0, -1]].tolist()
            if x0 == x1:
                bars.upright.setdefault((colour, x0), []).append((min(y0, y1), max(y0, y1)))
            elif y0 == y1:
                bars.across.setdefault((colour, y0), []).append((min(x0, x1), max(x0, x1)))
    return bars


class _Names:
    """What the legends call a series: that of the panel, then that of the figure."""

    def __init__(self, figure: Figure, ax: Axes) -> None:
        self._legends: list[list[tuple[str, _Look, str]]] = []
        legend = ax.get_legend()
        if legend is not None:
            texts = [text.get_text() for text in legend.get_texts()]
            self._add(zip(legend.legend_handles, texts, strict=True))
        for panel in (ax, *figure.axes):
            self._add(zip(*panel.get_legend_handles_labels(), strict=True))

    def _add(self, handles: Iterable[tuple[Any, str]]) -> None:
        found = [
            (_colour(handle), _look(handle), " ".join(label.split()))
            for handle, label in handles
            if isinstance(handle, Line2D)
        ]
        self._legends.append(found)

    def of(self, colour: str, look: _Look) -> str:
        """The name of what alone has this colour, marker and dashes; else the marker; else the
        colour; or "".
        """
        for legend in self._legends:
            same = [(other, label) for hue, other, label in legend if hue == colour]
            for alike in (
                {label for other, label in same if other == look},
                {label for other, label in same if other[0] == look[0]},
                {label for _, label in same},
            ):
                if len(alike) == 1:
                    return alike.pop()
        return ""


def _colour(line: Line2D) -> str:
    return to_hex(to_rgba(cast("Any", line.get_color())))


def _look(line: Line2D) -> _Look:
    return line.get_marker(), line.get_linestyle()


def _label(figure: Figure, ax: Axes, which: str) -> str:
    """The label of an axis, which may stand at another panel of its column or row."""
    spec = ax.get_subplotspec()
    if spec is None:
        candidates = [ax]
    else:
        place = spec.colspan.start if which == "x" else spec.rowspan.start
        candidates = [ax, *_line(figure, which, place), *figure.axes]
    labels = (panel.get_xlabel() if which == "x" else panel.get_ylabel() for panel in candidates)
    label = next((" ".join(label.split()) for label in labels if label), "")
    return label.replace(" (log scale)", "")


def _line(figure: Figure, which: str, place: int) -> list[Axes]:
    """The panels of a column (for x) or a row (for y)."""
    return [
        panel
        for panel in figure.axes
        if (spec := panel.get_subplotspec()) is not None
        and (spec.colspan.start if which == "x" else spec.rowspan.start) == place
    ]


def _values(data: pl.DataFrame) -> frozenset[float]:
    """All numbers of a figure's table."""
    columns = [data[name] for name, kind in data.schema.items() if kind.is_numeric()]
    return frozenset(float(value) for column in columns for value in column.drop_nulls())


def _said(axis: Axis, value: float, known: frozenset[float]) -> str:
    """What an axis says of a place along it.

    Where its ticks have names, the nearest name. A place that is none of the figure's numbers, on
    an axis with chosen ticks, is one beside its tick, to make room: the tick is said. Where the
    axis writes its numbers in another unit, such as thousands, so is the number.
    """
    formatter, locator = axis.get_major_formatter(), axis.get_major_locator()
    ticks = [float(tick) for tick in locator()] if isinstance(locator, FixedLocator) else []
    if ticks:
        names = formatter.format_ticks(ticks)
        nearest = min(range(len(ticks)), key=lambda place: abs(ticks[place] - value))
        if not all(_PLAIN_NUMBER.fullmatch(name) for name in names if name):
            return " ".join(names[nearest].split())
        return _number(value if value in known else ticks[nearest])
    if isinstance(formatter, FuncFormatter):
        written = formatter(value, None).replace(",", "")
        if not _PLAIN_NUMBER.fullmatch(written):
            return written
        if abs(float(written) - value) > max(1, abs(value) / 2):
            return written
    return _number(value)


def _number(value: float) -> str:
    """Four digits, thousands apart, a proper minus."""
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}")
