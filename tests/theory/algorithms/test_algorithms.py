from collections import defaultdict
from dataclasses import FrozenInstanceError
from fractions import Fraction
from itertools import permutations
from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.algorithms.multi_pass import JustReadTwice, MultiPass
from theory.algorithms.one_pass import Fingerprint, OnePass
from theory.one_pass.exact import one_pass_bits
from theory.setting import Marker, prompt

# Other work shares the processor: no deadline.
many = settings(deadline=None, max_examples=150)
answers_and_encodings = {"search": st.booleans(), "packed": st.booleans()}


@st.composite
def universe_and_sets(draw, least_size=0):
    universe = draw(st.integers(1, 40))
    side = st.lists(st.integers(0, universe - 1), unique=True, min_size=least_size, max_size=14)
    return universe, draw(side), draw(side)


def is_true(answer, first, second, search):
    """By brute force."""
    common = [x for x in first if x in second]
    if not search:
        return answer is bool(common)
    return answer in common if common else answer is None


def element_bits(universe):
    bits = 0
    while 2**bits < universe:
        bits += 1
    return bits


def most_set_bits(universe, size, packed):
    if packed:
        return max(one_pass_bits(universe, k) for k in range(size + 1))
    return size * element_bits(universe)


# --- answers, for arbitrary sets ---


@many
@given(case=universe_and_sets(), passes=st.integers(1, 3), **answers_and_encodings)
def test_one_pass(case, passes, search, packed):
    universe, first, second = case
    algorithm = OnePass(universe, search=search, packed=packed)
    outcome = algorithm.run(iter(prompt(first, second, passes)))
    assert is_true(outcome.answer, first, second, search)
    most = algorithm.header_bits + most_set_bits(universe, len(first), packed)
    assert outcome.peak_bits == most
    header = 1 + element_bits(universe + 1) + (element_bits(universe + 1) if search else 1)
    assert algorithm.header_bits == header


@many
@given(case=universe_and_sets(), **answers_and_encodings)
def test_just_read_twice(case, search, packed):
    universe, first, second = case
    length = len(first) + len(second) + 2
    algorithm = JustReadTwice(universe, length=length, search=search, packed=packed)
    outcome = algorithm.run(iter(prompt(first, second, passes=2)))
    assert is_true(outcome.answer, first, second, search)
    smaller = min(len(first), len(second))
    assert outcome.peak_bits == algorithm.header_bits + most_set_bits(universe, smaller, packed)
    # O(log N): two counters up to N, one of the elements held; which copy; the answer.
    answer_bits = element_bits(universe + 1) if search else 1
    assert algorithm.header_bits <= 3 * element_bits(length + 1) + 2 + answer_bits


@many
@given(
    case=universe_and_sets(),
    passes=st.integers(1, 9),
    known=st.booleans(),
    **answers_and_encodings,
)
def test_multi_pass(case, passes, known, search, packed):
    universe, first, second = case
    passes += not known
    algorithm = MultiPass(
        universe,
        length=len(first) + len(second) + 2,
        passes=passes,
        size_a=len(first) if known else None,
        search=search,
        packed=packed,
    )
    outcome = algorithm.run(iter(prompt(first, second, passes)))
    assert is_true(outcome.answer, first, second, search)
    smaller = min(len(first), len(second))
    at_a_time = algorithm.chunk_size(len(first))
    assert outcome.peak_bits == algorithm.header_bits + most_set_bits(universe, at_a_time, packed)
    # The least whole number of elements that gets through the set in the chunks there are.
    if passes > 1:
        assert at_a_time * (passes - 1) >= smaller or known
        assert (at_a_time - 1) * (passes - 1) < smaller or at_a_time == 0
    if known and len(first) <= len(second):
        assert at_a_time * passes >= smaller
        assert (at_a_time - 1) * passes < smaller or at_a_time == 0


@many
@given(
    case=universe_and_sets(), k=st.integers(0, 9), seed=st.integers(0, 99), **answers_and_encodings
)
def test_fingerprints_never_miss(case, k, seed, search, packed):
    universe, first, second = case
    algorithm = Fingerprint.drawn(universe, k, seed=seed, search=search, packed=packed)
    outcome = algorithm.run(iter(prompt(first, second)))
    if set(first) & set(second):
        assert outcome.answer is not None
        assert outcome.answer is not False
    if search and outcome.answer is not None:
        assert outcome.answer in second
    hashes = min(len(first), 2**k)
    assert outcome.peak_bits <= algorithm.header_bits + most_set_bits(2**k, hashes, packed)


