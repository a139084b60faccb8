"""The table of a store that `sdsim figures` prints."""

from __future__ import annotations

import polars as pl

from figures.pooling import by_order, by_slice
from figures.rates import by_rate
from figures.runs import SIZES, chosen_runs, rated_runs
from sdsim.config import Selection


def summary_table(table: pl.DataFrame, *, select: Selection = "validation") -> pl.DataFrame:
    """Memory against order in numbers, for people: a row per setting of a network.

    Args:
        table: from `sdsim.store.table.load`.
        select: see `chosen_runs`.

    Returns:
        Columns model (with its variant), width, feature_dim, state_bytes, seeds, verdict (whether
        these are enough for one), converged (how many of them have; missing where no run was
        asked), lr (the chosen one), rates (accuracy at each rate that was tried, * at the chosen
        one; missing where no setting has several), accuracy_short_first, accuracy_long_first and
        gap (short - long), each with its interval, sorted by model, then state; before them
        experiment, if the table holds several tasks.
        Where no slice was tested along with its mirror image, a row per setting (streaming
        algorithms too) and order instead: order, state_bits, seeds, verdict, lr, rates, chance,
        last_set_chance, accuracy, accuracy_low, accuracy_high.

    Raises:
        ValueError: see `chosen_runs`.
    """
    trained = table.filter(pl.col("machine").is_null())
    orders = by_order(chosen_runs(trained, select=select)) if len(trained) else trained
    verdict = pl.when("enough_seeds").then(pl.lit("yes")).otherwise(pl.lit("no")).alias("verdict")
    name = pl.concat_str("model", "variant", separator=" ").str.strip_chars_end().alias("model")
    if orders.is_empty():
        slices = by_slice(chosen_runs(table, select=select)).join(
            _rates(table), on="setting", how="left", maintain_order="left"
        )
        return _telling_columns(
            slices.select(
                "experiment",
                name,
                *SIZES,
                "size_a",
                "size_b",
                "order",
                "state_bits",
                "seeds",
                verdict,
                "lr",
                "rates",
                "chance",
                "last_set_chance",
                "accuracy",
                "accuracy_low",
                "accuracy_high",
            )
        )
    ends = ("", "_low", "_high")
    return _telling_columns(
        orders.join(_rates(trained), on="setting", how="left", maintain_order="left").select(
            "experiment",
            name,
            *SIZES,
            "state_bytes",
            "seeds",
            verdict,
            "converged",
            "lr",
            "rates",
            *[
                pl.col(f"{order}{end}").alias(f"accuracy_{order}{end}")
                for order in ("short_first", "long_first")
                for end in ends
            ],
            *[f"gap{end}" for end in ends],
        )
    )


def _rates(table: pl.DataFrame) -> pl.DataFrame:
    """Of each setting that was run at several learning rates, its accuracy at each of them."""
    star = pl.when("chosen").then(pl.lit("*")).otherwise(pl.lit(""))
    accuracy = (
        pl.when(pl.col("accuracy").is_null())
        .then(pl.lit("diverged"))
        .otherwise(pl.col("accuracy").round(2).cast(pl.String))
    )
    return (
        by_rate(rated_runs(table))
        .group_by("setting", maintain_order=True)
        .agg(pl.format("{} {}{}", "rate", accuracy, star).str.join(", ").alias("rates"))
    )


def _telling_columns(pooled: pl.DataFrame) -> pl.DataFrame:
    """Without the columns that say nothing here."""
    sizes = [name for name in SIZES if not set(pooled[name]) - {None, 0, "[]"}]
    optional = [name for name in ("converged", "lr", "rates") if name in pooled.columns]
    empty = [name for name in optional if pooled[name].is_null().all()]
    same = [] if pooled["experiment"].n_unique() > 1 else ["experiment"]
    return pooled.drop(*sizes, *empty, *same)
