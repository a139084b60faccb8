"""Heat maps: accuracy by the sizes of both sides, a map for each model and size of its state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
from matplotlib import colormaps
from matplotlib.colors import to_hex

from figures.drawing import NothingToDraw
from figures.palette import model_label
from figures.pooling import by_slice
from figures.report.tables import Table, as_table
from figures.runs import SIZES, chosen_runs
from figures.style import printable
from sdsim.config import Selection

_MAP = ("task", "options", "vocab_size", "experiment", "model", "variant", "passes", "trained")
_NUMBERS = (
    "size_a",
    "size_b",
    "state_bits",
    "chance",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "seeds",
    "converged",
)
_MOST_MAPS = 60
_DARK = 0.5  # of the scale of colours, below which text on it is white


@dataclass(frozen=True)
class Cell:
    """A pair of sizes: its accuracy, colours, and what is said of it."""

    text: str
    background: str
    ink: str
    title: str
    is_unfinished: bool


@dataclass(frozen=True)
class HeatMap:
    """Accuracy by |A| (down) and |B| (across); a cell is None where that pair was not tested."""

    title: str
    sizes_a: list[int]
    sizes_b: list[int]
    rows: list[list[Cell | None]]


@dataclass(frozen=True)
class HeatMaps:
    """The maps of a store, the numbers in them, and how many maps the page leaves out."""

    maps: list[HeatMap]
    numbers: Table
    left_out: int


def heat_maps(table: pl.DataFrame, select: Selection) -> HeatMaps:
    """Accuracy of every setting on every pair of sizes, its seeds pooled.

    A model that was trained on one pair of sizes at a time has one map for all of these.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `figures.runs.chosen_runs`.

    Raises:
        NothingToDraw: if every run was tested on the same pair of sizes.
        ValueError: see `chosen_runs`.
    """
    runs = chosen_runs(table, axes=("passes", "train_sizes", "test_sizes"), select=select)
    if runs.select("size_a", "size_b").n_unique() < 2:
        raise NothingToDraw("every run was tested on the same pair of sizes")
    trained = runs.select("setting", "train_sizes").unique("setting")
    slices = by_slice(runs).join(trained, on="setting", how="left", maintain_order="left")
    own = pl.concat_list("size_a", "size_b").map_elements(
        lambda pair: json.dumps([pair.to_list()]), pl.String
    )
    slices = slices.with_columns(
        trained=pl.when(pl.col("train_sizes") == own)
        .then(pl.lit("each pair alone"))
        .otherwise("train_sizes")
    )
    slices = slices.sort(*_MAP, "state_bits", *SIZES, "size_a", "size_b")
    # Maps of one task have the same rows and columns, so that they can be compared.
    tested = [
        pl.col(name).unique().sort().implode().over("task").alias(f"{name}s")
        for name in ("size_a", "size_b")
    ]
    maps = slices.with_columns(tested).partition_by(*_MAP, *SIZES, maintain_order=True)
    # What the title of a map need say: the task, and what differs between the maps of a task.
    within = slices.select(pl.col(name).n_unique().over("task").max() for name in _MAP)
    several_tasks = slices["task"].n_unique() > 1
    different = [
        name for name in _MAP if (several_tasks if name == "task" else within[name][0] > 1)
    ]
    numbers = slices.select("model", *[name for name in different if name != "model"], *_NUMBERS)
    sizes = [name for name in SIZES if slices[name].n_unique() > 1]
    shown = [_heat_map(here, different) for here in maps[:_MOST_MAPS]]
    titles = [found.title for found in shown]
    return HeatMaps(
        [
            found if titles.count(found.title) == 1 else _with_sizes(found, here, sizes)
            for found, here in zip(shown, maps, strict=False)
        ],
        as_table("heat", "Accuracy by sizes, seeds pooled, with 95 % intervals", numbers),
        max(0, len(maps) - _MOST_MAPS),
    )


def _heat_map(slices: pl.DataFrame, different: list[str]) -> HeatMap:
    cells = {(row["size_a"], row["size_b"]): _cell(row) for row in slices.iter_rows(named=True)}
    first = slices.row(0, named=True)
    sizes_a, sizes_b = first["size_as"], first["size_bs"]
    bits = max(slices["state_bits"].to_list())
    says: dict[str, Callable[[Any], str]] = {
        "task": lambda task: task.replace("_", " "),
        "experiment": str,
        "passes": lambda passes: f"read {passes} times" if passes > 1 else "read once",
        "trained": lambda trained: f"trained on {trained}",
    }
    parts = [f"{model_label(first['model'])} {printable(first['variant'])}".rstrip()]
    parts += [say(first[name]) for name, say in says.items() if name in different and first[name]]
    return HeatMap(
        ", ".join([*parts, f"{bits:,} bits"]),
        sizes_a,
        sizes_b,
        [[cells.get((a, b)) for b in sizes_b] for a in sizes_a],
    )


def _with_sizes(found: HeatMap, slices: pl.DataFrame, sizes: list[str]) -> HeatMap:
    """A map of a state that is as large as another's, with what tells them apart."""
    said = [f"{name}={slices[name][0]}" for name in sizes if slices[name][0] is not None]
    return replace(found, title=", ".join([found.title, *said]))


def _cell(row: dict[str, Any]) -> Cell:
    accuracy = row["accuracy"]
    unfinished = row["converged"] is not None and row["converged"] < row["seeds"]
    title = (
        f"|A| = {row['size_a']}, |B| = {row['size_b']}: accuracy {accuracy:.3f} "
        f"[{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}], guessing {row['chance']:.3f}, "
        f"seeds {row['seeds']}"
    )
    if unfinished:
        title += f", converged {row['converged']}"
    return Cell(
        f"{accuracy:.2f}",
        to_hex(colormaps["viridis"](accuracy)),
        "white" if accuracy < _DARK else "black",
        title,
        unfinished,
    )
