import pytest

from figures import memory
from figures.drawing import NothingToDraw
from figures.pooling import by_slice
from figures.runs import chosen_runs
from sdsim.store.table import load


def _needed(store, target=0.5):
    needed = memory.needed_memory(by_slice(chosen_runs(load(store))), target)
    return {(row["model"], row["size_a"]): row for row in needed.iter_rows(named=True)}


def test_the_smallest_measured_state_that_reaches_the_target(store, write_run):
    # Halfway above a chance of 1/2 (a shorter set of 2) is 0.75 of the answers; of 1/3, 0.667.
    write_run({(2, 5): 8, (3, 4): 6, (4, 3): 5, (5, 2): 1}, width=8)
    write_run({(2, 5): 9, (3, 4): 7, (4, 3): 6, (5, 2): 5}, width=16)
    write_run({(2, 5): 10, (3, 4): 8, (4, 3): 7, (5, 2): 7}, width=32)
    needed = [_needed(store)["gru", size_a] for size_a in (2, 3, 4, 5)]
    assert [(row["reading"], row["bits"]) for row in needed] == [
        ("at_most", 256),
        ("exact", 512),
        ("exact", 1024),
        ("more_than", 1024),
    ]
    assert (needed[1]["accuracy"], needed[1]["above_chance"]) == (0.7, pytest.approx(0.55))


def test_the_states_that_the_examples_leave_open(store, write_run):
    """With 1000 examples an interval is about 0.03 to either side of its accuracy."""
    for width, correct in ((8, 700), (16, 735), (32, 760), (64, 800)):
        write_run({(2, 4): correct, (3, 3): 0, (4, 2): 1000}, width=width, examples=1000)
    undecided, never, always = (_needed(store)["gru", size_a] for size_a in (2, 3, 4))
    assert (undecided["bits_low"], undecided["bits"], undecided["bits_high"]) == (512, 1024, 2048)
    assert (never["bits_low"], never["bits"], never["bits_high"]) == (None, 2048, None)
    assert (always["bits_low"], always["bits"], always["bits_high"]) == (256, 256, 256)


def test_relative_is_over_the_smallest_first_set(store, write_run):
    write_run({(2, 5): 5, (3, 4): 5, (4, 3): 5, (5, 2): 5}, width=8)
    write_run({(2, 5): 9, (3, 4): 5, (4, 3): 9, (5, 2): 5}, width=16)
    write_run({(2, 5): 9, (3, 4): 9, (4, 3): 9, (5, 2): 5}, width=64)
    needed = [_needed(store)["gru", size_a] for size_a in (2, 3, 4, 5)]
    assert [row["relative"] for row in needed] == [1, 4, 1, 4]
    assert needed[3]["reading"] == "more_than"


def test_no_relative_without_an_exact_start(store, write_run):
    write_run({(2, 5): 9, (3, 4): 5, (4, 3): 9, (5, 2): 5}, width=16)
    write_run({(2, 5): 9, (3, 4): 9, (4, 3): 9, (5, 2): 9}, width=64)
    assert [row["relative"] for row in _needed(store).values()] == [None] * 4


def test_the_target_counts_from_chance(store, write_run):
    write_run({(2, 4): 7, (3, 3): 7, (4, 2): 7})
    assert _needed(store, 0.4)["gru", 2]["reading"] == "at_most"
    assert _needed(store, 0.45)["gru", 2]["reading"] == "more_than"  # (0.7 - 0.5) / 0.5 = 0.4
    assert _needed(store, 0.45)["gru", 3]["reading"] == "at_most"


def test_it_is_the_mean_over_seeds_that_reaches(store, write_run):
    for seed, correct in enumerate((10, 6, 5)):
        write_run({(2, 4): correct, (3, 3): 5, (4, 2): 5}, seed=seed)
    assert _needed(store)["gru", 2]["reading"] == "more_than"


def test_the_bound_stands_where_it_is_proved(store, write_run):
    write_run({(2, 6): 9, (4, 4): 9, (6, 2): 9})  # n = 12 ≥ 2a + b - 2
    assert [row["bound"] for row in _needed(store).values()] == [7, 9, 10]


def test_no_bound_where_the_universe_is_too_small_or_is_read_twice(store, write_run):
    write_run({(3, 5): 9, (4, 4): 9, (5, 3): 9}, vocab_size=13)  # n = 9 < 2·4 + 4 - 2
    assert [row["bound"] for row in _needed(store).values()] == [7, None, None]
    write_run({(3, 5): 9, (4, 4): 9, (5, 3): 9}, passes=2)
    needed = memory.needed_memory(by_slice(chosen_runs(load(store))), 0.5)
    twice = needed.filter(needed["experiment"].str.contains("passes=2"))
    assert twice["bound"].to_list() == [None] * 3


def test_needs_three_slices_of_one_sum(store, write_run):
    write_run({(2, 4): 9, (4, 2): 9, (2, 6): 9, (6, 2): 9})
    with pytest.raises(NothingToDraw, match="3 slices"):
        memory.draw(load(store))


@pytest.mark.parametrize("target", [0, -1, 1.1, float("nan")])
def test_refuses_a_target_out_of_range(store, write_run, target):
    write_run({(2, 4): 9, (3, 3): 9, (4, 2): 9})
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        memory.draw(load(store), target)


def test_marks_stand_at_the_measured_states(store, write_run):
    write_run({(2, 4): 8, (3, 3): 6, (4, 2): 1}, width=8)
    write_run({(2, 4): 9, (3, 3): 7, (4, 2): 5}, width=16)
    drawing = memory.draw(load(store))
    ax, relative = drawing.figure.axes
    marks = [line for line in ax.lines if line.get_marker() == "P" and len(line.get_xdata())]
    assert [mark.get_ydata()[0] for mark in marks] == drawing.data["bits"].to_list()
    is_open = [mark.get_markerfacecolor() == "white" for mark in marks]
    assert is_open == [reading == "more_than" for reading in drawing.data["reading"]]
    assert is_open == [False, False, True]
    assert not [
        line for line in relative.lines if line.get_marker() == "P" and len(line.get_xdata())
    ]
