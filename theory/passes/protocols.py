"""A recurrent model on a JR-p prompt, run as a two-party protocol with its messages counted.

Alice has A, Bob has B, each has a copy of the model. In a prompt ``([prefix] A [sep_sets] B) × p
[answer]`` their tokens take turns, so that each computes the model's state through a stretch of the
prompt and sends it to the other: 2p - 1 messages, after which Bob reads out the answer. Set
disjointness takes ⌈log₂ C(n, min(a, b))⌉ bits of conversation when a + b ≤ n, so a model that is
always right holds a state of at least 1/(2p - 1) of that.

Here the model is run as such a protocol (`run_protocol`), examined on every instance of a size
(`examine`), and, if its states are too few, handed an instance that it gets wrong
(`fooled_instance`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Generic, TypeAlias

from ..checks import require_at_least, with_python_integers
from ..setting import Answer, Marker, RecurrentModel, State, Token, check_sizes, is_right
from .bounds import multi_pass_bits

Instance: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""A and B, in increasing order."""


@dataclass(frozen=True)
class Transcript:
    """What a conversation cost, and its outcome.

    Attributes:
        messages: bits of each message, Alice's and Bob's in turn: 2p - 1 of them.
        answer: the model's answer, which Bob reads out at the end.
    """

    messages: tuple[int, ...]
    answer: Answer

    @property
    def total_bits(self) -> int:
        """Bits of all messages together."""
        return sum(self.messages)

    @property
    def largest_state_at_least(self) -> int:
        """⌈total_bits / (2p - 1)⌉: each message is a state, and one of them reaches the mean."""
        return -(-self.total_bits // len(self.messages))


@dataclass(frozen=True)
class _Party(Generic[State]):
    """Alice or Bob: a model, and the tokens that she or he reads in each copy."""

    model: RecurrentModel[State]
    tokens: tuple[Token, ...]

    def read(self, state: State) -> State:
        for token in self.tokens:
            state = self.model.step(state, token)
        return state

    def read_out(self, state: State) -> Answer:
        return self.model.answer(self.model.step(state, Marker.ANSWER))


def run_protocol(
    model: RecurrentModel[State], first: Iterable[int], second: Iterable[int], passes: int = 1
) -> Transcript:
    """Run the model on a JR-p prompt as Alice and Bob, who share nothing but messages.

    Each has a deep copy of the model, so that one which remembers outside its state is found out.

    >>> from ..algorithms.multi_pass import JustReadTwice
    >>> model = JustReadTwice(universe=8, length=6)
    >>> run_protocol(model, [4, 1, 3], [1], passes=2)
    Transcript(messages=(12, 15, 15), answer=True)

    Args:
        model: a streaming algorithm, or anything else with the four methods of `RecurrentModel`.
        first: A, distinct elements, which Alice reads in this order.
        second: B, distinct elements, which Bob reads in this order.
        passes: p ≥ 1, copies of the prompt.

    Returns:
        The bits of its 2p - 1 messages, and the answer, which is the one that
        `theory.setting.run` gets from the model for the prompt.

    Raises:
        ValueError: if passes < 1, or from the model for a stream that it was not configured for.

    Source:
        Theorems G.27 and G.29 of arXiv:2407.05483, where the cost is put at 2p states; the last
        need not be sent.
    """
    require_at_least(1, passes=passes)
    states, answer = _converse(deepcopy(model), deepcopy(model), first, second, passes)
    return Transcript(tuple(model.bits(state) for state in states), answer)


@dataclass(frozen=True)
class Examination:
    """What a model did on every instance of a size.

    Attributes:
        instances: how many there are, C(n, a) · C(n, b).
        first_error: the first (A, B) that it answers wrongly, None if it is always right.
        distinct_states: for each of the 2p - 1 messages, how many values it took.
        message_bits: for each of the 2p - 1 messages, the most bits that the model declared.
        needed_product: how many values the messages of a model that is always right take
            together, C(n, a) with one pass and C(n, min(a, b)) with more.
        needed_bits: `theory.passes.bounds.multi_pass_bits` of the size.
    """

    instances: int
    first_error: Instance | None
    distinct_states: tuple[int, ...]
    message_bits: tuple[int, ...]
    needed_product: int
    needed_bits: int

    @property
    def declares_enough(self) -> bool:
        """Whether every message fits its declared bits: at most 2^bits values."""
        pairs = zip(self.distinct_states, self.message_bits, strict=True)
        return all(values <= 1 << bits for values, bits in pairs)


@with_python_integers
def examine(
    model: RecurrentModel[State],
    universe: int,
    size_a: int,
    size_b: int,
    passes: int = 1,
) -> Examination:
    """Run the model as a protocol on every instance of a size, and compare it with the bound.

    >>> from ..algorithms.one_pass import OnePass
    >>> report = examine(OnePass(universe=5), universe=5, size_a=3, size_b=2)
    >>> report.first_error, report.distinct_states, report.needed_product
    (None, (10,), 10)

    Args:
        model: see `run_protocol`.
        universe: n, how many elements there are to draw from.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1, a + b ≤ n.
        passes: p ≥ 1, copies of the prompt.

    Returns:
        See `Examination`. It takes C(n, a) · C(n, b) runs of the model.

    Raises:
        ValueError: as `theory.passes.bounds.multi_pass_bits`, and from the model.
    """
    needed_bits = multi_pass_bits(universe, size_a, size_b, passes)
    smaller = size_a if passes == 1 else min(size_a, size_b)
    alice, bob = deepcopy(model), deepcopy(model)
    values: list[set[State]] = [set() for _ in range(2 * passes - 1)]
    bits = [0] * len(values)
    first_error, instances = None, 0
    for first, second in _instances(universe, size_a, size_b):
        states, answer = _converse(alice, bob, first, second, passes)
        for i, state in enumerate(states):
            values[i].add(state)
            bits[i] = max(bits[i], model.bits(state))
        if first_error is None and not is_right(answer, first, second):
            first_error = (first, second)
        instances += 1
    return Examination(
        instances=instances,
        first_error=first_error,
        distinct_states=tuple(map(len, values)),
        message_bits=tuple(bits),
        needed_product=comb(universe, smaller),
        needed_bits=needed_bits,
    )


@with_python_integers
def fooled_instance(
    model: RecurrentModel[State], size_a: int, size_b: int, passes: int = 1
) -> Instance | None:
    """An instance that the model gets wrong, found by cut and paste.

    Of a + b elements, each choice of A leaves a B that does not meet it. Should two such instances
    (A, B) and (A', B') have the same messages, then so has (A, B'), and Bob, who sees only them and
    B', says of it what he said of (A', B'): that the sets do not meet. But they do.

    >>> from ..algorithms.one_pass import Fingerprint, OnePass
    >>> fooled_instance(OnePass(universe=6), 3, 3)
    >>> fooled_instance(Fingerprint(universe=6, fingerprint_bits=1, coins=0), 3, 3)
    ((0, 1, 2), (3, 4, 5))

    Args:
        model: see `run_protocol`; one for a universe of at least a + b elements.
        size_a: a = |A| ≥ 1.
        size_b: b = |B| ≥ 1.
        passes: p ≥ 1, copies of the prompt.

    Returns:
        (A, B) that the model is wrong about, or None; never None if its messages take fewer than
        C(a + b, a) values together, so not if (2p - 1) · bits < log₂ C(a + b, a).

    Raises:
        ValueError: unless the sizes and passes are as above, and from the model.

    Source:
        The fooling-set argument of communication complexity (Kushilevitz and Nisan 1997).
    """
    require_at_least(1, passes=passes)
    check_sizes(size_a + size_b, size_a, size_b)
    alice, bob = deepcopy(model), deepcopy(model)
    elements = frozenset(range(size_a + size_b))
    seconds_by_messages: dict[tuple[State, ...], tuple[int, ...]] = {}
    for first in combinations(sorted(elements), size_a):
        second = tuple(sorted(elements.difference(first)))
        messages, answer = _converse(alice, bob, first, second, passes)
        if not is_right(answer, first, second):
            return first, second
        earlier = seconds_by_messages.setdefault(messages, second)
        if earlier != second:
            return first, earlier
    return None


def _converse(
    alices_model: RecurrentModel[State],
    bobs_model: RecurrentModel[State],
    first: Iterable[int],
    second: Iterable[int],
    passes: int,
) -> tuple[tuple[State, ...], Answer]:
    """The 2p - 1 states that are sent, and what Bob reads out."""
    alice = _Party(alices_model, (Marker.PREFIX, *first))
    bob = _Party(bobs_model, (Marker.SEPARATOR, *second))
    state = alices_model.start()
    messages = []
    for turn in range(2 * passes - 1):
        state = (alice, bob)[turn % 2].read(state)
        messages.append(state)
    return tuple(messages), bob.read_out(bob.read(state))


def _instances(universe: int, size_a: int, size_b: int) -> Iterator[Instance]:
    seconds = list(combinations(range(universe), size_b))
    for first in combinations(range(universe), size_a):
        for second in seconds:
            yield first, second
