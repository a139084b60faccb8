"""From the table of runs to the numbers that figures and tables show.

How runs are pooled:

* A *setting* is a config without its learning rate and seed. Its seeds are pooled at one learning
  rate: the one with the best mean accuracy over seeds and slices. (The paper shows the best single
  run over rates and seeds, which rises with the number of seeds tried; a mean does not.)
* A run that diverged (a loss that is not finite) counts in no mean. So that a rate does not win by
  its surviving seeds, rates with a smaller share of diverged runs go first.
* A slice on which guessing is always right (chance 1: one set is a single token, the answer) tells
  nothing about memory and is left out.
* *Short first* pools the slices with |A| < |B|, *long first* those with |A| > |B|, over the same
  pairs of sizes: a slice whose mirror image was not tested is in neither, nor is |A| = |B|. The
  slices of a run have equally many examples, so that adding up counts weighs them equally.
* Intervals are for the pooled test examples, at 95 %: Wilson's for an accuracy, Newcombe's for a
  difference. The spread between seeds is not in them; the gap's standard error over seeds stands
  beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import polars as pl

from figures.drawing import NothingToDraw
from sdsim.store.intervals import difference, wilson
from sdsim.store.table import config_columns

TASK = (
    *("task", "kind", "vocab_size", "options", "passes"),
    *("train_sizes", "test_sizes", "weights", "curriculum"),
)
"""Columns that tell tasks apart; runs on different tasks never share a panel."""

SIZES = ("width", "feature_dim", "budget", "features")
"""Columns that set the size of a model's state: the way along one line of a figure."""

SETTING = ("experiment", "model", "variant", *SIZES, "setting")
"""Columns of `chosen_runs` that are the same for all seeds of a setting."""

ROUNDED = """\
at the separators, with full precision between them (test.quantize: crossings), or after every \
token (steps); their scales are counted, of machines the most bits held at any time."""
"""What is counted as the bits of a rounded state, for the foot of a figure."""

_SLICE = pl.format("{}+{}", "size_a", "size_b")
_SORTED = ("experiment", "model", "variant")


def networks(table: pl.DataFrame) -> pl.DataFrame:
    """The runs of models that were trained."""
    trained = table.filter(pl.col("machine").is_null())
    if trained.is_empty():
        raise NothingToDraw("no model was trained, there are machines alone")
    return trained


def chosen_runs(table: pl.DataFrame, *, across_passes: bool = False) -> pl.DataFrame:
    """The runs that figures show: every setting at its best learning rate.

    Args:
        table: from `sdsim.store.load`; a row per run and slice.
        across_passes: whether the number of passes is a variant of the model, rather than of the
            task: then runs that differ in it share a panel.

    Returns:
        The rows of those runs, without the slices that tell nothing, and with three more columns:
        setting, an id that the seeds of a setting share;
        experiment, what tells its task from the others in the table ("" if there is one task);
        variant, what tells its setting from the model's others on this task, sizes apart ("" if
        nothing does).

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
    task = [name for name in TASK if not (across_passes and name == "passes")]
    # Where names tell all tasks apart, nothing else need be said of them.
    names_suffice = runs.select(pl.struct(task)).n_unique() == runs["task"].n_unique()
    setting = [name for name in config_columns() if name not in ("lr", "seed")]
    variant = [name for name in setting if name not in ("model", *task, *SIZES)]
    best_rate = pl.col("lr").sort_by(
        "rate_diverged", "rate_accuracy", "lr", descending=[False, True, False]
    )
    kept = ~pl.col("diverged")
    runs = (
        runs.with_columns(
            setting=pl.col("run_id").first().over(setting),
            experiment=_differences(["task"] if names_suffice else task, among=[]),
            variant=_differences(variant, among=["model", *task]),
        )
        .with_columns(
            rate_diverged=pl.col("diverged").mean().over("setting", "lr"),
            rate_accuracy=(
                pl.col("correct").filter(kept).sum() / pl.col("examples").filter(kept).sum()
            ).over("setting", "lr"),
        )
        .filter(kept, pl.col("lr") == best_rate.first().over("setting"))
    )
    if runs.is_empty():
        raise ValueError("every stored run diverged: there is no accuracy to show")
    return runs.drop("rate_diverged", "rate_accuracy").with_columns(rounding=pl.lit(None, pl.Int64))


def with_roundings(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs, and each of them again for each number of bits that its state was rounded to.

    Args:
        runs: from `chosen_runs`.

    Returns:
        The same columns; in the added rows `rounding` is that number, and state_bits and correct
        are those of the rounded state.
    """
    rounded = (
        runs.filter(pl.col("quantized").list.len() > 0)
        .explode("quantized")
        .with_columns(
            rounding=pl.col("quantized").struct.field("bits"),
            state_bits=pl.col("quantized").struct.field("state_bits"),
            correct=pl.col("quantized").struct.field("correct"),
        )
        if runs["quantized"].list.len().sum()
        else runs.clear()
    )
    return pl.concat([runs.drop("quantized"), rounded.drop("quantized")], how="vertical_relaxed")


