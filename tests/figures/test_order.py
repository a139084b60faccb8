import pytest

from figures import order
from figures.drawing import NothingToDraw
from sdsim.store.table import load


def _write(write_run):
    for model, width, seed in [("gru", 8, 0), ("gru", 8, 1), ("gru", 16, 0), ("based", 32, 0)]:
        write_run({(2, 4): 8 + seed, (4, 2): 3 + 2 * seed}, model=model, width=width, seed=seed)


def test_the_panels_show_the_numbers_of_the_data(store, write_run):
    _write(write_run)
    drawing = order.draw(load(store))
    means = drawing.data.filter(drawing.data["seed"].is_null())
    seeds = drawing.data.drop_nulls("seed")
    assert (means.height, seeds.height) == (3, 4)
    for ax, panel in zip(drawing.figure.axes, ("long_first", "short_first", "gap"), strict=True):
        drawn = {line.get_label(): line for line in ax.lines}
        models = [("Based (causal)", "based"), ("GRU", "gru")]
        for (label, model), intervals in zip(models, ax.collections, strict=True):
            rows = means.filter(model=model)
            assert drawn[label].get_xdata().tolist() == rows["state_bytes"].to_list()
            assert drawn[label].get_ydata().tolist() == rows[panel].to_list()
            ends = [segment[:, 1].tolist() for segment in intervals.get_segments()]
            assert ends == [
                [low, high] for low, high in rows.select(f"{panel}_low", f"{panel}_high").rows()
            ]
        dashes = [line for line in ax.lines if line.get_marker() == "_"]
        assert sorted(y for dash in dashes for y in dash.get_ydata()) == sorted(seeds[panel])


def test_says_what_it_rests_on(store, write_run):
    _write(write_run)
    note = order.draw(load(store)).figure.get_supxlabel()
    assert "4 of 4 stored runs" in note
    assert "Settings: 3; seeds of each: 1 to 2" in note


def test_what_still_rose_has_open_marks(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3}, converged=True)
    write_run({(2, 4): 9, (4, 2): 5}, width=16, converged=False)
    figure = order.draw(load(store)).figure
    for ax in figure.axes:
        open_marks = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
        assert [mark.get_xdata().tolist() for mark in open_marks if len(mark.get_xdata())] == [[64]]
    assert "Open marks: accuracy still rose" in figure.get_supxlabel()


def test_each_order_has_its_floor(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    long_first, short_first, gap = order.draw(load(store)).figure.axes
    for ax, floor in ((long_first, 1 / 2), (short_first, 1 / 4)):
        heights = {
            line.get_label(): line.get_ydata()[0] for line in ax.lines if len(line.get_ydata())
        }
        assert heights["Any token of the last set"] == floor
        assert heights["Guessing"] == 1 / 2
    assert "Any token of the last set" not in {line.get_label() for line in gap.lines}


def test_over_steps_a_line_for_each_size(store, write_run):
    for width in (8, 16):
        for steps, right in ((100, 3), (200, 6), (400, 8)):
            for seed in (0, 1):
                write_run({(2, 4): right, (4, 2): 5}, width=width, steps=steps, seed=seed)
    write_run({(2, 4): 8, (4, 2): 5}, model="based")
    drawing = order.draw_over_steps(load(store))
    means = drawing.data.filter(drawing.data["seed"].is_null())
    assert means.select("model", "variant", "steps_done").rows() == [
        ("gru", size, steps) for size in ("32 B", "64 B") for steps in (100, 200, 400)
    ]
    *_, gap = drawing.figure.axes
    lines = {line.get_label(): list(line.get_ydata()) for line in gap.lines}
    assert lines["GRU 32 B"] == lines["GRU 64 B"] == pytest.approx([-0.2, 0.1, 0.3])
    assert "12 of 13 stored runs" in drawing.figure.get_supxlabel()


def test_one_length_of_training_is_no_figure(store, write_run):
    for width in (8, 16):
        write_run({(2, 4): 8, (4, 2): 3}, width=width)
    with pytest.raises(NothingToDraw, match="two numbers of steps"):
        order.draw_over_steps(load(store))


def test_a_row_for_each_task(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    write_run({(2, 4): 8, (4, 2): 3}, passes=2)
    axes = order.draw(load(store)).figure.axes
    assert len(axes) == 6
    assert [axes[i].get_ylabel() for i in (0, 3)] == ["passes=1\nAccuracy", "passes=2\nAccuracy"]


def test_needs_a_mirrored_pair(store, write_run):
    write_run({(2, 4): 8, (3, 3): 3})
    with pytest.raises(NothingToDraw, match="along with"):
        order.draw(load(store))


def test_intervals_at_the_ends_of_the_scale_are_drawn(store, write_run):
    for width, examples in ((8, 10), (16, 10), (32, 10)):
        write_run({(2, 4): examples, (4, 2): 0}, width=width, examples=examples)
    order.draw(load(store))
