"""Accuracy against bits: points, frontiers, and the bound over them."""

import numpy as np
import pytest

from figures import bits, bounds
from figures.drawing import NothingToDraw
from figures.pooling import by_slice
from figures.runs import chosen_runs, with_quantized
from figures.summary import summary_table
from sdsim.store.intervals import wilson
from sdsim.store.table import load
from theory import decision_bits, multi_pass_bits, recall_bits, search_bits

SLICE = {
    "task": "set_disjointness",
    "options": '{"answer": "token", "common": 1}',
    "passes": 1,
    "order": "short_first",
    "universe_size": 32,
    "vocab_size": 36,
    "size_a": 4,
    "size_b": 12,
}


def points_of(store):
    return bits.points(with_quantized(chosen_runs(load(store), passes="variant")))


def test_every_quantization_is_a_point(store, write_run):
    for seed, right in ((0, 8), (1, 6)):
        write_run({(2, 4): right, (4, 2): 3}, seed=seed, quantized={1: 2, 4: 5})
    short = points_of(store).filter(order="short_first")
    assert short.select("rounding", "state_bits", "accuracy").rows() == [
        (1, 8, 0.2),
        (4, 32, 0.5),
        (None, 256, 0.7),  # two seeds pooled
    ]
    assert short["best"].all()


def test_the_frontier_leaves_out_what_a_smaller_state_does_as_well(store, write_run):
    for width, right in ((1, 5), (2, 4), (4, 5), (8, 9)):
        write_run({(2, 4): right, (4, 2): 3}, width=width)
    short = points_of(store).filter(order="short_first")
    assert short.filter("best")["state_bits"].to_list() == [32, 256]


