"""The linear recurrences against independent implementations and the papers' formulas."""

import runpy
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call, grad, stack_module_state, vmap

from sdsim.models import LanguageModel, ModelConfig
from sdsim.models.mixers import fla_backend
from sdsim.models.mixers.chunked_recurrence import Tokens, recurrence_step
from sdsim.models.mixers.gated_deltanet import GatedDeltaNet, PrefixGatedDeltaNet
from sdsim.models.mixers.gla import GLA, PrefixGLA
from sdsim.models.mixers.linear_recurrence import LinearRecurrence, linear_recurrence
from sdsim.models.mixers.mamba2 import Mamba2, PrefixMamba2
from sdsim.models.mixers.short_convolution import ConvolvedProjection

WIDTH, HEADS, FEATURE_DIM, TAPS = 12, 3, 5, 4
CONFIG = ModelConfig(
    name="test",
    mixers=("gru",),
    width=WIDTH,
    heads=HEADS,
    feature_dim=FEATURE_DIM,
    filter_size=TAPS,
)
LENGTH = 75  # several chunks, the last one not full


def definition(tokens: Tokens, state: Tensor) -> tuple[Tensor, Tensor]:
    """The recurrence as the papers write it, token by token."""
    outputs = []
    for n in range(tokens.v.shape[1]):
        q, k, v, log_decay, beta = tokens.each(lambda part: part[:, n])  # noqa: B023
        state = torch.diag_embed(log_decay.exp().expand(*state.shape[:3])) @ state
        if beta is not None:
            v = beta * (v - torch.einsum("bhkv,bhk->bhv", state, k.expand(*state.shape[:3])))
        state = state + torch.einsum("bhk,bhv->bhkv", k.expand(*state.shape[:3]), v)
        outputs.append(torch.einsum("bhkv,bhk->bhv", state, q.expand(*state.shape[:3])))
    return torch.stack(outputs, dim=1), state


