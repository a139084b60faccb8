"""The linear recurrence: a matrix per head that decays, is written and is read, in plain torch.

    S_t = diag(a_t) S_{t-1} + k_t v_tᵀ                        y_t = S_tᵀ q_t

With the delta rule, β_t (v_t − (diag(a_t) S_{t-1})ᵀ k_t) takes the place of v_t: what the state
already returns for k_t is erased before v_t is written. Sources: Mamba-2 (arXiv:2405.21060), GLA
(arXiv:2312.06635), Gated DeltaNet (arXiv:2412.06464).

A chunk of tokens acts on the state as an affine map, S ↦ M S + W, and reads it through one matrix:
all chunks are computed at once, and only the states between them one after the other. Every decay
is the exponential of a sum that is at most zero, and nothing is ever divided by a decay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from kernels.precision import accumulation_dtype, without_autocast

# A token costs C·(K + V) inside its chunk of C tokens and 2·K·V through the state: on a CPU core
# these sizes are the fastest for small heads. The second, a power of two, is for decays that differ
# between key channels, where a pair of tokens costs more.
_CHUNK = 32
_CHUNK_BY_CHANNEL = 16
_DIRECT = 4  # tokens with decays by channel: below, pairs are cheaper one by one than as products


class Tokens(NamedTuple):
    """What the recurrence takes from N tokens.

    Attributes:
        q: queries (B, N, H, K), already scaled.
        k: keys, likewise.
        v: values (B, N, H, V).
        log_decay: log a ≤ 0, (B, N, H, K); or (B, N, H, 1), shared by all channels of a key, and
            then the H of q and k may be 1, shared by all heads.
        beta: the delta rule's β, (B, N, H, 1); None: no delta rule.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    log_decay: Tensor
    beta: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Tokens:
        """Apply `change` to every part."""
        beta = None if self.beta is None else change(self.beta)
        return Tokens(change(self.q), change(self.k), change(self.v), change(self.log_decay), beta)

    def masked(self, mask: Tensor | None) -> Tokens:
        """The same tokens; those where the mask (B, N) is False neither write nor decay."""
        if mask is None:
            return self
        real = mask[..., None, None]
        return self._replace(k=self.k * real, log_decay=self.log_decay * real)


