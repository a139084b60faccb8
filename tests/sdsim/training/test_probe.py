"""Tests of the probe: never more than a state holds, and nearly as much where its form fits."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations
from math import comb, log, log2
from typing import Any

import pytest
import torch
from torch import Tensor

from sdsim.models import LanguageModel, ModelConfig, ModelState
from sdsim.training import probe
from sdsim.training.probe import (
    HeldBits,
    held_bits,
    held_bits_over_time,
    log_elementary,
    states_over_time,
)
from synthetic import SetDisjointness
from theory import Fingerprint, KernelAttention, Marker, OnePass, StreamingAlgorithm

N, A = 10, 3
SETS = torch.tensor(list(combinations(range(N), A)))
TOTAL = log2(comb(N, A))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training that stops early, for tests that need no good probe."""
    monkeypatch.setattr(probe, "_PATIENCE", 3)
    monkeypatch.setattr(probe, "_LEARNING_RATES", (1e-2,))


def drawn(examples: int, seed: int = 0) -> Tensor:
    """Numbers of sets in `SETS`, uniform."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(len(SETS), (examples,), generator=generator)


def indicators(sets: Tensor, n: int) -> Tensor:
    return torch.zeros(len(sets), n).scatter_(1, sets, 1)


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def entropy(states: Tensor) -> float:
    """Bits that a state, a function of A, holds of it: one row for each of `SETS`."""
    counts = Counter(map(tuple, states.tolist())).values()
    return sum(count / len(SETS) * log2(len(SETS) / count) for count in counts)


# --- the normaliser ---


@pytest.mark.parametrize("a", range(1, 7))
def test_all_sets_together_have_probability_one(a: int) -> None:
    log_w = (3 * noise(2, 7)).double().requires_grad_()
    products = torch.stack([log_w[:, list(chosen)].sum(1) for chosen in combinations(range(7), a)])
    expected = products.logsumexp(0)
    actual = log_elementary(log_w, a)
    torch.testing.assert_close(actual, expected)
    slopes = [torch.autograd.grad(y.sum(), log_w)[0] for y in (actual, expected)]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("exponents", [0, 5, 300], ids=lambda most: f"to 2^{most}")
@pytest.mark.parametrize("a", [1, 120, 128, 255])
def test_the_normaliser_is_stable(a: int, exponents: int) -> None:
    """Against whole numbers of any length."""
    powers = torch.randint(exponents + 1, (256,), generator=torch.Generator().manual_seed(0))
    sums = [1] + [0] * a
    for power in powers.tolist():
        for k in range(a, 0, -1):
            sums[k] += sums[k - 1] << power
    log_w = (powers * log(2)).float()[None].requires_grad_()
    value = log_elementary(log_w, a)
    assert value.item() == pytest.approx(log(sums[a]), rel=1e-6, abs=1e-4)
    value.sum().backward()  # type: ignore[no-untyped-call]
    assert log_w.grad is not None
    assert log_w.grad.sum().item() == pytest.approx(a, rel=1e-3), "elements of a set, on average"


# --- states whose information is known ---


def after_a(algorithm: StreamingAlgorithm[Any], numbers: Callable[[Any], list[int]]) -> Tensor:
    """What an algorithm carries from A to B, for each of `SETS`."""
    states = []
    for elements in SETS.tolist():
        state = algorithm.start()
        for token in (Marker.PREFIX, *elements, Marker.SEPARATOR):
            state = algorithm.step(state, token)
        states.append(numbers(state))
    return torch.tensor(states, dtype=torch.float32)


def stored(state: Any) -> list[int]:
    return [int(key in state.stored) for key in range(N)]


def sums(state: Any) -> list[int]:
    return list(state.sums)


CALIBRATION = {  # a state for each of SETS, and the least part of its bits that must be found
    "all of A": (after_a(OnePass(N), stored), 0.99),
    "hash values": (after_a(Fingerprint.drawn(N, 3, seed=0), stored), 0.85),
    "sums of signs": (after_a(KernelAttention(N, features=8, seed=0), sums), 0.95),
    "fewer sums": (after_a(KernelAttention(N, features=4, seed=0), sums), 0.5),
    "four elements": (indicators(SETS, N)[:, :4], 0.95),
    "parity": (indicators(SETS, N)[:, :4].sum(1, keepdim=True) % 2, 0.0),
}


@pytest.mark.parametrize("name", CALIBRATION)
def test_what_is_proved_is_held(name: str) -> None:
    states, fraction = CALIBRATION[name]
    examples = drawn(1200)
    found = held_bits(states[examples], SETS[examples], N)
    exact = entropy(states)
    assert found.low <= found.bits <= found.high <= found.total_bits == pytest.approx(TOTAL)
    assert found.low <= exact
    assert found.bits >= fraction * exact - 0.05


def test_noise_proves_nothing() -> None:
    """Many numbers and few examples: the training examples can be learned by heart."""
    examples = drawn(300)
    found = held_bits(noise(300, 200), SETS[examples], N)
    assert found.low == 0
    assert found.bits < 0.1


@pytest.mark.parametrize("constant", [torch.zeros(300, 0), torch.zeros(300, 3), torch.ones(300, 1)])
def test_a_constant_proves_nothing(constant: Tensor) -> None:
    found = held_bits(constant, SETS[drawn(300)], N)
    assert 0 <= found.low <= found.bits < 1e-9
    assert found.high < 1


def test_scales_make_no_difference(quick: None) -> None:
    """Signs, huge and tiny numbers, an offset, a constant: the same bits."""
    examples = drawn(600)
    plain = indicators(SETS[examples], N).double()
    found = held_bits(plain, SETS[examples], N)
    scale = torch.logspace(-300, 300, N, dtype=torch.float64)
    for states in (plain * 2 - 1, plain * scale, plain.bool(), 1e6 + plain):
        assert held_bits(states, SETS[examples], N).bits == pytest.approx(found.bits, abs=0.01)


def test_an_outlier_is_finite() -> None:
    states = noise(20, 2).double()
    states[10] *= 1e100
    inputs = probe._standardized(states, torch.arange(10))
    assert inputs[10].abs().tolist() == [100, 100]
    assert float(inputs[:10].square().mean()) == pytest.approx(1)


def test_the_best_probe_is_kept(monkeypatch: pytest.MonkeyPatch, quick: None) -> None:
    """Noise is learned by heart until the validation score falls; then one goes back."""
    seen = []
    scores = probe._scores

    def spy_scores(network: Any, examples: Any) -> Tensor:
        seen.append(scores(network, examples))
        return seen[-1]

    monkeypatch.setattr(probe, "_scores", spy_scores)
    examples = drawn(200)
    states = torch.cat([indicators(SETS[examples], N), noise(200, 100)], 1)
    inputs = probe._Examples(states, indicators(SETS[examples], N))
    train, validation = inputs.take(torch.arange(100)), inputs.take(torch.arange(100, 200))
    generator = torch.Generator().manual_seed(0)
    network = probe._Probe(states.shape[1], N, generator)
    probe._fit(network, train, validation, generator)
    means = [float(score.mean()) for score in seen]
    assert float(scores(network, validation).mean()) == max(means) > max(means[0], means[-1])


def test_what_is_reported_chose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, validation and test examples are different ones, and all of them."""
    examples = drawn(100)
    seen: list[Tensor] = []
    fit, scores = probe._fit, probe._scores

    def spy_fit(network: Any, train: Any, validation: Any, generator: torch.Generator) -> None:
        fit(network, train, validation, generator)
        seen.extend((train.inputs, validation.inputs))

    def spy_scores(network: Any, examples: Any) -> Tensor:
        if len(seen) == 2:
            seen.append(examples.inputs)
        return scores(network, examples)

    monkeypatch.setattr(probe, "_fit", spy_fit)
    monkeypatch.setattr(probe, "_scores", spy_scores)
    held_bits(torch.arange(100.0)[:, None], SETS[examples], N)
    assert [len(part) for part in seen] == [60, 20, 20]
    assert len(torch.cat(seen).unique()) == 100


