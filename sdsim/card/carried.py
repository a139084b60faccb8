"""What a model carries: its state as it is, and which layer a budget of bits is given to."""

from __future__ import annotations

from dataclasses import replace

import torch

from sdsim.card.protocol import VOCAB_SIZE
from sdsim.config import ModelConfig, ModuleConfig
from sdsim.models import LanguageModel, resolve_mixer
from sdsim.models.budget import budget_of
from sdsim.training.trainer import build_model


def state_bits(model: ModelConfig | ModuleConfig, tokens: int) -> int | None:
    """Bits that a model carries per sequence after so many tokens, each number as it is stored.

    Of a model whose state is not measured, what is stated; None: nothing is.
    """
    built = build_model(model, VOCAB_SIZE, 1, 0, torch.device("cpu"))
    if not isinstance(built, LanguageModel) or not built.measures_state:
        return built.stated_state_bits
    with torch.no_grad():
        _, state = built.prefill(torch.zeros(1, tokens, dtype=torch.int64))
    return 8 * state.nbytes


def takes_budget(model: ModelConfig) -> bool:
    """Whether the state can be quantized: it is measured, and does not grow with the tokens."""
    built = build_model(model, VOCAB_SIZE, 1, 0, torch.device("cpu"))
    return built.measures_state and state_bits(model, 1) == state_bits(model, 2)


def state_numbers(model: ModelConfig, bits: int) -> list[int]:
    """``model.state_numbers`` for a budget in bits: numbers of one bit, all of one layer.

    That is the layer with the largest state in the first round of the mixers, the last one of
    equals: in Based linear attention rather than the convolution before it. A layer with a
    bidirectional prefix crosses a boundary more than once: its crossings share the budget.

    Raises:
        ValueError: where no layer can have a budget, as softmax attention; where the bits do not
            come out even.
    """
    sizes = _sizes(model)[: len(model.mixers)]
    layer = max(range(len(sizes)), key=lambda place: (sizes[place], place))

    def numbers(count: int) -> list[int]:
        return [count if place == layer else 0 for place in range(model.depth)]

    def counted(count: int) -> int:
        with_budget = replace(model, state_bits_per_number=1, state_numbers=tuple(numbers(count)))
        with torch.device("meta"):
            return LanguageModel(with_budget, vocab_size=2).budget_bits

    crossings = counted(1)
    if bits % crossings:
        raise ValueError(
            f"{bits} bits: {model.name} crosses a boundary {crossings} times, which do not share "
            "them evenly"
        )
    return numbers(bits // crossings)


def _sizes(model: ModelConfig) -> list[int]:
    """Numbers that each layer carries; raises as `budget_of` where some layer has no fixed size."""
    whole = replace(model, state_bits_per_number=1, state_numbers=())
    kinds = [resolve_mixer(name) for name in model.mixers]
    mixers = [kinds[i % len(kinds)](model) for i in range(model.depth)]
    budgets = [budget_of(mixer, whole, i, 1) for i, mixer in enumerate(mixers)]
    return [budget.numel for budget in budgets if budget is not None]
