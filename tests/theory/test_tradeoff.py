import csv
from collections import Counter
from itertools import product
from math import comb, log2
from pathlib import Path

import pytest

from theory.one_pass.filters import filter_accuracy, filter_bits
from theory.tradeoff import optima, tradeoff


@pytest.mark.parametrize("problem", ["search", "decision"])
@pytest.mark.parametrize("sizes", [(5, 2, 2), (6, 1, 3), (12, 2, 5)])
def test_nothing_that_is_reached_is_above_what_is_proved(sizes, problem):
    points = tradeoff(*sizes, problem, steps=200)
    n, a, b = sizes
    for first in ("A", "B"):
        here = [point for point in points if point.first == first]
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


def test_a_filter_is_as_accurate_as_all_hash_functions_are():
    """Every function from elements to cells; one of those that seem to be in A is named."""
    for cells, a, b in ((2, 2, 2), (3, 2, 3), (3, 1, 2)):
        n = a + b - 1
        searched = []
        for values in product(range(cells), repeat=n):
            kept = {values[x] for x in range(a)}
            named = [x for x in range(a - 1, n) if values[x] in kept]  # B, with a - 1 in common
            searched.append(1 / len(named))
        mean = sum(searched) / len(searched)
        assert filter_accuracy(cells, a, b, "search") == pytest.approx(mean)
        decided = []
        for values in product(range(cells), repeat=a + b):
            kept = {values[x] for x in range(a)}
            decided.append(not any(values[x] in kept for x in range(a, a + b)))
        mean = (1 + sum(decided) / len(decided)) / 2
        assert filter_accuracy(cells, a, b, "decision") == pytest.approx(mean)


def test_hash_values_are_counted_as_sets():
    assert filter_bits(1, 5) == 0
    assert filter_bits(4, 2) == log2(4 + 6)
    assert filter_bits(3, 5) == log2(7)


def test_what_has_no_tradeoff_is_refused():
    with pytest.raises(ValueError, match="universe = 4"):
        tradeoff(4, 3, 3)
    with pytest.raises(ValueError, match="cells = 0"):
        filter_accuracy(0, 1, 1, "search")


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
