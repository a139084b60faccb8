"""What the numbers of a code say."""

import pytest

from figures import code
from figures.drawing import NothingToDraw
from sdsim.store.held import CodeNumber, write_rows
from sdsim.store.table import load


def test_shares_of_each_run(store, write_run):
    for seed in (0, 1):
        write_run({(2, 4): 8, (4, 2): 6}, numbers=3, seed=seed)
    for number, folder in enumerate(path for path in store.iterdir() if path.name[0] != "."):
        rows = [CodeNumber(2, 4, k, k // 2, 0.1 * number, 60) for k in range(3)]
        rows += [CodeNumber(4, 2, k, k, share, 60) for k, share in enumerate((0.9, 1.0, 0.8))]
        write_rows(folder, CodeNumber, rows)
    drawing = code.draw(load(store))
    (ax,) = drawing.figure.axes
    assert ax.get_title() == "GRU, n = 12"
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["|A| = 2"] == [[3, pytest.approx(0.05)]]
    assert lines["|A| = 4"] == [[3, pytest.approx(0.9)]]
    counts = drawing.data.select("size_a", "numbers", "elements").unique().sort("size_a")
    assert counts.rows() == [(2, 3, 2), (4, 3, 3)]


def test_stores_that_were_not_probed_have_no_such_figure(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    with pytest.raises(NothingToDraw, match="sdsim probe"):
        code.draw(load(store))
