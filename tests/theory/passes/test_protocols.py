from dataclasses import dataclass, field
from itertools import combinations
from math import comb, prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.algorithms.multi_pass import JustReadTwice, MultiPass
from theory.algorithms.one_pass import Fingerprint, OnePass
from theory.passes.bounds import multi_pass_bits
from theory.passes.protocols import Transcript, examine, fooled_instance, run_protocol
from theory.setting import Marker, is_right, prompt, run

# Other work shares the processor: no deadline.
many = settings(deadline=None, max_examples=60)


def beats_the_bound(report):
    """Whether the model is always right with less than any such model can have."""
    too_few = prod(report.distinct_states) < report.needed_product
    too_small = max(report.message_bits) < report.needed_bits
    return report.first_error is None and (too_few or too_small)


@st.composite
def model_and_instance(draw):
    universe = draw(st.integers(1, 20))
    side = st.lists(st.integers(0, universe - 1), unique=True, max_size=8)
    first, second = draw(side), draw(side)
    length, passes = len(first) + len(second) + 2, draw(st.integers(1, 4))
    options = {"search": draw(st.booleans()), "packed": draw(st.booleans())}
    models = [
        OnePass(universe, **options),
        Fingerprint.drawn(universe, 2, seed=draw(st.integers(0, 9)), **options),
        MultiPass(universe, length=length, passes=passes, size_a=len(first), **options),
    ]
    if passes > 1:
        models.append(MultiPass(universe, length=length, passes=passes, **options))
    if passes == 2:
        models.append(JustReadTwice(universe, length=length, **options))
    return draw(st.sampled_from(models)), first, second, passes


@many
@given(case=model_and_instance())
def test_the_protocol_is_the_model_cut_at_the_boundaries(case):
    model, first, second, passes = case
    transcript = run_protocol(model, first, second, passes)
    outcome = run(model, prompt(first, second, passes))
    assert transcript.answer == outcome.answer
    # The boundaries: after A and after B of each copy, but for the very last.
    lengths = [1 + len(first), 1 + len(second)] * passes
    ends = [sum(lengths[: i + 1]) - 1 for i in range(2 * passes - 1)]
    assert transcript.messages == tuple(outcome.trace[end] for end in ends)
    assert transcript.total_bits <= (2 * passes - 1) * outcome.peak_bits
    assert transcript.largest_state_at_least <= outcome.peak_bits


def test_the_mean_message_is_rounded_up():
    assert Transcript((3, 4, 4), True).total_bits == 11
    assert Transcript((3, 4, 4), True).largest_state_at_least == 4
    assert Transcript((4, 4, 4), True).largest_state_at_least == 4


class RemembersElsewhere:
    """A model that passes an empty state on, and keeps what it read in itself."""

    def __init__(self):
        self.algorithm = OnePass(8)
        self.state = self.algorithm.start()

    def start(self):
        return None

    def step(self, state, token):
        self.state = self.algorithm.step(self.state, token)

    def answer(self, state):
        return self.algorithm.answer(self.state)

    def bits(self, state):
        return 0


def test_a_model_that_remembers_outside_its_state_is_found_out():
    assert run(RemembersElsewhere(), prompt([1, 2], [2])).answer is True
    assert run_protocol(RemembersElsewhere(), [1, 2], [2]).answer is False


def test_the_model_handed_in_is_left_as_it_was():
    model = RemembersElsewhere()
    run_protocol(model, [1, 2], [2])
    examine(model, 4, 2, 2)
    fooled_instance(model, 2, 2)
    assert model.state == model.algorithm.start()


# --- a neural network whose state is quantized ---


