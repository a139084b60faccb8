"""Accuracy against the bits held between the sets, as theory has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.drawing import Drawing
from figures.palette import BLUE, GREEN, ORANGE, PURPLE, VERMILION
from figures.style import PAGE_WIDTH, add_legend, add_note
from theory.setting import Problem
from theory.tradeoff import Point

_MARKS = {  # kind: label, colour, marker, line
    "conjectured": ("Conjectured bound (rankings)", PURPLE, "", "--"),
    "optimum": ("Best of all messages", VERMILION, "D", ""),
    "filter": ("Set of hash values", BLUE, "o", "-"),
    "stored exactly": ("First set, stored", GREEN, "*", ""),
}
_MARKS_OF_SEVERAL_PASSES = {
    "tower": ("Hash tower, {passes} passes", ORANGE, "s", "-"),
    "stored exactly": ("Stored, {passes} passes", ORANGE, "*", ""),
}
_NOTE = """\
n = {universe}; {question}, on average over uniform instances. Shaded: proved impossible for \
whatever reads once and holds so many bits (log₂ of its states) between the sets; what reads \
several times is not bound by that. Hash functions are public and not counted.
"""
_QUESTIONS = {
    "search": "naming the one common element",
    "decision": "saying whether the sets have an element in common, as half of them do",
}


def draw(
    points: Sequence[Point], universe: int, size_a: int, size_b: int, problem: Problem
) -> Drawing:
    """Two panels, A first and B first.

    Args:
        points: of `theory.tradeoff.tradeoff`, for these sizes.
        universe, size_a, size_b, problem: as there.

    Returns:
        The figure, and the points: first, kind, passes, bits, accuracy.
    """
    data = pl.DataFrame([asdict(point) for point in points])
    figure = Figure(figsize=(PAGE_WIDTH, 3.6), layout="constrained")
    sizes = {"A": (size_a, size_b), "B": (size_b, size_a)}
    for ax, first in zip(figure.subplots(1, 2, sharex=True, sharey=True), sizes, strict=True):
        _draw_panel(ax, data.filter(first=first))
        before, after = sizes[first]
        ax.set_title(f"{before} elements first, then {after}")
        ax.set_xlabel("Bits held between the sets")
    figure.axes[0].set_ylabel("Accuracy")
    add_legend(figure)
    add_note(figure, _NOTE.format(universe=universe, question=_QUESTIONS[problem]))
    return Drawing(figure, data)


def _draw_panel(ax: Axes, data: pl.DataFrame) -> None:
    bound = data.filter(kind="at most").sort("bits")
    several = max(data["passes"].to_list())
    marks = [(1, kind, *mark) for kind, mark in _MARKS.items()]
    if several != 1:
        marks += [(several, kind, *mark) for kind, mark in _MARKS_OF_SEVERAL_PASSES.items()]
    ax.fill_between(bound["bits"], bound["accuracy"], 1.05, color="0.87", linewidth=0, zorder=0)
    ax.plot(bound["bits"], bound["accuracy"], color="0.2", linewidth=0.9, label="Proved bound")
    for passes, kind, label, colour, marker, line in marks:
        here = data.filter(kind=kind, passes=passes).sort("bits")
        if len(here):
            ax.plot(
                here["bits"],
                here["accuracy"],
                marker=marker,
                linestyle=line,
                color=colour,
                markersize=6 if kind == "stored exactly" else 3.5,
                label=label.format(passes=passes),
            )
    ax.set_ylim(0, 1.05)
    ax.set_xlim(0, max(bound["bits"]))
