import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import polars as pl
import pytest
from matplotlib.figure import Figure

import figures
from figures import bits, draw_all, gap, memory, order, slices
from figures.drawing import Drawing, NothingToDraw
from figures.style import add_note
from sdsim.store.table import load


@pytest.fixture
def runs(store, write_run):
    for model, width in (("gru", 8), ("gru", 16), ("based", 32), ("my_model", 16)):
        for seed in (0, 1):
            counts = {(2, 4): 6 + seed, (3, 3): 5, (4, 2): 3 + width // 8}
            write_run(counts, model=model, width=width, seed=seed)
    return store


FIGURES = ("order", "memory", "bits", "gap")


def test_every_figure_comes_as_pdf_png_and_csv(runs, tmp_path):
    out = tmp_path / "a" / "b"
    before = dict(mpl.rcParams)
    paths = draw_all(load(runs), out)
    assert [path.name for path in paths] == [
        *(f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "png", "csv")),
        "slices.csv",
    ]
    assert set(out.iterdir()) == set(paths)
    assert all(path.stat().st_size for path in paths)
    assert dict(mpl.rcParams) == before
    drawn = order.draw(load(runs)).data
    assert (out / "order.csv").read_text() == drawn.write_csv()


@pytest.mark.slow
def test_same_runs_same_bytes_in_any_process(runs, tmp_path):
    matplotlibrc = tmp_path / "matplotlibrc"
    matplotlibrc.write_text("font.size: 20\nsavefig.dpi: 30\n")
    root = str(Path(figures.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "MATPLOTLIBRC": str(matplotlibrc),
        "TZ": "Asia/Tokyo",
    }
    code = (
        "import sys, figures, sdsim.store.table as table;"
        "figures.draw_all(table.load(sys.argv[1]), sys.argv[2])"
    )
    command = [sys.executable, "-c", code, str(runs), str(tmp_path / "there")]
    subprocess.run(command, env=environment, check=True)
    draw_all(load(runs), tmp_path / "here")
    here, there = (
        {path.name: path.read_bytes() for path in (tmp_path / place).iterdir()}
        for place in ("here", "there")
    )
    assert len(here) == 3 * 4 + 1
    assert here.keys() == there.keys()
    assert [name for name in here if here[name] != there[name]] == []


def test_a_figure_that_cannot_be_drawn_is_left_out_and_said(store, write_run, tmp_path, caplog):
    write_run({(2, 4): 8, (4, 2): 3})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "memory.png").write_text("of other runs")
    with caplog.at_level(logging.INFO, logger="figures"):
        paths = draw_all(load(store), tmp_path / "out")
    assert {path.stem for path in paths} == {"order", "bits", "slices"}
    assert "'memory' is left out: no 3 slices" in caplog.text
    assert set((tmp_path / "out").iterdir()) == set(paths)


def test_a_caption_outside_the_picture_is_a_text_beside_it(tmp_path):
    def save(caption):
        figure = Figure(figsize=(4, 3), layout="constrained")
        figure.subplots().plot([1, 2])
        add_note(figure, "What marks mean.")
        Drawing(figure, pl.DataFrame({"x": [1]})).save(tmp_path / "drawn", caption=caption)
        return (tmp_path / "drawn.png").read_bytes()

    text = tmp_path / "drawn.txt"
    without = save(caption=False)
    assert text.read_text() == "What marks mean.\n"
    assert save(caption=True) != without
    assert not text.exists()


def test_a_store_of_one_order_is_drawn_slice_by_slice(store, write_run, tmp_path):
    for width in (4, 8):
        write_run({(4, 2): 3 + width // 4, (6, 2): 4}, width=width)
    drawn = draw_all(load(store), tmp_path)
    assert {path.name for path in drawn} == {"slices.pdf", "slices.png", "slices.csv"}
    left, right = slices.draw(load(store)).figure.axes
    assert [ax.get_title() for ax in (left, right)] == ["|A| = 4, |B| = 2", "|A| = 6, |B| = 2"]
    assert left.lines[0].get_xydata().tolist() == [[128, 0.4], [256, 0.5]]


def test_a_state_that_is_not_known_has_no_place_on_an_axis_and_is_drawn_across(
    store, write_run, tmp_path
):
    write_run({(2, 4): 8, (4, 2): 3})
    known = load(store)
    unknown = known.with_columns(
        run_id=pl.lit("0" * 16),
        model=pl.lit("mine"),
        state_source=pl.lit("unknown"),
        **dict.fromkeys(("state_bits", "state_bytes", "state_numel"), pl.lit(None, pl.Int64)),
    )
    both = pl.concat([known, unknown])
    assert {path.stem for path in draw_all(both, tmp_path)} == {"order", "bits", "gap", "slices"}
    lines = slices.draw(both).figure.axes[0].lines
    assert {(line.get_label(), line.get_linestyle()) for line in lines[:2]} == {
        ("GRU", ":"),
        ("mine", "--"),
    }
    assert "state unknown" in str(gap.draw(both).figure.axes[0].get_yticklabels())
    assert {path.stem for path in draw_all(unknown, tmp_path)} == {"slices"}
    for draw in (order.draw, bits.draw, memory.draw):
        with pytest.raises(NothingToDraw, match="the size of no model's state is known"):
            draw(unknown)


def test_a_figure_of_ones_own_is_drawn_beside_the_others(store, write_run, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import polars as pl\n"
        "from matplotlib.figure import Figure\n"
        "from figures.drawing import Drawing, NothingToDraw\n"
        "def own(table, select):\n    return Drawing(Figure(), table.select('accuracy'))\n"
        "def never(table, select):\n    raise NothingToDraw('not here')\n"
        "def wrong(table, select):\n    return 3\n"
        "def order(table, select):\n    return 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    write_run({(2, 4): 8, (4, 2): 3})
    drawn = draw_all(load(store), tmp_path / "out", own=["mine.own", "mine.never"])
    assert (tmp_path / "out" / "own.csv") in drawn
    assert not (tmp_path / "out" / "never.csv").exists()
    for path, message in (
        ("mine.nothing", "cannot be imported"),
        ("nowhere.own", "cannot be imported"),
        ("mine.order", "a function whose name no other figure has"),
        ("mine.wrong", "it returns a int, no Drawing"),
    ):
        with pytest.raises(ValueError, match=message):
            draw_all(load(store), tmp_path / "out", own=[path])


def test_figures_import_neither_torch_nor_sympy():
    code = "import sys, figures; sys.exit(any(name in sys.modules for name in ('torch', 'sympy')))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_colours_stand_in_one_file():
    package = Path(figures.__file__).parent
    found = {
        path.name for path in package.glob("*.py") if re.search("#[0-9A-Fa-f]{6}", path.read_text())
    }
    assert found == {"palette.py"}
