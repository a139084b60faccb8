"""Prefix linear attention in chunks: linear time and memory, with gradients, on CPU or GPU.

Inside a chunk of queries the quadratic form is used, between chunks the packed state (paper,
algorithm 2).  Features exist for one chunk at a time only, and the backward pass
computes each chunk anew, so what a call keeps is its inputs and one state per chunk.

Tensors in here are heads first: q (B, H, N, D), keys (B, H, M+N, D), values (B, H, M+N, E).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kernels.feature_maps import FeatureMap
from kernels.precision import without_autocast
from kernels.state import PrefixState

# Queries per chunk.  A query costs about CHUNK·(D + E) in the quadratic form and 2·F·E with the
# state; at D = 16, E = 64 and F = 153 these balance near 128, where one head's chunk (weights,
# features, values: 200 kB of float32) still fits a core's second-level cache.  Smaller chunks pay
# more calls and more stored states, larger ones more arithmetic.
CHUNK = 128

_Sums: TypeAlias = tuple[Tensor, Tensor]  # a state: kv (B, H, F, E), k (B, H, F, 1)
_Output = TypeVar("_Output")


class _Run(NamedTuple):
    """Positions that follow each other; `present` (B, 1, n, 1) is 0 at the ones left out."""

    keys: Tensor
    values: Tensor
    present: Tensor | None


class _Form(NamedTuple):
    """The arithmetic of one chunk: how queries read a run or a state, how a run becomes one."""

    feature_map: FeatureMap
    scale: float

    def read_run(
        self,
        q: Tensor,
        keys: Tensor,
        values: Tensor,
        present: Tensor | None,
        kv: Tensor | None,
        k: Tensor | None,
    ) -> Tensor:
        """Queries aligned with the last keys read the state, then the run causally."""
        weights = self.feature_map.weight((q * self.scale) @ keys.transpose(-1, -2))
        weights = weights.tril(keys.shape[2] - q.shape[2])  # (B, H, queries, keys)
        if present is not None:
            weights = weights * present.transpose(-1, -2)
        numerator, denominator = weights @ values, weights.sum(-1, keepdim=True)
        if kv is not None and k is not None:
            features = self._features(q)
            numerator, denominator = numerator + features @ kv, denominator + features @ k
        if present is None:  # each query has a key, itself
            return numerator / denominator
        return _ratio(numerator, denominator)

    def read_sums(self, q: Tensor, kv: Tensor, k: Tensor) -> Tensor:
        """Every query reads the whole state."""
        features = self._features(q)
        return _ratio(features @ kv, features @ k)

    def sum_run(self, keys: Tensor, values: Tensor, present: Tensor | None) -> _Sums:
        """What the run adds to the state."""
        features = self._features(keys)
        if present is not None:
            features = features * present
        features = features.transpose(-1, -2)  # (B, H, F, n)
        return features @ values, features.sum(-1, keepdim=True)

    def _features(self, x: Tensor) -> Tensor:
        return self.feature_map.features(x * self.scale**0.5)


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The mean of the values, 0 where no key was read."""
    return numerator / denominator.masked_fill(denominator == 0, 1)


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    present: Tensor | None,
    *,
    scale: float,
    feature_map: FeatureMap,
    initial_state: PrefixState | None,
    return_state: bool,
) -> tuple[Tensor, PrefixState | None]:
    """As `kernels.reference.attend`, in O(N) time and memory."""
    form = _Form(feature_map, scale)
    q = q.transpose(1, 2)
    run = _heads_first(keys, values, present)
    state = _sums(initial_state)
    if q.shape[2] <= CHUNK:  # one chunk, encoder included, by torch's own autograd
        y = form.read_run(q, *run, *(state or (None, None))).transpose(1, 2)
        if return_state:
            state = _add(state, form.sum_run(*run))
    else:
        y, state = _scan(form, q, run, state, return_state=return_state)
    if state is None or not return_state:
        return y, None
    return y, _prefix_state(state)


def sum_keys(
    keys: Tensor,
    values: Tensor,
    present: Tensor | None,
    *,
    scale: float,
    feature_map: FeatureMap,
    initial_state: PrefixState | None,
) -> PrefixState:
    """The state after keys (B, N, H, D) and values (B, N, H, E), without any query."""
    form = _Form(feature_map, scale)
    run = _heads_first(keys, values, present)
    state = _sums(initial_state)
    if keys.shape[1] <= CHUNK:
        return _prefix_state(_add(state, form.sum_run(*run)))
    chunks = _split(run, _sizes(keys.shape[1]))
    parts = (_recomputed(form.sum_run, *chunk) for chunk in chunks)
    total = _add(state, next(parts))
    for part in parts:
        total = _add(total, part)
    return _prefix_state(total)


