"""Which learning rate of those that were tried is chosen."""

from __future__ import annotations

import polars as pl


def with_chosen_rate(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs of a store with the rate that is chosen of each setting.

    Rates with a smaller fraction of diverged runs go first, then accuracy decides, over those that
    did not diverge: on validation examples, or on test examples where there are no others.

    Args:
        runs: from `sdsim.store.table.load`, with a column setting, which runs share that differ in
            learning rate and seed alone.

    Returns:
        Its rows with more columns: chosen_lr; chosen_by, ``"only"`` (no other rate was run),
        ``"validation"`` or ``"test"``, the examples; lr_at_edge, whether the chosen rate is the
        lowest or highest of several.
    """
    validated = pl.col("validation_correct").is_not_null().all().over("setting")
    on_validation = accuracy_of("validation_correct", "validation_examples").over("setting", "lr")
    on_test = accuracy_of("correct", "examples").over("setting", "lr")
    best = pl.col("lr").sort_by(
        "rate_diverged", "rate_accuracy", "lr", descending=[False, True, False]
    )
    lowest, highest = (end.over("setting") for end in (pl.col("lr").min(), pl.col("lr").max()))
    several = (lowest < highest).fill_null(False)
    return (
        runs.with_columns(
            rate_diverged=pl.col("diverged").mean().over("setting", "lr"),
            rate_accuracy=pl.when(validated).then(on_validation).otherwise(on_test),
        )
        .with_columns(
            chosen_lr=best.first().over("setting"),
            chosen_by=pl.when(~several)
            .then(pl.lit("only"))
            .otherwise(pl.when(validated).then(pl.lit("validation")).otherwise(pl.lit("test"))),
        )
        .with_columns(
            lr_at_edge=several
            & ((pl.col("chosen_lr") == lowest) | (pl.col("chosen_lr") == highest))
        )
        .drop("rate_diverged", "rate_accuracy")
    )


def accuracy_of(correct: str, examples: str) -> pl.Expr:
    """Right answers over examples, two columns, of the runs that did not diverge."""
    right, drawn = (pl.col(name).filter(~pl.col("diverged")).sum() for name in (correct, examples))
    return right / drawn
