"""The methods that are timed, each ready to be called for a case."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from ..interface import Backend, prefix_linear_attention, prefix_linear_attention_step
from ..state import PrefixState
from .case import Case

_QUADRATIC_TENSORS = 8  # as large as the weights, that the quadratic form holds at once


class UnavailableError(Exception):
    """A method cannot run for a case; the message says why."""


@dataclass(frozen=True)
class Inputs:
    """q, k, v, k_enc, v_enc of linear attention; q, k, v of softmax attention, heads first.

    For "decode" q, k and v are one token, and the softmax keys and values the `length` before it.
    """

    linear: tuple[Tensor, ...]
    softmax: tuple[Tensor, ...]

    @classmethod
    def of(cls, case: Case) -> "Inputs":
        """Random numbers; in training with gradients."""
        generator = torch.Generator(case.device).manual_seed(case.length)
        B, N, H, D, E = case.batch, case.length, case.heads, case.feature_dim, case.head_dim

        def normal(*shape: int) -> Tensor:
            x = torch.randn(*shape, generator=generator, device=case.device, dtype=case.dtype)
            return x.requires_grad_(case.what == "train")

        queries = 1 if case.what == "decode" else N
        lengths = ((queries, D), (queries, D), (queries, E), (case.prefix, D), (case.prefix, E))
        linear = tuple(normal(B, n, H, size) for n, size in lengths)
        softmax = tuple(normal(B, H, n, E) for n in (queries, N, N))
        return cls(linear, softmax)


Method = Callable[[Case, Inputs, float], Callable[[], object]]
"""Of a case, its inputs and the bytes that may be held, the call to time.

Raises `UnavailableError` if the method cannot run."""


def _with_gradients(case: Case, call: Callable[..., Tensor], *x: Tensor) -> Callable[[], object]:
    """`call`, and for "train" its backward pass too."""
    if case.what != "train":
        return lambda: call(*x)

    def run() -> object:
        y = call(*x)
        return torch.autograd.grad(y, x, torch.ones_like(y))

    return run


def _step(case: Case, inputs: Inputs, backend: Backend) -> Callable[[], object]:
    state = PrefixState.zeros(
        case.batch, case.heads, case.feature_dim, case.head_dim, case.dtype, case.device
    )
    q, k, v = (x[:, 0] for x in inputs.linear[:3])
    state.k[..., 0] = case.length  # as if so many tokens had been read
    return lambda: prefix_linear_attention_step(q, k, v, state, in_place=True, backend=backend)


def _linear(backend: Backend, *, encoder: bool = True, passes: int = 1) -> Method:
    """Prefix linear attention by `backend`, or without encoder, with the prompt `passes` times."""

    def prepare(case: Case, inputs: Inputs, max_bytes: float) -> Callable[[], object]:
        if case.what == "decode":
            if not encoder or backend == "reference":
                raise UnavailableError("decodes as jrt-rnn does")
            return _step(case, inputs, backend)
        if backend == "reference":
            weights = 4 * case.batch * case.heads * case.length * (case.length + case.prefix)
            if _QUADRATIC_TENSORS * weights > max_bytes:
                raise UnavailableError(f"more than {max_bytes / 1e9:g} GB")
        x = inputs.linear if encoder else inputs.linear[:3]
        if passes > 1:
            x = tuple(
                given.detach().repeat(1, passes, 1, 1).requires_grad_(given.requires_grad)
                for given in x
            )
        return _with_gradients(
            case, lambda *given: prefix_linear_attention(*given, backend=backend), *x
        )

    return prepare


def _softmax(backend: SDPBackend) -> Method:
    """torch's `scaled_dot_product_attention`, by one of its implementations."""

    def prepare(case: Case, inputs: Inputs, max_bytes: float) -> Callable[[], object]:
        on_cpu = case.device.type == "cpu"
        if on_cpu and backend != SDPBackend.FLASH_ATTENTION:
            raise UnavailableError("for CUDA devices only")
        causal = case.what != "decode"

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(q, k, v, is_causal=causal)

        try:  # torch may refuse the shape; at this length the attempt is cheap
            attend(*(x[:, :, :16].detach() for x in inputs.softmax))
        except RuntimeError as error:
            raise UnavailableError(str(error).split("\n")[0]) from None
        return _with_gradients(case, attend, *inputs.softmax)

    return prepare


def _fla(name: str) -> Method:
    """Based's causal kernels in flash-linear-attention, which has no prefix version."""

    def prepare(case: Case, inputs: Inputs, max_bytes: float) -> Callable[[], object]:
        if find_spec("fla") is None:
            raise UnavailableError("flash-linear-attention is not installed")
        if case.device.type == "cpu":
            raise UnavailableError("for CUDA devices only")
        if case.what == "decode":
            raise UnavailableError("has no step")
        operator = getattr(importlib.import_module("fla.ops.based"), name)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            y: Tensor = operator(q, k, v, use_norm=True)
            return y

        return _with_gradients(case, attend, *inputs.linear[:3])

    return prepare


METHODS: dict[str, Method] = {
    "jrt-rnn": _linear("auto"),
    "jrt-rnn, quadratic": _linear("reference"),
    "based": _linear("auto", encoder=False),
    "jrt-prompt": _linear("auto", encoder=False, passes=2),
    "sdpa, flash": _softmax(SDPBackend.FLASH_ATTENTION),
    "sdpa, cudnn": _softmax(SDPBackend.CUDNN_ATTENTION),
    "sdpa, efficient": _softmax(SDPBackend.EFFICIENT_ATTENTION),
    "fla parallel_based": _fla("parallel_based"),
    "fla fused_chunk_based": _fla("fused_chunk_based"),
}
"""Prefix linear attention (M = N/2), its definition, the causal form (Based), the causal form on
the prompt twice (2N tokens), softmax attention, and Based's kernels elsewhere."""