def read_state(q: Tensor, state: PrefixState, *, scale: float, feature_map: FeatureMap) -> Tensor:
    """What each query of q (B, N, H, D) reads from the one state: (B, N, H, E)."""
    form = _Form(feature_map, scale)
    q = q.transpose(1, 2)
    sums = (state.kv, state.k[..., None])
    if q.shape[2] <= CHUNK:
        return form.read_sums(q, *sums).transpose(1, 2)
    outputs = [_recomputed(form.read_sums, chunk, *sums) for chunk in torch.split(q, CHUNK, dim=2)]
    return torch.cat([y.transpose(1, 2) for y in outputs], dim=1)


def _scan(
    form: _Form, q: Tensor, run: _Run, state: _Sums | None, *, return_state: bool
) -> tuple[Tensor, _Sums | None]:
    """First the encoder, summed without queries; then the causal pass, from the state it left."""
    q_chunks = torch.split(q, CHUNK, dim=2)
    encoder = run.keys.shape[2] - q.shape[2]
    chunks = _split(run, _sizes(encoder) + _sizes(q.shape[2]))
    first = len(chunks) - len(q_chunks)
    for chunk in chunks[:first]:
        state = _add(state, _recomputed(form.sum_run, *chunk))

    outputs = []
    for q_chunk, chunk in zip(q_chunks, chunks[first:], strict=True):
        y = _recomputed(form.read_run, q_chunk, *chunk, *(state or (None, None)))
        outputs.append(y.transpose(1, 2))
        if return_state or len(outputs) < len(q_chunks):
            state = _add(state, _recomputed(form.sum_run, *chunk))
    return torch.cat(outputs, dim=1), state


class _Recomputed(torch.autograd.Function):
    """`function(*tensors)`, keeping only the tensors: the backward pass computes it again.

    The same as torch.utils.checkpoint without its hooks: those made a training pass a third slower.
    """

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], *tensors: Tensor | None) -> Any:
        ctx.function = function
        ctx.save_for_backward(*tensors)
        return function(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        tensors = [None if x is None else x.detach() for x in ctx.saved_tensors]
        wanted = [
            x.requires_grad_()
            for x, needed in zip(tensors, ctx.needs_input_grad[1:], strict=True)
            if x is not None and needed
        ]
        with without_autocast(gradients[0].device):
            with torch.enable_grad():
                outputs = ctx.function(*tensors)
            if isinstance(outputs, Tensor):
                outputs = (outputs,)
            # An output may not depend on what wants a gradient: Σφ(k), when only the values do.
            reached = [i for i, output in enumerate(outputs) if output.requires_grad]
            found = iter(
                torch.autograd.grad(
                    [outputs[i] for i in reached], wanted, [gradients[i] for i in reached]
                )
            )
        return None, *(next(found) if needed else None for needed in ctx.needs_input_grad[1:])


def _recomputed(function: Callable[..., _Output], *tensors: Tensor | None) -> _Output:
    output: _Output = _Recomputed.apply(function, *tensors)  # type: ignore[no-untyped-call]
    return output


def _heads_first(keys: Tensor, values: Tensor, present: Tensor | None) -> _Run:
    if present is not None:
        present = present[:, None, :, None].to(values.dtype)
    return _Run(keys.transpose(1, 2), values.transpose(1, 2), present)


def _sizes(length: int) -> list[int]:
    """`length` in chunks, the last one perhaps short."""
    return [min(CHUNK, length - start) for start in range(0, length, CHUNK)]


def _split(run: _Run, sizes: list[int]) -> list[_Run]:
    keys, values = torch.split(run.keys, sizes, dim=2), torch.split(run.values, sizes, dim=2)
    if run.present is None:
        return [_Run(*chunk, None) for chunk in zip(keys, values, strict=True)]
    present = torch.split(run.present, sizes, dim=2)
    return [_Run(*chunk) for chunk in zip(keys, values, present, strict=True)]


def _sums(state: PrefixState | None) -> _Sums | None:
    return None if state is None else (state.kv, state.k[..., None])


def _add(state: _Sums | None, more: _Sums) -> _Sums:
    return more if state is None else (state[0] + more[0], state[1] + more[1])


def _prefix_state(sums: _Sums) -> PrefixState:
    return PrefixState(kv=sums[0], k=sums[1].squeeze(-1))
