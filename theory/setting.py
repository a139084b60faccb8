"""The setting: two sets in a prompt, and a recurrent model that reads it.

Letters throughout, the paper's in brackets: n possible elements, the `universe` [c]; a = |A|, b =
|B|, A read before B; N tokens of one copy of the prompt; w bits that name an element [n]; p passes;
δ an error. *Deciding* is to say whether A and B meet; *searching* is to name their one common
element, which is promised.

The prompt is ``([prefix] A [sep_sets] B)`` once or p times, then ``[answer]``. A `RecurrentModel`
reads it token by token; `run` counts the bits that it holds on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import index
from typing import Literal, Protocol, TypeAlias, TypeVar

import numpy as np

from .checks import require_at_least, require_distinct

Problem = Literal["decision", "search"]
State = TypeVar("State")


def check_sizes(
    universe: int, size_a: int, size_b: int, problem: Problem = "decision", *, least: int = 1
) -> None:
    """Raise unless both sizes are at least `least` and some disjoint A and B fit the universe.

    Searching, A and B share one element, so that a + b - 1 elements are enough.

    >>> check_sizes(8, 4, 5, "search")
    >>> check_sizes(8, 4, 5)
    Traceback (most recent call last):
    ValueError: universe = 8, size_a = 4, size_b = 5: size_a + size_b ≤ universe is needed

    Raises:
        ValueError: unless a, b ≥ least and a + b ≤ n (searching: a + b - 1 ≤ n), and if problem is
            neither ``"decision"`` nor ``"search"``.
    """
    if problem not in ("decision", "search"):
        raise ValueError(f"problem = {problem!r}: 'decision' or 'search' is needed")
    require_at_least(least, size_a=size_a, size_b=size_b)
    shared = int(problem == "search")
    if size_a + size_b - shared > universe:
        sizes = f"universe = {universe}, size_a = {size_a}, size_b = {size_b}"
        minus = " - 1" if shared else ""
        raise ValueError(f"{sizes}: size_a + size_b{minus} ≤ universe is needed")


def sizes_up_to(largest: int, *, least: int = 1, shared: int = 0) -> Iterator[tuple[int, int, int]]:
    """All (n, a, b) with a, b ≥ least, n ≤ largest and a + b - shared ≤ n."""
    for n in range(1, largest + 1):
        for a in range(least, n + 1):
            for b in range(least, n - a + shared + 1):
                yield n, a, b


class Marker(Enum):
    """The special tokens of a prompt; all other tokens are elements, 0 … n-1."""

    PREFIX = "[prefix]"
    SEPARATOR = "[sep_sets]"
    ANSWER = "[answer]"


Token: TypeAlias = int | Marker
Answer: TypeAlias = bool | int | None
"""Decision: True when the sets meet. Search: a common element, None when there is none."""


def prompt(first: Iterable[int], second: Iterable[int], passes: int = 1) -> tuple[Token, ...]:
    """The stream ``([prefix] A [sep_sets] B) × passes [answer]``, the sets in the order given.

    >>> [token if isinstance(token, int) else token.value for token in prompt([4, 1], [7])]
    ['[prefix]', 4, 1, '[sep_sets]', 7, '[answer]']

    Args:
        first: A, distinct elements.
        second: B, distinct elements.
        passes: p, how many copies stand before the answer token; 2 is the JRT prompt.

    Returns:
        passes · (|A| + |B| + 2) + 1 tokens.

    Raises:
        ValueError: if an element occurs twice in one set, or passes < 1.

    Source:
        Section 3.1 and Definitions G.4 (twice) and G.28 (p times) of arXiv:2407.05483.
    """
    require_at_least(1, passes=passes)
    first, second = tuple(map(index, first)), tuple(map(index, second))
    require_distinct(first=first, second=second)
    return tuple(prompt_tokens(first, second, passes))


def prompt_tokens(first: Sequence[int], second: Sequence[int], passes: int = 1) -> Iterator[Token]:
    """The tokens of `prompt`, one at a time and unchecked: sets may be ranges of any length."""
    for _ in range(passes):
        yield Marker.PREFIX
        yield from first
        yield Marker.SEPARATOR
        yield from second
    yield Marker.ANSWER


class RecurrentModel(Protocol[State]):
    """A step function and a finite state (Definition G.12): Zⁱ = f(Zⁱ⁻¹, uᵢ).

    The algorithms of `theory.algorithms` are such models; so is a neural network whose state is
    quantized. States are hashable, and nothing is remembered outside them.
    """

    def start(self) -> State:
        """The state before the first token."""

    def step(self, state: State, token: Token) -> State:
        """The state after one more token."""

    def answer(self, state: State) -> Answer:
        """What the model says, having read the whole stream."""

    def bits(self, state: State) -> int:
        """How many bits hold this state."""


@dataclass(frozen=True)
class Outcome:
    """What a model said about a stream, and what it held while it read.

    Attributes:
        answer: of the decision or of the search version, as configured.
        peak_bits: the most bits held at any time.
        trace: bits held after each token of the stream.
    """

    answer: Answer
    peak_bits: int
    trace: tuple[int, ...]


def run(model: RecurrentModel[State], stream: Iterable[Token]) -> Outcome:
    """Read the stream token by token and count the bits held on the way.

    >>> from .algorithms.one_pass import OnePass
    >>> run(OnePass(universe=8), prompt([4, 1], [7, 1]))
    Outcome(answer=True, peak_bits=12, trace=(6, 9, 12, 12, 12, 12, 12))

    Args:
        model: a streaming algorithm, or anything else with the four methods of `RecurrentModel`.
        stream: tokens; any iterable will do, each token is read once.

    Returns:
        The answer after the last token, the peak and the trace, in bits.

    Raises:
        ValueError: from the model, for a stream that it was not configured for.
    """
    state = model.start()
    peak = model.bits(state)
    trace = []
    for token in stream:
        state = model.step(state, token)
        trace.append(model.bits(state))
    return Outcome(model.answer(state), max(peak, *trace, 0), tuple(trace))


def is_right(answer: Answer, first: Iterable[int], second: Iterable[int]) -> bool:
    """Whether an answer to either problem is correct for A = `first` and B = `second`.

    >>> is_right(True, [1, 2], [2]), is_right(2, [1, 2], [2]), is_right(None, [1, 2], [2])
    (True, True, False)
    >>> is_right(2, [1], [3]), is_right(None, [1], [3])
    (False, True)
    >>> is_right(np.bool_(True), [2, 3], [3])
    True
    """
    common = set(first).intersection(second)
    if answer is None or isinstance(answer, bool | np.bool_):
        return bool(answer) == bool(common)
    return answer in common