def test_algorithms_and_other_passes_share_the_panel(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    write_run({(2, 4): 8, (4, 2): 3}, passes=2)
    write_run({(2, 4): 10, (4, 2): 7}, budget=24)
    points = points_of(store)
    assert points["experiment"].unique().to_list() == [""]
    names = points.select("model", "variant").unique(maintain_order=True).rows()
    assert names == [("fingerprint", ""), ("gru", "passes=1"), ("gru", "passes=2")]
    drawing = bits.draw(load(store))
    left, right = drawing.figure.axes
    assert [left.get_title(), right.get_title()] == [
        "Short set first (|A| < |B|)",
        "Long set first (|A| > |B|)",
    ]
    labels = left.get_legend_handles_labels()[1]
    assert "Fingerprints" in labels
    assert "Bound, one pass" in labels


def test_families_share_a_row_of_six_lines_at_most(store, write_run):
    for model in ("based", "jrt_rnn", "gru", "mamba2", "prefix_mamba2", "my_model"):
        write_run({(2, 4): 8, (4, 2): 3}, model=model)
        write_run({(2, 4): 8, (4, 2): 3}, model=model, width=16)
    write_run({(2, 4): 10, (4, 2): 7}, budget=24)
    drawing = bits.draw(load(store))
    known = {"Guessing", "Any token of the last set", "Bound, one pass"}
    rows = [
        [label for label in ax.get_legend_handles_labels()[1] if label not in known]
        for ax in drawing.figure.axes[::2]
    ]
    assert rows == [
        ["Based (causal)", "JRT-RNN", "GRU", "Mamba-2", "Mamba-2, prefix", "Fingerprints"],
        ["my_model"],
    ]


def test_recall_has_a_panel_for_each_order(store, write_run):
    for order, right in (("query_first", 9), ("context_first", 3)):
        write_run({(4, 1): right}, order=order, vocab_size=20)
    left, right = bits.draw(load(store)).figure.axes
    assert [left.get_title(), right.get_title()] == ["Question first", "Document first"]
    table = summary_table(load(store))
    assert table.select("order", "size_a", "size_b", "accuracy", "seeds").rows() == [
        ("query_first", 1, 4, 0.9, 1),
        ("context_first", 4, 1, 0.3, 1),
    ]


def test_one_order_alone_is_no_figure(store, write_run):
    write_run({(2, 4): 8})
    with pytest.raises(NothingToDraw, match="two orders"):
        bits.draw(load(store))


def test_proved_bits_are_theorys():
    assert bounds.proved_bits(SLICE, 0.9) == pytest.approx(search_bits(32, 4, 12, 0.1))
    assert bounds.proved_bits({**SLICE, "passes": 2}, 0.9) is None
    decision = {**SLICE, "options": '{"answer": "decision"}'}
    assert bounds.proved_bits(decision, 0.9) == pytest.approx(decision_bits(32, 4, 12, 0.1))
    assert bounds.proved_bits({**SLICE, "options": '{"answer": "all"}'}, 0.9) is None
    assert bounds.proved_bits({**SLICE, "task": "something"}, 0.9) is None
    recall = {"task": "associative_recall", "options": "{}", "vocab_size": 20}
    document = {**SLICE, **recall, "order": "context_first", "size_a": 4, "size_b": 1}
    question = {**SLICE, **recall, "order": "query_first", "size_a": 1, "size_b": 4}
    assert bounds.proved_bits(document, 0.9) == recall_bits(4, 8, 1 - 0.9)
    assert bounds.proved_bits(question, 0.9) == recall_bits(1, 4, 1 - 0.9)


def test_no_error_on_average_is_no_error():
    """⌈log₂ C(32, 12)⌉ bits; with b > 2, what is proved with errors does not come up to it."""
    long_first = {**SLICE, "size_a": 12, "size_b": 4}
    assert bounds.proved_bits(long_first, 1.0) == 28 == bounds.zero_error_bits(long_first)
    assert 25 < bounds.proved_bits(long_first, 1 - 1e-6) < 27


def test_zero_error_bits_stand_where_they_are_proved():
    """Reading again: for decisions alone. Without options, the answer is a token."""
    long_first = {**SLICE, "size_a": 12, "size_b": 4, "options": "{}"}
    assert bounds.zero_error_bits(long_first) == 28
    assert bounds.zero_error_bits({**long_first, "passes": 2}) is None
    decision = {**long_first, "options": '{"answer": "decision"}'}
    found = [bounds.zero_error_bits({**decision, "passes": passes}) for passes in (1, 2, 3)]
    assert found == [multi_pass_bits(32, 12, 4, passes) for passes in (1, 2, 3)] == [28, 6, 4]
    assert bounds.zero_error_bits({**long_first, "options": '{"answer": "all"}'}) is None
    assert bounds.zero_error_bits({**long_first, "task": "parity"}) is None
    assert bounds.zero_error_bits({**long_first, "universe_size": 20}) is None


def test_points_have_intervals(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3})
    short = points_of(store).filter(order="short_first").row(0, named=True)
    assert (short["accuracy_low"], short["accuracy_high"]) == pytest.approx(wilson(8, 10))


def test_the_best_accuracy_inverts_the_bound():
    given = np.array([0.0, 2.0, 5.0, 8.0, 100.0])
    best = bounds.best_accuracy([SLICE], given)
    assert best[0] >= 1 / 12
    assert best[-1] == 1
    for have, accuracy in list(zip(given, best, strict=True))[1:-1]:
        assert bounds.proved_bits(SLICE, accuracy) == pytest.approx(have, abs=1e-3)
    other = {**SLICE, "size_a": 8, "size_b": 8}
    both = bounds.best_accuracy([SLICE, other], given)
    assert both == pytest.approx((best + bounds.best_accuracy([other], given)) / 2)
    assert bounds.best_accuracy([SLICE, {**SLICE, "passes": 2}], given) is None


def test_least_bits_and_efficiency(store, write_run):
    """In the figure of memory: the smallest state, quantized ones included, over the bound."""
    from figures.memory import needed_memory

    sizes = {(2, 10): 9, (6, 6): 9, (10, 2): 9}
    write_run(sizes, vocab_size=36, quantized={2: 3, 8: 9})
    slices = by_slice(with_quantized(chosen_runs(load(store), passes="variant")))
    needed = needed_memory(slices, 0.5).filter(size_a=2).row(0, named=True)
    assert (needed["bits"], needed["rounding"], needed["reading"]) == (64, 8, "exact")
    # Half way from guessing, 1/2, to no error.
    bound = search_bits(32, 2, 10, 0.25)
    assert needed["bound_at_target"] == pytest.approx(bound)
    assert needed["efficiency"] == pytest.approx(bound / 64)
