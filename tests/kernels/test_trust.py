"""Outputs are means of values: what rounding has lost of a state is refused, or not a number."""

import math

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import (
    Backend,
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)

BACKENDS: tuple[Backend, ...] = ("reference", "chunked")
SIZES = [1, 3, 10, 30, 100, 300, 1000]
N = 300  # three chunks: two of them are read through the state
REFUSED = "rounding in torch.float32 has lost"


def orthogonal(size: float, seed: int = 0, *, angle: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """q, k of this standard deviation, all weights 1 at `angle` 0; and v; (1, N, 2, ·) float32."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    basis = torch.linalg.qr(normal(16, 16))[0]
    q, k = normal(1, N, 2, 8) @ basis[:8], normal(1, N, 2, 8) @ basis[8:]
    q = math.cos(angle) * q + math.sin(angle) * normal(1, N, 2, 16)
    return (q * size).float(), (k * size).float(), normal(1, N, 2, 4).float()


def hull(v: Tensor) -> tuple[Tensor, Tensor]:
    slack = 1e-3 * v.abs().max()
    return v.amin((1,), keepdim=True) - slack, v.amax((1,), keepdim=True) + slack


def assert_in_hull_or_nan(y: Tensor, v: Tensor) -> None:
    least, most = hull(v)
    assert (y.isnan() | ((y >= least) & (y <= most))).all()


cases = given(
    size=st.floats(0, 3).map(lambda power: 10**power),
    seed=st.integers(0, 2**31),
    angle=st.sampled_from([0.0, 1e-3, 0.1, math.pi / 2]),
)


@settings(deadline=None, max_examples=40)
@cases
@example(size=100.0, seed=0, angle=0.0)
@example(size=1000.0, seed=0, angle=0.0)
def test_outputs_stay_within_the_hull_of_the_values(size: float, seed: int, angle: float) -> None:
    q, k, v = orthogonal(size, seed, angle=angle)
    for backend in BACKENDS:
        y = prefix_linear_attention(q, k, v, backend=backend, check=False)
        assert_in_hull_or_nan(y, v)
    state = prefix_state(k, v)
    for queries in (q, q[:, :5]):
        assert_in_hull_or_nan(read_state(queries, state, check=False), v)
        continued = prefix_linear_attention(
            queries, queries * 0, v[:, : queries.shape[1]], initial_state=state, check=False
        )
        assert_in_hull_or_nan(continued, v)
    y, _ = prefix_linear_attention_step(q[:, 0], k[:, 0], v[:, 0], state, check=False)
    assert_in_hull_or_nan(y[:, None], v)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_not_refused_is_right(size: float) -> None:
    """Against the definition in float64, up to what float32 scores themselves are off by."""
    q, k, v = orthogonal(size)
    exact = prefix_linear_attention(q.double(), k.double(), v.double(), backend="reference")
    y = prefix_linear_attention(q, k, v, backend="chunked", check=False)
    definition = prefix_linear_attention(q, k, v, backend="reference")
    own = (definition - exact).abs().max()
    trusted = ~y.isnan()
    assert ((y - exact)[trusted].abs() <= own + 1e-3 * v.abs().max()).all()
    assert trusted[:, :128].all()  # the first chunk reads no state
    if size <= 3:
        assert trusted.all()


@pytest.mark.parametrize("size", [100, 1000])
def test_lost_outputs_are_refused(size: float) -> None:
    q, k, v = orthogonal(size)
    with pytest.raises(ValueError, match=REFUSED):
        prefix_linear_attention(q, k, v)
    state = prefix_state(k, v)
    for queries in (q, q[:, :5]):
        with pytest.raises(ValueError, match=REFUSED):
            read_state(queries, state)
    for backend in BACKENDS:
        with pytest.raises(ValueError, match=REFUSED):
            prefix_linear_attention(q, k, v, initial_state=state, backend=backend)
    with pytest.raises(ValueError, match=REFUSED):
        prefix_linear_attention_step(q[:, 0], k[:, 0], v[:, 0], state)
    # What the message advises.
    y = prefix_linear_attention(q.double(), k.double(), v.double())
    assert_in_hull_or_nan(y, v)
    assert y.isfinite().all()
    y = prefix_linear_attention(q, k, v, check=False)
    assert y.isnan().any()


@pytest.mark.parametrize("size", SIZES)
def test_scores_of_any_size_are_no_reason_to_refuse(size: float) -> None:
    """Queries and keys that point anywhere: their denominators grow as the sums do."""
    q, k, v = orthogonal(size, angle=math.pi / 2)
    exact = prefix_linear_attention(q.double(), k.double(), v.double(), backend="reference")
    y = prefix_linear_attention(q, k, v)
    assert (y - exact).abs().max() <= 1e-5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
def test_gradients_are_finite_or_not_numbers(backend: Backend, size: float) -> None:
    inputs = [x.requires_grad_() for x in orthogonal(size)]
    y = prefix_linear_attention(*inputs, backend=backend, check=False)
    found = torch.autograd.grad(y.square().sum(), inputs)
    if y.isfinite().all():
        assert all(gradient.isfinite().all() for gradient in found)
        double = [x.detach().double().requires_grad_() for x in inputs]
        exact = prefix_linear_attention(*double, backend="reference").square().sum()
        for actual, wanted in zip(found, torch.autograd.grad(exact, double), strict=True):
            if backend == "chunked":
                assert (actual - wanted).norm() <= 1e-2 * wanted.norm()
    else:
        assert all(gradient.isnan().any() for gradient in found)
        assert not any(gradient.isinf().any() for gradient in found)


def test_inside_transforms_and_compiled_lost_outputs_are_not_numbers() -> None:
    q, k, v = orthogonal(100.0)
    state = prefix_state(k, v)

    def call(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        y = prefix_linear_attention(q, k, v)
        token = prefix_linear_attention_step(q[:, 0], k[:, 0], v[:, 0], state)[0]
        return y, token, read_state(q[:, :5], state)

    expected = (
        prefix_linear_attention(q, k, v, check=False),
        prefix_linear_attention_step(q[:, 0], k[:, 0], v[:, 0], state, check=False)[0],
        read_state(q[:, :5], state, check=False),
    )
    assert all(x.isnan().any() for x in expected)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")(q, k, v)
    batched = torch.func.vmap(call)(*(torch.stack([x, x]) for x in (q, k, v)))
    for actual, each, wanted in zip(compiled, batched, expected, strict=True):
        assert torch.equal(actual.isnan(), wanted.isnan())
        assert torch.equal(each[1].isnan(), wanted.isnan())


@pytest.mark.parametrize("length", [5, N])
def test_numbers_that_overflow_are_refused(length: int) -> None:
    x = torch.full((1, length, 1, 2), 1e30)
    with pytest.raises(ValueError, match=REFUSED):
        prefix_linear_attention(x, x, x)
    assert read_state(x, prefix_state(x, x)).isnan().all()


def test_what_is_no_number_already_passes_through() -> None:
    x = torch.zeros(1, N, 1, 2)
    x[0, 1] = float("nan")
    y = prefix_linear_attention(x, x, x)
    assert y[:, 1:].isnan().all()


def test_a_state_of_few_bits_is_read_as_it_is() -> None:
    """Quantized states may have denominators near 0, or below; this is not rounding's doing."""
    x = torch.full((1, 1, 2), 0.5)
    state = PrefixState.zeros(1, 1, 2, 2)
    state.k[..., 1] = -8.0
    y, _ = prefix_linear_attention_step(x, x, x, state)
    assert y.isfinite().all()
