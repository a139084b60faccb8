"""How fast a model trains and decodes, beside another one measured in turn with it."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import torch

from sdsim.card.record import Speed
from sdsim.config import ModelConfig, RunConfig
from sdsim.models import LanguageModel
from sdsim.training.modes import throughput
from sdsim.training.tasks import most_boundaries

_REPEATS = 5
_ROUNDS = 10
_TOKENS = 100


def speeds(runs: list[RunConfig]) -> list[Speed]:
    """The speed of each run's model, all measured in turn so that what disturbs one disturbs all.

    Args:
        runs: of networks; each model trains on its run's task.
    """
    found = [[(_training(run), _decoding(run)) for run in runs] for _ in range(_REPEATS)]
    return [Speed(*map(median, zip(*times, strict=True))) for times in zip(*found, strict=True)]


def _training(run: RunConfig) -> float:
    cpu = torch.device("cpu")
    return throughput("sequential", [run], cpu, _ROUNDS, clock=time.process_time)


@torch.no_grad()
def _decoding(run: RunConfig) -> float:
    if not isinstance(run.model, ModelConfig):
        raise ValueError(f"{run.model.name} is a streaming algorithm, not a network")
    # A budget applies where segments end, which decoding does not meet.
    whole = replace(run.model, state_bits_per_number=0, state_numbers=())
    model = LanguageModel(whole, run.task.vocab_size, most_boundaries(run.task)).eval()
    tokens = torch.zeros(1, dtype=torch.int64)
    _, state = model.prefill(tokens[None])
    started = time.process_time()
    for _ in range(_TOKENS):
        _, state = model.step(tokens, state)
    return _TOKENS / (time.process_time() - started)
