"""Ensembles in CUDA graphs; run by `make test-gpu`."""

from dataclasses import replace
from typing import get_args

import pytest
import torch

from sdsim.config import RunConfig, TaskConfig, EvalConfig, TrainConfig
from sdsim.training.ensemble import EnsembleTrainer, Way, pace, trainers
from sdsim.models import ModelConfig
from sdsim.training.run import Conditions, execute_all

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CUDA = torch.device("cuda")
RUN = RunConfig(
    ModelConfig(
        "jrt_rnn",
        ("base_conv", "prefix_linear_attention"),
        width=16,
        depth=2,
        heads=2,
        feature_dim=2,
        mlp="none",
    ),
    TaskConfig(vocab_size=36, train_sizes=((4, 12), (12, 4))),
    TrainConfig(steps=60, batch_size=16, lr=3e-3),
    EvalConfig(examples=100),
)
RUNS = [
    replace(RUN, seed=seed, train=replace(RUN.train, lr=lr))
    for seed in (0, 1)
    for lr in (1e-3, 3e-3)
]
DROPPED = [replace(run, model=replace(run.model, embedding_dropout=0.1)) for run in RUNS]  # type: ignore[type-var]


@pytest.mark.parametrize("runs", [RUNS, DROPPED], ids=["plain", "dropout"])
def test_graphs_replay_what_the_steps_are(runs: list[RunConfig]) -> None:
    """The same kernels on the same numbers: bit by bit; with the plain loop but for rounding."""
    found = {}
    for way in get_args(Way):
        losses = []
        for trainer in trainers(way, runs, CUDA):
            for _ in range(10):
                trainer.step()
            losses.append(trainer.losses)
        found[way] = torch.cat(losses, dim=1).cpu()
    torch.testing.assert_close(found["captured"], found["together"], rtol=0, atol=0)
    torch.testing.assert_close(found["captured"], found["plain"], rtol=1e-3, atol=1e-4)


def test_a_member_leaves_and_the_others_go_on() -> None:
    captured = EnsembleTrainer(RUNS, CUDA, capture=True)
    together = EnsembleTrainer(RUNS, CUDA)
    for trainer in (captured, together):
        for _ in range(4):
            trainer.step()
        trainer.leave([1])
        for _ in range(4):
            trainer.step()
    for member in range(3):
        ours, theirs = (one.model(member).state_dict() for one in (captured, together))
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)


def test_a_member_that_diverges_harms_none() -> None:
    wild = [replace(RUNS[0], train=replace(RUN.train, lr=1e6)), *RUNS[1:]]
    results = list(execute_all(wild, Conditions(CUDA), way="captured"))
    alone = list(execute_all(RUNS[1:], Conditions(CUDA), way="captured"))
    for (_, one), (_, other) in zip(results[1:], alone, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


def test_paces_are_measured() -> None:
    assert all(pace(way, RUNS, CUDA) > 0 for way in get_args(Way))
