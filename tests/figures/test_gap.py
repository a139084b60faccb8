"""The order gap by architecture."""

import pytest

from figures import gap
from figures.drawing import NothingToDraw
from figures.style import PALE
from sdsim.store.table import load


def test_families_stand_together(store, write_run):
    for model in ("mamba2", "jrt_rnn", "gru", "prefix_mamba2", "based_noncausal", "based"):
        for seed in (0, 1):
            write_run({(2, 4): 8, (4, 2): 3}, model=model, seed=seed)
    drawing = gap.draw(load(store))
    assert drawing.data.select("family", "reader", "model").rows() == [
        ("based", "causal", "based"),
        ("based", "noncausal", "based_noncausal"),
        ("based", "prefix", "jrt_rnn"),
        ("gru", "causal", "gru"),
        ("mamba2", "causal", "mamba2"),
        ("mamba2", "prefix", "prefix_mamba2"),
    ]
    (ax,) = drawing.figure.axes
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0] == "Based (causal)  32 B  0.80 / 0.30"
    marks = [line for line in ax.lines if line.get_label() in ("Causal", "With a prefix (JRT)")]
    assert [float(line.get_xdata()[0]) for line in marks] == pytest.approx([0.5] * 5)
    bars = [segment[:, 0].tolist() for bar in ax.collections for segment in bar.get_segments()]
    assert bars == [list(ends) for ends in drawing.data.select("gap_low", "gap_high").rows()]
    assert names[-1] == "Any token of the last set  0.25 / 0.50"


def bars_and_marks(figure):
    """Opacity of the interval and face of the mark of each row."""
    (ax,) = figure.axes
    opacities = [float(bar.get_color()[0][3]) for bar in ax.collections]
    marks = [line for line in ax.lines if line.get_label() in ("Causal", "With a prefix (JRT)")]
    return opacities, [mark.get_markerfacecolor() == "white" for mark in marks]


def test_a_gap_of_unfinished_training_is_hollow_and_one_of_few_seeds_pale(store, write_run):
    for seed in range(5):
        write_run({(2, 4): 8, (4, 2): 3}, model="gru", seed=seed, converged=seed < 4)
    for seed in range(4):
        write_run({(2, 4): 8, (4, 2): 3}, model="based", seed=seed, converged=True)
    figure = gap.draw(load(store)).figure
    assert bars_and_marks(figure) == ([pytest.approx(PALE), 1], [False, True])
    note = figure.get_supxlabel().replace("\n", " ")
    assert "Open marks: accuracy still rose" in note
    assert "Pale: fewer than 5 seeds, no verdict" in note
    assert "not known" not in note


def test_a_gap_whose_convergence_is_unknown_is_said_to_be(store, write_run):
    for seed in range(5):
        write_run({(2, 4): 8, (4, 2): 3}, model="gru", seed=seed)
        write_run({(2, 4): 8, (4, 2): 3}, model="based", seed=seed, converged=True)
    figure = gap.draw(load(store)).figure
    assert bars_and_marks(figure) == ([1, 1], [False, False])
    note = figure.get_supxlabel().replace("\n", " ")
    assert "Whether 1 of these have converged is not known" in note


@pytest.mark.parametrize(("short", "is_far"), [(504, True), (300, False)])
def test_the_floor_is_a_row_or_an_arrow_to_it(store, write_run, short, is_far):
    """Naming any token of B: 1/4 minus 1/2."""
    for model in ("gru", "based"):
        write_run({(2, 4): short, (4, 2): 500}, model=model, examples=1000)
    (ax,) = gap.draw(load(store)).figure.axes
    floor = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "|"]
    assert floor == ([] if is_far else [-0.25])
    assert [text.get_text() for text in ax.texts] == (["\N{MINUS SIGN}0.25"] if is_far else [])


def test_family_and_reader_come_from_the_mixers_not_from_the_names(store, write_run):
    for model in ("jrt_tiny", "my_based", "gru", "my_mixer"):
        write_run({(2, 4): 8, (4, 2): 3}, model=model)
    drawing = gap.draw(load(store))
    assert drawing.data.select("family", "reader", "model").rows() == [
        ("gru", "causal", "gru"),
        ("my_based", "causal", "my_based"),
        ("my_based", "prefix", "jrt_tiny"),
        ("my_mixer", "causal", "my_mixer"),  # unknown
    ]


def test_a_family_without_a_causal_model_has_the_name_of_its_first(store, write_run):
    for model in ("jrt_rnn", "based_noncausal"):
        write_run({(2, 4): 8, (4, 2): 3}, model=model)
    data = gap.draw(load(store)).data
    assert data["family"].to_list() == ["based_noncausal"] * 2
    assert data["reader"].to_list() == ["noncausal", "prefix"]


def test_an_algorithm_has_no_gap_here(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    write_run({(2, 4): 8, (4, 2): 3}, budget=24)
    with pytest.raises(NothingToDraw, match="two kinds"):
        gap.draw(load(store))
