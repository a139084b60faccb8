"""The public functions: they check arguments, choose dtypes and a backend, and call it."""

import math
from importlib.util import find_spec
from typing import Literal, get_args, overload

import torch
from torch import Tensor

from . import chunked, operators, reference, taylor, trust
from .precision import accumulation_dtype, without_autocast
from .state import PrefixState
from .validation import (
    check_encoder,
    check_mask,
    check_matches,
    check_reference,
    check_scale,
    check_state,
)

Backend = Literal["auto", "reference", "chunked", "triton"]

_HAS_TRITON = find_spec("triton") is not None
_OLDEST_TRITON = (3, 7)  # before, its compiler fails on tuples that hold None or a stride of 1


@overload
def prefix_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None = None,
    v_enc: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    initial_state: PrefixState | None = None,
    return_state: Literal[False] = False,
    backend: Backend = "auto",
    check: bool = True,
) -> Tensor: ...


@overload
def prefix_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None = None,
    v_enc: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    initial_state: PrefixState | None = None,
    return_state: Literal[True],
    backend: Backend = "auto",
    check: bool = True,
) -> tuple[Tensor, PrefixState]: ...


def prefix_linear_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None = None,
    v_enc: Tensor | None = None,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    initial_state: PrefixState | None = None,
    return_state: bool = False,
    backend: Backend = "auto",
    check: bool = True,
) -> Tensor | tuple[Tensor, PrefixState]:
    """Linear attention that reads a prefix freely and everything else causally.

        yᵢ = (Σ_{j≤i} wᵢⱼ vⱼ + Σ_{j≤M} wᵉᵢⱼ vᵉⱼ) / (Σ_{j≤i} wᵢⱼ + Σ_{j≤M} wᵉᵢⱼ)

    with wᵢⱼ = φ(qᵢ)·φ(kⱼ) = 1 + s + s²/2 for s = scale·qᵢ·kⱼ, and wᵉᵢⱼ likewise for `k_enc`.  Every
    position reads the whole encoder, the positions inside the prefix too.  Without `k_enc` this is
    causal linear attention.  Source: arXiv:2407.05483, prefix linear attention.

    Args:
        q, k: (B, N, H, D), queries and decoder keys; D ≥ 1, each of B, N, H may be 0.
        v: (B, N, H, E), decoder values, E ≥ 1.
        k_enc, v_enc: (B, M, H, D) and (B, M, H, E), encoder keys and values, 0 ≤ M ≤ N.
        mask: (B, N) bool, True = real token.  False positions are left out exactly: as decoder
            keys, as encoder keys (the first M columns), and as queries, whose output is 0.  What
            they hold, NaN included, changes nothing, and their gradients are 0.
        scale: above 0; 1/√D by default.  The query takes √scale, the key √scale.
        initial_state: what was read before; every query reads all of it.
        return_state: also return the state after the last position.
        backend: "reference" is the definition, O(N²); "chunked" takes O(N) time and memory on any
            device; "triton" is fused, for CUDA tensors of a half type or float32 with D ≤ 32 and
            E ≤ 128; "auto" is "triton" where that can run, else "chunked".
        check: raise, on the CPU, where rounding has lost an output; False: leave the NaN.

    Returns:
        y (B, N, H, E) in v's dtype, contiguous; 0 where a query has no key.  With
        `return_state`, (y, state): the state of everything read, encoder and `initial_state`
        included.  Half types are summed in float32, and their state is float32; autocast does
        not change this.  Gradients reach all float inputs, the state's tensors too.

        NaN where rounding may have lost the output: where large queries read large keys that are
        nearly orthogonal to them from a state (|q||k| of some thousands in float32; `trust`).  What
        is not NaN is off by less than 1/1000 of the largest value, beyond what the scores' own
        rounding does; half types of "triton" by up to a tenth.

    Raises:
        ValueError: names the argument, its value and what is allowed, for a wrong shape, dtype,
            device, scale or name, for M > N, and for one of `k_enc`, `v_enc` without the other;
            with `check`, where an output is lost though all inputs are finite.  On other devices
            than the CPU, which this would keep waiting, and inside `torch.compile` and
            `torch.func`'s transforms, lost outputs are NaN and nothing is raised.

    >>> import torch
    >>> q = k = torch.zeros(1, 3, 1, 2)  # all weights equal: each output is a mean
    >>> v = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    >>> prefix_linear_attention(q, k, v).flatten()
    tensor([1.0000, 1.5000, 2.0000])
    >>> prefix_linear_attention(q, k, v, k_enc=k[:, :1], v_enc=v[:, :1] + 8).flatten()
    tensor([5.0000, 4.0000, 3.7500])
    """
    check_reference("q", q, ("B", "N", "H", "D"))
    check_matches("k", k, tuple(q.shape), q.dtype, q.device)
    check_matches("v", v, (*q.shape[:3], -1), q.dtype, q.device)
    check_encoder(q, v, k_enc, v_enc)
    check_mask(mask, q)
    scale = check_scale(scale, q.shape[-1])
    if initial_state is not None:
        check_state("initial_state", initial_state, q, v.shape[-1])
    backend = _choose(backend, q, v)

    with without_autocast(q.device):
        if backend == "triton" or (backend == "chunked" and q.shape[1] > chunked.CHUNK):
            attend = (
                operators.triton_attention if backend == "triton" else operators.chunked_attention
            )
            kv, z = (None, None) if initial_state is None else (initial_state.kv, initial_state.k)
            y, denominators, kv, z = attend(q, k, v, k_enc, v_enc, mask, kv, z, scale)
            if check:
                _refuse_lost(denominators, q, k, v, k_enc, v_enc, initial_state)
            return (y, PrefixState(kv=kv, k=z)) if return_state else y
        dtype = accumulation_dtype(q.dtype)  # up to one chunk, "chunked" is the definition
        y, state = reference.attend(
            q.to(dtype),
            k.to(dtype),
            v.to(dtype),
            None if k_enc is None else k_enc.to(dtype),
            None if v_enc is None else v_enc.to(dtype),
            mask,
            initial_state,
            scale=scale,
            return_state=return_state,
        )
    if check:
        _refuse_lost(y, q, k, v, k_enc, v_enc, initial_state)
    y = y.to(v.dtype).contiguous()
    return y if state is None else (y, state)


