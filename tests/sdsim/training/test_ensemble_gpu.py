"""Ensembles in CUDA graphs; run by `make test-gpu`."""

from dataclasses import replace

import pytest
import torch

from sdsim.config import EvalConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.models import ModelConfig
from sdsim.training.ensemble import CudaGraph, EnsembleTrainer
from sdsim.training.modes import modes, throughput, trainers
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
DROPPED = [replace(run, model=replace(run.model, embedding_dropout=0.1)) for run in RUNS]


@pytest.mark.parametrize("runs", [RUNS, DROPPED], ids=["no dropout", "dropout"])
def test_graphs_replay_what_the_steps_are(runs: list[RunConfig]) -> None:
    """The same kernels on the same numbers: bit by bit; as one by one, up to rounding."""
    found = {}
    for mode in modes(len(runs), CUDA):
        losses = []
        for trainer in trainers(mode, runs, CUDA):
            for _ in range(10):
                trainer.step()
            losses.append(trainer.losses)
        found[mode] = torch.cat(losses, dim=1).cpu()
    torch.testing.assert_close(found["cuda_graph"], found["vmap"], rtol=0, atol=0)
    torch.testing.assert_close(found["cuda_graph"], found["sequential"], rtol=1e-3, atol=1e-4)


def test_a_member_is_dropped_and_the_others_train_on() -> None:
    graphed = EnsembleTrainer(RUNS, CUDA, execution=CudaGraph)
    eager = EnsembleTrainer(RUNS, CUDA)
    for trainer in (graphed, eager):
        for _ in range(4):
            trainer.step()
        trainer.drop([1])
        for _ in range(4):
            trainer.step()
    for member in range(3):
        ours, theirs = (one.model(member).state_dict() for one in (graphed, eager))
        for name, tensor in ours.items():
            torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0)


def test_a_member_that_diverges_harms_none() -> None:
    wild = [replace(RUNS[0], train=replace(RUN.train, lr=1e6)), *RUNS[1:]]
    results = list(execute_all(wild, Conditions(CUDA), mode="cuda_graph"))
    alone = list(execute_all(RUNS[1:], Conditions(CUDA), mode="cuda_graph"))
    for (_, one), (_, other) in zip(results[1:], alone, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


def test_throughput_is_measured() -> None:
    assert all(throughput(mode, RUNS, CUDA) > 0 for mode in modes(len(RUNS), CUDA))