@pytest.mark.parametrize(
    "algorithm",
    [OnePass(8, search=True), JustReadTwice(8, length=7, search=True)],
)
def test_the_first_common_element_is_named_even_if_it_is_0(algorithm):
    assert algorithm.run(prompt([3, 0], [5, 0, 3], passes=2)).answer == 0


# --- order ---


@many
@given(case=universe_and_sets(), search=st.booleans())
def test_order_costs_one_pass_the_difference_and_read_twice_nothing(case, search):
    universe, first, second = case
    once = [
        OnePass(universe, search=search).run(prompt(*sets)).peak_bits
        for sets in ((first, second), (second, first))
    ]
    assert once[0] - once[1] == (len(first) - len(second)) * element_bits(universe)
    twice = JustReadTwice(universe, length=len(first) + len(second) + 2, search=search)
    both = [
        twice.run(prompt(*sets, passes=2)).peak_bits for sets in ((first, second), (second, first))
    ]
    assert both[0] == both[1]


def test_the_middle_of_the_stream_tells_the_smaller_set():
    """Around equal sizes, where an index off by one would store the larger set."""
    for a in range(7):
        for b in range(7):
            algorithm = JustReadTwice(universe=16, length=a + b + 2)
            outcome = algorithm.run(prompt(range(a), range(9, 9 + b), passes=2))
            assert (outcome.peak_bits - algorithm.header_bits) == 4 * min(a, b)


def test_read_twice_is_two_passes():
    assert JustReadTwice(8, length=6).passes == 2
    stream = prompt([1, 2, 3], [3], passes=2)
    two = MultiPass(8, length=6, passes=2).run(stream)
    assert JustReadTwice(8, length=6).run(stream) == two


def test_one_pass_may_be_chunked_when_the_sizes_are_known():
    algorithm = MultiPass(16, length=12, passes=1, size_a=7)
    assert algorithm.chunk_size(7) == 7
    assert algorithm.run(prompt(range(7), [12, 11, 6])).answer is True


def test_with_sizes_known_the_better_of_two_plans_is_taken():
    # 5 elements in 2 chunks of A are 3 at a time, 4 elements in 1 chunk of B are 4.
    assert MultiPass(16, length=11, passes=2, size_a=5).chunk_size(5) == 3
    assert MultiPass(16, length=11, passes=2).chunk_size(5) == 4
    # 9 elements in 2 chunks of A are 5 at a time, 2 elements in 1 chunk of B are 2.
    known = MultiPass(16, length=13, passes=2, size_a=9)
    assert known.chunk_size(9) == 2
    assert known.run(prompt(range(9), [15, 8], passes=2)).answer is True


# --- the count of bits is honest ---


@pytest.mark.parametrize(
    ("algorithm", "fields"),
    [
        # the size of the set, which set is read, the answer
        (OnePass(8), [4, 1, 1]),
        (OnePass(7, search=True), [3, 1, 3]),
        (Fingerprint(8, search=True, fingerprint_bits=2, coins=0), [4, 1, 4]),
        # the copy, the position, the boundary, the size of the chunk, the answer
        (JustReadTwice(8, length=8), [2, 4, 3, 4, 1]),
        (JustReadTwice(8, length=7, search=True), [2, 3, 3, 3, 4]),
        (MultiPass(8, length=9, passes=4), [3, 4, 4, 4, 1]),
        (MultiPass(8, length=9, passes=3, size_a=2), [2, 4, 0, 4, 1]),
    ],
)
def test_every_field_is_charged(algorithm, fields):
    assert algorithm.header_bits == sum(fields)
    assert algorithm.bits(algorithm.start()) == sum(fields)


def states_by_moment(algorithm, streams):
    """All states that occur after so many tokens, over the streams."""
    moments = defaultdict(set)
    for stream in streams:
        state = algorithm.start()
        for moment, token in enumerate(stream):
            state = algorithm.step(state, token)
            moments[moment].add(state)
    return moments