def prefix_linear_attention_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: PrefixState,
    *,
    scale: float | None = None,
    in_place: bool = False,
    backend: Backend = "auto",
    check: bool = True,
) -> tuple[Tensor, PrefixState]:
    """One token of the recurrence, at a cost that does not grow with the tokens read.

    Adds the token to the state, then reads the state, the token included; so steps continue from
    `prefix_linear_attention(..., return_state=True)`.  Source: arXiv:2407.05483, linear
    attention's recurrent view.

    Args:
        q, k: (B, H, D).
        v: (B, H, E).
        state: what was read so far, with the same `scale`.
        scale: as in `prefix_linear_attention`.
        in_place: write the new state over the old one, without gradients; it is then the state
            returned.  Else `state` stays as it is.
        backend: as in `prefix_linear_attention`; "triton" is one kernel launch, without gradients,
            which "auto" takes on a GPU if no gradient is wanted.  The others are the same here.
        check: as in `prefix_linear_attention`.

    Returns:
        y (B, H, E) in v's dtype, NaN where it is lost, and the new state.

    Raises:
        ValueError: as `prefix_linear_attention`, for a lost output after the state was written if
            that is `in_place`; and for `in_place` where a gradient is wanted or
            the state is expanded, so that some of its elements share memory.

    >>> import torch
    >>> state = PrefixState.zeros(1, 1, 2, 1)
    >>> q = k = torch.zeros(1, 1, 2)
    >>> y, state = prefix_linear_attention_step(q, k, torch.tensor([[[1.0]]]), state)
    >>> y, state = prefix_linear_attention_step(q, k, torch.tensor([[[2.0]]]), state)
    >>> y
    tensor([[[1.5000]]])
    """
    check_reference("q", q, ("B", "H", "D"))
    check_matches("k", k, tuple(q.shape), q.dtype, q.device)
    check_matches("v", v, (*q.shape[:2], -1), q.dtype, q.device)
    check_state("state", state, q, v.shape[-1])
    scale = check_scale(scale, q.shape[-1])
    if in_place and any(0 in x.stride() for x in (state.kv, state.k) if x.numel() > 1):
        raise ValueError("in_place must be False for a state that is expanded, got True")
    chosen = _choose(backend, q, v)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, state.kv, state.k)):
        if in_place:
            raise ValueError("in_place must be False where a gradient is wanted, got True")
        if backend == "triton":
            raise ValueError("backend must not be 'triton' where a step's gradient is wanted")
        chosen = "chunked"
    if chosen == "triton":
        if in_place:
            y = operators.triton_step_(q, k, v, state.kv, state.k, scale)
        else:
            y, kv, z = operators.triton_step(q, k, v, state.kv, state.k, scale)
            state = PrefixState(kv=kv, k=z)
        if check:
            _refuse_lost(y, q, k, v, state)
        return y, state

    dtype, root = accumulation_dtype(q.dtype), scale**0.5
    with without_autocast(q.device):
        x = q.to(dtype) * root
        query = taylor.features(x)  # (B, H, F)
        key = taylor.features(k.to(dtype) * root)
        outer = key[..., None] * v.to(dtype)[..., None, :]
        if in_place:
            state.kv.add_(outer)
            state.k.add_(key)
        else:
            state = PrefixState(kv=state.kv + outer, k=state.k + key)
        numerator = (query[..., None, :] @ state.kv).squeeze(-2)  # (B, H, E)
        products = query * state.k
        spread = products @ taylor.spread_weights(x)
        denominator = trust.spoil(products.sum(-1), spread, state.k[..., 0])
        y = numerator / denominator[..., None]
    if check:
        _refuse_lost(denominator, q, k, v, state)
    return y.to(v.dtype), state


