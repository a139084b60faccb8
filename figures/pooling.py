"""Accuracies of chosen runs: seeds pooled slice by slice, and slices pooled by order.

* *Short first* pools the slices with |A| < |B|, *long first* those with |A| > |B|, over the same
  pairs of sizes: a slice whose mirror image was not tested is in neither, nor is |A| = |B|. The
  slices of a run have equally many examples, so that adding up counts weighs them equally.
* Intervals are of the mean over seeds, at 95 %, and hold the examples' part, see
  `sdsim.store.intervals`; of one seed they are of the examples alone. Differences are paired by
  seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from figures.runs import SERIES, SIZES
from sdsim.store.intervals import (
    LEAST_SEEDS,
    Counts,
    Interval,
    accuracy_interval,
    difference_interval,
)

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


def pool(runs: pl.DataFrame, keys: Sequence[str], *described: pl.Expr) -> pl.DataFrame:
    """Accuracy of the runs that are alike in some columns, slices added up and seeds pooled.

    Args:
        runs: from `chosen_runs`, `rated_runs` or `with_quantized`.
        keys: the columns.
        described: what else to say of each group.

    Returns:
        A row per group, in order of appearance: keys, described, the columns of `of_seeds`,
        examples, correct, accuracy, accuracy_low and accuracy_high.
    """
    counts = by_seed(runs, keys, pl.col("examples", "correct").sum())
    pooled = of_seeds(counts, keys, "examples", "correct")
    measured = with_accuracy(pooled, "accuracy", "correct", "examples").with_columns(
        pl.col("examples", "correct").list.sum()
    )
    return _described(runs, keys, *described).join(
        measured, on=keys, nulls_equal=True, maintain_order="left"
    )


def _described(runs: pl.DataFrame, keys: Sequence[str], *described: pl.Expr) -> pl.DataFrame:
    return runs.group_by(keys, maintain_order=True).agg(*described)


def by_seed(runs: pl.DataFrame, keys: Sequence[str], *counts: pl.Expr) -> pl.DataFrame:
    """A row per group and seed: keys, seed, counts, lr (null: several), lr_at_edge, converged."""
    return runs.group_by(*dict.fromkeys([*keys, "seed"]), maintain_order=True).agg(
        *counts,
        pl.when(pl.col("lr").n_unique() == 1).then(pl.col("lr").first()).alias("lr"),
        pl.col("lr_at_edge").any(),
        pl.col("converged").all(ignore_nulls=False),
    )


def of_seeds(counts: pl.DataFrame, keys: Sequence[str], *columns: str) -> pl.DataFrame:
    """The rows of `by_seed`, pooled.

    Returns:
        A row per group: keys; some columns, as lists over its seeds; seeds, their number;
        enough_seeds, whether these are enough for a verdict; converged, how many of them have
        (null: not known of all); lr and lr_at_edge, as in `rated_runs`.
    """
    known = pl.col("converged").is_not_null().all()
    return counts.group_by(keys, maintain_order=True).agg(
        *columns,
        pl.len().alias("seeds"),
        (pl.len() >= LEAST_SEEDS).alias("enough_seeds"),
        pl.when(known).then(pl.col("converged").sum()).alias("converged"),
        pl.col("lr", "lr_at_edge").first(),
    )


def with_accuracy(pooled: pl.DataFrame, name: str, correct: str, examples: str) -> pl.DataFrame:
    """The rows with an accuracy and its interval: name, <name>_low and <name>_high.

    Args:
        pooled: from `of_seeds`.
        name: of the new column.
        correct, examples: columns of counts, lists over seeds.
    """
    intervals = [accuracy_interval(seeds) for seeds in _counts(pooled, correct, examples)]
    return pooled.with_columns(_share(correct, examples).alias(name), *_ends(name, intervals))


def with_difference(
    pooled: pl.DataFrame, name: str, first: tuple[str, str], second: tuple[str, str]
) -> pl.DataFrame:
    """The rows with a difference of two accuracies, paired by seed, and its interval.

    Args:
        pooled, name: as in `with_accuracy`.
        first, second: the columns correct and examples of each accuracy.
    """
    pairs = zip(_counts(pooled, *first), _counts(pooled, *second), strict=True)
    intervals = [difference_interval(*pair) for pair in pairs]
    gap = _share(*first) - _share(*second)
    return pooled.with_columns(gap.alias(name), *_ends(name, intervals))


def _counts(pooled: pl.DataFrame, correct: str, examples: str) -> list[list[Counts]]:
    rows = zip(pooled[correct].to_list(), pooled[examples].to_list(), strict=True)
    return [list(zip(*row, strict=True)) for row in rows]


def _share(correct: str, examples: str) -> pl.Expr:
    return pl.col(correct).list.sum() / pl.col(examples).list.sum()


def _ends(name: str, intervals: Sequence[Interval]) -> list[pl.Series]:
    return [
        pl.Series(f"{name}_{end}", [interval[place] for interval in intervals], pl.Float64)
        for place, end in enumerate(("low", "high"))
    ]


def by_slice(runs: pl.DataFrame) -> pl.DataFrame:
    """Accuracy of every setting on every slice, its seeds pooled.

    Args:
        runs: from `chosen_runs` or `with_quantized`.

    Returns:
        A row per setting, rounding and slice. Of the setting: experiment, model, variant, width,
        feature_dim, budget, features, setting; rounding; of the slice: task, options, passes,
        vocab_size, universe_size, size_a, size_b, order, chance, last_set_chance, state_bits;
        then what `pool` has, and above_chance: (accuracy - chance) / (1 - chance), 0 for guessing
        and 1 for no error.
    """
    pooled = pool(runs, (*_SETTING, "rounding", *_SLICE), pl.col("state_bits").max()).sort(
        *SERIES, "state_bits", *SIZES, "setting", "rounding", "size_a", "size_b"
    )
    above_chance = (pl.col("accuracy") - pl.col("chance")) / (1 - pl.col("chance"))
    return pooled.with_columns(above_chance=above_chance)


def by_order(runs: pl.DataFrame, *, each_seed: bool = False) -> pl.DataFrame:
    """Accuracy of every setting with the short set first and with the long set first.

    Args:
        runs: from `chosen_runs`.
        each_seed: a row for each seed instead of one for all seeds of a setting.

    Returns:
        A row per setting (and seed): experiment, model, variant, width, feature_dim, budget,
        features, setting, with `each_seed` seed; state_bytes (the largest over the slices, where it
        depends on the length), steps_done (mean over the runs), sizes (the pairs |A|+|B| of the
        short-first slices), chance (mean over the slices), last_set_short_first,
        last_set_long_first; seeds, enough_seeds, converged, lr and lr_at_edge, as in `of_seeds`;
        examples (of one order); short_first, long_first and gap = short_first - long_first, each
        with _low and _high. No row if no slice has a mirror image.
    """
    of_run = ("setting", "seed")
    mirror = runs.select(*of_run, size_a="size_b", size_b="size_a")
    mirrored = runs.filter(pl.col("order").is_in(["short_first", "long_first"])).join(
        mirror, on=[*of_run, "size_a", "size_b"], how="semi", nulls_equal=True
    )
    keys = (*_SETTING, "seed") if each_seed else _SETTING
    short = pl.col("order") == "short_first"
    sizes = pl.format("{}+{}", "size_a", "size_b")
    described = _described(
        mirrored,
        keys,
        pl.col("state_bytes").max(),
        pl.col("steps_done").mean(),
        sizes.filter(short).unique(maintain_order=True).str.join(" ").alias("sizes"),
        pl.col("chance").filter(short).mean(),
        pl.col("last_set_chance").filter(short).mean().alias("last_set_short_first"),
        pl.col("last_set_chance").filter(~short).mean().alias("last_set_long_first"),
    )
    counts = by_seed(
        mirrored,
        keys,
        pl.col("examples").filter(short).sum(),
        pl.col("correct").filter(short).sum().alias("short"),
        pl.col("correct").filter(~short).sum().alias("long"),
    )
    pooled = of_seeds(counts, keys, "examples", "short", "long")
    for name, correct in (("short_first", "short"), ("long_first", "long")):
        pooled = with_accuracy(pooled, name, correct, "examples")
    pooled = with_difference(pooled, "gap", ("short", "examples"), ("long", "examples"))
    measured = pooled.with_columns(pl.col("examples").list.sum()).drop("short", "long")
    return described.join(measured, on=keys, nulls_equal=True, maintain_order="left").sort(
        *SERIES, "state_bytes", *keys[len(SERIES) :]
    )
