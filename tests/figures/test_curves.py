"""Learning curves: what is averaged, what is marked, and what does not fit on the page."""

import polars as pl
import pytest

from figures import curves
from figures.drawing import NothingToDraw
from sdsim.store.table import load
from sdsim.training.result import CurvePoint

SHORT, LONG = {(2, 4): 8}, {(4, 2): 6}


def curve(*accuracies, start=1):
    """A point after each ten steps: an accuracy, or those on each pair of sizes."""
    by_task = [each if isinstance(each, tuple) else () for each in accuracies]
    means = [
        sum(x or 0 for x in each) / len(each) if isinstance(each, tuple) else each
        for each in accuracies
    ]
    return [
        CurvePoint(10 * step, 1.0, mean, tasks)
        for step, (mean, tasks) in enumerate(zip(means, by_task, strict=True), start)
    ]


def lines(ax, marker="None"):
    """What is drawn in a panel, its floors and the legend's own lines apart."""
    return [
        line.get_xydata().tolist()
        for line in ax.lines
        if line.get_marker() == marker and len(line.get_xdata()) and line.get_color()[0] == "#"
    ]


def floors_of(ax):
    """Guessing, any token of the last set."""
    return [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--"]


def note(drawing):
    return " ".join(drawing.figure._supxlabel.get_text().split())


def test_a_seed_that_has_stopped_counts_with_its_last_value(store, write_run):
    write_run(SHORT, seed=0, curve=curve(0.2, 0.4), converged=True)
    write_run(SHORT, seed=1, curve=curve(0.4, 0.6, 1.0), converged=True)
    drawing = curves.draw(load(store))
    (ax,) = drawing.figure.axes
    assert ax.get_title() == "GRU\n|A| = 2, |B| = 4"
    mean, *single = sorted(lines(ax), key=lambda line: line[1][1] != 0.5)
    assert mean == [[10, pytest.approx(0.3)], [20, 0.5], [30, 0.7]]
    assert sorted(single) == [[[10, 0.2], [20, 0.4]], [[10, 0.4], [20, 0.6], [30, 1.0]]]
    columns = ("line", "runs", "converged", "step", "accuracy", "lowest", "highest")
    assert drawing.data.select(*columns, "running_accuracy").rows() == [
        ("32 B", 2, 2, 10, 0.3, 0.2, 0.4, 2),
        ("32 B", 2, 2, 20, 0.5, 0.4, 0.6, 2),
        ("32 B", 2, 2, 30, 0.7, 0.4, 1.0, 1),
    ]
    assert lines(ax, "o") == []
    assert "still rose" not in note(drawing)


def test_no_mean_is_over_other_seeds_than_the_rest(store, write_run):
    """The curve of a run that an earlier version began lacks its first points."""
    write_run(SHORT, seed=0, curve=curve(0.2, 0.4, 0.6))
    write_run(SHORT, seed=1, curve=curve(0.8, start=3))
    drawing = curves.draw(load(store))
    assert drawing.data["accuracy"].to_list() == [None, None, 0.7]
    assert "Whether these have converged was not asked" in note(drawing)


def test_what_has_not_converged_is_marked_at_its_end(store, write_run):
    for seed in (0, 1):
        write_run(SHORT, width=8, seed=seed, curve=curve(0.2, 0.4), converged=True)
        write_run(SHORT, width=16, seed=seed, curve=curve(0.4, 0.6), converged=seed == 1)
    drawing = curves.draw(load(store))
    (ax,) = drawing.figure.axes
    assert lines(ax, "o") == [[[20, 0.6]]]
    assert "still rose" in note(drawing)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend == ["32 B", "64 B", "Guessing", "Any token of the last set"]


def test_panels_are_models_by_what_they_are_trained_on(store, write_run):
    for passes in (1, 2):
        for seed in (0, 1):
            write_run(SHORT, passes=passes, seed=seed, numbers=6, curve=curve(0.2, 0.4))
    write_run(LONG, numbers=6, curve=curve(0.2, 0.4))
    axes = curves.draw(load(store)).figure.axes
    assert [ax.get_title() for ax in axes] == [
        "GRU\n|A| = 2, |B| = 4",
        "GRU\n|A| = 4, |B| = 2",
        "GRU, read twice\n|A| = 2, |B| = 4",
        "GRU, read twice\n|A| = 4, |B| = 2",
    ]
    assert [text.get_text() for text in axes[3].texts] == ["not run"]
    assert [len(lines(ax)) for ax in axes] == [3, 2, 3, 0]
    assert floors_of(axes[0]) == [1 / 2, 1 / 4]


def test_lengths_of_training_and_orders_of_recall_are_told_apart(store, write_run):
    for steps in (100, 1000):
        write_run({(4, 2): 6}, steps=steps, order="query_first", curve=curve(0.2, 0.4))
    write_run({(4, 2): 6}, order="context_first", curve=curve(0.4, 0.6))
    drawing = curves.draw(load(store))
    assert [ax.get_title() for ax in drawing.figure.axes] == [
        "GRU\nQuestion first 4+2",
        "GRU\nDocument first 4+2",
    ]
    assert drawing.data.select("line", "accuracy").filter(accuracy=0.4).rows() == [
        ("32 B, 100 steps", 0.4),
        ("32 B, 1,000 steps", 0.4),
        ("32 B", 0.4),
    ]


def test_orders_of_a_mix_are_means_over_its_mirrored_sizes(store, write_run):
    """Of a hundredth without a step on some size, the last accuracy on it holds."""
    sizes = {(2, 4): 8, (1, 5): 8, (3, 3): 8, (5, 1): 3, (4, 2): 3}
    points = [(0.2, 0.0, 1.0, 1.0, 0.6), (0.4, 0.0, None, 1.0, None), (0.8, None, 1.0, 1.0, 0.7)]
    write_run(sizes, curve=curve(*points), converged=False)
    drawing = curves.draw_by_order(load(store))
    long, short, gap = drawing.figure.axes
    # With one token in a set, guessing is always right: these slices are in no figure.
    assert lines(short)[0] == [[10, 0.2], [20, 0.4], [30, 0.8]]
    assert lines(long)[0] == [[10, 0.6], [20, 0.6], [30, 0.7]]
    assert lines(gap) == [[[x, pytest.approx(y)] for x, y in ((10, -0.4), (20, -0.2), (30, 0.1))]]
    assert [lines(ax, "o") for ax in (long, short)] == [[[[30, 0.7]]], [[[30, 0.8]]]]
    assert drawing.data["gap"].to_list() == [-0.4, -0.2, 0.1]
    assert floors_of(gap) == [1 / 4 - 1 / 2]
    assert "trained alone" not in note(drawing)
    (ax,) = curves.draw(load(store)).figure.axes
    assert floors_of(ax) == []  # of all five sizes, they are not those of the three


def test_floors_of_other_sizes_than_were_trained_on_are_not_drawn(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3}, curve=curve((0.2, 0.4)))
    (ax,) = curves.draw(load(store)).figure.axes
    assert floors_of(ax) == [1 / 2, 3 / 8]
    elsewhere = load(store).with_columns(test_sizes=pl.lit("[[2, 4], [6, 2]]"))
    (ax,) = curves.draw(elsewhere).figure.axes
    assert floors_of(ax) == []


