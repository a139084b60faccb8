import polars as pl
import pytest

from figures import draw_theory, theory
from theory import multi_pass_bits, one_pass_bits


@pytest.fixture(scope="module")
def over_time():
    return theory.draw_over_time()


def test_the_profile_lies_under_the_one_pass_algorithms(over_time):
    profile = over_time.data.filter(series="profile").select("order", "tokens", least="bits")
    held = over_time.data.filter(pl.col("passes") == 1, pl.col("series") != "profile")
    both = held.join(profile, on=["order", "tokens"])
    assert len(both) == len(held) == 2 * 2 * 10
    assert (both["least"] <= both["bits"]).all()


def test_at_the_separator_the_profile_is_the_bound(over_time):
    for order, size_a in (("Short set first", 2), ("Long set first", 5)):
        at = over_time.data.filter(order=order, series="profile", tokens=size_a + 2)
        assert at.select("bits", "upper").row(0) == (one_pass_bits(10, size_a),) * 2


def test_only_one_pass_depends_on_the_order(over_time):
    peaks = over_time.data.group_by("series", "order").agg(pl.col("bits").max())
    by_series = {key[0]: set(rows["bits"]) for key, rows in peaks.group_by("series")}
    assert len(by_series["Just read twice"]) == 1
    assert len(by_series["One pass, packed"]) == len(by_series["profile"]) == 2


def test_the_panels_show_all_of_the_data(over_time):
    top = over_time.figure.axes[0].get_ylim()[1]
    assert top > over_time.data["bits"].max()
    assert all(ax.get_ylim() == (0, top) for ax in over_time.figure.axes)
    assert sum(len(ax.lines) for ax in over_time.figure.axes) == 2 * 3


def test_bounds_against_size_lie_under_what_is_held():
    data = theory.draw_against_size().data
    wide = data.pivot(on="kind", index=["size_a", "series"], values="bits").drop_nulls()
    assert len(wide) == 2 * 31
    assert (wide["bound"] <= wide["algorithm"]).all()
    held = data.filter(kind="algorithm").pivot(on="series", index="size_a", values="bits")
    middle = held.filter(size_a=32).row(0, named=True)
    assert middle["Read four times, error 1/10"] < middle["Read twice, error 1/10"]
    assert middle["Read twice, error 1/10"] < middle["Read twice"] / 2
    row = data.filter(size_a=10, series="Read four times", kind="bound")
    assert row["bits"].to_list() == [multi_pass_bits(1024, 10, 54, 4)]


def test_figures_and_numbers_are_written(tmp_path):
    paths = draw_theory(tmp_path / "out")
    assert set(paths) == set((tmp_path / "out").iterdir())
    assert {path.stem for path in paths} == {"memory_over_time", "memory_against_size"}
    assert all(path.stat().st_size for path in paths)