def some_tokens(
    length: int, *, channels: int, delta: bool, key_heads: int = 2, dtype: Any = torch.float64
) -> tuple[Tokens, Tensor]:
    """Random tokens, B = 2, H = 2, K = 3, V = 4, and a state."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator, dtype=dtype)

    tokens = Tokens(
        q=normal(length, key_heads, 3),
        k=F.normalize(normal(length, key_heads, 3), dim=-1),
        v=normal(length, 2, 4),
        log_decay=-normal(length, 2, channels).square(),
        beta=normal(length, 2, 1).sigmoid() if delta else None,
    )
    return tokens, normal(2, 3, 4)


KINDS = [(1, False), (3, False), (1, True), (3, True)]


@pytest.mark.parametrize(
    ("channels", "delta", "key_heads"),
    [(*kind, 2) for kind in KINDS] + [(1, False, 1), (1, True, 1)],
)
@pytest.mark.parametrize("length", [1, 16, 17, 33, LENGTH])
def test_chunks_and_steps_against_the_definition(
    channels: int, delta: bool, key_heads: int, length: int
) -> None:
    tokens, state = some_tokens(length, channels=channels, delta=delta, key_heads=key_heads)
    for start in (None, state):
        expected, after = definition(tokens, torch.zeros_like(state) if start is None else start)
        y, final = linear_recurrence(tokens, start)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-11)
        torch.testing.assert_close(final, after, rtol=0, atol=1e-11)
    for n in range(length):
        y, state = recurrence_step(tokens.each(lambda part: part[:, n]), state)  # noqa: B023
        torch.testing.assert_close(y, expected[:, n], rtol=0, atol=1e-11)
    torch.testing.assert_close(state, after, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("channels", "delta"), KINDS)
def test_gradients_against_the_definition(channels: int, delta: bool) -> None:
    tokens, state = some_tokens(37, channels=channels, delta=delta)
    leaves = [part.requires_grad_() for part in (*tokens, state) if part is not None]
    weights = torch.randn(2, 37, 2, 4, dtype=torch.float64, generator=torch.manual_seed(1))
    gradients = []
    for recurrence in (definition, linear_recurrence):
        y, final = recurrence(tokens, state)
        gradients.append(torch.autograd.grad((y * weights).sum() + final.square().sum(), leaves))
    for expected, actual in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("channels", "delta"), KINDS)
def test_any_decay_is_safe(channels: int, delta: bool) -> None:
    """None and total decay side by side, in float32: no overflow, no lost digits."""
    tokens, state = some_tokens(LENGTH, channels=channels, delta=delta)
    choices = torch.tensor([0.0, -1e-4, -1.0, -90.0, -1e4], dtype=torch.float64)
    draw = torch.randint(5, tokens.log_decay.shape, generator=torch.manual_seed(2))
    tokens = tokens._replace(log_decay=choices[draw])
    expected, _ = definition(tokens, state)
    single = tokens.each(lambda part: part.float().requires_grad_())
    y, final = linear_recurrence(single, state.float())
    torch.testing.assert_close(y.double(), expected, rtol=0, atol=1e-3)
    leaves = [part for part in single if part is not None]
    for gradient in torch.autograd.grad(y.square().sum() + final.sum(), leaves):
        assert gradient.isfinite().all()


@pytest.mark.parametrize(("channels", "delta"), KINDS)
def test_half_types_are_summed_in_float32(channels: int, delta: bool) -> None:
    tokens, _ = some_tokens(LENGTH, channels=channels, delta=delta)
    half = tokens.each(lambda part: part.bfloat16())
    y, state = linear_recurrence(half)
    expected, exact = linear_recurrence(half.each(lambda part: part.float()))
    assert (y.dtype, state.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(y, expected.bfloat16())
    assert torch.equal(state, exact)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(linear_recurrence(half)[1], exact)
    y, _ = recurrence_step(half.each(lambda part: part[:, 0]), torch.zeros_like(state))
    assert y.dtype == torch.bfloat16


def some_input(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, LENGTH, WIDTH, generator=torch.manual_seed(3), dtype=dtype)


def randomised(build: Callable[[], torch.nn.Module]) -> Any:
    """A module with every parameter away from its trivial value."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        module = build()
        for parameter in module.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return module.eval()


