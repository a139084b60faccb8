"""Streaming algorithms as models: the same test data, correct answers, the bits of theory."""

from fractions import Fraction

import pytest

from sdsim.config import AlgorithmConfig, EvalConfig, RunConfig, TaskConfig
from sdsim.models.streaming import check_algorithm, run_algorithm
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training.run import execute
from synthetic import AssociativeRecall, SetDisjointness
from theory import JustReadTwice, MultiPass, OnePass, one_pass_bits, prompt

SIZES = [(4, 12), (12, 4)]


@pytest.mark.parametrize(("size_a", "size_b"), SIZES)
@pytest.mark.parametrize("answer", ["token", "decision"])
@pytest.mark.parametrize(
    ("machine", "passes"),
    [("one_pass", 1), ("one_pass", 2), ("just_read_twice", 2), ("multi_pass", 3)],
)
def test_exact_algorithms_are_right_and_hold_what_theory_says(
    machine: str, passes: int, answer: str, size_a: int, size_b: int
) -> None:
    task = SetDisjointness(37, size_a, size_b, passes, answer)
    correct, bits = run_algorithm(AlgorithmConfig("m", machine), task, 60, seed=3)
    assert correct == 60
    length, search, n = size_a + size_b + 2, answer == "token", task.universe_size
    algorithm = {
        "one_pass": OnePass(n, search=search, packed=True),
        "just_read_twice": JustReadTwice(n, length=length, search=search, packed=True),
        "multi_pass": MultiPass(n, length=length, passes=3, search=search, packed=True),
    }[machine]
    stream = prompt(range(size_a), range(size_a, size_a + size_b), passes)
    assert bits == algorithm.run(stream).peak_bits


@pytest.mark.parametrize("budget", [18, 24, 30, 60])
def test_fingerprints_keep_within_their_budget_and_use_it(budget: int) -> None:
    task = SetDisjointness(36, 6, 8)
    config = AlgorithmConfig("m", "fingerprint", budget=budget)
    correct, bits = run_algorithm(config, task, 400, seed=0)
    header = 2 * (32).bit_length() + 1
    fits = [k for k in range(1, 7) if header + max_bits(k, 6) <= budget]
    longest = max([0, *fits])
    assert bits == header + max_bits(longest, 6)
    assert correct == 400 if longest == 6 else correct < 400


def test_the_peak_is_the_largest_of_all_examples() -> None:
    """Fingerprints that collide are stored once: some examples take fewer bits than others."""
    task, config = SetDisjointness(516, 8, 12), AlgorithmConfig("m", "fingerprint", budget=56)
    peaks = [run_algorithm(config, task, count, seed=0)[1] for count in range(1, 40)]
    assert peaks == sorted(peaks)
    firsts = {run_algorithm(config, task, 1, seed)[1] for seed in range(20)}
    assert len(firsts) > 1, "not all take the same"


def max_bits(fingerprint_bits: int, size: int) -> int:
    keys = 1 << fingerprint_bits
    return max(one_pass_bits(keys, k) for k in range(min(size, keys) + 1))


def test_more_features_make_fewer_errors() -> None:
    task = SetDisjointness(36, 4, 12)
    few, many = (
        run_algorithm(AlgorithmConfig("m", "random_kernel", features=f), task, 300, seed=0)
        for f in (4, 256)
    )
    assert few[0] < 0.6 * 300 < 0.97 * 300 < many[0]
    assert few[1] < many[1]


@pytest.mark.parametrize(
    ("machine", "task", "words"),
    [
        ("just_read_twice", SetDisjointness(36, 4, 12), "task.passes = 1: exactly 2"),
        ("just_read_twice", SetDisjointness(36, 4, 12, 3), "task.passes = 3: exactly 2"),
        ("multi_pass", SetDisjointness(36, 4, 12), "task.passes = 1: at least 2"),
        ("one_pass", AssociativeRecall(36, 4), "streaming algorithms do set disjointness"),
        ("one_pass", SetDisjointness(36, 4, 12, answer="all", common=2), "'token' or 'decision'"),
        ("fingerprint", SetDisjointness(36, 4, 12), "model.budget = 3: at least 13 bits"),
    ],
)
def test_what_an_algorithm_cannot_do(machine: str, task: SetDisjointness, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_algorithm(AlgorithmConfig("m", machine, budget=3 * (machine == "fingerprint")), task)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"machine": "abacus"}, r"machine\n +Input should be 'one_pass', .*input_value='abacus'"),
        ({"machine": "fingerprint", "budget": -1}, r"budget\n +Input should be greater than or"),
        ({"machine": "fingerprint"}, "model.budget = 0: at least 1 for machine 'fingerprint'"),
        ({"machine": "one_pass", "budget": 3}, "model.budget = 3: .* 0 for the others"),
        ({"machine": "random_kernel"}, "model.features = 0"),
    ],
)
def test_bad_configs(options: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AlgorithmConfig("m", **options)


def test_a_run_of_an_algorithm_is_stored_beside_the_networks(tmp_path: object) -> None:
    config = RunConfig(
        AlgorithmConfig("fingerprint", "fingerprint", budget=24),
        TaskConfig(train_sizes=((4, 12), (12, 4))),
        test=EvalConfig(examples=50),
    )
    store = Store(str(tmp_path))
    store.write(config, execute(config), device="cpu")
    table = load(store.path)
    assert table["budget"].to_list() == [24, 24]
    assert table["width"].to_list() == [None, None]
    assert table["loss"].to_list() == [None, None]
    assert not table["diverged"].any()
    assert all(bits > 13 for bits in table["state_bits"])
    assert Fraction(table["correct"][0]) <= 50