def test_a_confident_mistake_costs_ten_bits() -> None:
    network = probe._Probe(0, 6, torch.Generator())
    network.bias.data[:2] = 50.0
    members = torch.tensor([[0.0, 0, 0, 0, 1, 1], [1.0, 1, 0, 0, 0, 0]])
    wrong, right = probe._scores(network, probe._Examples(torch.zeros(2, 0), members)).tolist()
    assert wrong == pytest.approx(-10)
    assert right == pytest.approx(log2(15), abs=0.002)
    assert right < log2(15)


@pytest.mark.parametrize("examples", [20, 200])
@pytest.mark.parametrize("rare", [0.5, 0.02])
def test_a_lower_bound_is_seldom_wrong(examples: int, rare: float) -> None:
    """Also where a rare, low score has not been seen, at which a normal approximation fails."""
    generator = torch.Generator().manual_seed(0)
    scores = 10 - 20 * (torch.rand(400, examples, generator=generator) < rare).double()
    bounds = torch.tensor([probe._least_mean(row, -10, 10) for row in scores])
    true = 10 - 20 * rare
    assert (bounds > true).double().mean() <= 0.04
    assert bounds.mean() > true - 45 * (rare / examples) ** 0.5 - 140 / examples


def test_the_seed_decides_and_nothing_else_is_drawn(quick: None) -> None:
    examples = drawn(200)
    states = indicators(SETS[examples], N)[:, :6]
    before = torch.get_rng_state()
    first, again, other = (held_bits(states, SETS[examples], N, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert first == again != other


GOOD = {"states": torch.zeros(60, 2), "sets": SETS[:60], "universe_size": N}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"states": torch.zeros(60)}, "states of shape"),
        ({"states": torch.zeros(60, 2, dtype=torch.complex64)}, "complex64"),
        ({"states": torch.full((60, 2), torch.nan)}, "finite"),
        ({"states": torch.zeros(59, 2)}, "for 59 states"),
        ({"states": torch.zeros(49, 2), "sets": SETS[:49]}, "at least 50"),
        ({"sets": SETS[:60].int()}, "int32"),
        ({"sets": SETS[:60, :0]}, "sets of 0 elements"),
        ({"universe_size": 3}, "universe_size = 3"),
        ({"sets": SETS[:60] + 5}, "from 0 to 9"),
        ({"sets": SETS[:60] - 1}, "from 0 to 9"),
        ({"sets": SETS[:60] // 2}, "distinct"),
    ],
    ids=str,
)
def test_errors_name_what_is_wrong(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        held_bits(**GOOD | changed)


# --- over time ---


def test_states_are_those_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_READ_BATCH", 3)
    task = SetDisjointness(14, 3, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LanguageModel(ModelConfig("test", ("lstm", "base_conv"), 8, 2, mlp="none"), 14)
    snapshots = list(states_over_time(model, task, [1, 5, 4], examples=7, seed=3))
    assert [snapshot.position for snapshot in snapshots] == [1, 5, 4]
    batch = task.sample(7, seed=3, split="test")
    _, state = model.prefill(batch.inputs[:, :1])
    for position in range(1, 5):
        _, state = model.step(batch.inputs[:, position], state)
    numbers = torch.cat([tensor.flatten(1) for tensor in state.tensors()], 1)
    torch.testing.assert_close(snapshots[1].states, numbers)
    assert numbers.shape == (7, state.numel)
    for snapshot in snapshots:
        assert not snapshot.states.requires_grad
        assert torch.equal(snapshot.sets + 4, batch.inputs[:, 1:4])


class LastTokens:
    """Holds which tokens are among the last four."""

    def prefill(self, tokens: Tensor, prefix_len: int | None = None) -> tuple[None, ModelState]:
        return None, ModelState(((indicators(tokens[:, -4:], 12),),))


def test_bits_rise_while_a_is_read_and_fall_while_b_is(quick: None) -> None:
    task = SetDisjointness(12, 3, 4)  # [prefix] A [sep] B [answer]
    found = dict(held_bits_over_time(LastTokens(), task, [1, 2, 4, 6, 9], examples=1000))
    least_left = {1: 56, 2: 21, 4: 1, 6: 21}  # sets that may be A, after 0, 1, 3 elements; then 1
    for position, left in least_left.items():
        assert found[position].low <= log2(56 / left) + 1e-9
        assert found[position].bits == pytest.approx(log2(56 / left), abs=0.4)
    assert found[1].bits < found[2].bits < found[4].bits > found[6].bits > found[9].bits
    assert found[9].low <= log2(56 / (4 * comb(4, 2))), "what B says of A"
    assert isinstance(found[9], HeldBits)


@pytest.mark.parametrize("position", [0, 11])
def test_positions_lie_in_the_sequence(position: int) -> None:
    snapshots = states_over_time(
        LastTokens(), SetDisjointness(12, 3, 4), [position], examples=5, seed=0
    )
    with pytest.raises(ValueError, match=f"position = {position}"):
        next(snapshots)
