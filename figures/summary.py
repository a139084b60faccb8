"""The table of a store that `sdsim figures` prints."""

from __future__ import annotations

import polars as pl

from figures.pooling import by_order, by_slice
from figures.runs import SIZES, chosen_runs


def summary_table(table: pl.DataFrame) -> pl.DataFrame:
    """Memory against order in numbers, for people: a row per setting of a network.

    Args:
        table: from `sdsim.store.table.load`.

    Returns:
        Columns model (with its variant), width, feature_dim, state_bytes, seeds, converged (how
        many of these have; missing where no run was asked), accuracy_short_first,
        accuracy_long_first, gap (short - long), gap_low, gap_high, error_over_seeds (the standard
        error of the gap's mean over seeds; null for one seed), sorted by model, then state; before
        them experiment, if the table holds several tasks.
        Where no slice was tested along with its mirror image, a row per setting (streaming
        algorithms too) and order instead: order, state_bits, seeds, chance, last_set_chance,
        accuracy, accuracy_low, accuracy_high.

    Raises:
        ValueError: see `chosen_runs`.
    """
    trained = table.filter(pl.col("machine").is_null())
    orders = by_order(chosen_runs(trained)) if len(trained) else trained
    name = pl.concat_str("model", "variant", separator=" ").str.strip_chars_end().alias("model")
    if orders.is_empty():
        slices = by_slice(chosen_runs(table)).select(
            "experiment",
            name,
            *SIZES,
            "size_a",
            "size_b",
            "order",
            "state_bits",
            "seeds",
            "chance",
            "last_set_chance",
            "accuracy",
            "accuracy_low",
            "accuracy_high",
        )
        return _telling_columns(slices)
    pooled = orders.select(
        "experiment",
        name,
        *SIZES,
        "state_bytes",
        "seeds",
        "converged",
        pl.col("short_first").alias("accuracy_short_first"),
        pl.col("long_first").alias("accuracy_long_first"),
        "gap",
        "gap_low",
        "gap_high",
        pl.col("gap_standard_error").alias("error_over_seeds"),
    )
    return _telling_columns(pooled)


def _telling_columns(pooled: pl.DataFrame) -> pl.DataFrame:
    """Without the columns that say nothing here."""
    optional = [name for name in (*SIZES, "converged") if name in pooled.columns]
    empty = [name for name in optional if pooled[name].is_null().all()]
    same = [] if pooled["experiment"].n_unique() > 1 else ["experiment"]
    return pooled.drop(*empty, *same)
