"""What a page says of a store in words: what was run, with what, and what has not converged."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import polars as pl

from figures.report.tables import Table, as_table, split_settings, values_of
from figures.runs import rated_runs
from sdsim.config import AlgorithmConfig, EvalConfig, ModelConfig, TaskConfig, TrainConfig
from sdsim.display import shown
from sdsim.store.intervals import LEAST_SEEDS
from sdsim.store.record import RECORD, read_record
from sdsim.store.weights import config_of
from sdsim.sweep.overrides import command_of

_VALUES = 12  # of a setting, in a line
_PARTS = {
    "model": (ModelConfig, AlgorithmConfig),
    "task": (TaskConfig,),
    "train": (TrainConfig,),
    "test": (EvalConfig,),
}
_KEYS = {
    field.name: f"{part}.{field.name}"
    for part, kinds in _PARTS.items()
    for kind in kinds
    for field in fields(kind)
} | {
    "model": "model.name",
    "task": "task.name",
    "test_examples": "test.examples",
    "validation_examples": "test.validation",
}
"""What a setting that is a column of the store's table is called on the command line."""


@dataclass(frozen=True)
class Setting:
    """A setting as the command line has it, and its value, or its values in a line."""

    key: str
    value: str


@dataclass(frozen=True)
class Facts:
    """What a store holds.

    Attributes:
        counts: such as "455 runs", for the head of the page.
        unreadable: names of folders in it that could not be read as runs.
        common: settings that all runs share.
        different: settings in which they differ.
        made_with: a row for each combination of versions, device and commit.
        command: does the first run again; None: none does.
    """

    counts: list[str]
    unreadable: list[str]
    common: list[Setting]
    different: list[Setting]
    made_with: Table
    command: str | None


