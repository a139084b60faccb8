"""The definition of prefix linear attention: quadratic in N, written to be read."""

import torch
from torch import Tensor

from kernels.feature_maps import FeatureMap
from kernels.state import PrefixState


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
    """Query i reads the M encoder keys and the decoder keys up to its own position.

        yᵢ = Σⱼ w(qᵢ, keyⱼ) valueⱼ / Σⱼ w(qᵢ, keyⱼ),   w(q, k) = φ(q)·φ(k)

    (arXiv:2407.05483, prefix linear attention).  With the encoder's M positions laid before the
    decoder's N, both of the paper's sums are this one sum, over the first M + i of them.

    Args:
        q: (B, N, H, D).
        keys: (B, M + N, H, D), encoder first.
        values: (B, M + N, H, E).
        present: (B, M + N) bool, False = left out; None = all present.
        initial_state: what was read before; its keys precede all of these.

    Returns:
        y (B, N, H, E), 0 where a query has no key at all; the state after the last position.
    """
    N, M = q.shape[1], keys.shape[1] - q.shape[1]
    s = scale * torch.einsum("bnhd,bmhd->bhnm", q, keys)
    visible = torch.ones(N, M + N, dtype=torch.bool, device=q.device).tril(diagonal=M)
    if present is not None:
        visible = visible & present[:, None, None, :]
    weights = feature_map.weight(s).masked_fill(~visible, 0)  # (B, H, N, M + N)

    numerator = torch.einsum("bhnm,bmhe->bnhe", weights, values)
    denominator = torch.einsum("bhnm->bnh", weights)
    if initial_state is not None:
        queries = feature_map.features(q * scale**0.5)
        numerator = numerator + torch.einsum("bnhf,bhfe->bnhe", queries, initial_state.kv)
        denominator = denominator + torch.einsum("bnhf,bhf->bnh", queries, initial_state.k)
    denominator = denominator.masked_fill(denominator == 0, 1)
    y = numerator / denominator[..., None]
    if not return_state:
        return y, None

    features = feature_map.features(keys * scale**0.5)  # (B, M + N, H, F)
    if present is not None:
        features = features * present[:, :, None, None]
    state = PrefixState(
        kv=torch.einsum("bmhf,bmhe->bhfe", features, values),
        k=torch.einsum("bmhf->bhf", features),
    )
    if initial_state is not None:
        state = PrefixState(kv=initial_state.kv + state.kv, k=initial_state.k + state.k)
    return y, state
