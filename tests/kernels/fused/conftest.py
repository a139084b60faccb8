"""Runs the kernels on the CPU, in Triton's interpreter, where there is no CUDA device."""

# ruff: noqa: N803

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest
import torch
from torch import Tensor

from kernels import fused, taylor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FLOATS = ("q", "k", "v", "k_enc", "v_enc", "kv", "z")


@dataclass(frozen=True)
class Problem:
    """The arguments of `fused.forward`."""

    q: Tensor
    k: Tensor
    v: Tensor
    k_enc: Tensor | None
    v_enc: Tensor | None
    mask: Tensor | None
    kv: Tensor | None
    z: Tensor | None
    scale: float

    @classmethod
    def random(
        cls,
        B: int = 1,
        N: int = 40,
        H: int = 1,
        D: int = 6,
        E: int = 20,
        M: int | None = None,
        *,
        masked: bool = False,
        continued: bool = False,
        dtype: torch.dtype = torch.float32,
        device: str = DEVICE,
        seed: int = 0,
    ) -> Problem:
        """Standard normal inputs; `continued` starts from the state of five other tokens."""
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(dtype).to(device)

        scale = D**-0.5
        kv = z = None
        if continued:
            features = taylor.features(normal(B, H, 5, D).float() * scale**0.5)
            kv = features.mT @ normal(B, H, 5, E).float()
            z = features.sum(-2)
        mask = None
        if masked:
            mask = (torch.rand(B, N, generator=generator) > 0.3).to(device)
        return cls(
            q=normal(B, N, H, D),
            k=normal(B, N, H, D),
            v=normal(B, N, H, E),
            k_enc=None if M is None else normal(B, M, H, D),
            v_enc=None if M is None else normal(B, M, H, E),
            mask=mask,
            kv=kv,
            z=z,
            scale=scale,
        )

    def arguments(self) -> tuple:
        return tuple(getattr(self, field.name) for field in fields(self))

    def tensors(self) -> dict[str, Tensor]:
        """The float tensors that there are."""
        named = {name: getattr(self, name) for name in FLOATS}
        return {name: x for name, x in named.items() if x is not None}

    def map(self, function) -> Problem:
        """The same with `function` of every float tensor."""
        return replace(self, **{name: function(x) for name, x in self.tensors().items()})

    def forward(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return fused.forward(*self.arguments())

    def definition(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What `forward` should return: quadratic, in the tensors' own type."""

        def present_only(x: Tensor, mask: Tensor | None) -> Tensor:
            return x if mask is None else x.masked_fill(~mask[:, : x.shape[1], None, None], 0)

        N, mask = self.q.shape[1], self.mask
        q = present_only(self.q, mask)
        k, v = present_only(self.k, mask), present_only(self.v, mask)
        present = q.new_ones(q.shape[:2], dtype=torch.bool) if mask is None else mask
        queries, M = present, 0
        if self.k_enc is not None and self.v_enc is not None:
            M = self.k_enc.shape[1]
            k = torch.cat([present_only(self.k_enc, mask), k], dim=1)
            v = torch.cat([present_only(self.v_enc, mask), v], dim=1)
            present = torch.cat([present[:, :M], present], dim=1)

        s = self.scale * torch.einsum("bnhd,bmhd->bhnm", q, k)
        visible = torch.ones(N, M + N, dtype=torch.bool, device=q.device).tril(M)
        weights = (1 + s + s * s / 2).masked_fill(~(visible & present[:, None, None]), 0)
        numerator = torch.einsum("bhnm,bmhe->bnhe", weights, v)
        denominator = weights.sum(-1).transpose(1, 2)

        features = taylor.features(k * self.scale**0.5) * present[:, :, None, None]
        kv, z = torch.einsum("bmhf,bmhe->bhfe", features, v), features.sum(1)
        if self.kv is not None and self.z is not None:
            readers = taylor.features(q * self.scale**0.5)
            numerator = numerator + torch.einsum("bnhf,bhfe->bnhe", readers, self.kv)
            denominator = denominator + torch.einsum("bnhf,bhf->bnh", readers, self.z)
            kv, z = kv + self.kv, z + self.z
        there = queries[:, :, None] & (denominator != 0)
        denominator = torch.where(there, denominator, 1)
        y = torch.where(there[..., None], numerator / denominator[..., None], 0)
        return y, denominator, kv, z

    def exact(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The definition in float64."""
        return self.map(Tensor.double).definition()

    def cotangents(self, *, of_state: bool = True) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Random gradients of y and of the state after everything."""
        generator = torch.Generator().manual_seed(1)
        B, _, H, D = self.q.shape
        E, F = self.v.shape[-1], (D + 1) * (D + 2) // 2

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(self.q.device)

        dy = normal(*self.v.shape).to(self.v.dtype)
        if not of_state:
            return dy, None, None
        return dy, 0.01 * normal(B, H, F, E), 0.01 * normal(B, H, F)

    def gradients(self, cotangents: tuple) -> dict[str, Tensor]:
        """Those of all float tensors, by `fused.backward` after `fused.forward`."""
        y, denominator, _, _ = self.forward()
        *inputs, scale = self.arguments()
        results = fused.backward(*cotangents, *inputs, y, denominator, scale)
        assert len(results) == len(FLOATS)
        named = dict(zip(FLOATS, results, strict=True))
        assert {name for name, x in named.items() if x is not None} == set(self.tensors())
        return {name: x for name, x in named.items() if x is not None}

    def exact_gradients(self, cotangents: tuple) -> dict[str, Tensor]:
        """The same by autograd, of the definition in float64."""
        leaves = self.map(lambda x: x.detach().double().requires_grad_())
        y, _, kv, z = leaves.definition()
        pairs = [
            (output, gradient.double())
            for output, gradient in zip((y, kv, z), cotangents, strict=True)
            if gradient is not None
        ]
        outputs, gradients = zip(*pairs, strict=True)
        tensors = leaves.tensors()
        found = torch.autograd.grad(outputs, tuple(tensors.values()), gradients, allow_unused=True)
        return {
            name: torch.zeros_like(leaf) if gradient is None else gradient
            for (name, leaf), gradient in zip(tensors.items(), found, strict=True)
        }


def relative_error(value: Tensor, exact: Tensor) -> float:
    """‖value − exact‖ / ‖exact‖; the norm itself where `exact` is zero."""
    assert value.shape == exact.shape
    difference = (value.double() - exact).norm().item()
    return difference / (exact.norm().item() or 1.0)


@pytest.fixture(scope="session")
def problem() -> type[Problem]:
    return Problem


@pytest.fixture(scope="session")
def error():
    return relative_error


@pytest.fixture
def many_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts sequences as on a device with many multiprocessors, as short as they can be cut."""
    from kernels.fused import launch, plan

    monkeypatch.setattr(launch, "multiprocessors", lambda device: 10_000)
    monkeypatch.setattr(plan, "_CHUNKS_PER_SEGMENT", 1)