def all_streams(universe, length, passes, size_a=None):
    elements = range(universe)
    for a in range(length - 1) if size_a is None else [size_a]:
        for first in permutations(elements, a):
            for second in permutations(elements, length - 2 - a):
                yield prompt(first, second, passes)


@pytest.mark.parametrize("search", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("kind", "options", "passes"),
    [
        (OnePass, {}, 1),
        (JustReadTwice, {"length": 6}, 2),
        (MultiPass, {"length": 6, "passes": 3}, 3),
        (MultiPass, {"length": 6, "passes": 2, "size_a": 3}, 2),
        (Fingerprint, {"fingerprint_bits": 2, "coins": 7}, 1),
    ],
)
def test_all_states_fit_their_bits_without_a_clock(kind, options, passes, search, packed):
    """Kraft: codewords of these lengths exist exactly when the sum of 2^-bits is at most 1."""
    algorithm = kind(4, search=search, packed=packed, **options)
    streams = all_streams(4, 6, passes, options.get("size_a"))
    states = {algorithm.start()}.union(*states_by_moment(algorithm, streams).values())
    assert sum(Fraction(1, 2 ** algorithm.bits(state)) for state in states) <= 1


def test_one_pass_tells_the_first_sets_apart_and_no_more():
    streams = (prompt(first, []) for first in permutations(range(7), 3))
    at_the_separator = states_by_moment(OnePass(7), streams)[4]
    assert len(at_the_separator) == comb(7, 3)


def test_states_and_algorithms_are_immutable():
    algorithm = JustReadTwice(8, length=6)
    with pytest.raises(FrozenInstanceError):
        algorithm.length = 7
    with pytest.raises(FrozenInstanceError):
        algorithm.start().position = 1


# --- what is refused ---


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OnePass(0), "universe = 0"),
        (lambda: JustReadTwice(8, length=1), "length = 1"),
        (lambda: MultiPass(8, length=6, passes=1), "passes = 1: at least 2"),
        (lambda: MultiPass(8, length=6, passes=0, size_a=2), "passes = 0: at least 1"),
        (lambda: MultiPass(8, length=6, passes=2, size_a=5), "size_a = 5"),
        (lambda: MultiPass(8, length=6, passes=2, size_a=-1), "size_a = -1"),
        (lambda: MultiPass(8, length=6, passes=2, size_a=3).chunk_size(2), "size_a = 2"),
        (lambda: MultiPass(8, length=6, passes=2).chunk_size(5), "size_a = 5"),
    ],
)
def test_impossible_configurations_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


P, S, A = Marker.PREFIX, Marker.SEPARATOR, Marker.ANSWER


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        ((P, 8), "token = 8"),
        ((P, -1), "token = -1"),
        ((P, "x"), "token = x"),
        ((1,), "an element out of place"),
        ((S,), "a separator out of place"),
        ((P, 1, S, 2, 3), "an element out of place"),
        ((P, 1, 2, 3, S), "a separator out of place"),
        ((P, 1, S, S), "a separator out of place"),
        ((P, 1, S, P), "copy 1 ends after 3 tokens"),
        ((P, 1, 2, 3, P), "copy 1 ends after 4 tokens; length = 4 with a separator"),
        ((P, 1, S, 2, P, S), "a separator out of place"),
        ((P, 1, S, 2, P, 1, 2), "an element out of place"),
        ((P, 1, S, 2, A), "1 copies"),
        ((P, 1, S, 2, P, 1, S, A), "copy 2 ends after 3 tokens"),
        ((P, 1, S, 2, P, 1, S, 2, P), "more than passes = 2"),
    ],
)
def test_streams_of_another_shape_are_refused(stream, message):
    with pytest.raises(ValueError, match=message):
        JustReadTwice(8, length=4).run(stream)


def test_an_unfinished_stream_has_no_answer():
    with pytest.raises(ValueError, match="1 copies; passes = 2"):
        JustReadTwice(8, length=4).run((P, 1, S, 2))


def test_a_stream_that_contradicts_the_configured_size_is_refused():
    with pytest.raises(ValueError, match="an element out of place"):
        MultiPass(8, length=6, passes=2, size_a=1).run(prompt([1, 2], [3, 4], passes=2))