def facts(store: Path, table: pl.DataFrame) -> Facts:
    """What the runs of a store are.

    Args:
        store: its folder.
        table: from `sdsim.store.table.load`.
    """
    runs = table.unique("run_id", maintain_order=True)
    read = set(runs["run_id"])
    folders = sorted(file.parent.name for file in store.glob(f"*/{RECORD}"))
    different, common = split_settings(runs)
    counted = [
        _count(len(runs), "run"),
        _count(runs["model"].n_unique(), "model"),
        _count(runs["task"].n_unique(), "task"),
        _count(runs["seed"].n_unique(), "seed"),
    ]
    record = read_record(store / min(runs["run_id"].to_list()))
    return Facts(
        counted,
        [shown(name) for name in folders if name not in read],
        [Setting(_KEYS.get(name, name), value) for name, value in common.items()],
        [Setting(_KEYS.get(name, name), _values(values_of(runs, name))) for name in different],
        _made_with(runs),
        command_of(config_of(record)),
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _values(column: pl.Series) -> str:
    values = sorted(column.drop_nulls().unique().to_list(), key=_in_order)
    texts = [shown(str(value)) for value in values]
    more = f" and {len(texts) - _VALUES} more" if len(texts) > _VALUES else ""
    return ", ".join(texts[:_VALUES]) + more


def _in_order(value: Any) -> tuple[Any, ...]:
    """Lists, which the table has as text, by their numbers."""
    if isinstance(value, str):
        return [int(digits) for digits in re.findall(r"\d+", value)], value
    return [value], ""


def _made_with(runs: pl.DataFrame) -> Table:
    found = runs.group_by("versions", "device", "commit").agg(runs=pl.len())
    rows = [
        {**json.loads(versions), "device": device, "commit": commit, "runs": count}
        for versions, device, commit, count in found.sort(pl.all()).iter_rows()
    ]
    caption = "A + after a commit: the checkout had been changed"
    return as_table("made_with", caption, pl.DataFrame(rows, infer_schema_length=None))


@dataclass(frozen=True)
class Convergence:
    """What has not converged, and what else forbids a verdict.

    Attributes:
        sentences: one for each thing to know.
        is_clean: whether every network is known to have converged and none diverged.
        by_model: how many runs of each model have.
        unfinished: the runs that have not: accuracy still rose, or training diverged.
    """

    sentences: list[str]
    is_clean: bool
    by_model: Table
    unfinished: Table


def convergence(table: pl.DataFrame, link: dict[str, str]) -> Convergence:
    """How the training of a store's networks ended.

    Args:
        table: from `sdsim.store.table.load`.
        link: where the record of each run is.
    """
    runs = table.unique("run_id", maintain_order=True).filter(pl.col("machine").is_null())
    rose = ~pl.col("converged") & ~pl.col("diverged")
    rising, diverged = runs.filter(rose), runs.filter("diverged")
    unknown = runs.filter(pl.col("converged").is_null())
    by_model = runs.group_by("model", maintain_order=True).agg(
        runs=pl.len(),
        converged=pl.col("converged").sum(),
        still_rising=rose.sum(),
        not_asked=pl.col("converged").is_null().sum(),
        diverged=pl.col("diverged").sum(),
    )
    different, _ = split_settings(runs) if len(runs) else ([], {})
    unfinished = pl.concat([rising, diverged]).select(
        run="run_id",
        ended=pl.when("diverged").then(pl.lit("diverged")).otherwise(pl.lit("still rising")),
        **{name: pl.col(name) for name in ("model", *different)},
        steps_done="steps_done",
    )
    return Convergence(
        [*_endings(len(runs), len(rising), len(diverged), len(unknown)), *_reservations(table)],
        rising.is_empty() and diverged.is_empty() and unknown.is_empty(),
        as_table("by_model", "How the training of each model ended", by_model),
        as_table(
            "unfinished",
            "The runs that have not converged",
            unfinished,
            lambda row: link[row["run"]],
        ),
    )


def _endings(runs: int, rising: int, diverged: int, unknown: int) -> list[str]:
    if not runs:
        return ["No network was trained: there are streaming algorithms alone."]
    said = []
    if rising:
        said.append(
            f"{rising:,} of {_count(runs, 'run')} had not converged: accuracy still rose when "
            "training reached its limit. Their accuracy is that of unfinished training."
        )
    if diverged:
        said.append(f"Runs that diverged, and count in no mean: {diverged:,} of {runs:,}.")
    if unknown:
        said.append(
            f"Of {'all' if unknown == runs else f'{unknown:,} of {runs:,}'} runs it is not known "
            "whether they have converged: they trained for a given number of steps, and were not "
            "asked (train.until=converged does)."
        )
    return said or [f"All {runs:,} trained networks have converged: accuracy no longer rose."]


def _reservations(table: pl.DataFrame) -> list[str]:
    """What else forbids a verdict: few seeds, and a learning rate at the edge of those tried."""
    networks = table.filter(pl.col("machine").is_null(), pl.col("chance") < 1)
    if networks.is_empty():
        return []
    settings = (
        rated_runs(networks)
        .group_by("setting")
        .agg(
            pl.col("seed").n_unique(),
            pl.col("lr_at_edge").first(),
            (pl.col("chosen_by") == "only").first().alias("only"),
        )
    )
    few = len(settings.filter(pl.col("seed") < LEAST_SEEDS))
    only, edge = (len(settings.filter(name)) for name in ("only", "lr_at_edge"))
    of, said = f"of {len(settings):,}", []
    if few:
        said.append(
            f"Settings with fewer than {LEAST_SEEDS} seeds: {few:,} {of}. Their intervals are no "
            "ground for a verdict."
        )
    if only:
        said.append(
            f"Settings that were run at one learning rate alone: {only:,} {of}. It is not known to "
            "be a good one."
        )
    if edge:
        said.append(
            "Settings whose chosen learning rate is the lowest or highest that was tried: "
            f"{edge:,} {of}. A better one may lie beyond."
        )
    return said