def chunked_recurrence(tokens: Tokens, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The recurrence over N ≥ 1 tokens, in chunks: time and memory linear in N.

    Args:
        tokens: of any float type; half types are summed in float32.
        state: S before the first token, (B, H, K, V); None: zero.

    Returns:
        y (B, N, H, V) in v's type, and S after the last token in the type of the sums.
    """
    with without_autocast(tokens.v.device):
        y, state = _by_chunks(tokens.each(_accumulated), state)
    return y.to(tokens.v.dtype), state


def recurrence_step(token: Tokens, state: Tensor) -> tuple[Tensor, Tensor]:
    """Map one token, its parts (B, H, …), and S (B, H, K, V) to y (B, H, V) and the next S."""
    with without_autocast(token.v.device):
        q, k, v, log_decay, beta = token.each(_accumulated)
        state = log_decay.exp()[..., None] * state
        if beta is not None:
            v = beta * (v - (k[..., None, :] @ state)[..., 0, :])
        state = torch.addcmul(state, k[..., None], v[..., None, :])
        y = (q[..., None, :] @ state)[..., 0, :]
    return y.to(token.v.dtype), state


def sum_of_writes(k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Σ k vᵀ, (B, H, K, V), over M tokens k (B, M, H, K) and v (B, M, H, V).

    `mask`, bool (B, N) with N ≥ M, is False on tokens to leave out.
    """
    if mask is not None:
        k = k * mask[:, : k.shape[1], None, None]
    with without_autocast(v.device):
        return _accumulated(k).permute(0, 2, 3, 1) @ _accumulated(v).transpose(1, 2)


def _accumulated(part: Tensor) -> Tensor:
    return part.to(accumulation_dtype(part.dtype))


class _Chunks(NamedTuple):
    """What chunks of C tokens do with S before them: y = within + queries S, S ↦ carry S + writes.

    Attributes:
        within: (B, n, H, C, V).
        queries: (B, n, H, C, K).
        carry: (B, n, H, K, K), or (B, n, H, K or 1, 1), a factor for each row of S.
        writes: (B, n, H, K, V).
    """

    within: Tensor
    queries: Tensor
    carry: Tensor
    writes: Tensor

    def after(self, c: int, state: Tensor) -> Tensor:
        """S after chunk c, given S before it."""
        carry, writes = self.carry[:, c], self.writes[:, c]
        if carry.shape[-1] == 1:
            return torch.addcmul(writes, carry, state)
        return writes + carry @ state


def _by_chunks(tokens: Tokens, state: Tensor | None) -> tuple[Tensor, Tensor]:
    length, by_channel = tokens.v.shape[1], tokens.log_decay.shape[-1] > 1
    count = -(-length // (_CHUNK_BY_CHANNEL if by_channel else _CHUNK))
    size = _CHUNK_BY_CHANNEL if by_channel else -(-length // count)
    chunks = _chunks(
        tokens.each(lambda part: _cut(part, count, size)),
        _products_by_channel if by_channel else _products,
    )
    if state is None:
        state = torch.zeros_like(chunks.writes[:, 0])
    before = []
    for c in range(count):
        before.append(state)
        state = chunks.after(c, state)
    y = chunks.within + chunks.queries @ torch.stack(before, dim=1)
    return y.transpose(2, 3).flatten(1, 2)[:, :length], state


def _chunks(tokens: Tokens, decayed_products: Callable[..., Tensor]) -> _Chunks:
    """Turn tokens cut into chunks, (B, n, H, C, ·) each, into maps of the state."""
    q, k, v, log_decay, beta = tokens
    # Anything below decays to nothing all the same, but would cost the sums their last digits.
    total = log_decay.clamp(min=-100).cumsum(-2)
    queries = q * total.exp()
    keys = (k * (total[..., -1:, :] - total).exp()).mT  # (B, n, H, K, C)
    carry = total[..., -1, :, None].exp()
    if beta is None:
        return _Chunks(decayed_products(q, k, total) @ v, queries, carry, keys @ v)
    readers = torch.stack([q, k], dim=-3)
    products = decayed_products(readers, k[..., None, :, :], total[..., None, :, :])
    weights, overlaps = products.unbind(-3)
    # What a token writes depends on what its chunk wrote before, and on the state before that:
    # v − taken_back S, the solution of (1 + β·overlaps) writes = β (v − decayed k S).
    v, taken_back = torch.linalg.solve_triangular(
        beta * overlaps,
        beta * torch.cat([v, k * total.exp()], dim=-1),
        upper=False,
        unitriangular=True,
    ).tensor_split([v.shape[-1]], dim=-1)
    identity = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    return _Chunks(
        within=weights @ v,
        queries=queries - weights @ taken_back,
        carry=carry * identity - keys @ taken_back,
        writes=keys @ v,
    )


def _cut(part: Tensor, count: int, size: int) -> Tensor:
    """(B, N, H, ·) to (B, n, H, C, ·); the last chunk is padded with zeros: no write, no decay."""
    filled = F.pad(part, (0, 0, 0, 0, 0, count * size - part.shape[1]))
    return torch.unflatten(filled, 1, (count, size)).transpose(2, 3)


def _products(x: Tensor, k: Tensor, total: Tensor) -> Tensor:
    """x_i · k_j, decayed from token j to token i ≥ j: (…, C, K) twice to (…, C, C).

    Args:
        x: queries, or keys.
        k: keys.
        total: log decay from the chunk's start up to and including each token, (…, C, 1).
    """
    later = _later(total.shape[-2], total)
    return (x @ k.mT) * (total - total.mT).masked_fill(later, -torch.inf).exp()


def _later(size: int, like: Tensor) -> Tensor:
    """Whether token j comes after token i, (size, size)."""
    return torch.ones(size, size, dtype=torch.bool, device=like.device).triu(1)


def _products_by_channel(x: Tensor, k: Tensor, total: Tensor) -> Tensor:
    """As `_products`, with decays (…, C, K); C is a power of two.

    The second half sees the first through two decays, one up to the end of the first half and one
    from there on, both in (0, 1]; a single factor for the whole chunk might overflow.
    """
    size = total.shape[-2]
    if size <= _DIRECT:
        decay = total[..., :, None, :] - total[..., None, :, :]  # (…, C, C, K)
        decay = decay.masked_fill(_later(size, total)[..., None], -torch.inf).exp()
        return (x[..., :, None, :] * k[..., None, :, :] * decay).sum(-1)
    half = size // 2
    x, k, total = (torch.unflatten(part, -2, (2, half)) for part in (x, k, total))  # (…, 2, C/2, K)
    within = _products_by_channel(x, k, total)  # (…, 2, C/2, C/2)
    (_, late), (early, _) = x.unbind(-3), k.unbind(-3)
    before, after = total.unbind(-3)
    middle = before[..., -1:, :]
    across = (late * (after - middle).exp()) @ (early * (middle - before).exp()).mT
    top = F.pad(within[..., 0, :, :], (0, half))
    return torch.cat([top, torch.cat([across, within[..., 1, :, :]], dim=-1)], dim=-2)
