"""What theory says, drawn: memory over time, and memory against order."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from figures.drawing import Drawing
from figures.palette import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILION
from figures.style import PAGE_WIDTH, add_legend, add_note
from theory import (
    HashTower,
    JustReadTwice,
    OnePass,
    decision_bits,
    multi_pass_bits,
    one_pass_bits,
    profile,
    prompt,
)

_SMALL_UNIVERSE, _SMALL_SIZES = 10, (2, 5)
_UNIVERSE, _TOTAL, _ERROR = 1024, 64, Fraction(1, 10)
_SEED = 0  # of the hash functions; the bits held hardly depend on it
_ORDERS = {"Short set first": 1, "Long set first": -1}

_OVER_TIME_NOTE = """\
Bits held after each token, n = {universe}, sets of {short} and {long} that do not meet. Grey: the \
least any one-pass algorithm without errors can hold there, which may know both sizes (exact where \
it is a line, else between a clique and a colouring of the prefixes that must be told apart); \
each token is bounded by itself. Algorithms know neither set's size: their counters and flags \
are counted, sets as a list of elements (one pass: also packed into one number).
"""
_AGAINST_SIZE_NOTE = """\
n = {universe}, |A| + |B| = {total}, A first. Lines: proved lower bounds on the largest state, for \
deciding whether the sets meet. Marks: the most bits that an algorithm held on sets that do not \
meet, its counters and flags included; with error {error}, read several times, the hash tower, \
whose hash functions are public and not counted. In one pass, hash values of that error hold more \
than exact memory in a universe as small as this, and are not shown.
"""


def draw_over_time() -> Drawing:
    """Bits over the tokens read: the exact one-pass profile, and the algorithms, in both orders.

    Returns:
        The figure, and its numbers: order, passes, series, tokens (read so far), bits; for the
        profile bits is the lower and upper the upper bound.
    """
    data = pl.DataFrame(list(_over_time_rows()), infer_schema_length=None)
    figure = Figure(figsize=(PAGE_WIDTH, 4.6), layout="constrained")
    grid = figure.subplots(2, 2, sharey=True, width_ratios=[3, 4])
    for row, order in zip(grid, _ORDERS, strict=True):
        for ax, passes in zip(row, (1, 2), strict=True):
            _draw_over_time(ax, data.filter(order=order, passes=passes))
            ax.set_title(f"{order}, {'one pass' if passes == 1 else 'read twice'}")
        row[0].set_ylabel("Memory, bits")
    grid[0][0].set_ylim(0, 1.05 * max(data["bits"]))  # shared by all
    for ax in grid[1]:
        ax.set_xlabel("Tokens read")
    for ax in grid.flat:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    add_legend(figure)
    short, long = _SMALL_SIZES
    note = _OVER_TIME_NOTE.format(universe=_SMALL_UNIVERSE, short=short, long=long)
    add_note(figure, note)
    return Drawing(figure, data)


def _over_time_rows() -> Iterable[dict[str, Any]]:
    for order, direction in _ORDERS.items():
        size_a, size_b = _SMALL_SIZES[::direction]
        first, second = range(size_a), range(size_a, size_a + size_b)
        series = {
            (1, "One pass, list"): OnePass(_SMALL_UNIVERSE).run(prompt(first, second)),
            (1, "One pass, packed"): OnePass(_SMALL_UNIVERSE, packed=True).run(
                prompt(first, second)
            ),
            (2, "Just read twice"): JustReadTwice(_SMALL_UNIVERSE, length=size_a + size_b + 2).run(
                prompt(first, second, 2)
            ),
        }
        for cut in profile(_SMALL_UNIVERSE, size_a, size_b).cuts:
            place = {"order": order, "passes": 1, "series": "profile", "tokens": cut.tokens}
            yield {**place, "bits": cut.lower_bits, "upper": cut.upper_bits}
        for (passes, name), outcome in series.items():
            for tokens, bits in enumerate(outcome.trace, start=1):
                place = {"order": order, "passes": passes, "series": name, "tokens": tokens}
                yield {**place, "bits": bits, "upper": None}


def _draw_over_time(ax: Axes, data: pl.DataFrame) -> None:
    exact = data.filter(series="profile")
    if len(exact):
        ax.fill_between(
            exact["tokens"],
            exact["bits"],
            exact["upper"],
            step="post",
            color="0.7",
            linewidth=1.5,
            label="Exact one-pass profile",
        )
    styles = {
        "One pass, list": (VERMILION, "--"),
        "One pass, packed": (BLUE, "-"),
        "Just read twice": (GREEN, "-"),
    }
    for name, (colour, line) in styles.items():
        series = data.filter(series=name)
        if len(series):
            ax.step(series["tokens"], series["bits"], line, where="post", color=colour, label=name)


def draw_against_size() -> Drawing:
    """Bits over |A| with |A| + |B| fixed: one pass, read twice, four times, with errors.

    Returns:
        The figure, and its numbers: size_a, series, kind (bound or algorithm), bits.
    """
    data = pl.DataFrame(list(_against_size_rows()))
    figure = Figure(figsize=(PAGE_WIDTH, 3.4), layout="constrained")
    ax = figure.subplots()
    styles = {
        "One pass": BLACK,
        f"One pass, error {_ERROR}": PURPLE,
        "Read twice": GREEN,
        "Read four times": BLUE,
        f"Read twice, error {_ERROR}": VERMILION,
        f"Read four times, error {_ERROR}": ORANGE,
    }
    for name, colour in styles.items():
        bound = data.filter(series=name, kind="bound")
        held = data.filter(series=name, kind="algorithm")
        if len(bound):
            ax.plot(bound["size_a"], bound["bits"], "-", color=colour, label=f"{name}: bound")
        if len(held):
            ax.plot(
                held["size_a"], held["bits"], "o", color=colour, markersize=3, label=f"{name}: held"
            )
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(f"|A|, size of the set that comes first (|B| = {_TOTAL} minus |A|)")
    ax.set_ylabel("Memory, bits (log scale)")
    add_legend(figure)
    add_note(figure, _AGAINST_SIZE_NOTE.format(universe=_UNIVERSE, total=_TOTAL, error=_ERROR))
    return Drawing(figure, data)


def _against_size_rows() -> Iterable[dict[str, Any]]:
    for size_a in range(2, _TOTAL - 1, 2):
        size_b = _TOTAL - size_a
        first, second = range(size_a), range(size_a, _TOTAL)
        bounds = {
            "One pass": one_pass_bits(_UNIVERSE, size_a),
            f"One pass, error {_ERROR}": decision_bits(_UNIVERSE, size_a, size_b, _ERROR),
            "Read twice": multi_pass_bits(_UNIVERSE, size_a, size_b, 2),
            "Read four times": multi_pass_bits(_UNIVERSE, size_a, size_b, 4),
        }
        twice = JustReadTwice(_UNIVERSE, length=_TOTAL + 2)
        held = {
            "One pass": OnePass(_UNIVERSE).run(prompt(first, second)).peak_bits,
            "Read twice": twice.run(prompt(first, second, 2)).peak_bits,
        }
        for name, passes in (("twice", 2), ("four times", 4)):
            tower = HashTower.drawn(
                _UNIVERSE, size_a, size_b, passes, _ERROR, seed=_SEED, packed=True
            )
            outcome = tower.run(prompt(first, second, passes))
            held[f"Read {name}, error {_ERROR}"] = outcome.peak_bits
        for kind, values in (("bound", bounds), ("algorithm", held)):
            for name, bits in values.items():
                yield {"size_a": size_a, "series": name, "kind": kind, "bits": float(bits)}
