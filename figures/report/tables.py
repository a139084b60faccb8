"""Tables of a page: the frames that figures and the store have, a cell at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from sdsim.config import AlgorithmConfig, ModelConfig, TrainConfig
from sdsim.display import shown
from sdsim.store.table import config_columns

MISSING = "\N{EN DASH}"

_SHARES = ("accuracy", "chance", "share", "gap", "first")
_FOREMOST = (
    "state_bits",
    "size_a",
    "size_b",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "converged",
)
_MEASURED = (
    "order",
    "chance",
    "last_set_chance",
    "validation_accuracy",
    "train_loss",
    "steps_done",
    "diverged",
    "params",
    "seconds",
)
"""Columns of the store's table that a row of `runs_table` has before and after its settings."""

_OF_NETWORKS = {
    *(field.name for kind in (ModelConfig, TrainConfig) for field in fields(kind)),
    "validation_examples",
} - {"name"}
_OF_ALGORITHMS = {field.name for field in fields(AlgorithmConfig)} - {"name"}
"""Columns of settings that the other kind of model lacks."""

_NOT_OF_CONFIG = "examples"
"""A column of the store's table that has the name of a setting (of training), but is of a slice."""

_IMPLIED = (("mixers", "model"), ("machine", "model"), ("kind", "task"))
"""Settings that say nothing beside another one, where they follow from it."""


@dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds numbers."""

    name: str
    is_numeric: bool


@dataclass(frozen=True)
class Table:
    """What a page shows as a table that can be sorted and filtered.

    Attributes:
        name: unlike that of others on the page; letters, digits, underscores.
        caption: what its rows are.
        columns: from left to right.
        rows: a text for each column.
        links: of each row, where its first cell points; empty: nowhere.
    """

    name: str
    caption: str
    columns: list[Column]
    rows: list[list[str]]
    links: list[str]

    @property
    def linked_rows(self) -> list[tuple[str, str, list[str]]]:
        """Of each row the link (or ""), the first cell, and the others."""
        links = self.links or [""] * len(self.rows)
        return [(link, row[0], row[1:]) for link, row in zip(links, self.rows, strict=True)]


def as_table(
    name: str,
    caption: str,
    frame: pl.DataFrame,
    link: Callable[[dict[str, Any]], str] | None = None,
) -> Table:
    """A frame as a table; ``x``, ``x_low`` and ``x_high`` become one column, with an interval.

    Columns of lists are left out.

    Args:
        name, caption: of the table.
        frame: its rows.
        link: where the first cell of a row points.
    """
    kinds = {name: kind for name, kind in frame.schema.items() if not kind.is_nested()}
    names = [name for name in kinds if not _is_end(name, kinds)]
    rows = list(frame.iter_rows(named=True))
    return Table(
        name,
        caption,
        [Column(name.replace("_", " "), kinds[name].is_numeric()) for name in names],
        [[_cell(row, name) for name in names] for row in rows],
        [link(row) for row in rows] if link else [],
    )


def _is_end(name: str, columns: Mapping[str, object]) -> bool:
    """Whether a column is the end of another one's interval."""
    stem, _, end = name.rpartition("_")
    return end in ("low", "high") and stem in columns


def _cell(row: dict[str, Any], name: str) -> str:
    value, low, high = row[name], row.get(f"{name}_low"), row.get(f"{name}_high")
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and name != "seed" else shown(str(value))
    text = _number(name, value)
    if low is None and high is None:
        return text
    # One end may be open, such as that of the bits that are needed.
    ends = (MISSING if end is None else _number(name, end) for end in (low, high))
    return f"{text} [{', '.join(ends)}]"


def _number(name: str, value: float) -> str:
    text = f"{value:.3f}" if name.endswith(_SHARES) else f"{value:.4g}"
    return text.replace("-", "\N{MINUS SIGN}") if value < 0 else text


def runs_table(table: pl.DataFrame, link: Callable[[str], str]) -> Table:
    """All rows of the store's table: the settings that differ between runs, and what was measured.

    Args:
        table: from `sdsim.store.table.load`.
        link: from a run's id to its record.
    """
    different, _ = split_settings(table)
    untrained = pl.col("machine").is_not_null()
    asked = (
        pl.when(untrained)
        .then(None)
        .when(pl.col("converged").is_null())
        .then(pl.lit("not asked"))
        .when("converged")
        .then(pl.lit("yes"))
        .otherwise(pl.lit("no"))
    )
    implied = {"model", *(name for name, of in _IMPLIED if _follows(table, name, of))}
    settings = [name for name in different if name not in implied]
    lacking = [
        pl.when(~untrained).then(name).alias(name) for name in settings if name in _OF_NETWORKS
    ]
    rows = table.with_columns(*lacking, converged=asked)
    foremost, measured = (
        [name for name in names if rows[name].is_not_null().any()]
        for names in (_FOREMOST, _MEASURED)
    )
    rows = rows.select("run_id", "model", *foremost, *settings, *measured)
    return as_table(
        "runs",
        "A row for each run and pair of sizes that it was tested on",
        rows.rename({"run_id": "run"}),
        lambda row: link(row["run"]),
    )


def values_of(table: pl.DataFrame, name: str) -> pl.Series:
    """A setting's column, without the runs of models that lack the setting."""
    is_network = pl.col("machine").is_null()
    if name in _OF_NETWORKS:
        return table.filter(is_network)[name]
    return table.filter(~is_network)[name] if name in _OF_ALGORITHMS else table[name]


def _follows(table: pl.DataFrame, name: str, of: str) -> bool:
    """Whether a column has one value for each value of another."""
    return table.select(name, of).n_unique() == table[of].n_unique()


def split_settings(table: pl.DataFrame) -> tuple[list[str], dict[str, str]]:
    """The settings that differ between the runs of a table, and the values of the others.

    Those of networks are compared among networks, those of streaming algorithms among these.
    """
    different: list[str] = []
    common: dict[str, str] = {}
    for name in config_columns():
        if name == _NOT_OF_CONFIG:
            continue
        column = values_of(table, name)
        if column.n_unique() > 1:
            different.append(name)
        elif len(column):
            common[name] = "null" if column[0] is None else shown(str(column[0]))
    return different, common
