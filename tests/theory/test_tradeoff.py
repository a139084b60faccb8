import csv
from collections import Counter
from math import comb, log2
from pathlib import Path

import pytest

from theory.passes.tower import Level, Tower, tower_within
from theory.tradeoff import optima, tradeoff


@pytest.mark.parametrize("problem", ["search", "decision"])
@pytest.mark.parametrize("sizes", [(5, 2, 2), (6, 1, 3), (12, 2, 5)])
def test_nothing_that_is_reached_is_above_what_is_proved(sizes, problem):
    points = tradeoff(*sizes, problem, steps=200)
    n, a, b = sizes
    for first in ("A", "B"):
        here = [point for point in points if point.first == first and point.passes == 1]
        proved = [point for point in here if point.kind == "at most"]
        assert [p.bits for p in proved] == sorted(p.bits for p in proved)
        for point in here:
            if point.kind in ("optimum", "filter", "stored exactly"):
                above = min(p.accuracy for p in proved if p.bits >= point.bits - 1e-9)
                assert point.accuracy <= above + 1e-9, point
        (exact,) = [point for point in here if point.kind == "stored exactly"]
        assert exact.bits == log2(comb(n, a if first == "A" else b))
    kinds = Counter(point.kind for point in points)
    assert (kinds["optimum"] > 0) == (n < 12)
    assert (kinds["conjectured"] > 0) == (problem == "search" and sizes != (5, 2, 2))


def test_rankings_are_conjectured_from_the_least_universe_on():
    for universe, conjectured in ((4, False), (5, True)):
        points = tradeoff(universe, 2, 3, steps=2)
        assert any(p.kind == "conjectured" and p.first == "A" for p in points) is conjectured


def test_what_reads_several_times_is_shown_beside_it():
    once = tradeoff(12, 5, 3, steps=20, passes=1)
    assert all(point.passes == 1 and point.kind != "tower" for point in once)
    points = tradeoff(12, 5, 3, steps=20, passes=3)
    assert [point for point in points if point.passes == 1] == once
    several = [point for point in points if point.passes > 1]
    assert {(point.kind, point.passes) for point in several} == {
        ("tower", 3),
        ("stored exactly", 3),
    }
    for first in ("A", "B"):
        towers = [point for point in several if (point.kind, point.first) == ("tower", first)]
        assert [p.bits for p in towers] == sorted(p.bits for p in towers)
        assert [p.accuracy for p in towers] == sorted({p.accuracy for p in towers})
        assert towers[-1].accuracy > 0.9
        sizes = (5, 3) if first == "A" else (3, 5)
        best = tower_within(*sizes, 3, towers[-1].bits)
        assert best.accuracy("search") == towers[-1].accuracy


def test_stored_at_once_or_in_parts_whichever_is_less():
    def held(passes, problem, *sizes):
        points = tradeoff(*sizes, problem, steps=1, passes=passes)
        kinds = ("A", "stored exactly", passes)
        return next(p.bits for p in points if (p.first, p.kind, p.passes) == kinds)

    assert held(2, "decision", 20, 8, 3) == log2(comb(20, 3))  # the smaller set, as in Algorithm 3
    assert held(4, "decision", 20, 8, 6) == log2(comb(20, 2) * 2)  # two at a time, and the answer
    assert held(4, "search", 20, 8, 6) == log2(comb(20, 2) * 21)
    assert held(2, "search", 5, 2, 2) == log2(comb(5, 2))


def test_a_filter_is_a_tower_of_one_level():
    points = [point for point in tradeoff(20, 3, 4, steps=5) if point.kind == "filter"]
    for point in points:
        a, b = (3, 4) if point.first == "A" else (4, 3)
        cells = next(m for m in range(1, 100) if filter_at(m, a, b).bits >= point.bits)
        assert filter_at(cells, a, b).bits == point.bits
        assert filter_at(cells, a, b).accuracy("search") == point.accuracy
    assert min(point.bits for point in points) == 0


def filter_at(cells, a, b):
    return Tower(a, b, (Level(cells, a),))


def test_sets_too_large_for_towers_have_bounds():
    points = tradeoff(4000, 1100, 2, "decision", steps=1)
    kinds = Counter(point.kind for point in points)
    assert kinds == {"at most": 4, "stored exactly": 4}


def test_what_has_no_tradeoff_is_refused():
    with pytest.raises(ValueError, match="universe = 4"):
        tradeoff(4, 3, 3)
    with pytest.raises(ValueError, match="passes = 0"):
        tradeoff(4, 2, 2, passes=0)


def test_the_stored_optima_are_those():
    """All sizes with n ≤ 4; and no optimum of the others is above its bound."""
    path = Path(__file__).parents[2] / "results" / "theory" / "optima.csv"
    with path.open(encoding="utf-8", newline="") as file:
        stored = list(csv.DictReader(file))
    assert len(stored) > 300
    assert all(float(row["optimum"]) <= float(row["at_most"]) + 1e-6 for row in stored)
    sizes = ("universe", "size_a", "size_b", "states")
    found = {(row["problem"], *(int(row[key]) for key in sizes)): row for row in stored}
    for best in optima(4):
        row = found[best.problem, best.universe, best.size_a, best.size_b, best.states]
        assert row["exactly"] == str(best.optimum)
        assert float(row["at_most"]) == pytest.approx(best.at_most, abs=1e-5)
