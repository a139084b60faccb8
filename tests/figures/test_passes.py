"""What a further pass gains."""

import pytest

from figures import passes
from figures.drawing import NothingToDraw
from figures.runs import chosen_runs
from sdsim.store.intervals import difference, difference_interval
from sdsim.store.table import load
from theory import one_pass_search_bits


def test_gains_are_differences_at_the_same_state(store, write_run):
    for number, right in ((1, 3), (2, 7), (4, 8)):
        write_run({(2, 4): right, (4, 2): 5}, passes=number)
    write_run({(2, 4): 9, (4, 2): 5}, passes=2, width=16)
    gained = passes.gains(chosen_runs(load(store), axes=("passes",)))
    short = gained.filter(order="short_first").select("width", "passes", "gain", "gain_low").rows()
    assert short == [
        (8, 1, None, None),
        (8, 2, pytest.approx(0.4), pytest.approx(difference(7, 10, 3, 10)[0])),
        (8, 4, None, None),  # three passes were not run
        (16, 2, None, None),
    ]


def test_gains_are_paired_by_seed(store, write_run):
    """Seeds differ by 0.4, each of them gains about 0.1; seed 3 was not read twice."""
    for seed, (once, twice) in enumerate([(20, 30), (40, 51), (60, 69), (90, None)]):
        write_run({(2, 4): once, (4, 2): 50}, seed=seed, examples=100)
        if twice is not None:
            write_run({(2, 4): twice, (4, 2): 50}, seed=seed, examples=100, passes=2)
    gained = passes.gains(chosen_runs(load(store), axes=("passes",)))
    (row,) = gained.filter(order="short_first", passes=2).iter_rows(named=True)
    counts = [[(right, 100) for right in seeds] for seeds in ((30, 51, 69), (20, 40, 60))]
    assert row["gain"] == pytest.approx(0.1)
    assert (row["gain_low"], row["gain_high"]) == pytest.approx(difference_interval(*counts))
    assert row["gain_high"] - row["gain_low"] < 0.2


def test_each_model_has_a_column(store, write_run):
    for model in ("gru", "based"):
        for number in (1, 2):
            write_run({(2, 4): 6, (4, 2): 5}, model=model, passes=number)
    write_run({(2, 4): 10, (4, 2): 10}, budget=24)
    above, right_above, below, *_ = passes.draw(load(store)).figure.axes
    assert above.get_title() == "Based (causal)\nset disjointness"
    assert right_above.get_title() == "GRU\nset disjointness"
    for ax, sizes, floor in ((above, (2, 4), 1 / 4), (below, (4, 2), 1 / 2)):
        triangles = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "v"]
        assert triangles == [one_pass_search_bits(12, *sizes)]  # of two passes nothing is proved
        heights = {
            line.get_label(): line.get_ydata()[0] for line in ax.lines if len(line.get_ydata())
        }
        assert heights["Any token of the last set"] == floor
        assert heights["2 passes"] == (0.6 if ax is above else 0.5)
    diamonds = [line for line in above.lines if line.get_marker() == "D" and len(line.get_xdata())]
    assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in diamonds] == [(24, 1.0)]


def test_runs_that_differ_in_more_than_passes_are_not_pooled(store, write_run):
    for number, right in ((1, 3), (2, 7)):
        write_run({(2, 4): right, (4, 2): 5}, passes=number, steps=100)
        write_run({(2, 4): right + 1, (4, 2): 5}, passes=number, steps=200)
    gained = passes.draw(load(store)).data.filter(order="short_first", passes=2)
    assert gained.select("variant", "accuracy", "examples").rows() == [
        ("steps=100", 0.7, 10),
        ("steps=200", 0.8, 10),
    ]


def test_a_label_that_speaks_of_passes_is_left_alone(store, write_run):
    """Passes are a column; a model may be called anything."""
    for number, right in ((1, 3), (2, 7)):
        write_run({(2, 4): right, (4, 2): 5}, model="passes=3, gru", passes=number)
        write_run({(2, 4): right, (4, 2): 5}, model="gru", passes=number)
    runs = chosen_runs(load(store), axes=("passes",))
    assert runs["variant"].unique().to_list() == [""]
    gained = passes.gains(runs).filter(order="short_first", passes=2)
    assert gained["model"].to_list() == ["gru", "passes=3, gru"]


def test_what_passes_tell_apart(store, write_run):
    for number in (1, 2):
        write_run({(2, 4): 6, (4, 2): 5}, passes=number)

    def names(**apart):
        runs = chosen_runs(load(store), **apart)
        return runs.select("experiment", "variant", "passes").unique().sort("passes").rows()

    assert names() == [("passes=1", "", 1), ("passes=2", "", 2)]
    assert names(passes="variant") == [("", "passes=1", 1), ("", "passes=2", 2)]
    assert names(axes=("passes",)) == [("", "", 1), ("", "", 2)]
    assert chosen_runs(load(store), axes=("passes",))["setting"].n_unique() == 2


def test_one_number_of_passes_is_no_figure(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    with pytest.raises(NothingToDraw, match="two numbers of passes"):
        passes.draw(load(store))
