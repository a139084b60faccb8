import pytest

from figures.pooling import by_order, by_slice
from figures.runs import chosen_runs, provenance_note
from figures.summary import summary_table
from sdsim.store.intervals import accuracy_interval, difference, difference_interval
from sdsim.store.table import load

PAIR = {(2, 4): 8, (4, 2): 5}


def test_orders_pool_seeds_and_mirrored_sizes(store, write_run):
    # (1, 5) is trivial, (3, 3) has no order, (3, 5) no mirror image: none of them counts.
    others = {(1, 5): 10, (5, 1): 10, (3, 3): 0, (3, 5): 0}
    write_run({(2, 4): 8, (4, 2): 5, **others}, seed=0)
    write_run({(2, 4): 10, (4, 2): 7, **others}, seed=1)
    (row,) = by_order(chosen_runs(load(store))).iter_rows(named=True)
    assert (row["seeds"], row["examples"], row["sizes"]) == (2, 20, "2+4")
    assert row["chance"] == 0.5
    assert row["state_bytes"] == 32
    assert row["short_first"] == 0.9
    assert row["long_first"] == 0.6
    assert row["gap"] == pytest.approx(0.3)
    short, long = [(8, 10), (10, 10)], [(5, 10), (7, 10)]
    ends = {
        "short_first": accuracy_interval(short),
        "long_first": accuracy_interval(long),
        "gap": difference_interval(short, long),
    }
    for name, (low, high) in ends.items():
        assert (row[f"{name}_low"], row[f"{name}_high"]) == (low, high)
    assert ends["gap"] == pytest.approx(difference(18, 20, 12, 20)), "the seeds' gaps are alike"
    assert ends["short_first"][1] - ends["short_first"][0] > 0.8, "but they are two, 0.2 apart"


def test_single_seeds_are_rows_of_their_own(store, write_run):
    write_run({(2, 4): 8, (4, 2): 5}, seed=0)
    write_run({(2, 4): 10, (4, 2): 7}, seed=3)
    seeds = by_order(chosen_runs(load(store)), each_seed=True)
    assert seeds["seed"].to_list() == [0, 3]
    assert seeds["short_first"].to_list() == [0.8, 1.0]
    assert seeds["gap"].to_list() == pytest.approx([0.3, 0.3])


def test_sizes_weigh_equally(store, write_run):
    write_run({(2, 4): 10, (4, 2): 10, (2, 6): 0, (6, 2): 0, (3, 4): 4, (4, 3): 1})
    (row,) = by_order(chosen_runs(load(store))).iter_rows(named=True)
    assert row["short_first"] == pytest.approx(14 / 30)
    assert row["long_first"] == pytest.approx(11 / 30)
    assert row["chance"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)


def test_how_many_seeds_have_converged_is_told_where_it_is_known(store, write_run):
    write_run(PAIR, seed=0, converged=True)
    write_run(PAIR, seed=1, converged=False)
    write_run(PAIR, seed=0, width=16, converged=True)
    write_run(PAIR, seed=1, width=16)
    table = load(store)
    assert summary_table(table)["converged"].to_list() == [1, None]
    assert by_order(chosen_runs(table), each_seed=True)["converged"].to_list() == [1, 0, 1, None]
    runs = chosen_runs(table)
    assert "no longer rose when training ended: 2 of 3." in provenance_note(table, runs)


def test_nothing_is_said_of_convergence_where_no_run_was_asked(store, write_run):
    write_run(PAIR)
    table = load(store)
    assert "converged" not in summary_table(table).columns
    assert "rose" not in provenance_note(table, chosen_runs(table))


def test_slices_pool_seeds_and_correct_for_chance(store, write_run):
    for seed, correct in enumerate((6, 9)):
        write_run({(4, 4): correct}, seed=seed)
    (row,) = by_slice(chosen_runs(load(store))).iter_rows(named=True)
    assert (row["seeds"], row["correct"], row["examples"]) == (2, 15, 20)
    assert row["above_chance"] == pytest.approx((0.75 - 0.25) / 0.75)
    assert row["accuracy_low"] < row["accuracy"] == 0.75 < row["accuracy_high"]


def test_seeds_are_pooled_at_the_rate_with_the_best_mean_not_the_best_run(store, write_run):
    for lr, counts in {1e-3: (10, 2), 2e-3: (7, 7), 3e-3: (5, 6)}.items():
        for seed, correct in enumerate(counts):
            write_run({(2, 4): correct, (4, 2): correct}, lr=lr, seed=seed)
    runs = chosen_runs(load(store))
    assert runs["lr"].unique().to_list() == [2e-3]
    assert by_order(runs)["short_first"].to_list() == [0.7]


