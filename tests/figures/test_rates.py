"""Which learning rate is shown, and the figure of all that were run."""

import polars as pl
import pytest

from figures import rates
from figures.bits import points
from figures.drawing import NothingToDraw
from figures.passes import gains
from figures.pooling import by_order, by_slice
from figures.runs import chosen_runs, provenance_note, rated_runs
from figures.summary import summary_table
from sdsim.store.intervals import difference, wilson
from sdsim.store.table import load


def pair(short, long=None):
    return {(2, 4): short, (4, 2): short if long is None else long}


def test_validation_chooses_and_test_is_shown(store, write_run):
    for lr, test, validation in ((1e-3, 9, 5), (2e-3, 6, 7), (4e-3, 8, 6)):
        for seed in (0, 1):
            write_run(pair(test), lr=lr, seed=seed, validation=pair(validation + seed))
    table = load(store)
    runs = chosen_runs(table)
    assert runs["lr"].unique().to_list() == [2e-3]
    assert by_order(runs)["short_first"].to_list() == [0.6]
    assert "best mean accuracy on validation examples" in provenance_note(table, runs)
    assert "edge" not in provenance_note(table, runs)


def test_without_validation_test_accuracy_chooses_and_that_is_said(store, write_run):
    for lr, test in ((1e-3, 5), (2e-3, 8), (4e-3, 6)):
        write_run(pair(test), lr=lr)
    write_run(pair(3), width=16)
    table = load(store)
    runs = chosen_runs(table)
    assert by_order(runs)["short_first"].to_list() == [0.8, 0.3]
    note = provenance_note(table, runs)
    assert "the only one that was run (1 settings); best mean accuracy on the test examples" in note
    assert "lucky (1 settings)" in note


def test_a_setting_is_validated_by_all_of_its_runs(store, write_run):
    """Runs with and without validation examples are settings of their own."""
    write_run(pair(9), lr=1e-3, validation=pair(1))
    write_run(pair(5), lr=2e-3, validation=pair(9))
    write_run(pair(7), lr=1e-3)
    write_run(pair(6), lr=2e-3)
    chosen = chosen_runs(load(store)).select("variant", "lr", "chosen_by").unique().sort("variant")
    assert chosen.rows() == [
        ("validation_examples=0", 1e-3, "test"),
        ("validation_examples=10", 2e-3, "validation"),
    ]


def test_a_best_rate_at_the_edge_of_the_grid_is_said_to_be(store, write_run):
    for width, accuracies in ((8, (9, 5, 2)), (16, (2, 9, 5)), (32, (2, 5, 9))):
        for lr, right in zip((1e-3, 2e-3, 4e-3), accuracies, strict=True):
            write_run(pair(right), width=width, lr=lr)
    table = load(store)
    assert by_order(chosen_runs(table))["lr_at_edge"].to_list() == [True, False, True]
    drawing = rates.draw(table)
    assert "At the edge of the rates that were tried: 2." in drawing.figure.get_supxlabel()
    (ax, *_) = drawing.figure.axes
    arrows = [(text.xy[0], text.get_position()[0] > 0) for text in ax.texts]
    assert arrows == [(1e-3, False), (4e-3, True)]


def test_released_shows_each_order_its_best_run(store, write_run):
    for lr, seed, short, long in (
        (1e-3, 0, 4, 9),
        (1e-3, 1, 7, 2),
        (2e-3, 0, 8, 3),
        (2e-3, 1, 1, 1),
    ):
        write_run(pair(short, long), lr=lr, seed=seed, validation=pair(5))
    table = load(store)
    runs = chosen_runs(table, select="released")
    (row,) = by_order(runs).iter_rows(named=True)
    assert (row["short_first"], row["long_first"]) == (0.8, 0.9)
    assert (row["seeds"], row["enough_seeds"], row["lr"]) == (1, False, None)
    assert (row["gap_low"], row["gap_high"]) == difference(8, 10, 9, 10)
    assert by_slice(runs)["accuracy_low"].to_list() == [wilson(8, 10)[0], wilson(9, 10)[0]]
    assert points(runs)["accuracy"].to_list() == [0.9, 0.8]
    note = provenance_note(table, runs)
    assert "as in the paper's released code: a maximum" in note
    assert "2 of 4 stored runs" in note
    with pytest.raises(NothingToDraw, match="each order"):
        rates.draw(table, select="released")


