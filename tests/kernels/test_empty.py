"""Nothing to read, or nothing that reads: batches, heads and lengths of 0, in every operator."""

import pytest
import torch
from torch import Tensor

from kernels import (
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
    sliding_window_attention,
)

BACKENDS = ("reference", "chunked")
EMPTY = [(0, 10, 2), (0, 300, 2), (2, 10, 0), (2, 300, 0), (2, 0, 2), (0, 0, 0)]
D, E, F = 3, 4, 10


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).requires_grad_()


def tokens(batch: int, length: int, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    q, k, v = (numbers(batch, length, heads, size) for size in (D, D, E))
    return q, k, v


def state_of(batch: int, heads: int) -> PrefixState:
    _, k, v = tokens(batch, 4, heads)
    return prefix_state(k.detach(), v.detach())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("sizes", EMPTY, ids=str)
@pytest.mark.parametrize("encoder", [None, 0, 5])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("continued", [False, True])
def test_attention(
    backend: str, sizes: tuple[int, int, int], encoder: int | None, masked: bool, continued: bool
) -> None:
    batch, length, heads = sizes
    given = tokens(*sizes)
    if encoder is not None:
        given += tokens(batch, min(encoder, length), heads)[1:]
    before = state_of(batch, heads) if continued else None
    mask = torch.ones(batch, length, dtype=torch.bool) if masked else None
    y, after = prefix_linear_attention(
        *given, mask=mask, initial_state=before, return_state=True, backend=backend
    )
    assert y.shape == (*sizes, E)
    if length == 0:
        expected = before or PrefixState.zeros(batch, heads, D, E)
        assert torch.equal(after.kv, expected.kv)
        assert torch.equal(after.k, expected.k)
    loss = y.sum() + after.kv.sum() + after.k.sum()
    for x, gradient in zip(given, torch.autograd.grad(loss, given), strict=True):
        assert gradient.shape == x.shape


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("batch", "heads"), [(0, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("in_place", [False, True])
def test_step(backend: str, batch: int, heads: int, in_place: bool) -> None:
    q, k, v = (x[:, 0].detach() for x in tokens(batch, 1, heads))
    before = state_of(batch, heads)
    y, after = prefix_linear_attention_step(q, k, v, before, backend=backend, in_place=in_place)
    assert y.shape == (batch, heads, E)
    assert after.kv.shape == (batch, heads, F, E)


@pytest.mark.parametrize("sizes", EMPTY, ids=str)
def test_the_halves(sizes: tuple[int, int, int]) -> None:
    given = tokens(*sizes)
    state = prefix_state(*given[1:], initial_state=state_of(sizes[0], sizes[2]))
    y = read_state(given[0], state)
    assert y.shape == (*sizes, E)
    torch.autograd.grad(y.sum() + state.kv.sum(), given)


@pytest.mark.parametrize("sizes", EMPTY, ids=str)
@pytest.mark.parametrize("window", [1, 3, 500])
@pytest.mark.parametrize("masked", [False, True])
def test_windows(sizes: tuple[int, int, int], window: int, masked: bool) -> None:
    q, k, v = (numbers(*sizes, E) for _ in range(3))
    mask = torch.ones(sizes[:2], dtype=torch.bool) if masked else None
    y = sliding_window_attention(q, k, v, window, mask=mask)
    assert y.shape == q.shape
    torch.autograd.grad(y.sum(), (q, k, v))


@pytest.mark.parametrize("length", [0, 10, 300])
@pytest.mark.parametrize("sizes", [(0, 2, 2), (0, 0, 2), (3, 0, 2), (3, 2, 0)], ids=str)
def test_vmap(length: int, sizes: tuple[int, int, int]) -> None:
    several, batch, heads = sizes

    def everything(q: Tensor, k: Tensor, v: Tensor, kv: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        y, state = prefix_linear_attention(
            q, k, v, k, v, initial_state=PrefixState(kv, z), return_state=True
        )
        y = y + read_state(q, prefix_state(k, v, initial_state=state))
        y = y + sliding_window_attention(v, v, v, 3) + sliding_window_attention(v, v, v, 500)
        step = prefix_linear_attention_step(kv[..., 0, :D], kv[..., 1, :D], kv[..., 2, :], state)[0]
        return y.sum() + step.sum(), y

    given = [numbers(several, batch, length, heads, size).detach() for size in (D, D, E)]
    given += [numbers(several, batch, heads, F, E).detach()]
    given += [numbers(several, batch, heads, F).detach()]
    total, y = torch.func.vmap(everything)(*given)
    assert total.shape == (several,)
    assert y.shape == (several, batch, length, heads, E)
    gradient = torch.func.grad(everything, argnums=tuple(range(5)), has_aux=True)
    for x, found in zip(given, torch.func.vmap(gradient)(*given)[0], strict=True):
        assert found.shape == x.shape