@dataclass
class QuantizedGRU:
    """A random GRU, each hidden number from -1 to 1 quantized to 2^precision levels."""

    universe: int
    hidden: int
    precision: int
    seed: int
    cell: torch.nn.GRUCell = field(init=False)

    def __post_init__(self):
        generator = torch.Generator().manual_seed(self.seed)
        tokens = self.universe + len(Marker)
        self.cell = torch.nn.GRUCell(tokens, self.hidden, dtype=torch.float64)
        for weight in self.cell.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=torch.float64)

    def start(self):
        return self.quantized(torch.zeros(self.hidden, dtype=torch.float64))

    def quantized(self, hidden):
        top = 2**self.precision - 1
        return tuple(((hidden + 1) / 2 * top).round().long().tolist())

    def step(self, state, token):
        index = (
            self.universe + list(Marker).index(token) if isinstance(token, Marker) else int(token)
        )
        one_hot = torch.zeros(1, self.cell.input_size, dtype=torch.float64)
        one_hot[0, index] = 1
        hidden = 2 * torch.tensor([state], dtype=torch.float64) / (2**self.precision - 1) - 1
        with torch.no_grad():
            return self.quantized(self.cell(one_hot, hidden)[0])

    def answer(self, state):
        return 2 * sum(state) > self.hidden * (2**self.precision - 1)

    def bits(self, state):
        return self.hidden * self.precision


