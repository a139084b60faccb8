"""One BaseConv layer of the models here decides equality by argmax: theory's construction, run."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from sdsim.config import ModelConfig
from sdsim.models.mixers.base_conv import BaseConv
from theory.layers.equality import sign_equality_stack


def equality_layer(width: int) -> BaseConv:
    """A layer whose first output channel at the second token is Σ_i [x_i = y_i] - width + 1/2.

    The mixer has a SiLU that theory's BaseConv has not: SiLU(z) - SiLU(-z) = z, so that each
    comparison takes two of the 2·width inner channels, one with z and one with -z.
    """
    config = ModelConfig("based", ("base_conv",), width=width, depth=1, filter_size=2, mlp="none")
    layer = BaseConv(config).double()
    identity = torch.eye(width, dtype=torch.float64)
    for parameter in layer.parameters():
        parameter.data.zero_()
    # z = x + y - 1 over both tokens; the gate is 2 y - 1 of the current one.
    layer.in_proj.weight.data = torch.cat([identity, -identity, 2 * identity, 2 * identity])
    layer.in_proj.bias.data[2 * width :] = -1
    layer.conv.weight.data.fill_(1)
    layer.conv.bias.data[:width], layer.conv.bias.data[width:] = -1, 1
    layer.out_proj.weight.data[0, :width], layer.out_proj.weight.data[0, width:] = 1, -1
    layer.out_proj.bias.data[0] = -width + 0.5
    return layer


def logits(layer: BaseConv, pairs: Tensor) -> Tensor:
    """Of "different" and "equal" (pairs, 2), for pairs of tokens (pairs, 2, width)."""
    read = layer.prefill(pairs)[0][:, 1, 0]
    return torch.stack([torch.zeros_like(read), read], dim=1)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_argmax_over_two_logits_is_right_on_all_pairs(width: int) -> None:
    strings = list(product((0, 1), repeat=width))
    pairs = list(product(strings, repeat=2))
    layer, exact = equality_layer(width), sign_equality_stack(width)
    found = logits(layer, torch.tensor(pairs, dtype=torch.float64))
    assert found.argmax(dim=1).tolist() == [int(x == y) for x, y in pairs]
    sums = [float(sum(exact(pair)[1])) - width + 0.5 for pair in pairs]
    torch.testing.assert_close(found[:, 1], torch.tensor(sums, dtype=torch.float64))


def test_it_is_right_for_long_codes_in_single_precision() -> None:
    """Theorem G.7 asks for 8 layers of exact outputs at 128 bits."""
    layer = equality_layer(128).float()
    codes = torch.randint(0, 2, (64, 128), generator=torch.manual_seed(0)).float()
    near = codes.clone()
    near[torch.arange(64), torch.arange(64)] = 1 - near[torch.arange(64), torch.arange(64)]
    for other, right in ((codes, 1), (near, 0)):
        found = logits(layer, torch.stack([codes, other], dim=1))
        assert found.argmax(dim=1).eq(right).all()
