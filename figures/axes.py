"""Log axes of a state's size: in bits, and in bytes with the empty octaves left out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import ceil, floor, log2
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

_WIDE_GAP, _MARGIN, _BREAK = 4, 0.3, 0.35  # a factor; octaves; octaves


def bits_axis(ax: Axes) -> None:
    """A log x axis in bits, powers of two."""
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(LogLocator(base=2, numticks=6))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())


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
