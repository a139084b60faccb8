"""Gradients of the backends, the steps and the state."""

from unittest import mock

import pytest
import torch
from torch import Tensor

from kernels import (
    Backend,
    PrefixState,
    chunked,
    head_group,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
    taylor,
)

B, N, M, H, D, E = 2, 5, 3, 1, 2, 2
MASKS = {
    "none": None,
    "left": torch.tensor([[False, False, True, True, True], [True] * 5]),
    "any": torch.tensor([[False, True, False, True, True], [True, False, False, False, True]]),
}


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()


def inputs(length: int = N, prefix: int = M) -> tuple[Tensor, ...]:
    """q, k, v, k_enc, v_enc and the tensors of an initial state."""
    state = prefix_state(normal(1, B, 2, H, D).detach(), normal(2, B, 2, H, E).detach())
    return (
        normal(3, B, length, H, D),
        normal(4, B, length, H, D),
        normal(5, B, length, H, E),
        normal(6, B, prefix, H, D),
        normal(7, B, prefix, H, E),
        state.kv.requires_grad_(),
        state.k.requires_grad_(),
    )


@pytest.mark.parametrize("backend", ["reference", "chunked"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("chunk", [2, 100])
@pytest.mark.parametrize("extras", [True, False])
def test_gradcheck(backend: Backend, mask: str, chunk: int, extras: bool) -> None:
    def call(
        q: Tensor, k: Tensor, v: Tensor, *more: Tensor
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        if not more:
            return prefix_linear_attention(q, k, v, mask=MASKS[mask], backend=backend)
        k_enc, v_enc, kv, key_sum = more
        y, state = prefix_linear_attention(
            q,
            k,
            v,
            k_enc,
            v_enc,
            mask=MASKS[mask],
            initial_state=PrefixState(kv, key_sum),
            return_state=True,
            backend=backend,
        )
        return y, state.kv, state.k

    with mock.patch.object(chunked, "CHUNK", chunk):
        # A loop over chunks takes its time: there one direction at random, the equality with
        # the reference below sees all of them.
        several = backend == "chunked" and chunk < N
        given = inputs() if extras else inputs()[:3]
        assert torch.autograd.gradcheck(call, given, fast_mode=several)


@pytest.mark.parametrize("chunk", [2, 100])
@pytest.mark.parametrize("mask", MASKS)
def test_gradcheck_of_the_state(chunk: int, mask: str) -> None:
    def call(q: Tensor, k: Tensor, v: Tensor, kv: Tensor, key_sum: Tensor) -> Tensor:
        state = prefix_state(k, v, mask=MASKS[mask], initial_state=PrefixState(kv, key_sum))
        return read_state(q, state)

    q, k, v, _, _, kv, key_sum = inputs()
    with mock.patch.object(chunked, "CHUNK", chunk):
        assert torch.autograd.gradcheck(call, (q, k, v, kv, key_sum))


def test_gradcheck_of_the_step() -> None:
    def call(
        q: Tensor, k: Tensor, v: Tensor, kv: Tensor, key_sum: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        y, state = prefix_linear_attention_step(q, k, v, PrefixState(kv, key_sum))
        return y, state.kv, state.k

    q, k, v, _, _, kv, key_sum = inputs()
    token = tuple(x[:, 0].detach().requires_grad_() for x in (q, k, v))
    assert torch.autograd.gradcheck(call, (*token, kv, key_sum))


@pytest.mark.parametrize("wanted", [(0,), (2,), (3, 6), (0, 1, 2, 3, 4, 5, 6)])
def test_gradients_equal_the_reference_over_many_chunks(wanted: tuple[int, ...]) -> None:
    """At the real chunk size, for any subset of the inputs that asks for a gradient."""
    length = 2 * chunked.CHUNK + 5
    tensors = [x.detach() for x in inputs(length, prefix=chunked.CHUNK + 3)]
    for index in wanted:
        tensors[index].requires_grad_()
    mask = torch.arange(length).expand(B, length) >= torch.tensor([[0], [9]])
    gradients = []
    for backend in ("chunked", "reference"):
        y, state = prefix_linear_attention(
            *tensors[:5],
            mask=mask,
            initial_state=PrefixState(*tensors[5:]),
            return_state=True,
            backend=backend,
        )
        target = y.square().sum() + (state.kv[..., 0].sum() + state.k.sum()) / length
        gradients.append(torch.autograd.grad(target, [tensors[index] for index in wanted]))
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("heads", [1, 17, 33])
@pytest.mark.parametrize("feature_dim", [1, 2, 3, 4, 16])
def test_any_number_of_features_and_heads(feature_dim: int, heads: int) -> None:
    """Odd and even D pair their features differently; heads walk in groups of 16."""
    length = chunked.CHUNK + 2
    sizes = (feature_dim, feature_dim, 2, feature_dim, 2)
    lengths = (length, length, length, 3, 3)
    tensors = [
        normal(seed, 2, n, heads, size)
        for seed, (n, size) in enumerate(zip(lengths, sizes, strict=True))
    ]
    before = prefix_state(normal(8, 2, 2, heads, feature_dim), normal(9, 2, 2, heads, 2))
    wanted = [*tensors, *(x.detach().requires_grad_() for x in (before.kv, before.k))]
    results = []
    for backend in ("chunked", "reference"):
        y, state = prefix_linear_attention(
            *tensors, initial_state=PrefixState(*wanted[5:]), return_state=True, backend=backend
        )
        total = y.square().sum() + state.kv.sin().sum() + state.k.sin().sum()
        results.append([y, state.kv, state.k, *torch.autograd.grad(total, wanted)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("length", [3, chunked.CHUNK + 2])
def test_an_empty_state_reads_as_zero(length: int) -> None:
    q = normal(0, 1, length, 2, 3)
    empty = PrefixState.zeros(1, 2, 3, 3, torch.float64)
    y = read_state(q, empty)
    assert torch.equal(y, torch.zeros_like(y))
    assert torch.equal(torch.autograd.grad(y.sum(), q)[0], torch.zeros_like(q))
    present = torch.zeros(1, length, dtype=torch.bool)
    present[:, -1] = True
    y = prefix_linear_attention(q, q, q, mask=present, initial_state=empty)
    assert torch.equal(y[:, :-1], torch.zeros_like(y[:, :-1]))
    torch.testing.assert_close(y[:, -1], q[:, -1])


@pytest.mark.parametrize("backend", ["reference", "chunked"])
@pytest.mark.parametrize("chunk", [2, 100])
def test_masked_positions_have_no_gradient(backend: Backend, chunk: int) -> None:
    mask = MASKS["any"]
    tensors = [x.detach().clone() for x in inputs()[:5]]
    for x in tensors:
        x[~mask[:, : x.shape[1]]] = float("nan")
        x.requires_grad_()
    with mock.patch.object(chunked, "CHUNK", chunk):
        prefix_linear_attention(*tensors, mask=mask, backend=backend).square().sum().backward()
    for x in tensors:
        gone = ~mask[:, : x.shape[1]]
        assert torch.equal(x.grad[gone], torch.zeros_like(x.grad[gone]))
        assert x.grad.isfinite().all()
        assert x.grad[~gone].any()


@pytest.mark.parametrize("backend", ["reference", "chunked"])
def test_gradients_are_finite_where_nothing_can_be_read(backend: Backend) -> None:
    tensors = inputs()[:5]
    mask = torch.zeros(B, N, dtype=torch.bool)
    y = prefix_linear_attention(*tensors, mask=mask, backend=backend)
    for gradient in torch.autograd.grad(y.sum(), tensors):
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_of_half_types_have_their_type(dtype: torch.dtype) -> None:
    tensors = [x.detach().to(dtype).requires_grad_() for x in inputs()[:5]]
    exact = [x.detach().double().requires_grad_() for x in tensors]
    with mock.patch.object(chunked, "CHUNK", 2):
        gradients = torch.autograd.grad(prefix_linear_attention(*tensors).float().sum(), tensors)
    expected = torch.autograd.grad(prefix_linear_attention(*exact).sum(), exact)
    for actual, wanted in zip(gradients, expected, strict=True):
        assert actual.dtype == dtype
        torch.testing.assert_close(actual.double(), wanted, atol=2e-2, rtol=2e-2)


def test_a_backward_pass_under_autocast() -> None:
    """Where chunks are computed again, autocast may not reach them."""
    tensors = [x.detach().float().requires_grad_() for x in inputs()[:5]]
    with mock.patch.object(chunked, "CHUNK", 2):
        expected = torch.autograd.grad(prefix_linear_attention(*tensors).sum(), tensors)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            gradients = torch.autograd.grad(prefix_linear_attention(*tensors).sum(), tensors)
    for actual, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(actual, wanted, atol=1e-5, rtol=1e-5)


def test_training_after_inference_mode() -> None:
    """What is cached in inference mode must serve the backward pass later."""
    q, k, v = inputs()[:3]
    taylor._cached_factors.cache_clear()
    head_group.feature_order.cache_clear()
    with torch.inference_mode():
        prefix_state(k, v)
        with mock.patch.object(chunked, "CHUNK", 2):
            prefix_linear_attention(q, k, v)
    for chunk in (2, 100):
        with mock.patch.object(chunked, "CHUNK", chunk):
            y = prefix_linear_attention(q, k, v)
        assert torch.autograd.grad(y.sum(), q)[0].any()
