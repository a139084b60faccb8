"""The runs that figures show: every setting at its chosen learning rate.

* A *setting* (a column of the stored tables) is a config without its learning rate and seed. Its
  seeds are pooled at one learning rate: the one with the best mean accuracy over seeds and slices,
  on validation examples. What is shown is accuracy on test examples. Where there were no validation
  examples (``test.validation=0``), test accuracy chooses the rate, and the figure says so.
* ``select="released"`` does as the paper's released code: each order has the best single run over
  rates and seeds, by test accuracy on that order. That is a maximum, which rises with the number of
  runs tried; a mean does not.
* A run that diverged (a loss that is not finite) counts in no mean. So that a rate does not win by
  its surviving seeds, rates with a smaller fraction of diverged runs go first.
* A slice on which guessing is always right (chance 1: one set is a single token, the answer) tells
  nothing about memory and is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import polars as pl

from figures.drawing import NothingToDraw
from sdsim.config import Selection
from sdsim.store.selection import accuracy_of, with_chosen_rate
from sdsim.store.table import config_columns

Passes: TypeAlias = Literal["task", "variant"]
"""Where runs that differ in their passes stand apart, see `rated_runs`."""

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


def with_known_state(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs whose state is measured or stated, for figures that have it on an axis.

    Raises:
        NothingToDraw: if there are none.
    """
    known = runs.filter(pl.col("state_bits").is_not_null())
    if known.is_empty():
        raise NothingToDraw("the size of no model's state is known")
    return known


def chosen_runs(
    table: pl.DataFrame,
    *,
    passes: Passes = "task",
    axes: Sequence[str] = (),
    select: Selection = "validation",
) -> pl.DataFrame:
    """The runs that figures show: every setting at its chosen learning rate.

    Args:
        table: from `sdsim.store.table.load`; a row per run and slice.
        passes, axes: see `rated_runs`.
        select: ``"released"``: instead, of each setting and order the slices of its best run, as a
            run whose seed is null.

    Returns:
        The columns of `rated_runs`; rounding, null here, see `with_quantized`.

    Raises:
        ValueError: if no run is left; also see `rated_runs`.
    """
    runs = rated_runs(table, passes=passes, axes=axes).filter(~pl.col("diverged"))
    if runs.is_empty():
        raise ValueError("every stored run diverged: there is no accuracy to show")
    if select == "released":
        runs = _best_run_of_each_order(runs)
    else:
        runs = runs.filter(pl.col("lr").eq_missing(pl.col("chosen_lr")))
    return runs.with_columns(rounding=pl.lit(None, pl.Int64))


def probed_runs(table: pl.DataFrame, column: str, select: Selection) -> pl.DataFrame:
    """The chosen runs, by passes, of which `sdsim probe` left something in a column of lists.

    Of a table without any, its columns and no row.
    """
    is_probed = pl.col(column).list.len() > 0
    if table.filter(is_probed).is_empty():
        return table.clear()
    return chosen_runs(table, axes=("passes",), select=select).filter(is_probed)


def rated_runs(
    table: pl.DataFrame, *, passes: Passes = "task", axes: Sequence[str] = ()
) -> pl.DataFrame:
    """The runs at all learning rates, and which of the rates is chosen.

    Args:
        table: from `sdsim.store.table.load`; a row per run and slice.
        passes: what the number of passes belongs to: to the task, so that runs that differ in it
            never share a panel; or to the variant of the model, so that they are series of one
            panel.
        axes: settings that the figure itself shows, such as passes on an axis: they belong to
            neither, their columns alone tell runs apart.

    Returns:
        Its rows, without the slices that tell nothing, and with more columns:
        setting, an id that the seeds of a setting share;
        experiment, what tells its task from the others in the table ("" if there is one task);
        variant, what tells its setting from the model's others on this task, sizes apart ("" if
        nothing does);
        lr, null of a streaming algorithm; chosen_lr, the setting's;
        chosen_by, ``"only"`` (no other rate was run), ``"validation"`` or ``"test"``, the examples;
        lr_at_edge, whether the chosen rate is the lowest or highest of several.

    Raises:
        ValueError: if no slice tells anything, or if the slices of a run differ in their examples.
    """
    runs = table.filter(pl.col("chance") < 1)
    if runs.is_empty():
        raise ValueError("every stored slice can be guessed: test with |A| ≥ 2 and |B| ≥ 2")
    if (runs["examples"] != runs["test_examples"]).any():
        raise ValueError("slices can be pooled only if each has test_examples examples")
    # The order of recall is one of the task's options, but a property of the slice as well: both
    # orders are slices of one setting, as they are of one run in set disjointness.
    runs = runs.with_columns(options=pl.col("options").map_elements(_without_order, pl.String))
    runs = runs.with_columns(lr=pl.when(pl.col("machine").is_null()).then("lr"))
    return with_chosen_rate(_with_settings(runs, passes, axes))


