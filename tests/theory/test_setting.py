import pytest

from theory.setting import Marker, Outcome, check_sizes, is_right, prompt, run


def test_a_prompt_repeats_the_sets_and_then_asks():
    P, S, A = Marker.PREFIX, Marker.SEPARATOR, Marker.ANSWER
    assert prompt([3, 1], [2], passes=2) == (P, 3, 1, S, 2, P, 3, 1, S, 2, A)
    assert prompt([], []) == (P, S, A)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], [2]), "first"),
        (([1], [2, 2]), "second"),
        (([1], [2], 0), "passes = 0"),
    ],
)
def test_a_prompt_refuses_what_is_no_set(arguments, message):
    with pytest.raises(ValueError, match=message):
        prompt(*arguments)


def test_running_counts_the_state_before_and_after_each_token():
    class Counter:
        """Holds a bit for each token still to come."""

        def start(self):
            return 3

        def step(self, state, token):
            return state - 1

        def answer(self, state):
            return state == 0

        def bits(self, state):
            return state

    assert run(Counter(), prompt([], [])) == Outcome(True, 3, (2, 1, 0))
    assert run(Counter(), ()) == Outcome(False, 3, ())


def test_answers_are_held_against_the_sets():
    assert is_right(True, {1}, {1})
    assert not is_right(True, {1}, {2})
    assert is_right(False, {1}, {2})
    assert not is_right(False, {1}, {1})
    assert is_right(None, {1}, {2})
    assert not is_right(None, {0}, {0})
    assert is_right(0, {0, 1}, {0})
    assert not is_right(1, {0, 1}, {0})


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (check_sizes, (4, 3, 2), r"size_a = 3, size_b = 2: size_a \+ size_b ≤ universe"),
        (check_sizes, (4, 3, 3, "search"), r"size_a \+ size_b - 1 ≤ universe"),
        (check_sizes, (4, 0, 3), "size_a = 0: at least 1"),
        (check_sizes, (4, 1, 1, "name"), "problem = 'name': 'decision' or 'search'"),
    ],
)
def test_what_is_out_of_the_domain_is_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