def test_released_leaves_out_runs_that_diverged_and_keeps_passes_apart(store, write_run):
    write_run(pair(10), diverged=True)
    for passes, right in ((1, 4), (2, 6)):
        write_run(pair(right), seed=1, passes=passes)
        write_run(pair(right - 1), seed=2, passes=passes)
    runs = chosen_runs(load(store), axes=("passes",), select="released")
    gained = gains(runs).filter(order="short_first", passes=2)
    assert gained.select("accuracy", "gain").row(0) == pytest.approx((0.6, 0.2))


def test_every_rate_is_a_row_also_where_runs_diverged(store, write_run):
    write_run(pair(5), lr=1e-3, validation=pair(6))
    write_run(pair(8), lr=2e-3, validation=pair(7))
    write_run(pair(8), lr=4e-3, seed=1, validation=pair(9))
    write_run(pair(0), lr=4e-3, diverged=True, validation=pair(0))
    write_run(pair(0), lr=8e-3, diverged=True, validation=pair(0))
    write_run(pair(9), width=16)  # one rate is no grid
    write_run({(2, 4): 10, (4, 2): 10}, budget=24)
    table = load(store)
    rows = rates.by_rate(rated_runs(table)).select(
        "rate", "diverged", "validation_accuracy", "accuracy", "chosen"
    )
    assert rows.rows() == [
        (1e-3, 0, 0.6, 0.5, False),
        (2e-3, 0, 0.7, 0.8, True),
        (4e-3, 1, 0.9, 0.8, False),
        (8e-3, 1, None, None, False),
    ]
    row = summary_table(table).filter(width=8).row(0, named=True)
    assert row["lr"] == 2e-3
    assert row["rates"] == "0.001 0.5, 0.002 0.8*, 0.004 0.8, 0.008 diverged"
    figure = rates.draw(table).figure
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert crosses[0].get_xdata().tolist() == [4e-3, 8e-3]
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 8]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == [(2e-3, 0.8), ()]


@pytest.mark.parametrize("validated", [True, False])
def test_no_panel_has_more_than_six_lines(store, write_run, validated):
    for width in range(8, 15):
        for lr in (1e-3, 2e-3):
            write_run(pair(5), width=width, lr=lr, validation=pair(5) if validated else None)
    drawing = rates.draw(load(store))
    drawn = [ax for ax in drawing.figure.axes if ax.get_legend() is not None]
    lines = [
        sum(line.get_linestyle() != "None" and len(line.get_xdata()) > 0 for line in ax.lines)
        for ax in drawn
    ]
    assert 4 <= max(lines) <= 6
    sizes = sorted(text.get_text() for ax in drawn for text in ax.get_legend().get_texts())
    assert sizes == sorted(f"{4 * width} B" for width in range(8, 15))
    assert drawing.data["validation_accuracy"].is_null().all() == (not validated)


def test_budgets_are_told_apart_in_bits(store, write_run):
    for numbers in (4, 6):
        for lr in (1e-3, 2e-3):
            write_run(pair(5), numbers=numbers, lr=lr)
    (ax,) = [ax for ax in rates.draw(load(store)).figure.axes if ax.get_legend() is not None]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["4 bits", "6 bits"]


def test_one_rate_is_no_figure(store, write_run):
    write_run(pair(5))
    with pytest.raises(NothingToDraw, match="two learning rates"):
        rates.draw(load(store))


def test_the_rows_of_rated_runs_are_those_of_the_table(store, write_run):
    for lr in (1e-3, 2e-3):
        write_run(pair(5), lr=lr)
    write_run(pair(10), budget=24)
    table = load(store)
    rated = rated_runs(table)
    assert len(rated) == len(table)
    assert rated.filter(pl.col("machine").is_not_null())["lr"].to_list() == [None, None]
