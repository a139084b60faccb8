"""Linear attention with random features, counted in bits, against its definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.algorithms.kernel_attention import KernelAttention, KernelAttentionState
from theory.based.random_signs import RandomSignKernel
from theory.setting import Marker, prompt


@given(st.integers(0, 100), st.integers(1, 6), st.integers(1, 6), st.integers(1, 40))
@settings(deadline=None, max_examples=60)
def test_the_answer_is_the_largest_inner_product(seed, a, b, features):
    draw = np.random.default_rng(seed).permutation(20)
    first, second = draw[:a].tolist(), draw[a - 1 : a + b - 1].tolist()
    attention = KernelAttention(20, features=features, seed=seed, search=True)
    signs = RandomSignKernel(20, 1, seed, dimension=features).directions(np.arange(20))
    scores = signs[second] @ signs[first].sum(0)
    outcome = attention.run(prompt(first, second))
    assert outcome.answer == second[int(scores.argmax())]
    deciding = KernelAttention(20, features=features, seed=seed).run(prompt(first, second))
    assert deciding.answer == bool(2 * scores.max() > features)
    # Each sum of j signs is one of j + 1 numbers; the score one of 2fj + 1.
    sums = features * a.bit_length()
    score = (2 * features * a).bit_length()
    assert outcome.peak_bits == sums + score + 2 * 5 + 1


def test_another_copy_changes_nothing():
    attention = KernelAttention(20, features=30, seed=1, search=True)
    once, twice = (attention.run(prompt([1, 5, 7], [5, 2, 9], p)) for p in (1, 2))
    assert once.answer == twice.answer
    assert once.peak_bits == twice.peak_bits
    state = attention.start()
    for token in prompt([1, 5, 7], [5, 2, 9])[:-1]:
        state = attention.step(state, token)
    # Else a score would be carried along that its bits, those of no element, do not count.
    assert attention.step(state, Marker.PREFIX) == attention.start()


def test_enough_features_never_fail():
    attention = KernelAttention(24, features=2000, seed=0, search=True)
    for seed in range(20):
        draw = np.random.default_rng(seed).permutation(24)
        first, second = draw[:4].tolist(), draw[3:12].tolist()
        assert attention.run(prompt(first, second)).answer == draw[3]


def test_no_features_are_refused():
    with pytest.raises(ValueError, match="dimension"):
        KernelAttention(8, features=0, seed=0)


@pytest.mark.parametrize(("score", "met"), [(2, False), (3, True)])
def test_sets_meet_only_above_one_half(score, met):
    """A score of exactly half of f is none."""
    model = KernelAttention(4, features=4, seed=0)
    assert model.answer(KernelAttentionState((0,) * 4, 1, True, 0, score)) is met
