"""The operators as torch knows them: schemas, shapes, gradients, compilation, batches."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from kernels import (
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)
from kernels.chunked import CHUNK

N, M = CHUNK + 3, 5  # more than one chunk: fewer would not reach the operators
SCALE = 0.4


def numbers(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=dtype)


def inputs(batch: int = 2, *, gradients: bool = False) -> dict[str, Tensor]:
    """q, k, v, k_enc, v_enc for two heads with D = 3 and E = 4."""
    shapes = {"q": (N, 3), "k": (N, 3), "v": (N, 4), "k_enc": (M, 3), "v_enc": (M, 4)}
    return {
        name: numbers(batch, n, 2, size, seed=seed).requires_grad_(gradients)
        for seed, (name, (n, size)) in enumerate(shapes.items())
    }


def state(batch: int = 2, *, gradients: bool = False) -> tuple[Tensor, Tensor]:
    kv, z = numbers(batch, 2, 10, 4), numbers(batch, 2, 10).abs()
    z[..., 0] += 3
    return kv.requires_grad_(gradients), z.requires_grad_(gradients)


def mask(batch: int = 2) -> Tensor:
    present = torch.ones(batch, N, dtype=torch.bool)
    present[:, ::3] = False
    return present


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("encoder", [False, True])
@pytest.mark.parametrize("continued", [False, True])
def test_attention_is_registered_as_torch_asks(
    masked: bool, encoder: bool, continued: bool
) -> None:
    given = inputs(gradients=True)
    if not encoder:
        given |= {"k_enc": None, "v_enc": None}
    kv, z = state(gradients=True) if continued else (None, None)
    arguments = (*given.values(), mask() if masked else None, kv, z, SCALE)
    torch.library.opcheck(torch.ops.kernels.chunked_attention.default, arguments)


def test_the_halves_are_registered_as_torch_asks() -> None:
    given, (kv, z) = inputs(gradients=True), state(gradients=True)
    torch.library.opcheck(
        torch.ops.kernels.sum_keys.default, (given["k"], given["v"], None, None, None, SCALE)
    )
    torch.library.opcheck(
        torch.ops.kernels.sum_keys.default, (given["k"], given["v"], mask(), kv, z, SCALE)
    )
    torch.library.opcheck(torch.ops.kernels.read_state.default, (given["q"], kv, z, SCALE))


def strided(x: Tensor) -> Tensor:
    """The same numbers, laid in memory as (H, N, B, ·)."""
    return x.transpose(0, 2).contiguous().transpose(0, 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_shapes_types_and_layouts_are_predicted(dtype: torch.dtype) -> None:
    """Of strided inputs, and of the backward operators too."""
    q, k, v, k_enc, v_enc = (strided(x.to(dtype)) for x in inputs().values())
    kind = torch.float32 if dtype == torch.bfloat16 else dtype
    kv, z = (strided(x.to(kind)) for x in state())
    tests = ("test_schema", "test_faketensor")

    def check(name: str, *arguments: Any) -> Any:
        operator = getattr(torch.ops.kernels, name).default
        torch.library.opcheck(operator, arguments, test_utils=tests)
        return operator(*arguments)

    given = (q, k, v, k_enc, v_enc, mask(), kv, z)
    y, denominators, dkv, dz = check("chunked_attention", *given, SCALE)
    check("chunked_attention_backward", y, dkv, dz, *given, y, denominators, SCALE)
    check("sum_keys", k, v, mask(), kv, z, SCALE)
    check("sum_keys_backward", kv, z, k, v, mask(), SCALE)
    y, denominators = check("read_state", q, kv, z, SCALE)
    check("read_state_backward", y, q, kv, z, y, denominators, SCALE)


@pytest.mark.parametrize("length", [8, N])
def test_tensors_without_numbers_leave_nothing_behind(length: int) -> None:
    """FakeTensorMode and inference mode come and go; what is kept between calls stays usable."""

    def call() -> Tensor:
        # A size of its own, that no other test has used.
        q = torch.ones(1, length, 1, 11, dtype=torch.float64)
        return prefix_linear_attention(q, q, q, initial_state=prefix_state(q, q))

    with FakeTensorMode():
        assert call().shape == (1, length, 1, 11)
    with torch.inference_mode():
        call()
    assert type(call()) is Tensor
    q = torch.ones(1, length, 1, 11, dtype=torch.float64, requires_grad=True)
    y = prefix_linear_attention(q, q, q, initial_state=prefix_state(q, q))
    y.sum().backward()


def test_compiled_for_sizes_that_change() -> None:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return prefix_linear_attention(q, k, v, initial_state=prefix_state(k, v))

    torch._dynamo.reset()
    compiled = torch.compile(attend, fullgraph=True, dynamic=True, backend="aot_eager")
    for length, size in ((8, 4), (9, 5), (N, 6)):
        given = (numbers(1, length, 2, size, seed=i) for i in range(3))
        q, k, v = given
        torch.testing.assert_close(compiled(q, k, v), attend(q, k, v))


def whole(q: Tensor, k: Tensor, v: Tensor, k_enc: Tensor, v_enc: Tensor) -> Tensor:
    """Attention, the state after it, and a step from there."""
    y, after = prefix_linear_attention(q, k, v, k_enc, v_enc, mask=mask(len(q)), return_state=True)
    step, after = prefix_linear_attention_step(q[:, 0], k[:, 0], v[:, 0], after)
    both_ways = read_state(q, prefix_state(k, v))
    return y.sin().sum() + step.sin().sum() + after.kv.sin().sum() + both_ways.sin().sum()


def test_compiled_without_a_break_it_is_the_same() -> None:
    given = inputs(gradients=True)
    expected = torch.autograd.grad(whole(**given), list(given.values()))
    torch._dynamo.reset()
    compiled = torch.compile(whole, fullgraph=True, backend="aot_eager")
    actual = torch.autograd.grad(compiled(**given), list(given.values()))
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize("shared", [None, "q", "k_enc"])
def test_vmap_is_a_loop(shared: str | None) -> None:
    many = [inputs() | {"q": numbers(2, N, 2, 3, seed=100 + i)} for i in range(3)]
    stacked = {name: torch.stack([given[name] for given in many]) for name in many[0]}
    dims = dict.fromkeys(stacked, 0)
    if shared is not None:
        stacked[shared], dims[shared] = many[0][shared], None
        many = [given | {shared: many[0][shared]} for given in many]

    def gradients(given: dict[str, Tensor]) -> dict[str, Tensor]:
        return torch.func.grad(lambda inner: whole(**inner))(given)

    actual = torch.func.vmap(gradients, in_dims=(dims,))(stacked)
    for i, given in enumerate(many):
        for name, expected in gradients(given).items():
            torch.testing.assert_close(actual[name][i], expected)


def test_a_state_per_example_of_vmap() -> None:
    given, (kv, z) = inputs(), state()
    states = torch.stack([kv, 2 * kv]), torch.stack([z, 3 * z])

    def read(kv: Tensor, z: Tensor) -> Tensor:
        return prefix_linear_attention(
            given["q"], given["k"], given["v"], initial_state=PrefixState(kv, z)
        )

    actual = torch.func.vmap(read)(*states)
    for i in range(2):
        torch.testing.assert_close(actual[i], read(states[0][i], states[1][i]))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(kind: torch.dtype) -> None:
    given = {name: x.detach().to(kind).requires_grad_() for name, x in inputs().items()}

    def gradients() -> tuple[Tensor, ...]:
        y = prefix_linear_attention(**given)
        return (y, *torch.autograd.grad(y.float().sin().sum(), list(given.values())))

    expected = gradients()
    with torch.autocast("cpu", torch.bfloat16):
        actual = gradients()
    for with_autocast, without in zip(actual, expected, strict=True):
        assert with_autocast.dtype == without.dtype
        assert torch.equal(with_autocast, without)


def test_the_gradient_of_a_gradient_is_refused_beyond_one_chunk() -> None:
    given = inputs(gradients=True)
    y = prefix_linear_attention(**given)
    (first,) = torch.autograd.grad(y.sin().sum(), given["q"], create_graph=True)
    with pytest.raises(RuntimeError, match="chunked_attention_backward cannot be differentiated"):
        torch.autograd.grad(first.sum(), given["k"])


@pytest.mark.parametrize("in_place", [False, True])
def test_a_step_in_place_writes_over_the_state_and_no_other_does(in_place: bool) -> None:
    given = {name: x[:, 0] for name, x in inputs().items()}
    before = PrefixState(*state())
    copy = PrefixState(before.kv.clone(), before.k.clone())
    call: Callable[..., Any] = prefix_linear_attention_step
    y, after = call(given["q"], given["k"], given["v"], before, in_place=in_place)
    expected, _ = call(given["q"], given["k"], given["v"], copy)
    torch.testing.assert_close(y, expected)
    assert (after is before) == in_place
    assert torch.equal(before.kv, copy.kv) != in_place
    assert torch.equal(before.k, copy.k) != in_place