def _without_order(options: str) -> str:
    kept = {name: value for name, value in json.loads(options).items() if name != "order"}
    return json.dumps(kept, sort_keys=True)


def basis(table: pl.DataFrame, runs: pl.DataFrame) -> str:
    """What the chosen runs rest on, in a sentence or two for the foot of a figure.

    Args:
        table: all runs.
        runs: `chosen_runs` of them.
    """
    stored, used = table["run_id"].n_unique(), runs["run_id"].n_unique()
    seeds = runs.group_by("setting").agg(pl.col("seed").n_unique())["seed"].to_list()
    each = f"{min(seeds)}" if min(seeds) == max(seeds) else f"{min(seeds)} to {max(seeds)}"
    diverged = table.filter("diverged")["run_id"].n_unique()
    return (
        f"Rests on {used} of {stored} stored runs: settings: {len(seeds)}, seeds of each: {each}, "
        "at the setting's learning rate with the best mean accuracy. "
        f"Runs left out because they diverged: {diverged}."
    )


def by_slice(runs: pl.DataFrame) -> pl.DataFrame:
    """Accuracy of every setting on every slice, its seeds pooled.

    Args:
        runs: from `chosen_runs`.

    Returns:
        A row per setting, rounding and slice: the columns of `SETTING`, rounding and the slice's
        (task, options, passes, universe_size, size_a, size_b, order, chance, state_bits), seeds,
        examples, correct,
        accuracy with its interval (accuracy_low, accuracy_high), and above_chance: (accuracy -
        chance) / (1 - chance), 0 for guessing and 1 for no error.
    """
    part = (
        "task",
        "options",
        "passes",
        "vocab_size",
        "universe_size",
        "size_a",
        "size_b",
        "order",
        "chance",
    )
    pooled = (
        runs.group_by(*SETTING, "rounding", *part, maintain_order=True)
        .agg(
            pl.col("state_bits").max(),
            pl.col("seed").n_unique().alias("seeds"),
            pl.col("examples", "correct").sum(),
        )
        .sort(*_SORTED, "state_bits", *SIZES, "setting", "rounding", "size_a", "size_b")
    )
    intervals = [wilson(*row) for row in pooled.select("correct", "examples").iter_rows()]
    accuracy = pl.col("correct") / pl.col("examples")
    return pooled.with_columns(
        accuracy=accuracy,
        accuracy_low=pl.Series([low for low, _ in intervals], dtype=pl.Float64),
        accuracy_high=pl.Series([high for _, high in intervals], dtype=pl.Float64),
        above_chance=(accuracy - pl.col("chance")) / (1 - pl.col("chance")),
    )