def test_orders_that_are_trained_alone_are_paired_by_seed(store, write_run):
    for seed, more in ((0, 0.0), (1, 0.1)):
        short = curve(0.2 + more, 0.5 + more, 0.6 + more)
        write_run(SHORT, numbers=6, seed=seed, curve=short, converged=seed == 1)
        write_run(LONG, numbers=6, seed=seed, curve=curve(0.4, 0.5), converged=True)
    write_run({(3, 3): 5}, numbers=6, curve=curve(0.1, 0.1))
    write_run(LONG, numbers=6, seed=2, curve=curve(0.0, 0.0), converged=True)  # by itself
    drawing = curves.draw_by_order(load(store))
    long, short, gap = drawing.figure.axes
    assert long.get_ylabel() == "GRU\nsizes 2 and 4\nAccuracy"
    assert lines(long)[0] == [[10, 0.4], [20, 0.5]]  # no longer than it was trained
    assert lines(short)[0] == [
        [x, pytest.approx(y)] for x, y in ((10, 0.25), (20, 0.55), (30, 0.65))
    ]
    assert lines(gap) == [[[x, pytest.approx(y)] for x, y in ((10, -0.15), (20, 0.05), (30, 0.15))]]
    assert [len(lines(ax, "o")) for ax in (long, short, gap)] == [0, 1, 1]
    last = drawing.data.row(-1, named=True)
    assert (last["lowest"], last["highest"], last["runs"], last["converged"]) == (0.1, 0.2, 4, 3)
    ((low, high),) = [segment[:, 1] for segment in gap.collections[0].get_segments()]
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.2))
    assert "trained alone" in note(drawing)


def test_a_store_without_curves_has_no_such_figure(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    for draw in (curves.draw, curves.draw_by_order):
        with pytest.raises(NothingToDraw, match="no run kept its learning curve"):
            draw(load(store))


def test_a_curve_that_is_not_known_of_each_order_has_no_gap(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3}, curve=curve((None, None)))
    with pytest.raises(NothingToDraw, match=r"no curve is known of a pair of sizes"):
        curves.draw_by_order(load(store))
    with pytest.raises(NothingToDraw, match="no learning rate is chosen"):
        curves.draw(load(store), select="released")


def test_what_does_not_fit_is_named(store, write_run, monkeypatch):
    monkeypatch.setattr(curves, "_PANELS", 2)
    monkeypatch.setattr(curves, "_LINES", 3)
    for width in range(1, 8):
        write_run(SHORT, width=width, curve=curve(0.2, 0.4))
    for model in ("based", "mamba2"):
        write_run(SHORT, model=model, width=8, curve=curve(0.2, 0.4))
    drawing = curves.draw(load(store))
    assert [ax.get_title()[:4] for ax in drawing.figure.axes] == ["Base", "GRU\n"]
    assert "at most 2 panels, without Mamba-2 |A| = 2, |B| = 4; at most 3" in note(drawing)
    assert "at most 3 lines in a panel, without 8 B, 12 B, 20 B, 24 B:" in note(drawing)
    legend = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert legend[:3] == ["4 B", "16 B", "28 B"]
    assert drawing.data.select("model", "line").n_unique() == 9


def test_many_names_are_in_legends_of_their_panels(store, write_run, monkeypatch):
    monkeypatch.setattr(curves, "_LABELS", 3)
    for model, widths in (("gru", (1, 2)), ("based", (3, 4))):
        for width in widths:
            write_run(SHORT, model=model, width=width, curve=curve(0.2, 0.4))
    figure = curves.draw(load(store)).figure
    legends = [[text.get_text() for text in ax.get_legend().get_texts()] for ax in figure.axes]
    assert legends == [["12 B", "16 B"], ["4 B", "8 B"]]
    shared = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shared == ["Guessing", "Any token of the last set"]
