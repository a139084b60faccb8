"""The fewest states, against every model there is and every protocol of small matrices."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest

from theory.passes.exhaustive import (
    Conversations,
    fewest_recurrent_states,
    fewest_states,
    tiny_protocols,
)
from theory.passes.rank import disjointness_matrix


def some_recurrent_model_decides(matrix: np.ndarray, states: int) -> bool:
    """All functions of the state and of the own input, for two readings, one by one."""
    rows, columns = matrix.shape
    functions = np.array(list(product(range(states), repeat=states)))
    for first in product(range(states), repeat=rows):
        begun = np.array(first)
        for bob in product(range(len(functions)), repeat=columns):
            # The state after the first B: (rows, columns).
            middle = functions[list(bob)][:, begun].T
            for alice in product(range(len(functions)), repeat=rows):
                last = np.take_along_axis(functions[list(alice)], middle, axis=1)
                readable = all(
                    len(set(matrix[last[:, column] == state, column])) <= 1
                    for column in range(columns)
                    for state in range(states)
                )
                if readable:
                    return True
    return False


@pytest.mark.parametrize("sizes", [(2, 1, 1), (3, 1, 1), (3, 1, 2), (3, 2, 1)])
def test_models_of_two_states_are_those_of_all_functions(sizes) -> None:
    matrix = disjointness_matrix(*sizes)
    assert some_recurrent_model_decides(matrix, 2) == (fewest_recurrent_states(*sizes, 2) <= 2)
    assert not some_recurrent_model_decides(matrix, 1)


def test_no_recurrent_model_does_with_a_bit_what_remembering_parties_do() -> None:
    """All 2⁴ · 4⁴ · 4⁴ models of two states; Alice's last messages all at once."""
    met = disjointness_matrix(4, 1, 1) == 0
    functions = np.array(list(product(range(2), repeat=2)))  # (4, states)
    last_functions = np.array(list(product(range(4), repeat=4)))[:, :, None]  # (256, rows, 1)
    for first in product(range(2), repeat=4):
        for bob in product(range(4), repeat=4):
            middle = functions[list(bob)][:, list(first)].T  # (rows, columns)
            last = functions[last_functions, middle[None]] == 1  # (256, rows, columns)
            # In no column may a state be held both by sets that meet and by sets that do not.
            confused = [
                (held & met).any(axis=1) & (held & ~met).any(axis=1) for held in (last, ~last)
            ]
            assert (confused[0] | confused[1]).any(axis=1).all()
    assert fewest_recurrent_states(4, 1, 1, 2) == 3
    assert fewest_states(4, 1, 1, 2) == 2


def test_three_states_are_enough_at_four_elements() -> None:
    """One of the models that are said to exist, spelled out: states 0, 1, 2."""
    matrix = disjointness_matrix(4, 1, 1)
    first = [0, 1, 2, 2]  # which of three classes A is in
    for a in range(4):
        for b in range(4):
            middle = 1 if first[a] == 2 and b == 3 else 0 if first[b] == first[a] else 2
            # Alice, who has A: is it so that B is A, as far as she can tell?
            said = {2: 2, 1: int(a == 3), 0: int(a != 3)}[middle]
            assert (said == 1) == (matrix[a, b] == 0)


def test_reading_a_third_time_makes_up_for_it() -> None:
    assert [fewest_recurrent_states(4, 1, 1, passes) for passes in (1, 2, 3)] == [4, 3, 2]
    assert fewest_states(4, 1, 1, 3) == 2


def test_one_pass_tells_all_first_sets_apart() -> None:
    for each in tiny_protocols(5):
        if each.passes == 1:
            states = comb(each.universe, each.size_a)
            assert each.remembering == each.recurrent == each.rank == states
        else:
            assert each.rank <= each.remembering <= each.recurrent <= each.rank + 1
    sizes = [(each.universe, each.size_a, each.size_b) for each in tiny_protocols(5)]
    assert sizes.count((4, 2, 2)) == sizes.count((5, 4, 1)) == 2
    assert (5, 2, 1) not in sizes


def test_conversations_in_single_bits() -> None:
    """Equality of two elements takes a bit, of three or four two: Alice names hers, Bob knows."""
    for universe, bits in ((2, 1), (3, 2), (4, 2), (5, 3)):
        assert Conversations(disjointness_matrix(universe, 1, 1)).least_bits() == bits


def test_messages_may_be_of_any_number_of_values() -> None:
    conversations = Conversations(np.eye(5, dtype=np.int64))
    assert [conversations.fewest_states(messages) for messages in (1, 3, 5)] == [5, 3, 2]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (fewest_states, (4, 3, 2, 1), r"size_a \+ size_b ≤ universe"),
        (fewest_states, (4, 1, 1, 0), "passes = 0"),
        (fewest_states, (5, 2, 2, 1), "at most 6 sets"),
        (fewest_states, (7, 1, 1, 1), "at most 6 sets"),
        (fewest_recurrent_states, (7, 1, 1, 1), "at most 6 sets"),
        (fewest_recurrent_states, (4, 1, 1, 0), "passes = 0"),
        (fewest_recurrent_states, (4, 1, 1, 4), "1 ≤ passes ≤ 3"),
        (fewest_recurrent_states, (5, 1, 1, 3), "1 ≤ passes ≤ 2"),
    ],
)
def test_what_cannot_be_tried_is_refused(function, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)
