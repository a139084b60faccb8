"""How fast a model trains and decodes, beside another one measured in turn with it."""

from __future__ import annotations

import time
from statistics import median

import torch

from sdsim.card.record import Speed
from sdsim.config import RunConfig
from sdsim.models import LanguageModel
from sdsim.training.modes import throughput
from sdsim.training.trainer import build

_REPEATS = 5
_ROUNDS = 10
_TOKENS = 100


def speeds(runs: list[RunConfig]) -> list[Speed]:
    """The speed of each run's model, all measured in turn so that what disturbs one disturbs all.

    Args:
        runs: of networks; each model trains on its run's task.
    """
    training = [[_training(run) for run in runs] for _ in range(_REPEATS)]
    decoding = [[_decoding(run) for run in runs] for _ in range(_REPEATS)]
    return [
        Speed(median(steps), None if None in tokens else median(filter(None, tokens)))
        for steps, tokens in zip(
            zip(*training, strict=True), zip(*decoding, strict=True), strict=True
        )
    ]


def _training(run: RunConfig) -> float:
    cpu = torch.device("cpu")
    return throughput("sequential", [run], cpu, _ROUNDS, clock=time.process_time)


@torch.no_grad()
def _decoding(run: RunConfig) -> float | None:
    model = build(run, torch.device("cpu")).eval()
    if not isinstance(model, LanguageModel) or not model.measures_state:
        return None
    tokens = torch.zeros(1, dtype=torch.int64)
    _, state = model.prefill(tokens[None])
    started = time.process_time()
    for _ in range(_TOKENS):
        _, state = model.step(tokens, state)
    return _TOKENS / (time.process_time() - started)