def test_every_setting_has_its_own_best_rate(store, write_run):
    for width, lr, correct in ((8, 1e-3, 9), (8, 2e-3, 5), (16, 1e-3, 5), (16, 2e-3, 9)):
        write_run({(2, 4): correct, (4, 2): correct}, width=width, lr=lr)
    assert by_order(chosen_runs(load(store)))["short_first"].to_list() == [0.9, 0.9]


def test_a_diverged_run_is_no_zero_and_its_rate_does_not_win_by_the_other_seed(store, write_run):
    write_run({(2, 4): 0, (4, 2): 0}, lr=1e-2, seed=0, diverged=True)
    write_run({(2, 4): 10, (4, 2): 10}, lr=1e-2, seed=1)
    for seed in (0, 1):
        write_run({(2, 4): 7, (4, 2): 6}, lr=1e-3, seed=seed)
    table = load(store)
    (row,) = by_order(chosen_runs(table)).iter_rows(named=True)
    assert (row["short_first"], row["seeds"]) == (0.7, 2)
    assert "2 of 4 stored runs" in provenance_note(table, chosen_runs(table))
    assert "diverged: 1" in provenance_note(table, chosen_runs(table))


def test_where_every_rate_has_diverged_runs_the_others_count(store, write_run):
    write_run({(2, 4): 0, (4, 2): 0}, seed=0, diverged=True)
    write_run({(2, 4): 8, (4, 2): 6}, seed=1)
    (row,) = by_order(chosen_runs(load(store))).iter_rows(named=True)
    assert (row["short_first"], row["seeds"]) == (0.8, 1)


def test_nothing_but_diverged_runs_is_an_error(store, write_run):
    write_run(PAIR, diverged=True)
    with pytest.raises(ValueError, match="every stored run diverged"):
        chosen_runs(load(store))


def test_nothing_but_trivial_sizes_is_an_error(store, write_run):
    write_run({(1, 4): 9, (4, 1): 9})
    with pytest.raises(ValueError, match=r"\|A\| ≥ 2 and \|B\| ≥ 2"):
        chosen_runs(load(store))


def test_tasks_are_never_pooled(store, write_run):
    write_run(PAIR)
    write_run(PAIR, passes=2)
    write_run({**PAIR, (2, 6): 1, (6, 2): 1})
    table = summary_table(load(store))
    assert table.height == 3
    assert table["experiment"].n_unique() == 3
    assert table["experiment"].str.contains("passes=2").sum() == 1


def test_tasks_are_told_apart_among_those_of_their_name(store, write_run):
    for passes in (1, 2):
        write_run(PAIR, passes=passes)
    write_run({(4, 1): 9}, order="context_first", vocab_size=20)
    experiments = chosen_runs(load(store))["experiment"].unique().sort().to_list()
    assert experiments == [
        "task=associative_recall",
        "task=set_disjointness, passes=1",
        "task=set_disjointness, passes=2",
    ]


def test_settings_that_differ_beyond_size_are_named_apart(store, write_run):
    write_run(PAIR, steps=100)
    write_run(PAIR, steps=200)
    write_run(PAIR, steps=200, model="based")
    assert summary_table(load(store))["model"].to_list() == [
        "based",
        "gru steps=100",
        "gru steps=200",
    ]


def test_the_printed_table(store, write_run):
    for model, width in (("gru", 16), ("gru", 8), ("based", 8)):
        write_run(PAIR, model=model, width=width)
    table = summary_table(load(store))
    assert table.columns == [
        "model",
        "width",
        "feature_dim",
        "state_bytes",
        "seeds",
        "verdict",
        "lr",
        *[
            f"{name}{end}"
            for name in ("accuracy_short_first", "accuracy_long_first", "gap")
            for end in ("", "_low", "_high")
        ],
    ]
    assert table["lr"].to_list() == [1e-3] * 3
    assert table.select("model", "state_bytes").rows() == [("based", 32), ("gru", 32), ("gru", 64)]
    assert table["gap"].to_list() == pytest.approx([0.3] * 3)


def test_five_seeds_are_enough_for_a_verdict(store, write_run):
    for width, seeds in ((8, 4), (16, 5)):
        for seed in range(seeds):
            write_run(PAIR, width=width, seed=seed)
    table = load(store)
    assert summary_table(table)["verdict"].to_list() == ["no", "yes"]
    assert by_slice(chosen_runs(table))["enough_seeds"].to_list() == [False] * 2 + [True] * 2


def test_slices_of_unlike_weight_are_refused(store, write_run):
    write_run(PAIR)
    table = load(store)
    with pytest.raises(ValueError, match="test_examples"):
        chosen_runs(table.with_columns(examples=table["examples"] + table["size_a"]))