def by_order(runs: pl.DataFrame, *, each_seed: bool = False) -> pl.DataFrame:
    """Accuracy of every setting with the short set first and with the long set first.

    Args:
        runs: from `chosen_runs`.
        each_seed: a row for each seed instead of one for all seeds of a setting.

    Returns:
        A row per setting (and seed): the columns of `SETTING`, with `each_seed` seed; state_bytes
        (the largest over the slices, where it depends on the length), seeds, sizes
        (the pairs |A|+|B| of the short-first slices), chance (mean over the slices), examples (of
        one order), without `each_seed` gap_standard_error (of the mean gap over seeds; null for one
        seed); short_first, long_first and gap = short_first - long_first, each with _low and
        _high. No row if no slice has a mirror image.
    """
    mirror = runs.select("run_id", size_a="size_b", size_b="size_a")
    keys = (*SETTING, "seed") if each_seed else SETTING
    short = pl.col("order") == "short_first"
    pooled = (
        runs.filter(pl.col("order").is_in(["short_first", "long_first"]))
        .join(mirror, on=["run_id", "size_a", "size_b"], how="semi")
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("state_bytes").max(),
            pl.col("run_id").n_unique().alias("seeds"),
            _SLICE.filter(short).unique(maintain_order=True).str.join(" ").alias("sizes"),
            pl.col("chance").filter(short).mean(),
            pl.col("examples").filter(short).sum(),
            pl.col("correct").filter(short).sum().alias("short"),
            pl.col("correct").filter(~short).sum().alias("long"),
        )
        .sort("experiment", "model", "variant", "state_bytes", *keys[3:])
    )
    if not each_seed:
        spread = (
            by_order(runs, each_seed=True)
            .group_by("setting")
            .agg(gap_standard_error=pl.col("gap").std() / pl.len().sqrt())
        )
        pooled = pooled.join(spread, on="setting", how="left", maintain_order="left")
    measured = [_order_row(*row) for row in pooled.select("examples", "short", "long").iter_rows()]
    columns = dict.fromkeys(_order_row(1, 1, 1), pl.Float64)
    return pooled.drop("short", "long").hstack(pl.DataFrame(measured, schema=columns))


def summary_table(table: pl.DataFrame) -> pl.DataFrame:
    """Memory against order in numbers, for people: a row per setting of a network.

    Args:
        table: from `sdsim.store.load`.

    Returns:
        Columns model (with its variant), width, feature_dim, state_bytes, seeds,
        accuracy_short_first, accuracy_long_first, gap (short - long), gap_low, gap_high,
        error_over_seeds (the standard error of the gap's mean over seeds; null for one seed),
        sorted by model, then state; before them experiment, if the table holds several tasks.
        Where no slice was tested along with its mirror image, a row per setting (machines too) and
        order instead: order, state_bits, seeds, chance, accuracy, accuracy_low, accuracy_high.

    Raises:
        ValueError: see `chosen_runs`.
    """
    trained = table.filter(pl.col("machine").is_null())
    orders = by_order(chosen_runs(trained)) if len(trained) else trained
    name = pl.concat_str("model", "variant", separator=" ").str.strip_chars_end().alias("model")
    if orders.is_empty():
        runs = chosen_runs(table)
        measured = ("accuracy", "accuracy_low", "accuracy_high")
        return _shown(
            by_slice(runs).select(
                *("experiment", name, *SIZES, "size_a", "size_b", "order"),
                *("state_bits", "seeds", "chance", *measured),
            )
        )
    pooled = orders.select(
        "experiment",
        name,
        *SIZES,
        "state_bytes",
        "seeds",
        pl.col("short_first").alias("accuracy_short_first"),
        pl.col("long_first").alias("accuracy_long_first"),
        *("gap", "gap_low", "gap_high"),
        pl.col("gap_standard_error").alias("error_over_seeds"),
    )
    return _shown(pooled)


def _shown(pooled: pl.DataFrame) -> pl.DataFrame:
    """Without the columns that say nothing here."""
    empty = [name for name in SIZES if pooled[name].is_null().all()]
    same = [] if pooled["experiment"].n_unique() > 1 else ["experiment"]
    return pooled.drop(*empty, *same)


def _differences(columns: Iterable[str], *, among: list[str]) -> pl.Expr:
    """``name=value`` of the columns that take several values among rows alike in `among`."""

    def part(name: str) -> pl.Expr:
        several = pl.col(name).n_unique()
        if among:
            several = several.over(among)
        text = pl.format(f"{name}={{}}", pl.col(name).cast(pl.String).fill_null("none"))
        return pl.when(several > 1).then(text)

    return pl.concat_str([part(name) for name in columns], separator=", ", ignore_nulls=True)


def _order_row(examples: int, short: int, long: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, share, (low, high) in (
        ("short_first", short / examples, wilson(short, examples)),
        ("long_first", long / examples, wilson(long, examples)),
        ("gap", (short - long) / examples, difference(short, examples, long, examples)),
    ):
        row |= {name: share, f"{name}_low": low, f"{name}_high": high}
    return row