def prefix_state(
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None = None,
    scale: float | None = None,
    initial_state: PrefixState | None = None,
) -> PrefixState:
    """The state of all keys and values, read without queries (arXiv:2407.05483, algorithm 2).

    Args:
        k: (B, N, H, D).
        v: (B, N, H, E).
        mask: (B, N) bool, True = real token; the others are left out exactly.
        scale: as in `prefix_linear_attention`; readers must use the same.
        initial_state: what was read before, added.

    Returns:
        The state, in O(N) time and memory.  It is the one that `prefix_linear_attention` returns
        for these keys, encoder or decoder.

    Raises:
        ValueError: as `prefix_linear_attention`.
    """
    check_reference("k", k, ("B", "N", "H", "D"))
    check_matches("v", v, (*k.shape[:3], -1), k.dtype, k.device)
    check_mask(mask, k)
    scale = check_scale(scale, k.shape[-1])
    if initial_state is not None:
        check_state("initial_state", initial_state, k, v.shape[-1])
    with without_autocast(k.device):
        if k.shape[1] <= chunked.CHUNK:
            dtype = accumulation_dtype(k.dtype)
            return reference.sum_keys(k.to(dtype), v.to(dtype), mask, initial_state, scale=scale)
        kv, z = (None, None) if initial_state is None else (initial_state.kv, initial_state.k)
        kv, z = operators.sum_keys(k, v, mask, kv, z, scale)
    return PrefixState(kv=kv, k=z)


def read_state(
    q: Tensor,
    state: PrefixState,
    *,
    scale: float | None = None,
    check: bool = True,
) -> Tensor:
    """What every query reads from one state: non-causal attention.

    `read_state(q, prefix_state(k, v))` is linear attention of all positions to all positions,
    the paper's non-causal model (arXiv:2407.05483, figure 2).

    Args:
        q: (B, N, H, D).
        state: read in full by each query; made with the same `scale`.
        scale, check: as in `prefix_linear_attention`.

    Returns:
        y (B, N, H, E) in q's dtype, contiguous; 0 where the state has no key, NaN where the output
        is lost.

    Raises:
        ValueError: as `prefix_linear_attention`.

    >>> import torch
    >>> x = torch.zeros(1, 2, 1, 2)
    >>> read_state(x, prefix_state(x, torch.tensor([1.0, 2.0]).view(1, 2, 1, 1))).flatten()
    tensor([1.5000, 1.5000])
    """
    check_reference("q", q, ("B", "N", "H", "D"))
    scale = check_scale(scale, q.shape[-1])
    check_state("state", state, q)
    with without_autocast(q.device):
        if q.shape[1] <= chunked.CHUNK:
            queries = q.to(accumulation_dtype(q.dtype))
            short = reference.read_state(queries, state, scale=scale)
            if check:
                _refuse_lost(short, q, state)
            return short.to(q.dtype).contiguous()
        y: Tensor
        y, denominators = operators.read_state(q, state.kv, state.k, scale)
    if check:
        _refuse_lost(denominators, q, state)
    return y


def _refuse_lost(results: Tensor, q: Tensor, *read: Tensor | PrefixState | None) -> None:
    """Raise if one of `results` is no finite number though all of q and of what it read is.

    `results` are outputs, or their denominators, which are fewer.  Where they cannot be looked at
    without waiting, or at all, NaN alone tells.
    """
    if (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or results.device.type != "cpu"
        or type(results) is not Tensor  # one of FakeTensorMode
    ):
        return
    if math.isfinite(results.detach().sum().item()):
        return
    tensors = [q, *(x for x in read if isinstance(x, Tensor))]
    tensors += [x for state in read if isinstance(state, PrefixState) for x in (state.kv, state.k)]
    lost = int((~results.isfinite()).sum())
    if lost and all(x.isfinite().all() for x in tensors):
        raise ValueError(
            "q and k must be smaller where they are orthogonal, got a largest number of q of "
            f"{q.abs().max().item():.3g}: rounding in {accumulation_dtype(q.dtype)} has lost "
            f"{lost / results.numel():.2%} of the outputs; normalize q and k, use float64, or pass "
            "check=False for NaN in place of what is lost"
        )


def _choose(backend: Backend, q: Tensor, v: Tensor) -> Backend:
    """The backend to run: resolves "auto", and refuses "triton" where it cannot run."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {', '.join(get_args(Backend))}, got {backend!r}")
    if backend == "auto":
        fused = q.device.type == "cuda" and _triton_refuses(q, v) is None
        return "triton" if fused else "chunked"
    if backend == "triton" and (reason := _triton_refuses(q, v)) is not None:
        raise ValueError(f"backend must be one that can take these tensors, got 'triton': {reason}")
    return backend


def _triton_refuses(q: Tensor, v: Tensor) -> str | None:
    """Why the fused kernels cannot take these tensors, if so; they are imported only here."""
    if not _HAS_TRITON:
        return "triton is not installed (pip install triton)"
    import triton

    installed = triton.__version__
    if tuple(int(part) for part in installed.split(".")[:2]) < _OLDEST_TRITON:
        oldest = ".".join(map(str, _OLDEST_TRITON))
        return f"triton {oldest} or newer is needed, {installed} is installed"
    from . import fused

    return fused.supported(q, v)
