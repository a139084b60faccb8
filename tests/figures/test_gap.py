"""The order gap by architecture."""

import pytest

from figures import gap
from figures.drawing import NothingToDraw
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
    low, high = drawing.data.select("gap_low", "gap_high").row(0)
    bars = [line for line in ax.lines if len(line.get_xdata()) == 2]
    assert [low, high] in [[*line.get_xdata()] for line in bars]


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
