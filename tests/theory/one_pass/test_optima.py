from fractions import Fraction
from itertools import combinations, product
from math import comb, log2

import pytest

from theory.one_pass.automata import profile
from theory.one_pass.optima import best_accuracies, best_accuracy, is_feasible
from theory.one_pass.rate_distortion import search_accuracy
from theory.setting import sizes_up_to


def by_trying(n, a, b, states, problem):
    """All messages, one by one, in plain Python."""
    firsts = [set(first) for first in combinations(range(n), a)]
    seconds = [set(second) for second in combinations(range(n), b)]
    once = {(i, j) for i, A in enumerate(firsts) for j, B in enumerate(seconds) if len(A & B) == 1}
    apart = {(i, j) for i, A in enumerate(firsts) for j, B in enumerate(seconds) if not A & B}
    best = Fraction(0)
    for sent in product(range(states), repeat=len(firsts)):
        right = Fraction(0)
        for state in range(states):
            here = [i for i in range(len(firsts)) if sent[i] == state]
            for j, second in enumerate(seconds):
                if problem == "search":
                    counts = [sum((i, j) in once and x in firsts[i] for i in here) for x in second]
                    right += Fraction(max(counts), len(once))
                else:
                    met = Fraction(sum((i, j) in once for i in here), 2 * len(once))
                    right += max(met, Fraction(sum((i, j) in apart for i in here), 2 * len(apart)))
        best = max(best, right)
    return best


@pytest.mark.parametrize("problem", ["search", "decision"])
@pytest.mark.parametrize(("n", "a", "b"), [(4, 1, 2), (4, 2, 2), (5, 1, 3), (4, 3, 1), (4, 1, 3)])
@pytest.mark.parametrize("states", [1, 2, 3])
def test_it_is_the_best_of_all_messages(n, a, b, states, problem):
    assert best_accuracy(n, a, b, states, problem) == by_trying(n, a, b, states, problem)


def test_more_states_never_hurt_and_enough_make_no_error():
    for n, a, b in sizes_up_to(5, shared=1):
        states = profile(n, a, b, "search").separator
        accuracies = best_accuracies(n, a, b, min(comb(n, a), states.upper))
        assert accuracies == sorted(accuracies)
        assert accuracies[-1] == 1
        assert all(accuracy < 1 for accuracy in accuracies[: states.lower - 1])


def test_two_states_of_twenty_sets():
    assert best_accuracy(6, 3, 2, 2) <= search_accuracy(6, 3, 2, log2(2))
    assert is_feasible(6, 3, 2)
    assert not is_feasible(6, 3, 3)
    with pytest.raises(ValueError, match="at most 15 first sets are possible, or 20 for two"):
        best_accuracy(6, 3, 2, 3)
    with pytest.raises(ValueError, match="states = 0"):
        best_accuracy(4, 2, 2, 0)
