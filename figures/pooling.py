"""Accuracies of chosen runs: seeds pooled slice by slice, and slices pooled by order.

* *Short first* pools the slices with |A| < |B|, *long first* those with |A| > |B|, over the same
  pairs of sizes: a slice whose mirror image was not tested is in neither, nor is |A| = |B|. The
  slices of a run have equally many examples, so that adding up counts weighs them equally.
* Intervals are for the pooled test examples, at 95 %: Wilson's for an accuracy, Newcombe's for a
  difference. The spread between seeds is not in them; the gap's standard error over seeds stands
  beside it.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from figures.runs import SERIES, SIZES
from sdsim.store.intervals import difference, wilson

_SETTING = (*SERIES, *SIZES, "setting")
_SLICE = (
    "task",
    "options",
    "passes",
    "vocab_size",
    "universe_size",
    "size_a",
    "size_b",
    "order",
    "chance",
    "last_set_chance",
)


_CONVERGED = (
    pl.when(pl.col("converged").is_not_null().all())
    .then(pl.col("run_id").filter("converged").n_unique())
    .alias("converged")
)
"""How many runs of a group have converged; null where that is not known of all."""


def with_accuracy(pooled: pl.DataFrame) -> pl.DataFrame:
    """A table of counts with accuracy = correct / examples, accuracy_low and accuracy_high."""
    intervals = [wilson(*counts) for counts in pooled.select("correct", "examples").iter_rows()]
    return pooled.with_columns(
        accuracy=pl.col("correct") / pl.col("examples"),
        accuracy_low=pl.Series([low for low, _ in intervals], dtype=pl.Float64),
        accuracy_high=pl.Series([high for _, high in intervals], dtype=pl.Float64),
    )


def by_slice(runs: pl.DataFrame) -> pl.DataFrame:
    """Accuracy of every setting on every slice, its seeds pooled.

    Args:
        runs: from `chosen_runs` or `with_quantized`.

    Returns:
        A row per setting, rounding and slice. Of the setting: experiment, model, variant, width,
        feature_dim, budget, features, setting; rounding; of the slice: task, options, passes,
        vocab_size, universe_size, size_a, size_b, order, chance, last_set_chance, state_bits;
        seeds, examples, correct, accuracy with its interval (accuracy_low, accuracy_high), and
        above_chance: (accuracy - chance) / (1 - chance), 0 for guessing and 1 for no error.
    """
    pooled = (
        runs.group_by(*_SETTING, "rounding", *_SLICE, maintain_order=True)
        .agg(
            pl.col("state_bits").max(),
            pl.col("seed").n_unique().alias("seeds"),
            pl.col("examples", "correct").sum(),
        )
        .sort(*SERIES, "state_bits", *SIZES, "setting", "rounding", "size_a", "size_b")
    )
    above_chance = (pl.col("accuracy") - pl.col("chance")) / (1 - pl.col("chance"))
    return with_accuracy(pooled).with_columns(above_chance=above_chance)


def by_order(runs: pl.DataFrame, *, each_seed: bool = False) -> pl.DataFrame:
    """Accuracy of every setting with the short set first and with the long set first.

    Args:
        runs: from `chosen_runs`.
        each_seed: a row for each seed instead of one for all seeds of a setting.

    Returns:
        A row per setting (and seed): experiment, model, variant, width, feature_dim, budget,
        features, setting, with `each_seed` seed; state_bytes (the largest over the slices, where it
        depends on the length), seeds, converged (how many of them have; null: not
        known), sizes (the pairs |A|+|B| of the short-first slices), chance (mean over the slices),
        examples (of one order), without `each_seed` gap_standard_error (of the mean gap over seeds;
        null for one seed); short_first, long_first and gap = short_first - long_first, each with
        _low and _high. No row if no slice has a mirror image.
    """
    mirror = runs.select("run_id", size_a="size_b", size_b="size_a")
    keys = (*_SETTING, "seed") if each_seed else _SETTING
    short = pl.col("order") == "short_first"
    sizes = pl.format("{}+{}", "size_a", "size_b")
    pooled = (
        runs.filter(pl.col("order").is_in(["short_first", "long_first"]))
        .join(mirror, on=["run_id", "size_a", "size_b"], how="semi")
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("state_bytes").max(),
            pl.col("run_id").n_unique().alias("seeds"),
            _CONVERGED,
            sizes.filter(short).unique(maintain_order=True).str.join(" ").alias("sizes"),
            pl.col("chance").filter(short).mean(),
            pl.col("last_set_chance").filter(short).mean().alias("last_set_short_first"),
            pl.col("last_set_chance").filter(~short).mean().alias("last_set_long_first"),
            pl.col("examples").filter(short).sum(),
            pl.col("correct").filter(short).sum().alias("short"),
            pl.col("correct").filter(~short).sum().alias("long"),
        )
        .sort(*SERIES, "state_bytes", *keys[len(SERIES) :])
    )
    if not each_seed:
        spread = (
            by_order(runs, each_seed=True)
            .group_by("setting")
            .agg(gap_standard_error=pl.col("gap").std() / pl.len().sqrt())
        )
        pooled = pooled.join(spread, on="setting", how="left", maintain_order="left")
    counts = pooled.select("examples", "short", "long").iter_rows()
    measured = [_accuracies(*row) for row in counts]
    columns = dict.fromkeys(_accuracies(1, 1, 1), pl.Float64)
    return pooled.drop("short", "long").hstack(pl.DataFrame(measured, schema=columns))


def _accuracies(examples: int, short: int, long: int) -> dict[str, Any]:
    """Both accuracies and their gap with intervals, from the right answers in each order."""
    row: dict[str, Any] = {}
    for name, value, (low, high) in (
        ("short_first", short / examples, wilson(short, examples)),
        ("long_first", long / examples, wilson(long, examples)),
        ("gap", (short - long) / examples, difference(short, examples, long, examples)),
    ):
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row
