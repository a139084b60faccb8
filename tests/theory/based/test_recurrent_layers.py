"""MLP and linear attention against their definitions, all rows at once and row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.based.kernels import DataDependentKernel
from theory.based.random_signs import RandomSignKernel
from theory.based.recurrent_layers import MLP, FixedKernel, KernelOfTheKeys, LinearAttention, Model
from theory.based.theorem_g22 import membership_attention
from theory.layers.codes import binary_code

few = settings(max_examples=30, deadline=None)
seeds = st.integers(0, 2**32 - 1)


@few
@given(seeds)
def test_mlp_is_its_definition(seed):
    generator = np.random.default_rng(seed)
    shapes = ((3, 5), (5,), (5, 2), (2,))
    layer = MLP(*(generator.integers(-3, 4, shape) for shape in shapes))
    u = generator.integers(-3, 4, (4, 3))
    for row, out in zip(u, layer(u), strict=True):
        hidden = [
            max(0, sum(row[i] * layer.weight_in[i, h] for i in range(3)) + layer.bias_in[h])
            for h in range(5)
        ]
        expected = [
            sum(hidden[h] * layer.weight_out[h, o] for h in range(5)) + layer.bias_out[o]
            for o in range(2)
        ]
        assert out.tolist() == expected


def random_attention_input(seed, length=9, bits=3):
    """Queries, keys and values as the layer's channels; distinct keys where the value is not 0."""
    generator = np.random.default_rng(seed)
    keys = generator.permutation(2**bits)
    keys = np.concatenate([keys, generator.integers(0, 2**bits, length - len(keys))])
    values = generator.integers(-2, 3, length)
    values[2**bits :] = 0
    queries = generator.integers(0, 2**bits, length)
    return (
        queries,
        keys,
        values,
        np.hstack([binary_code(queries, bits), binary_code(keys, bits), values[:, None]]),
    )


@few
@given(seeds)
def test_linear_attention_is_its_definition(seed):
    kernel = RandomSignKernel(8, 2, seed)
    queries, keys, values, u = random_attention_input(seed)
    output = membership_attention(3, FixedKernel(kernel))(u)
    features = kernel.directions(range(8)) / np.sqrt(kernel.dimension)
    for i in range(len(u)):
        state = sum(features[keys[j]] * values[j] for j in range(i + 1))
        assert float(output[i, 0]) == pytest.approx(features[queries[i]] @ state, abs=1e-9)


@few
@given(seeds, st.sampled_from(["fixed", "of the keys"]))
def test_linear_attention_row_by_row_gives_the_same(seed, kind):
    fixed = FixedKernel(RandomSignKernel(8, 2, seed, dimension=20))
    layer = membership_attention(3, fixed if kind == "fixed" else KernelOfTheKeys(8))
    *_, u = random_attention_input(seed)
    output, _ = Model((layer,)).run_recurrently(u)
    assert np.array_equal(output, layer(u))


def test_linear_attention_counts_a_key_given_twice_twice():
    layer = membership_attention(2, KernelOfTheKeys(4))
    rows = np.array([[0, 0, 1, 0, 1], [1, 0, 1, 0, 1], [0, 1, 0, 0, 0]])
    assert layer(rows).ravel().tolist() == [0, 2, 0]
    assert Model((layer,)).run_recurrently(rows)[0].ravel().tolist() == [0, 2, 0]


def test_state_is_counted_entry_by_entry():
    layer = membership_attention(3, FixedKernel(RandomSignKernel(8, 2, seed=0, dimension=20)))
    stream = Model((layer,)).stream()
    for key in (1, 6, 3):
        stream.step(np.array([0, 0, 0, *binary_code([key], 3)[0], 1]))
    state = stream.state()
    total = state["layer 0: sum"]
    assert set(np.abs(total).tolist()) == {1, 3}
    assert state["position"].tolist() == [3]
    # Twenty sums of two bits and a sign; the position in two bits; a fixed kernel holds no keys.
    assert (stream.size().numbers, stream.size().bits) == (21, 20 * 3 + 2)


def test_data_dependent_kernel_is_the_one_that_looks_at_the_keys():
    kernel = KernelOfTheKeys(8).for_keys((3, 5))
    assert kernel == DataDependentKernel(8, (3, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda z: MLP(z(2, 3), z(3), z(4, 1), z(1)), "weight_in"),
        (lambda z: MLP(z(2, 3), z(2), z(3, 1), z(1)), "bias_in"),
        (lambda z: MLP(z(2, 3), z(3), z(3, 1), z(2)), "bias_out"),
        (lambda z: LinearAttention(z(5, 2), z(5, 3), z(5, 1), KernelOfTheKeys(4)), "key"),
        (lambda z: LinearAttention(z(5, 2), z(5, 2), z(5, 2), KernelOfTheKeys(4)), "value"),
    ],
)
def test_refuses_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make(lambda *shape: np.zeros(shape, dtype=int))