def _with_settings(runs: pl.DataFrame, passes: Passes, axes: Sequence[str]) -> pl.DataFrame:
    """The runs with the columns setting, experiment and variant."""
    task = [name for name in TASK if name not in axes and (name != "passes" or passes == "task")]
    setting = [name for name in config_columns() if name not in ("lr", "seed")]
    elsewhere = {"model", "stated_state_bits", *task, *SIZES, *axes}
    variant = [name for name in setting if name not in elsewhere]
    return runs.with_columns(
        setting=pl.col("run_id").first().over(setting),
        # Of tasks of other names, nothing need be said but their names.
        experiment=_joined([*differences(["task"], []), *differences(task[1:], ["task"])]),
        variant=_joined(differences(variant, ["model", *task])),
    )


def differences(columns: Iterable[str], among: list[str]) -> list[pl.Expr]:
    """``name=value`` of the columns that take several values among rows alike in `among`."""

    def part(name: str) -> pl.Expr:
        several = pl.col(name).n_unique()
        if among:
            several = several.over(among)
        text = pl.format(f"{name}={{}}", pl.col(name).cast(pl.String).fill_null("none"))
        return pl.when(several > 1).then(text)

    return [part(name) for name in columns]


def _joined(parts: list[pl.Expr]) -> pl.Expr:
    return pl.concat_str(parts, separator=", ", ignore_nulls=True)


def _best_run_of_each_order(runs: pl.DataFrame) -> pl.DataFrame:
    """Of each setting and order the slices of the run with the best test accuracy on them."""
    accuracy = accuracy_of("correct", "examples").over("setting", "order", "run_id")
    best = pl.col("run_id").sort_by(
        "accuracy_on_order", "lr", "seed", descending=[True, False, False]
    )
    return (
        runs.with_columns(accuracy_on_order=accuracy)
        .filter(pl.col("run_id") == best.first().over("setting", "order"))
        .drop("accuracy_on_order")
        .with_columns(seed=pl.lit(None, pl.Int64), chosen_by=pl.lit("released"))
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


_CHOSEN = {
    "only": "the only one that was run",
    "validation": "best mean accuracy on validation examples",
    "test": "best mean accuracy on the test examples that are shown, as there are no validation "
    "examples, so that it is a little lucky",
}


def provenance_note(table: pl.DataFrame, runs: pl.DataFrame) -> str:
    """How many runs and seeds a figure rests on, in a few sentences for its foot.

    Args:
        table: all runs.
        runs: `chosen_runs` of them.
    """
    used_runs = runs.unique("run_id")
    stored, used = table["run_id"].n_unique(), len(used_runs)
    settings = runs.group_by("setting", maintain_order=True).agg(
        pl.col("seed").n_unique(), pl.col("chosen_by", "lr_at_edge").first()
    )
    diverged = table.filter("diverged")["run_id"].n_unique()
    asked = used_runs.filter(pl.col("converged").is_not_null())
    converged = (
        f" Runs whose accuracy no longer rose when training ended: {asked['converged'].sum()} of "
        f"{len(asked)}."
        if len(asked)
        else ""
    )
    return (
        f"Rests on {used} of {stored} stored runs. Settings: {len(settings)}; "
        f"{_selection_note(settings)} Runs left out because they diverged: {diverged}.{converged}"
    )


def _selection_note(settings: pl.DataFrame) -> str:
    """What of each setting is shown."""
    if "released" in settings["chosen_by"]:
        return (
            "of each, every order shows the run with the best test accuracy on that order, over "
            "all learning rates and seeds, as in the paper's released code: a maximum, higher than "
            "what is to be expected of a run; intervals do not allow for it."
        )
    counts = settings["seed"].unique().sort().to_list()
    seeds = " to ".join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))
    ways = settings.group_by("chosen_by").len().sort("chosen_by").rows()
    chosen = "; ".join(
        _CHOSEN[how] + (f" ({count} settings)" if len(ways) > 1 else "") for how, count in ways
    )
    at_edge = settings["lr_at_edge"].sum()
    edge = f" At the edge of the rates that were tried: {at_edge}." if at_edge else ""
    return f"seeds of each: {seeds}; learning rate: {chosen}.{edge}"
