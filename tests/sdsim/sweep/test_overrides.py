import shlex

import pytest
import yaml

from sdsim.config import (
    AlgorithmConfig,
    EvalConfig,
    ModelConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
    run_id,
)
from sdsim.sweep.overrides import command_of
from tests.conftest import Run

RECALL = TaskConfig(
    "associative_recall",
    "synthetic.AssociativeRecall",
    train_sizes=((4, 1),),
    options={"order": "query_first"},
)
OWN = TaskConfig(
    "own", "package.Own", train_sizes=((1, 2),), options={"share": 0.5, "text": "x y", "more": None}
)
RUNS = {
    "a model of one's own, with a budget": RunConfig(
        ModelConfig("x [y] $1", ("gru",), state_bits_per_number=1, state_numbers=(3,)),
        train=TrainConfig(lr=1e-5, examples=300),
        seed=3,
    ),
    "recall, quantized": RunConfig(
        ModelConfig("based", ("base_conv", "linear_attention")), RECALL, test=EvalConfig(bits=(1,))
    ),
    "a streaming algorithm": RunConfig(AlgorithmConfig("mine", "fingerprint", budget=8)),
    "a task of one's own": RunConfig(ModelConfig("gru", ("gru",)), OWN),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_command_of_a_run_asks_for_that_run(name: str, run: Run) -> None:
    config = RUNS[name]
    command = command_of(config)
    assert command is not None
    words = shlex.split(command)
    assert words[:2] == ["sdsim", "train"]
    code, out, err = run(*words[1:], "--cfg", "job")
    assert (code, err) == (0, "")
    asked = yaml.safe_load(out)
    assert asked["model"]["name"] == config.model.name
    assert float(asked["train"]["lr"]) == config.train.lr
    assert asked["seed"] == config.seed
    assert {name: asked["task"][name] for name in config.task.options} == config.task.options


def test_a_run_that_no_command_asks_for_has_none() -> None:
    config = RunConfig(ModelConfig("${oc.env:HOME}", ("gru",)))
    assert run_id(config)
    assert command_of(config) is None