@pytest.fixture
def _plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide installed kernels from transformers, which would use them for CPU tensors too."""
    for package in ("fla", "mamba_ssm", "causal_conv1d"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.usefixtures("_plain_torch")
def test_mamba2_against_transformers() -> None:
    from transformers import Mamba2Config
    from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer

    inner = 2 * WIDTH
    config = Mamba2Config(
        hidden_size=WIDTH,
        num_heads=HEADS,
        head_dim=inner // HEADS,
        state_size=FEATURE_DIM,
        n_groups=1,
        conv_kernel=TAPS,
        chunk_size=16,
        num_hidden_layers=1,
    )
    theirs = randomised(lambda: Mamba2Mixer(config, layer_idx=0))
    ours = Mamba2(CONFIG)
    rows = [inner, inner, FEATURE_DIM, FEATURE_DIM, HEADS]
    z, u, b, c, dt = theirs.in_proj.weight.data.split(rows)
    copied = {
        "proj.in_proj.weight": torch.cat([u, b, c, z, dt]),
        "proj.conv.weight": theirs.conv1d.weight,
        "proj.conv.bias": theirs.conv1d.bias,
        "A_log": theirs.A_log,
        "dt_bias": theirs.dt_bias,
        "D": theirs.D,
        "norm.weight": theirs.norm.weight,
        "out_proj.weight": theirs.out_proj.weight,
    }
    ours.load_state_dict(copied)
    x = some_input(torch.float32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("_plain_torch")
def test_gated_deltanet_against_transformers() -> None:
    from transformers import Qwen3NextConfig
    from transformers.models.qwen3_next.modeling_qwen3_next import Qwen3NextGatedDeltaNet

    config = Qwen3NextConfig(
        hidden_size=WIDTH,
        linear_num_key_heads=HEADS,
        linear_num_value_heads=HEADS,
        linear_key_head_dim=FEATURE_DIM,
        linear_value_head_dim=WIDTH // HEADS,
        linear_conv_kernel_dim=TAPS,
        num_hidden_layers=1,
        rms_norm_eps=1e-5,
    )
    theirs = randomised(lambda: Qwen3NextGatedDeltaNet(config, layer_idx=0))
    ours = GatedDeltaNet(CONFIG)
    value = WIDTH // HEADS
    by_head = theirs.in_proj_qkvz.weight.data.unflatten(0, (HEADS, -1))
    q, k, v, z = by_head.split([FEATURE_DIM, FEATURE_DIM, value, value], dim=1)
    beta, dt = theirs.in_proj_ba.weight.data.unflatten(0, (HEADS, 2)).unbind(1)
    copied = {
        "proj.in_proj.weight": torch.cat(
            [*(p.flatten(0, 1) for p in (q, k, v)), dt, beta, z.flatten(0, 1)]
        ),
        "proj.conv.weight": theirs.conv1d.weight,
        "A_log": theirs.A_log,
        "dt_bias": theirs.dt_bias,
        "output.norm.weight": theirs.norm.weight,
        "output.out_proj.weight": theirs.out_proj.weight,
    }
    ours.load_state_dict(copied)
    x = some_input(torch.float32)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-4)


def heads(x: Tensor) -> Tensor:
    return x.unflatten(-1, (HEADS, -1))


def gla_by_the_paper(mixer: GLA, x: Tensor, state: Tensor) -> Tensor:
    """arXiv:2312.06635, section 4.4, with the RMSNorm of its released models."""
    q, k, v = heads(mixer.proj_q(x)), heads(mixer.proj_k(x)), heads(mixer.proj_v(x))
    down, up = mixer.proj_decay
    alpha = torch.sigmoid(up(x @ down.weight.T)) ** (1 / 16)
    outputs = []
    for n in range(LENGTH):
        state = heads(alpha)[:, n, :, :, None] * state + k[:, n, :, :, None] * v[:, n, :, None]
        outputs.append((q[:, n, :, :, None] / FEATURE_DIM**0.5 * state).sum(-2))
    return gla_output(mixer, x, torch.stack(outputs, dim=1))


def gla_output(mixer: GLA, x: Tensor, read: Tensor) -> Tensor:
    normed = read / (read.square().mean(-1, keepdim=True) + 1e-5).sqrt() * mixer.output.norm.weight
    gate = torch.nn.SiLU()(mixer.proj_gate(x))
    output: Tensor = mixer.output.out_proj(gate * normed.reshape(*x.shape[:2], -1))
    return output


def test_gla_against_the_paper() -> None:
    mixer, x = randomised(lambda: GLA(CONFIG)).double(), some_input()
    empty = torch.zeros(2, HEADS, FEATURE_DIM, WIDTH // HEADS, dtype=torch.float64)
    torch.testing.assert_close(mixer(x), gla_by_the_paper(mixer, x, empty), rtol=0, atol=1e-11)


def test_gla_against_flash_linear_attention() -> None:
    """Its naive reference, which computes in float32."""
    folder = Path(find_spec("fla").origin).parent
    naive = runpy.run_path(str(folder / "ops" / "gla" / "naive.py"))["naive_recurrent_gla"]
    mixer, x = randomised(lambda: GLA(CONFIG)), some_input(torch.float32)
    q, k, v = heads(mixer.proj_q(x)), heads(mixer.proj_k(x)), heads(mixer.proj_v(x))
    log_decay = F.logsigmoid(heads(mixer.proj_decay(x))) / 16
    read, _ = naive(q, k, v, log_decay)
    torch.testing.assert_close(mixer(x), gla_output(mixer, x, read), rtol=0, atol=2e-5)


def convolved(projection: ConvolvedProjection, x: Tensor) -> list[Tensor]:
    """What a `ConvolvedProjection` is, by torch's own convolution."""
    channels = sum(projection.convolved)
    u, plain = (x @ projection.in_proj.weight.T).tensor_split([channels], dim=-1)
    conv = projection.conv
    u = F.conv1d(F.pad(u.mT, (TAPS - 1, 0)), conv.weight, conv.bias, groups=channels).mT
    parts = torch.nn.SiLU()(u).split(projection.convolved, dim=-1)
    return [*parts, *plain.split(projection.plain, dim=-1)]


