"""What states hold, beside what is proved and what is carried."""

from math import log2

import pytest

from figures import held
from figures.drawing import NothingToDraw
from sdsim.store.held import Held, write_rows
from sdsim.store.table import load
from theory import search_bits


def test_three_numbers_of_each_run(store, write_run):
    for seed in (0, 1):
        write_run({(2, 4): 8, (4, 2): 6}, numbers=6, seed=seed)
    for folder in (path for path in store.iterdir() if path.name[0] != "."):
        rows = [
            Held(2, 4, 3, 9.0, 9.0, 9.0, 6.04, 60),  # not at the boundary
            Held(2, 4, 4, 3.0, 2.5, 3.5, 6.04, 60),
            Held(4, 2, 6, 0.5, 0.0, 0.75, 8.95, 60),
        ]
        write_rows(folder, Held, rows)
    drawing = held.draw(load(store))
    assert [ax.get_title() for ax in drawing.figure.axes] == [
        "GRU\n|A| = 2, |B| = 4",
        "GRU\n|A| = 4, |B| = 2",
    ]
    short = drawing.data.filter(size_a=2)
    assert (
        short.select("state_bits", "held", "held_low", "held_high").rows() == [(6, 3, 2.5, 3.5)] * 2
    )
    assert short["proved"].to_list() == pytest.approx([search_bits(12, 2, 4, 1 - 0.8)] * 2)
    assert short["filled"].to_list() == [3 / 6] * 2
    assert short["used"].to_list() == pytest.approx([search_bits(12, 2, 4, 1 - 0.8) / 3] * 2)
    long = drawing.data.filter(size_a=4)
    proves_more = long["proved"][0] > 0.75
    note = drawing.figure._supxlabel.get_text()
    assert f"Of 2 runs, {2 if proves_more else 0} have" in " ".join(note.split())


def test_stores_that_were_not_probed_have_no_such_figure(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    with pytest.raises(NothingToDraw, match="sdsim probe"):
        held.draw(load(store))


def test_bits_held_over_time(store, write_run):
    for seed in (0, 1):
        write_run({(2, 4): 8, (4, 2): 6}, numbers=6, seed=seed)
    for number, folder in enumerate(path for path in store.iterdir() if path.name[0] != "."):
        rows = [Held(2, 4, t, t + number, 0.0, 9.0, 6.04, 60) for t in (3, 4, 5)]
        at_one_place = Held(4, 2, 6, 0.5, 0.0, 0.75, 8.95, 60)
        write_rows(folder, Held, [*rows, at_one_place])
    drawing = held.draw_over_time(load(store))
    (ax,) = drawing.figure.axes
    assert ax.get_title() == "GRU\n|A| = 2, |B| = 4"
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["6 bits carried"] == [[3, 3.5], [4, 4.5], [5, 5.5]]  # means of the seeds
    known = [0, log2(66) - log2(11), log2(66), log2(66), log2(66)]
    assert lines["All of A"] == [[t, pytest.approx(bits)] for t, bits in enumerate(known, 1)]
    assert [[4, 0], [4, 1]] in lines.values()  # the boundary
    assert len(drawing.data) == 6


def test_a_boundary_alone_is_no_course_of_time(store, write_run):
    write_run({(2, 4): 8}, numbers=6)
    (folder,) = (path for path in store.iterdir() if path.name[0] != ".")
    write_rows(folder, Held, [Held(2, 4, 4, 3.0, 2.5, 3.5, 6.04, 60)])
    with pytest.raises(NothingToDraw, match="positions=all"):
        held.draw_over_time(load(store))
