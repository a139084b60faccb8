"""The fused kernels behind the public functions: registered, chosen, refused, compiled, batched."""

import pytest
import torch
from torch import Tensor

from kernels import (
    Backend,
    PrefixState,
    prefix_linear_attention,
    prefix_linear_attention_step,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
N, M, D, E, F = 7, 3, 3, 4, 10
SCALE = 0.5


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=generator).to(DEVICE)


def inputs(batch: int = 2, *, gradients: bool = False) -> dict[str, Tensor]:
    shapes = {"q": (N, D), "k": (N, D), "v": (N, E), "k_enc": (M, D), "v_enc": (M, E)}
    return {
        name: numbers(batch, n, 2, size, seed=seed).requires_grad_(gradients)
        for seed, (name, (n, size)) in enumerate(shapes.items())
    }


def state(batch: int = 2, *, gradients: bool = False) -> tuple[Tensor, Tensor]:
    kv, z = numbers(batch, 2, F, E), numbers(batch, 2, F).abs()
    z[..., 0] += 3
    return kv.requires_grad_(gradients), z.requires_grad_(gradients)


def mask() -> Tensor:
    present = torch.ones(2, N, dtype=torch.bool, device=DEVICE)
    present[:, ::3] = False
    return present


@pytest.mark.parametrize("whole", [False, True])
def test_attention_is_registered_as_torch_asks(whole: bool) -> None:
    given = inputs(gradients=True)
    kv, z = state(gradients=True)
    arguments = (*given.values(), mask(), kv, z) if whole else (*list(given.values())[:3],)
    arguments += (None,) * (8 - len(arguments))
    torch.library.opcheck(torch.ops.kernels.triton_attention.default, (*arguments, SCALE))


@pytest.mark.parametrize("operator", ["triton_step", "triton_step_"])
def test_steps_are_registered_as_torch_asks(operator: str) -> None:
    token = [x[:, 0] for x in list(inputs().values())[:3]]
    torch.library.opcheck(getattr(torch.ops.kernels, operator).default, (*token, *state(), SCALE))


def everything(backend: Backend) -> list[Tensor]:
    """Outputs, states, and the gradients of both."""
    given, (kv, z) = inputs(gradients=True), state(gradients=True)
    y, after = prefix_linear_attention(
        **given,
        mask=mask(),
        scale=SCALE,
        initial_state=PrefixState(kv, z),
        return_state=True,
        backend=backend,
    )
    loss = y.sin().sum() + after.kv.sin().sum() + after.k.sin().sum()
    return [y, after.kv, after.k, *torch.autograd.grad(loss, [*given.values(), kv, z])]


def test_the_backend_equals_the_definition() -> None:
    for actual, expected in zip(everything("triton"), everything("reference"), strict=True):
        torch.testing.assert_close(actual, expected, rtol=2e-5, atol=2e-5)


def test_a_step_continues_from_prefill() -> None:
    given = inputs()
    q, k, v = (given[name] for name in ("q", "k", "v"))
    options = {"scale": SCALE, "backend": "triton"}
    expected, last = prefix_linear_attention(**given, return_state=True, **options)
    short = {name: x if "enc" in name else x[:, :-1] for name, x in given.items()}
    _, before = prefix_linear_attention(**short, return_state=True, **options)
    for in_place in (False, True):
        y, after = prefix_linear_attention_step(
            q[:, -1], k[:, -1], v[:, -1], before, in_place=in_place, **options
        )
        torch.testing.assert_close(y, expected[:, -1], rtol=2e-5, atol=2e-5)
        torch.testing.assert_close(after.kv, last.kv, rtol=2e-5, atol=2e-5)
        assert (after is before) == in_place


def test_a_step_that_wants_a_gradient_is_refused() -> None:
    q, k, v = (x[:, 0] for x in list(inputs(gradients=True).values())[:3])
    with pytest.raises(ValueError, match="backend must not be 'triton' where a step's gradient"):
        prefix_linear_attention_step(q, k, v, PrefixState(*state()), backend="triton")
    with pytest.raises(ValueError, match="in_place must be False where a gradient is wanted"):
        prefix_linear_attention_step(q, k, v, PrefixState(*state()), in_place=True)


def test_what_the_kernels_do_not_take_is_refused_in_a_sentence() -> None:
    q, v = numbers(1, 3, 1, 33), numbers(1, 3, 1, 4)
    with pytest.raises(ValueError, match=r"got 'triton': the fused kernels take D from 1 to 32"):
        prefix_linear_attention(q, q, v, backend="triton")
    assert prefix_linear_attention(q, q, v).shape == v.shape  # "auto" takes another


def test_vmap_is_a_loop() -> None:
    given = inputs()
    several = torch.stack([given["q"], -given["q"]])

    def read(q: Tensor) -> Tensor:
        return prefix_linear_attention(**given | {"q": q}, backend="triton")

    actual = torch.func.vmap(read)(several)
    for y, q in zip(actual, several, strict=True):
        torch.testing.assert_close(y, read(q))


def test_compiled_without_a_break_it_is_the_same() -> None:
    given = inputs(gradients=True)

    def call(**given: Tensor) -> Tensor:
        return prefix_linear_attention(**given, backend="triton").sin().sum()

    expected = torch.autograd.grad(call(**given), list(given.values()))
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for actual, wanted in zip(
        torch.autograd.grad(compiled(**given), list(given.values())), expected, strict=True
    ):
        torch.testing.assert_close(actual, wanted)


def test_a_triton_that_is_too_old_is_named_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler of 3.5 and 3.6 fails on the kernels, with a traceback of its own."""
    triton = pytest.importorskip("triton")
    q, k, v = list(inputs().values())[:3]
    monkeypatch.setattr(triton, "__version__", "3.6.0")
    message = r"got 'triton': triton 3\.7 or newer is needed, 3\.6\.0 is installed"
    with pytest.raises(ValueError, match=message):
        prefix_linear_attention(q, k, v, backend="triton")
    assert prefix_linear_attention(q, k, v).isfinite().all()
    monkeypatch.setattr(triton, "__version__", "3.10.0+git1234")
    assert prefix_linear_attention(q, k, v, backend="triton").isfinite().all()
