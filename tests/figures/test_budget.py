"""Accuracy within a budget of bits, and the bits that an accuracy takes."""

from math import isfinite

import pytest

from figures import budget
from figures.drawing import NothingToDraw
from sdsim.store.intervals import accuracy_interval
from sdsim.store.table import load
from theory import bitmap_search_accuracy, one_pass_search_bits, search_bits

SIZES = ((2, 6), (4, 4), (6, 2))
ACCURACIES = {(2, 6): (20, 60, 100), (4, 4): (40, 70, 100), (6, 2): (50, 60, 90)}


def write_all(write_run, **changes):
    for sizes in SIZES:
        for numbers, right in zip((4, 8, 16), ACCURACIES[sizes], strict=True):
            for seed in (0, 1):
                write_run(
                    {sizes: right},
                    numbers=numbers,
                    seed=seed,
                    examples=100,
                    vocab_size=20,
                    **changes,
                )


def test_bits_are_read_off_between_two_budgets(store, write_run):
    write_all(write_run)
    drawing = budget.draw_needed(load(store))
    rows = {(row["size_a"], row["size_b"]): row for row in drawing.data.iter_rows(named=True)}
    short = rows[2, 6]
    floor = 1 / 6  # naming any token of B
    assert short["target"] == pytest.approx(floor + 0.9 * (1 - floor))
    share = (short["target"] - 0.6) / 0.4
    assert short["bits"] == pytest.approx(8 * 2**share)
    _, slices = budget.budgeted(load(store), "validation")
    singles = budget.needed(slices).filter(size_a=2)["single"].to_list()
    assert singles == [pytest.approx([short["bits"]] * 2)]
    assert short["proved"] == pytest.approx(search_bits(16, 2, 6, 1 - short["target"]))
    assert short["stored"] == one_pass_search_bits(16, 2, 6)
    assert short["ratio"] == pytest.approx(short["bits"] / short["proved"])
    long = rows[6, 2]
    assert long["target"] == pytest.approx(0.95)
    assert (long["bits"], long["largest"], long["ratio"]) == (None, 16, None)
    (ax,) = [ax for ax in drawing.figure.axes if ax.get_title()]
    assert ax.get_title() == "GRU\nn = 16, |A| + |B| = 8"
    (line,) = [line for line in ax.lines if line.get_label() == "Read once"]
    assert [isfinite(bits) for bits in line.get_ydata()] == [True, True, False]


def test_an_interval_of_bits_is_where_those_of_accuracy_reach_the_target(store, write_run):
    write_all(write_run)
    drawing = budget.draw_needed(load(store))
    rows = {row["size_a"]: row for row in drawing.data.iter_rows(named=True)}
    target = rows[2]["target"]
    ends = [accuracy_interval([(right, 100)] * 2) for right in ACCURACIES[2, 6]]
    for end, name in ((1, "bits_low"), (0, "bits_high")):
        below, above = ends[1][end], ends[2][end]
        share = (target - below) / (above - below)
        assert rows[2][name] == pytest.approx(8 * 2**share)
    assert rows[6]["bits_low"] == rows[6]["bits_high"] is None  # not even 16 bits are enough
    (ax,) = [ax for ax in drawing.figure.axes if ax.get_title()]
    drawn = [path.vertices.tolist() for lines in ax.collections[1:] for path in lines.get_paths()]
    assert [[2, rows[2]["bits_low"]], [2, rows[2]["bits_high"]]] in drawn
    assert {row["seeds"] for row in rows.values()} == {2}
    assert "Pale: fewer than 5 seeds" in " ".join(drawing.figure._supxlabel.get_text().split())


def test_readings_are_lines_and_models_are_panels(store, write_run):
    write_all(write_run)
    write_all(write_run, passes=2)
    write_all(write_run, model="mamba2")
    drawing = budget.draw_needed(load(store))
    titles = [ax.get_title().split("\n")[0] for ax in drawing.figure.axes if ax.get_title()]
    assert titles == ["GRU", "Mamba-2"]
    labels = [line.get_label() for line in drawing.figure.axes[0].lines]
    assert "Read once" in labels
    assert "Read twice" in labels


def test_a_bitmap_stands_beside_them(store, write_run):
    write_all(write_run)
    drawing = budget.draw_needed(load(store))
    bits = drawing.data.filter(size_a=6)["bitmap"].item()
    below, above = (float(bitmap_search_accuracy(16, 6, 2, k)) for k in (10, 11))
    assert below < 0.95 <= above
    assert bits == pytest.approx(10 * 1.1 ** ((0.95 - below) / (above - below)))
    for drawn in (drawing, budget.draw_accuracy(load(store))):
        assert "Bitmap of k elements: k bits" in " ".join(
            drawn.figure._supxlabel.get_text().split()
        )
        assert "Bitmap of k elements" in [line.get_label() for line in drawn.figure.axes[0].lines]


def test_runs_that_have_not_converged_are_open(store, write_run):
    write_all(write_run)  # not asked
    assert "Open marks" not in budget.draw_needed(load(store)).figure._supxlabel.get_text()
    write_all(write_run, converged=True, model="mamba2")
    assert "Open marks" not in budget.draw_accuracy(load(store)).figure._supxlabel.get_text()
    write_run(
        {(2, 6): 20},
        model="mamba2",
        numbers=4,
        seed=2,
        examples=100,
        vocab_size=20,
        converged=False,
    )
    for draw in (budget.draw_accuracy, budget.draw_needed):
        drawing = draw(load(store))
        assert "Open marks" in drawing.figure._supxlabel.get_text()
    row = drawing.data.filter(size_a=2, model="mamba2")
    assert row.select("converged", "runs").row(0) == (6, 7)


def test_each_pair_of_sizes_is_a_panel_with_its_bound(store, write_run):
    write_all(write_run)
    drawing = budget.draw_accuracy(load(store))
    titles = [ax.get_title() for ax in drawing.figure.axes if ax.get_title()]
    assert titles == ["|A| = 2, |B| = 6", "|A| = 4, |B| = 4", "|A| = 6, |B| = 2"]
    for ax in drawing.figure.axes[:3]:
        assert "Bound, one reading" in [line.get_label() for line in ax.lines]
    assert drawing.data["seeds"].to_list() == [2] * 9


def test_without_a_budget_there_is_nothing_to_draw(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    for draw in (budget.draw_accuracy, budget.draw_needed):
        with pytest.raises(NothingToDraw, match="no run had a budget"):
            draw(load(store))
    write_run({(2, 4): 8}, numbers=4)
    with pytest.raises(NothingToDraw, match="two budgets"):
        budget.draw_accuracy(load(store))
    with pytest.raises(NothingToDraw, match="three sizes"):
        budget.draw_needed(load(store))
