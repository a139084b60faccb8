"""Whether a model looks ahead, found by changing one token and seeing which outputs change.

What a class says of itself is not believed: a mask that is forgotten, a normalization over
positions, or a convolution that is centred lets later tokens into earlier outputs, and the order of
the input then means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

from sdsim.config import Reader
from sdsim.models.network import Network

_TOLERANCE = 1e-5  # of the largest output; the rounding of sums that do not depend on the token
_MOST_CHANGED = 64  # positions, evenly spread
_EXAMPLES = 2
_JITTER = 0.5  # of a parameter's root mean square; weights that begin at zero hide what they scale


@torch.no_grad()
def reached(
    forward: Callable[[Tensor], Tensor],
    inputs: Tensor,
    others: Tensor,
    positions: range | None = None,
) -> Tensor:
    """Which outputs change where one position of the input is replaced.

    Args:
        forward: maps inputs to outputs (B, N, …), the same each time: a module in evaluation mode.
        inputs: (B, N) tokens, or (B, N, width) numbers.
        others: as `inputs`; what replaces them, at one position at a time.
        positions: those that are replaced; None: all N.

    Returns:
        bool (N, N): at [t, s] whether a change of position t changes output s of any example.
        Rows of positions that were not replaced are False.

    Raises:
        ValueError: if outputs are not finite, or if an example's outputs depend on the others of
            its batch, as with ``batch_first=False``.

    >>> x, other = torch.randn(2, 2, 5, 3).unbind()
    >>> before = reached(lambda x: x.flip(1), x, other).tril(-1)  # s < t
    >>> before.nonzero().tolist()
    [[3, 1], [4, 0]]
    """
    before = forward(inputs)
    if not bool(before.isfinite().all()):
        raise ValueError("its outputs are not finite")
    tolerance = _TOLERANCE * max(1.0, float(before.abs().max()))

    def changed(after: Tensor) -> Tensor:
        return ((after - before).abs() > tolerance).flatten(2).any(2)  # (B, N)

    alone = inputs.clone()
    alone[0] = others[0]
    if len(inputs) > 1 and bool(changed(forward(alone))[1:].any()):
        raise ValueError(
            "an example's outputs depend on the others of its batch; it must map (B, N, …) with "
            "the batch first"
        )
    length = inputs.shape[1]
    found = torch.zeros(length, length, dtype=torch.bool)
    for position in range(length) if positions is None else positions:
        replaced = inputs.clone()
        replaced[:, position] = others[:, position]
        found[position] = changed(forward(replaced)).any(0).cpu()
    return found


def earlier_outputs(found: Tensor) -> dict[int, list[int]]:
    """Of what `reached` found, by position t, the earlier outputs that a change of it reaches.

    >>> earlier_outputs(torch.tensor([[True, True], [True, True]]))
    {1: [0]}
    """
    ahead: dict[int, list[int]] = {}
    for position, output in found.tril(-1).nonzero().tolist():
        ahead.setdefault(position, []).append(output)
    return ahead


def reached_by_tokens(
    model: Network, vocab_size: int, length: int, prefix_len: int, *, seed: int = 0
) -> Tensor:
    """`reached` of a model, on random tokens, its weights jittered so that none of them is zero.

    Args:
        model: is left as it is.
        vocab_size: V.
        length: N; at most 64 positions are replaced, evenly spread, the first and last included.
        prefix_len: tokens of the prompt, for models that read it as a whole.
        seed: of tokens and jitter.

    Raises:
        ValueError: as `reached`.
    """
    device = next(iter(model.parameters()), torch.empty(0)).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        tokens = torch.randint(vocab_size, (_EXAMPLES, length), device=device)
        shift = torch.randint(1, max(2, vocab_size), (_EXAMPLES, length), device=device)
        step = max(1, -(-(length - 1) // (_MOST_CHANGED - 1)))
        positions = range((length - 1) % step, length, step)
        read = partial(_generic(model, tokens), prefix_len=prefix_len)
        return reached(read, tokens, (tokens + shift) % vocab_size, positions)


@torch.no_grad()
def _generic(model: nn.Module, tokens: Tensor) -> nn.Module:
    """A copy with jittered weights; with the model's own where jittered ones overflow."""
    own, jittered = deepcopy(model).eval(), deepcopy(model).eval()
    for parameter in jittered.parameters():
        scale = float(parameter.square().mean().sqrt()) or 1.0
        parameter.add_(torch.randn_like(parameter), alpha=_JITTER * scale)
    return jittered if bool(jittered(tokens).isfinite().all()) else own


def measured_reader(
    model: Network, vocab_size: int, length: int, prefix_len: int
) -> tuple[Reader, dict[int, list[int]]]:
    """How a model reads, and the earlier outputs that changes of its tokens reach.

    Causal: none. Prefix: within the prompt alone, and the model says so. Else non-causal.

    Args:
        model, vocab_size, length, prefix_len: as in `reached_by_tokens`.

    Raises:
        ValueError: as `reached`.
    """
    found = earlier_outputs(reached_by_tokens(model, vocab_size, length, prefix_len))
    if model.bidirectional_prefix and all(position < prefix_len for position in found):
        return "prefix", found
    return ("noncausal" if found else "causal"), found
