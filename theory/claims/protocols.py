"""Claims about recurrent models as two-party protocols, run on every small instance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import combinations
from math import comb, prod
from typing import Any

from ..algorithms.algorithm import StreamingAlgorithm
from ..algorithms.multi_pass import JustReadTwice, MultiPass
from ..algorithms.one_pass import Fingerprint, OnePass, OnePassState
from ..passes.bounds import multi_pass_bits
from ..passes.protocols import examine, fooled_instance, run_protocol
from ..setting import Token, is_right, prompt, run, sizes_up_to
from .claim import Claim, ClaimFailed, Evidence, require


def _right_models(
    universe: int, size_a: int, size_b: int
) -> Iterator[tuple[StreamingAlgorithm[Any], int]]:
    """The algorithms that decide every instance of a size, and the passes they take."""
    length = size_a + size_b + 2
    for packed in (False, True):
        yield OnePass(universe, packed=packed), 1
        yield JustReadTwice(universe, length=length, packed=packed), 2
        for passes in (1, 2, 3):
            yield (
                MultiPass(universe, length=length, passes=passes, size_a=size_a, packed=packed),
                passes,
            )


def _check_cost() -> Evidence:
    instances = 0
    for universe, size_a, size_b in sizes_up_to(5):
        models = [*_right_models(universe, size_a, size_b)]
        models.append((Fingerprint(universe, fingerprint_bits=1, coins=1), 2))
        for model, passes in models:
            for first in combinations(range(universe), size_a):
                for second in combinations(range(universe), size_b):
                    transcript = run_protocol(model, first, second, passes)
                    outcome = run(model, prompt(first, second, passes))
                    case = f"{model}, A = {first}, B = {second}, p = {passes}"
                    same = transcript.answer == outcome.answer
                    require(same, f"{case}: {transcript.answer} by protocol, else {outcome.answer}")
                    turns = len(transcript.messages)
                    require(turns == 2 * passes - 1, f"{case}: {turns} messages")
                    limit = turns * outcome.peak_bits
                    cost = transcript.total_bits
                    require(cost <= limit, f"{case}: {cost} bits sent > {limit}")
                    some_state = transcript.largest_state_at_least
                    reached = some_state <= max(outcome.trace)
                    require(reached, f"{case}: no state has {some_state} bits")
                    instances += 1
    return Evidence(instances, "all A, B with a + b ≤ n ≤ 5; 1 to 3 passes; 11 models")


def _check_bound() -> Evidence:
    instances = 0
    for universe, size_a, size_b in sizes_up_to(6):
        for model, passes in _right_models(universe, size_a, size_b):
            report = examine(model, universe, size_a, size_b, passes)
            case = f"{model}, n = {universe}, a = {size_a}, b = {size_b}, p = {passes}"
            require(report.first_error is None, f"{case}: wrong on {report.first_error}")
            require(report.declares_enough, f"{case}: more states than the bits declared allow")
            held, needed = max(report.message_bits), report.needed_bits
            require(held >= needed, f"{case}: right with {held} bits, {needed} needed")
            values, least = prod(report.distinct_states), report.needed_product
            require(values >= least, f"{case}: right with {values} messages, {least} needed")
            instances += report.instances
    return Evidence(instances, "all A, B with a + b ≤ n ≤ 6; 1 to 3 passes; 10 models")


@dataclass(frozen=True)
class _Forgetful(OnePass):
    """`OnePass` with room for a few elements only: those that come later are lost."""

    _: KW_ONLY
    room: int

    def step(self, state: OnePassState, token: Token) -> OnePassState:
        after = super().step(state, token)
        return state if len(after.stored) > self.room else after


def _check_too_small() -> Evidence:
    too_few, fooled = 0, 0
    for universe, size_a, size_b in sizes_up_to(6):
        for room in range(size_a):
            model = _Forgetful(universe, room=room)
            for passes in (1, 2):
                report = examine(model, universe, size_a, size_b, passes)
                case = f"room for {room}, n = {universe}, a = {size_a}, b = {size_b}"
                values = prod(report.distinct_states)
                if values < report.needed_product:
                    wrong = report.first_error is not None
                    require(wrong, f"{case}, p = {passes}: right with too few states")
                    too_few += 1
                if values < comb(size_a + size_b, size_a):
                    _require_fooled(model, size_a, size_b, passes)
                    fooled += 1
    require(min(too_few, fooled) > 0, "no memory was too short: the check looked at nothing")
    return Evidence(too_few + fooled, "memories too short by 1 to all elements, all a + b ≤ n ≤ 6")


def _require_fooled(model: _Forgetful, size_a: int, size_b: int, passes: int) -> None:
    case = f"{model}, a = {size_a}, b = {size_b}, p = {passes}"
    fooled = fooled_instance(model, size_a, size_b, passes)
    if fooled is None:
        raise ClaimFailed(f"{case}: not fooled, with too few states")
    answer = run_protocol(model, *fooled, passes).answer
    require(not is_right(answer, *fooled), f"{case}: right on {fooled} after all")


def _check_randomized_form() -> Evidence:
    instances = 0
    for universe, size_a, size_b in sizes_up_to(60):
        smaller = min(size_a, size_b)
        for passes in range(1, 8):
            bits = multi_pass_bits(universe, size_a, size_b, passes)
            case = f"n = {universe}, a = {size_a}, b = {size_b}, p = {passes}"
            require(2 * passes * bits >= smaller, f"{case}: {bits} bits < {smaller}/{2 * passes}")
            instances += 1
    return Evidence(instances, "all a + b ≤ n ≤ 60, p ≤ 7")


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "G.29, cost",
        "A recurrent model on a JR-p prompt is a two-party protocol of 2p - 1 messages that costs "
        "at most 2p - 1 states and gives the model's answer.",
        _check_cost,
        hypotheses="nothing is remembered outside the state",
        strength="construction",
    ),
    Claim(
        "G.29, bound",
        "Its messages take C(n, min(a, b)) values together, so that some state has ⌈log₂ C(n, "
        "min(a, b)) / (2p - 1)⌉ bits.",
        _check_bound,
        hypotheses="deciding without errors; a + b ≤ n",
        strength="sample",
    ),
    Claim(
        "G.29, too small",
        "A model whose messages take fewer values is wrong on some instance, and cut and paste "
        "finds one.",
        _check_too_small,
        hypotheses="a + b ≤ n",
        strength="sample",
    ),
    Claim(
        "G.27/29",
        "The deterministic bound, rearranged, has the paper's form: some state has at least "
        "min(a, b) / 2p bits.",
        _check_randomized_form,
        hypotheses="deciding without errors; a + b ≤ n",
        strength="formula",
    ),
)
