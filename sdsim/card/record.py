"""What a card has beside its runs: which protocol, which model, and what was chosen for it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from sdsim.card.protocol import VERSION, Size
from sdsim.config import STRICT, ModelConfig, ModuleConfig
from sdsim.files import write_text
from sdsim.reading import reason

CARD = "card.json"
"""Name of the file in the store of a card's runs."""


@dataclass(frozen=True, config=STRICT)
class Speed:
    """Medians of one thread's processor time, on the CPU.

    Attributes:
        training: training steps per second, of one run by itself.
        decoding: tokens per second, one sequence at a time; None of a model without `step`.
    """

    training: float
    decoding: float | None


@dataclass(frozen=True, config=STRICT)
class CardRecord:
    """The content of a card's file.

    Attributes:
        protocol: version, see `sdsim.card.protocol.VERSION`.
        size: form of the protocol.
        model: the architecture, without a budget.
        state_bits: that it carries after an input of the protocol, each number as it is stored;
            None: not known.
        has_budget: whether its runs are within budgets of bits: its state is measured, and does
            not grow with the tokens read.
        lr: the learning rate that was chosen.
        speed: of the model, and reference_speed: of a GRU of its width, measured in turn with it.
        device: that the speeds are of.
        versions: of Python, sdsim, torch and numpy.
        commit: of the checkout, see `sdsim.store.provenance.commit`.
    """

    protocol: int
    size: Size
    model: ModelConfig | ModuleConfig
    state_bits: int | None
    has_budget: bool
    lr: float
    speed: Speed
    reference_speed: Speed
    device: str
    versions: dict[str, str]
    commit: str | None

    def write(self, store: Path) -> None:
        """Into the store of its runs, in place of an earlier one."""
        write_text(store / CARD, json.dumps(asdict(self), indent=1) + "\n")


def read_card(store: Path) -> CardRecord:
    """The card of a store.

    Raises:
        ValueError: if there is none, or none that this version reads.
    """
    file = store / CARD
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("protocol") != VERSION:
            raise ValueError(f"protocol {content.get('protocol')}, this version reads {VERSION}")
        return TypeAdapter(CardRecord).validate_python(content)
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise ValueError(f"{file} is no card ({reason(error)})") from error