def mamba2_writes(mixer: PrefixMamba2, prefix: Tensor) -> Tensor:
    u, key, dt = convolved(mixer.proj_enc, prefix)
    dt = (1 + (dt + mixer.dt_bias_enc).exp()).log()
    return torch.einsum("bmk,bmhv,bmh->bhkv", key, heads(u), dt)


def gla_writes(mixer: PrefixGLA, prefix: Tensor) -> Tensor:
    k, v = heads(mixer.proj_k_enc(prefix)), heads(mixer.proj_v_enc(prefix))
    return torch.einsum("bmhk,bmhv->bhkv", k, v)


def gated_deltanet_writes(mixer: PrefixGatedDeltaNet, prefix: Tensor) -> Tensor:
    k, v, beta = convolved(mixer.proj_enc, prefix)
    k = heads(k) / (heads(k).square().sum(-1, keepdim=True) + 1e-6).sqrt()
    return torch.einsum("bmhk,bmhv,bmh->bhkv", k, heads(v), torch.sigmoid(beta))


@pytest.mark.parametrize("prefix_len", [1, 50, LENGTH])
@pytest.mark.parametrize(
    ("kind", "writes"),
    [
        (PrefixMamba2, mamba2_writes),
        (PrefixGLA, gla_writes),
        (PrefixGatedDeltaNet, gated_deltanet_writes),
    ],
    ids=["mamba2", "gla", "gated_deltanet"],
)
def test_encoders_start_the_state(
    kind: type[LinearRecurrence], writes: Callable[[Any, Tensor], Tensor], prefix_len: int
) -> None:
    """The prefix's writes are summed, whatever their order; then the causal pass reads all."""
    mixer, x = randomised(lambda: kind(CONFIG)).double(), some_input()
    start = writes(mixer, x[:, :prefix_len])
    if isinstance(mixer, GLA):
        expected = gla_by_the_paper(mixer, x, start)
    else:
        tokens, beside, _ = mixer._tokens(x, (), None)
        expected = mixer.output(definition(tokens, start)[0], *beside)
    torch.testing.assert_close(mixer(x, prefix_len), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("mixer", ["mamba2", "gla", "gated_deltanet"])
@pytest.mark.parametrize("kind", ["", "prefix_"])
def test_an_ensemble_trains_under_vmap(kind: str, mixer: str) -> None:
    config = ModelConfig("test", (kind + mixer,), width=WIDTH, depth=2, feature_dim=FEATURE_DIM)
    models = [LanguageModel(config, vocab_size=11) for _ in range(3)]
    parameters, _ = stack_module_state(models)
    tokens = torch.randint(11, (3, 2, 40), generator=torch.manual_seed(0))

    def loss(parameters: dict[str, Tensor], tokens: Tensor) -> Tensor:
        logits: Tensor = functional_call(models[0], parameters, (tokens, 20))
        return logits.square().mean()

    together = vmap(grad(loss))(parameters, tokens)
    for index, model in enumerate(models):
        own = dict(model.named_parameters())
        gradients = torch.autograd.grad(loss(own, tokens[index]), list(own.values()))
        for name, gradient in zip(own, gradients, strict=True):
            torch.testing.assert_close(together[name][index], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mixer", ["mamba2", "gla", "gated_deltanet"])
@pytest.mark.parametrize("kind", ["", "prefix_"])
def test_autocast_halves_what_it_may(kind: str, mixer: str) -> None:
    config = ModelConfig("test", (kind + mixer,), width=WIDTH, depth=1, feature_dim=FEATURE_DIM)
    model = LanguageModel(config, vocab_size=11)
    tokens = torch.randint(11, (2, 40), generator=torch.manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        logits, state = model.prefill(tokens, 20)
        model.step(tokens[:, 0], state)
    assert state.layers[0][0].dtype == torch.float32
    torch.testing.assert_close(logits.float(), model(tokens, 20), rtol=0, atol=0.3)


class FakeKernels:
    """Stands in for flash-linear-attention: records each call and computes the definition."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.called: list[str] = []
        for operator in ("gla", "simple_gla", "gated_delta_rule"):
            module = ModuleType(f"fla.ops.{operator}")
            setattr(module, f"chunk_{operator}", self.kernel(operator))
            monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(sys.modules, "fla", ModuleType("fla"))
        monkeypatch.setitem(sys.modules, "fla.ops", ModuleType("fla.ops"))

    def kernel(self, operator: str) -> Callable[..., tuple[Tensor, Tensor]]:
        def run(
            *,
            q: Tensor,
            k: Tensor,
            v: Tensor,
            g: Tensor,
            beta: Tensor | None = None,
            scale: float,
            initial_state: Tensor | None,
            output_final_state: bool,
        ) -> tuple[Tensor, Tensor]:
            self.called.append(operator)
            batch, length, heads, _ = v.shape
            assert q.shape == k.shape == (batch, length, heads, 3)
            assert g.shape == (k.shape if operator == "gla" else (batch, length, heads))
            assert (beta is None) == (operator != "gated_delta_rule")
            assert output_final_state
            log_decay = g if operator == "gla" else g[..., None]
            tokens = Tokens(q * scale, k, v, log_decay, None if beta is None else beta[..., None])
            if initial_state is None:
                initial_state = v.new_zeros(batch, heads, 3, v.shape[-1])
            return definition(tokens, initial_state)

        return run


@pytest.mark.parametrize(
    ("channels", "delta", "key_heads", "operator"),
    [
        (3, False, 2, "gla"),
        (1, False, 1, "simple_gla"),
        (1, False, 2, "simple_gla"),
        (1, True, 2, "gated_delta_rule"),
    ],
)
def test_fused_kernels_are_called_where_they_can_be(
    channels: int, delta: bool, key_heads: int, operator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, state = some_tokens(20, channels=channels, delta=delta, key_heads=key_heads)
    expected = [linear_recurrence(tokens, start) for start in (None, state)]
    kernels = FakeKernels(monkeypatch)
    monkeypatch.setattr(fla_backend, "applies_to", lambda tokens: True)
    actual = [linear_recurrence(tokens, start) for start in (None, state)]
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-11)
    assert kernels.called == [operator] * 2


def test_where_fused_kernels_can_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = [object()]
    monkeypatch.setattr(fla_backend, "find_spec", lambda name: found[0])

    def applies(device: str, dtype: torch.dtype, channels: int, delta: bool) -> bool:
        tokens, _ = some_tokens(2, channels=channels, delta=delta)
        with FakeTensorMode():
            part = torch.empty(1, device=device, dtype=dtype)
        return fla_backend.applies_to(tokens._replace(v=part))

    assert applies("cuda", torch.float32, 1, True)
    assert applies("cuda", torch.bfloat16, 3, False)
    assert not applies("cuda", torch.float64, 1, True)
    assert not applies("cuda", torch.float32, 3, True)
    assert not applies("cpu", torch.float32, 1, True)
    tokens, _ = some_tokens(2, channels=1, delta=False)
    with FakeTensorMode():
        values = torch.empty(2, 2, device="cuda")
        under_vmap = []
        vmap(lambda v: under_vmap.append(fla_backend.applies_to(tokens._replace(v=v))) or v)(values)
    assert under_vmap == [False]
    found[0] = None
    assert not applies("cuda", torch.float32, 1, True)