@pytest.mark.parametrize("passes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_quantized_network_as_a_protocol(passes, seed):
    model = QuantizedGRU(universe=8, hidden=3, precision=4, seed=seed)
    answers = set()
    for first, second in (([4, 1, 3], [0]), ([2], [2, 5]), ([7, 6], [1, 7])):
        transcript = run_protocol(model, first, second, passes)
        outcome = run(model, prompt(first, second, passes))
        assert transcript == Transcript((12,) * (2 * passes - 1), outcome.answer)
        answers.add(transcript.answer)
    assert answers <= {True, False}


def test_the_network_does_read_its_prompt():
    model = QuantizedGRU(universe=8, hidden=3, precision=4, seed=0)
    report = examine(model, 4, 2, 1)
    assert report.distinct_states[0] > 1
    assert report.declares_enough


@pytest.mark.parametrize("passes", [1, 2])
def test_a_network_of_too_few_bits_is_wrong_somewhere(passes):
    model = QuantizedGRU(universe=6, hidden=1, precision=1, seed=0)
    assert model.bits(model.start()) < multi_pass_bits(6, 3, 3, passes)
    wrong = fooled_instance(model, 3, 3, passes)
    assert wrong is not None
    assert not is_right(run_protocol(model, *wrong, passes).answer, *wrong)


# --- the bound, and that nothing beats it ---


@dataclass(frozen=True)
class Merged:
    """`OnePass`, but taking one first set for another once it has read the separator."""

    universe: int
    mistaken: frozenset
    taken_for: frozenset

    def start(self):
        return OnePass(self.universe).start()

    def step(self, state, token):
        after = OnePass(self.universe).step(state, token)
        if token is Marker.SEPARATOR and state.stored == self.mistaken:
            return type(after)(self.taken_for, after.in_second, after.hit)
        return after

    def answer(self, state):
        return state.hit

    def bits(self, state):
        return OnePass(self.universe).bits(state)


@pytest.mark.parametrize(("universe", "a", "b"), [(5, 2, 1), (5, 2, 3), (5, 3, 1), (5, 3, 2)])
def test_no_two_states_at_the_separator_can_be_merged(universe, a, b):
    firsts = [frozenset(first) for first in combinations(range(universe), a)]
    assert examine(OnePass(universe), universe, a, b).distinct_states == (comb(universe, a),)
    for mistaken, taken_for in combinations(firsts, 2):
        wrong = examine(Merged(universe, mistaken, taken_for), universe, a, b).first_error
        assert wrong is not None
        assert set(wrong[0]) == mistaken


@dataclass(frozen=True)
class Automaton:
    """A table: state and token to state. Its answer is the parity of the state."""

    table: tuple[tuple[int, ...], ...]

    def start(self):
        return 0

    def step(self, state, token):
        row = self.table[state]
        return row[list(Marker).index(token) - 3 if isinstance(token, Marker) else token]

    def answer(self, state):
        return state % 2 == 1

    def bits(self, state):
        return (len(self.table) - 1).bit_length()


@st.composite
def automata(draw, elements):
    states = draw(st.integers(2, 5))
    row = st.tuples(*[st.integers(0, states - 1)] * (elements + len(Marker)))
    return Automaton(tuple(draw(row) for _ in range(states)))


@many
@given(data=st.data(), passes=st.integers(1, 2))
def test_every_automaton_with_too_few_states_is_fooled(data, passes):
    a, b = data.draw(st.sampled_from([(2, 2), (2, 3), (3, 3), (3, 4)]))
    model = data.draw(automata(a + b))
    report = examine(model, a + b, a, b, passes)
    assert not beats_the_bound(report)
    assert report.declares_enough
    wrong = fooled_instance(model, a, b, passes)
    if prod(report.distinct_states) < comb(a + b, a):
        assert wrong is not None
    if wrong is not None:
        assert not is_right(run(model, prompt(*wrong, passes)).answer, *wrong)
        assert report.first_error is not None


def test_cut_and_paste_is_needed():
    """Right about all disjoint pairs, so that only a pasted one shows the error."""

    class NeverMeets(OnePass):
        def answer(self, state):
            return False

        def step(self, state, token):
            return self.start()

    wrong = fooled_instance(NeverMeets(4), 2, 2)
    assert wrong is not None
    assert set(wrong[0]) & set(wrong[1])


def test_a_right_model_is_not_fooled():
    for a, b in ((1, 1), (2, 3), (3, 2)):
        length = a + b + 2
        assert fooled_instance(OnePass(a + b), a, b) is None
        assert fooled_instance(JustReadTwice(a + b, length=length), a, b, 2) is None
        assert fooled_instance(MultiPass(a + b, length=length, passes=3), a, b, 3) is None


class SaysItNeedsNothing(OnePass):
    def bits(self, state):
        return 0


class AlwaysMeets(OnePass):
    def answer(self, state):
        return True


def test_an_examination_tells_false_declarations():
    report = examine(SaysItNeedsNothing(4), 4, 2, 2)
    assert report.first_error is None
    assert not report.declares_enough
    assert beats_the_bound(report)
    honest = examine(OnePass(4), 4, 2, 2)
    assert honest.declares_enough
    assert not beats_the_bound(honest)
    assert honest.instances == 36
    assert honest.message_bits == (OnePass(4).header_bits + 4,)


def test_an_examination_reports_the_largest_messages():
    model = Fingerprint(5, fingerprint_bits=1, coins=5)
    totals = [
        run_protocol(model, first, second).messages[0]
        for first in combinations(range(5), 2)
        for second in combinations(range(5), 2)
    ]
    # Colliding elements leave one hash value, others two; the last instance is none of these.
    assert totals[-1] < max(totals)
    assert examine(model, 5, 2, 2).message_bits == (max(totals),)


def test_an_examination_finds_the_first_error():
    report = examine(AlwaysMeets(4), 4, 2, 2)
    assert report.first_error == ((0, 1), (2, 3))
    assert not beats_the_bound(report)
    assert fooled_instance(AlwaysMeets(4), 2, 2) == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: run_protocol(OnePass(4), [1], [2], 0), "passes = 0"),
        (lambda: examine(OnePass(4), 4, 1, 1, 0), "passes = 0"),
        (lambda: examine(OnePass(4), 4, 3, 2), "universe = 4"),
        (lambda: examine(OnePass(4), 4, 2, 0), "size_b = 0"),
        (lambda: fooled_instance(OnePass(4), 0, 2), "size_a = 0"),
        (lambda: fooled_instance(OnePass(4), 1, 2, 0), "passes = 0"),
    ],
)
def test_impossible_sizes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_one_pass_needs_all_first_sets_more_passes_the_smaller_ones() -> None:
    once, twice = (examine(OnePass(5), 5, 3, 1, passes) for passes in (1, 2))
    assert (once.needed_product, twice.needed_product) == (10, 5)


class SaysOneBitTooFew(OnePass):
    def bits(self, state):
        return self.declared


@pytest.mark.parametrize(("declared", "enough"), [(3, False), (4, True)])
def test_a_declaration_may_not_be_one_bit_too_small(declared, enough):
    """C(5, 2) = 10 states take four bits."""
    SaysOneBitTooFew.declared = declared
    report = examine(SaysOneBitTooFew(5), 5, 2, 2)
    assert report.distinct_states == (10,)
    assert report.declares_enough is enough


class AnswersAsNumpyDoes(OnePass):
    def answer(self, state):
        return np.bool_(super().answer(state))


def test_the_booleans_of_numpy_are_answers():
    assert examine(AnswersAsNumpyDoes(5), 5, 2, 2).first_error is None
    assert fooled_instance(AnswersAsNumpyDoes(5), 2, 3) is None
