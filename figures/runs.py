"""The runs that figures show: every setting at its best learning rate.

* A *setting* (a column of the stored tables) is a config without its learning rate and seed. Its
  seeds are pooled at one learning rate: the one with the best mean accuracy over seeds and slices.
  (The paper shows the best single run over rates and seeds, which rises with the number of seeds
  tried; a mean does not.)
* A run that diverged (a loss that is not finite) counts in no mean. So that a rate does not win by
  its surviving seeds, rates with a smaller fraction of diverged runs go first.
* A slice on which guessing is always right (chance 1: one set is a single token, the answer) tells
  nothing about memory and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal, TypeAlias

import polars as pl

from figures.drawing import NothingToDraw
from sdsim.store.table import config_columns

Passes: TypeAlias = Literal["task", "variant", "column"]
"""Where runs that differ in their passes stand apart, see `chosen_runs`."""

TASK = (
    "task",
    "kind",
    "vocab_size",
    "options",
    "passes",
    "train_sizes",
    "test_sizes",
    "weights",
    "curriculum",
)
"""Columns that tell tasks apart; runs on different tasks never share a panel."""

SIZES = (
    "width",
    "feature_dim",
    "state_bits_per_number",
    "state_numbers",
    "budget",
    "features",
)
"""Columns that set the size of a model's state: a line of a figure goes along them."""

SERIES = ("experiment", "model", "variant")
"""Columns of `chosen_runs` that a line of a figure has in common."""

QUANTIZED_NOTE = """\
at the separators, with full precision between them (test.quantize: crossings), or after every \
token (steps); their scales are counted, of streaming algorithms the most bits held at any time."""
"""What is counted as the bits of a quantized state, for the foot of a figure."""


def networks(table: pl.DataFrame) -> pl.DataFrame:
    """The runs of models that were trained.

    Raises:
        NothingToDraw: if there are none.
    """
    trained = table.filter(pl.col("machine").is_null())
    if trained.is_empty():
        raise NothingToDraw("no model was trained, there are streaming algorithms alone")
    return trained


def chosen_runs(table: pl.DataFrame, *, passes: Passes = "task") -> pl.DataFrame:
    """The runs that figures show: every setting at its best learning rate.

    Args:
        table: from `sdsim.store.table.load`; a row per run and slice.
        passes: what the number of passes belongs to: to the task, so that runs that differ in it
            never share a panel; to the variant of the model, so that they are series of one panel;
            or to neither, its column alone telling them apart.

    Returns:
        The rows of those runs, without the slices that tell nothing, and with more columns:
        setting, an id that the seeds of a setting share;
        experiment, what tells its task from the others in the table ("" if there is one task);
        variant, what tells its setting from the model's others on this task, sizes apart ("" if
        nothing does);
        rounding, null here, see `with_quantized`.

    Raises:
        ValueError: if no run is left, or if the slices of a run differ in their examples.
    """
    runs = table.filter(pl.col("chance") < 1)
    if runs.is_empty():
        raise ValueError("every stored slice can be guessed: test with |A| ≥ 2 and |B| ≥ 2")
    if (runs["examples"] != runs["test_examples"]).any():
        raise ValueError("slices can be pooled only if each has test_examples examples")
    # The order of recall is one of the task's options, but a property of the slice as well: both
    # orders are slices of one setting, as they are of one run in set disjointness.
    runs = runs.with_columns(options=pl.col("options").map_elements(_without_order, pl.String))
    runs = _at_best_rate(_with_settings(runs, passes))
    if runs.is_empty():
        raise ValueError("every stored run diverged: there is no accuracy to show")
    return runs.with_columns(rounding=pl.lit(None, pl.Int64))


def _with_settings(runs: pl.DataFrame, passes: Passes) -> pl.DataFrame:
    """The runs with the columns setting, experiment and variant."""
    task = [name for name in TASK if name != "passes" or passes == "task"]
    # Where names tell all tasks apart, nothing else need be said of them.
    names_suffice = runs.select(pl.struct(task)).n_unique() == runs["task"].n_unique()
    setting = [name for name in config_columns() if name not in ("lr", "seed")]
    elsewhere = {"model", *task, *SIZES, *(["passes"] if passes == "column" else [])}
    variant = [name for name in setting if name not in elsewhere]
    return runs.with_columns(
        setting=pl.col("run_id").first().over(setting),
        experiment=_differences(["task"] if names_suffice else task, among=[]),
        variant=_differences(variant, among=["model", *task]),
    )


def _differences(columns: Iterable[str], *, among: list[str]) -> pl.Expr:
    """``name=value`` of the columns that take several values among rows alike in `among`."""

    def part(name: str) -> pl.Expr:
        several = pl.col(name).n_unique()
        if among:
            several = several.over(among)
        text = pl.format(f"{name}={{}}", pl.col(name).cast(pl.String).fill_null("none"))
        return pl.when(several > 1).then(text)

    return pl.concat_str([part(name) for name in columns], separator=", ", ignore_nulls=True)


def _at_best_rate(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs of every setting at its best learning rate that did not diverge."""
    kept = ~pl.col("diverged")
    right, examples = (pl.col(name).filter(kept).sum() for name in ("correct", "examples"))
    best_rate = pl.col("lr").sort_by(
        "rate_diverged", "rate_accuracy", "lr", descending=[False, True, False]
    )
    return (
        runs.with_columns(
            rate_diverged=pl.col("diverged").mean().over("setting", "lr"),
            rate_accuracy=(right / examples).over("setting", "lr"),
        )
        .filter(kept, pl.col("lr") == best_rate.first().over("setting"))
        .drop("rate_diverged", "rate_accuracy")
    )


def with_quantized(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs, and each of them again for each number of bits to which its state was quantized.

    Args:
        runs: from `chosen_runs`.

    Returns:
        The same columns without `quantized`; in the added rows rounding is that number of bits, and
        state_bits and correct are those of the quantized state.
    """
    again = runs.clear()
    if runs["quantized"].list.len().sum():
        again = (
            runs.filter(pl.col("quantized").list.len() > 0)
            .explode("quantized")
            .with_columns(
                rounding=pl.col("quantized").struct.field("bits"),
                state_bits=pl.col("quantized").struct.field("state_bits"),
                correct=pl.col("quantized").struct.field("correct"),
            )
        )
    return pl.concat([runs.drop("quantized"), again.drop("quantized")], how="vertical_relaxed")


def _without_order(options: str) -> str:
    kept = {name: value for name, value in json.loads(options).items() if name != "order"}
    return json.dumps(kept, sort_keys=True)


def provenance_note(table: pl.DataFrame, runs: pl.DataFrame) -> str:
    """How many runs and seeds a figure rests on, in a few sentences for its foot.

    Args:
        table: all runs.
        runs: `chosen_runs` of them.
    """
    used_runs = runs.unique("run_id")
    stored, used = table["run_id"].n_unique(), len(used_runs)
    seeds = runs.group_by("setting").agg(pl.col("seed").n_unique())["seed"].to_list()
    each = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    diverged = table.filter("diverged")["run_id"].n_unique()
    asked = used_runs.filter(pl.col("converged").is_not_null())
    converged = (
        f" Runs whose accuracy no longer rose when training ended: {asked['converged'].sum()} of "
        f"{len(asked)}."
        if len(asked)
        else ""
    )
    return (
        f"Rests on {used} of {stored} stored runs: settings: {len(seeds)}, seeds of each: {each}, "
        "at the setting's learning rate with the best mean accuracy. "
        f"Runs left out because they diverged: {diverged}.{converged}"
    )
