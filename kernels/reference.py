"""The definition: quadratic in N, in torch's own differentiable operations, written to be read."""

import torch
from torch import Tensor

from . import taylor, trust
from .state import PrefixState


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    k_enc: Tensor | None,
    v_enc: Tensor | None,
    mask: Tensor | None,
    initial_state: PrefixState | None,
    *,
    scale: float,
    return_state: bool,
) -> tuple[Tensor, PrefixState | None]:
    """Query i reads the M encoder keys and the decoder keys up to its own position.

        yᵢ = Σⱼ w(qᵢ, keyⱼ) valueⱼ / Σⱼ w(qᵢ, keyⱼ),   w(q, k) = φ(q)·φ(k)

    (arXiv:2407.05483, prefix linear attention).  With the encoder's M positions put before the
    decoder's N, both of the paper's sums are this one sum, over the first M + i positions.

    Args:
        q, k, v, k_enc, v_enc: (B, N, H, D), (B, N, H, D), (B, N, H, E), (B, M, H, D) and
            (B, M, H, E), in the accumulation dtype.
        mask: (B, N) bool, False = left out; None = all are present.
        initial_state: what was read before; its keys precede all of these.

    Returns:
        y (B, N, H, E), 0 where a query is left out or has no key; with `return_state` the state
        after the last position, else None.
    """
    q, keys, values = (_zero_masked(x, mask) for x in (q, k, v))
    present = mask
    if k_enc is not None and v_enc is not None:
        encoder_mask = None if mask is None else mask[:, : k_enc.shape[1]]
        keys = torch.cat([_zero_masked(k_enc, encoder_mask), keys], dim=1)
        values = torch.cat([_zero_masked(v_enc, encoder_mask), values], dim=1)
        if mask is not None and encoder_mask is not None:
            present = torch.cat([encoder_mask, mask], dim=1)

    N, M = q.shape[1], keys.shape[1] - q.shape[1]
    s = scale * torch.einsum("bnhd,bmhd->bhnm", q, keys)
    visible = torch.ones(N, M + N, dtype=torch.bool, device=q.device).tril(diagonal=M)
    if present is not None:
        visible = visible & present[:, None, None, :]
    weights = taylor.weight(s).masked_fill(~visible, 0)  # (B, H, N, M + N)

    numerator = torch.einsum("bhnm,bmhe->bnhe", weights, values)
    denominator = weights.sum(-1).transpose(1, 2)[..., None]  # (B, N, H, 1)
    if initial_state is not None:
        more, total, spread = _read(q, initial_state, scale)
        numerator, denominator = numerator + more, denominator + total
        denominator = _spoil(denominator, spread, initial_state)
    y = _zero_masked(_ratio(numerator, denominator), mask)
    if not return_state:
        return y, None
    return y, sum_keys(keys, values, present, initial_state, scale=scale)


def sum_keys(
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    initial_state: PrefixState | None,
    *,
    scale: float,
) -> PrefixState:
    """The state after keys (B, N, H, D) and values (B, N, H, E), read without queries."""
    features = taylor.features(_zero_masked(k, mask) * scale**0.5)  # (B, N, H, F)
    features = _zero_masked(features, mask)
    kv = torch.einsum("bnhf,bnhe->bhfe", features, _zero_masked(v, mask))
    if initial_state is None:
        return PrefixState(kv=kv, k=features.sum(1))
    return PrefixState(kv=initial_state.kv + kv, k=initial_state.k + features.sum(1))


def read_state(q: Tensor, state: PrefixState, *, scale: float) -> Tensor:
    """What each query of q (B, N, H, D) reads from the state: (B, N, H, E)."""
    numerator, denominator, spread = _read(q, state, scale)
    return _ratio(numerator, _spoil(denominator, spread, state))


def _read(q: Tensor, state: PrefixState, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Numerator (B, N, H, E), denominator and what `trust` asks for (B, N, H, 1)."""
    features = taylor.features(q * scale**0.5)  # (B, N, H, F)
    numerator = torch.einsum("bnhf,bhfe->bnhe", features, state.kv)
    denominator = torch.einsum("bnhf,bhf->bnh", features, state.k)[..., None]
    spread = torch.einsum("bnhf,bhf->bnh", features, state.k * taylor.spread_weights(q))
    return numerator, denominator, spread[..., None]


def _spoil(denominator: Tensor, spread: Tensor, state: PrefixState) -> Tensor:
    return trust.spoil(denominator, spread, state.k[:, None, :, :1])


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The mean of the values, 0 where no key was read."""
    return numerator / denominator.masked_fill(denominator == 0, 1)


def _zero_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """x (B, N, H, ·) with zeros where `mask` (B, N) is False."""
    return x if mask is None else x.masked_fill(~mask[:, :, None, None], 0)
