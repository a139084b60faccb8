"""Configs: what they build, and what they say of a setting that is wrong."""

import re
import subprocess
import sys
from dataclasses import asdict, replace
from typing import Any

import pytest

from sdsim.commands import find
from sdsim.conf.compose import composed
from sdsim.config import AlgorithmConfig, EvalConfig, RunConfig, TaskConfig
from sdsim.models import ModelConfig
from sdsim.models.construction import import_class
from sdsim.sweep.job import Job, parse_job
from sdsim.training.tasks import check_run, eval_tasks, train_tasks
from synthetic import (
    AssociativeRecall,
    GeneralAssociativeRecall,
    MultiQueryAssociativeRecall,
    SetDisjointness,
)


def job(*overrides: str) -> Job:
    find("train").register()
    with composed("train", list(overrides)) as (config, _):
        parsed = parse_job(config)
    check_run(parsed.run)
    return parsed


# --- what is built ---


def test_the_default_is_a_run() -> None:
    run = job().runs[0]
    assert run == RunConfig(
        ModelConfig("based", ("base_conv", "linear_attention")),
        TaskConfig(options={"answer": "token", "common": 1}),
    )
    assert eval_tasks(run.task) == [SetDisjointness(36, 4, 12), SetDisjointness(36, 12, 4)]
    assert asdict(job("store=elsewhere", "threads=2").runs[0]) == asdict(run)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["task.answer=decision", "task.passes=2"], SetDisjointness(36, 4, 12, 2, "decision")),
        (["task.answer=all", "task.common=3"], SetDisjointness(36, 4, 12, 1, "all", 3)),
        (["task=associative_recall"], AssociativeRecall(36, 4)),
        (
            ["task=associative_recall", "task.order=query_first"],
            AssociativeRecall(36, 4, order="query_first"),
        ),
        (
            ["task=general_associative_recall", "task.null_share=0.25"],
            GeneralAssociativeRecall(36, 4, 4, null_share=0.25),
        ),
        (["task=multi_query_associative_recall"], MultiQueryAssociativeRecall(36, 4, 4)),
        (
            ["task=multi_query_associative_recall", "task.gaps=power_law", "task.query_len=9"],
            MultiQueryAssociativeRecall(36, 4, 4, gaps="power_law", query_len=9),
        ),
    ],
)
def test_a_task_of_each_kind(overrides: list[str], expected: object) -> None:
    config = job(*overrides).run.task
    assert eval_tasks(config)[0] == train_tasks(config).tasks[0] == expected
    assert config.kind.rsplit(".")[-1] == type(expected).__name__


def test_sizes_to_test_are_those_to_train_unless_given() -> None:
    task = TaskConfig(train_sizes=((2, 4),), test_sizes=((3, 5), (5, 3)))
    assert [(one.size_a, one.size_b) for one in eval_tasks(task)] == [(3, 5), (5, 3)]
    assert [(one.size_a, one.size_b) for one in train_tasks(task).tasks] == [(2, 4)]
    assert eval_tasks(replace(task, test_sizes=())) == list(train_tasks(task).tasks)


def test_weights_and_stages_say_who_trains_when() -> None:
    given = ["task.weights=[3,1]", "task.curriculum=[[0.5,[0,1]]]"]
    assert train_tasks(job(*given).run.task).schedule(8) == [0, 0, 1, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("one_pass", {}),
        ("just_read_twice", {}),
        ("multi_pass", {}),
        ("fingerprint", {"budget": 32}),
        ("random_kernel", {"features": 16}),
    ],
)
def test_algorithms_are_chosen_like_models(name: str, settings: dict[str, int]) -> None:
    run = job(f"model={name}", "task.passes=2").runs[0]
    assert run.model == AlgorithmConfig(name=name, machine=name, **settings)


def test_a_test_has_settings_of_its_own() -> None:
    assert job().run.test == EvalConfig(1000, (), "crossings")
    given = ["test.examples=50", "test.bits=[1,4,16]", "test.quantize=steps"]
    assert job(*given).run.test == EvalConfig(50, (1, 4, 16), "steps")


# --- what is wrong ---


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (["task.kind=synthetic.Nothing"], "task.kind = 'synthetic.Nothing'"),
        (["task.kind=nowhere.Task"], "task.kind = 'nowhere.Task'"),
        (["task.kind=Task"], "task.kind = 'Task'"),
        (["task.kind=synthetic.set_disjointness"], "task.kind = 'synthetic.set_disjointness'"),
        (["task.kind=3"], "task.kind = 3"),
        (["task.kind=unittest.mock.Mock"], "task.kind = 'unittest.mock.Mock'"),
        (["+task.anwser=token"], "'anwser'"),
        (["task.answer=maybe"], "answer = 'maybe'"),
        (["task.common=2"], "common = 2"),
        (["task.options=3"], "task.options = 3"),
        (["task.train_sizes=[[40,4]]"], "40 + 4 does not fit"),
        (["task.test_sizes=[[4,40]]"], "4 + 40 does not fit"),
        (["task.train_sizes=[[4]]"], "task.train_sizes.0.1"),
        (["task.train_sizes=[]"], "task.train_sizes = []"),
        (["task.passes=0"], "task.passes = 0"),
        (["task.weights=[1]"], "weights = (1.0,)"),
        (["task.curriculum=[[2,[1,1]]]"], "curriculum: the stages start at [2.0]"),
        (["task=associative_recall", "task.order=random"], "order = 'random'"),
        (["task=multi_query_associative_recall", "task.train_sizes=[[17,4]]"], "pairs = 17"),
        (["test.bits=[0]"], "test.bits.0 = 0"),
        (["test.bits=[4,17]"], "test.bits.1 = 17"),
        (["test.bits=[4,4]"], "test.bits = [4, 4]"),
        (["test.bits=4"], "test.bits = 4"),
        (["test.bits=[1.5]"], "test.bits.0 = 1.5"),
        (["test.quantize=never"], "test.quantize = 'never'"),
        (["test.examples=0"], "test.examples = 0"),
        (["+test.new=0"], "test.new = 0"),
        (["model=one_pass", "model.machine=two_pass"], "model.machine = 'two_pass'"),
        (["model=one_pass", "+model.width=8"], "model.width = 8"),
        (["model=one_pass", "model.budget=8"], "model.budget = 8"),
        (["model=fingerprint", "model.budget=0"], "model.budget = 0"),
        (["model=fingerprint", "model.budget=12"], "model.budget = 12: at least 13 bits"),
        (["model=fingerprint", "model.budget=-1"], "model.budget = -1"),
        (["model=fingerprint", "model.features=2"], "model.features = 2"),
        (["model=random_kernel", "model.features=0"], "model.features = 0"),
        (["model.width=wide"], "model.width = 'wide'"),
        (["model.width=0"], "model.width = 0"),
        (["model.mlp=relu"], "model.mlp = 'relu'"),
    ],
)
def test_a_wrong_setting_is_named_once(overrides: list[str], field: str) -> None:
    with pytest.raises(ValueError, match=re.escape(field)) as error:
        job(*overrides)
    message = str(error.value)
    assert message.count(field) == 1
    assert "\n" not in message
    assert ";" not in message, "one thing is wrong"


def test_all_that_is_wrong_is_named() -> None:
    with pytest.raises(ValueError, match=r"test.quantize = 'never'.*; seed = 'x'"):
        job("test.quantize=never", "seed=x")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "builtins.dict"}, "task: "),
        ({"options": {"anwser": "token"}}, "task: .*'anwser'"),
        ({"test_sizes": ((30, 30),)}, "30 \\+ 30 does not fit"),
    ],
)
def test_tasks_that_cannot_be_made(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_run(RunConfig(ModelConfig("gru", ("gru",)), TaskConfig(**settings)))


class Doubled(SetDisjointness):
    """A task whose B has another size than it is called with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_b", 2 * self.size_b)
        super().__post_init__()


def test_a_task_keeps_to_the_sizes_that_it_is_given() -> None:
    """Or its results, told apart by these sizes, could not be stored."""
    config = TaskConfig(kind=f"{__name__}.Doubled", train_sizes=((2, 3),))
    with pytest.raises(ValueError, match=r"Doubled'.* whose sides have the sizes 2 and 3"):
        eval_tasks(config)


def test_classes_are_imported_by_path() -> None:
    assert import_class("x", "synthetic.SetDisjointness") is SetDisjointness
    for path, reason in [
        ("SetDisjointness", "an import path"),
        (".SetDisjointness", "an import path"),
        ("..synthetic.SetDisjointness", "an import path"),
        ("synthetic..SetDisjointness", "an import path"),
        ("synthetic.Nothing", "synthetic has no Nothing"),
        ("synthetic.nothing.Nothing", "cannot be imported"),
        ("synthetic.task", "not a class"),
    ]:
        with pytest.raises(ValueError, match=rf"^task\.kind = '{re.escape(path)}': .*{reason}"):
            import_class("task.kind", path)


def test_configs_are_checked_without_torch() -> None:
    script = (
        "import sys; from sdsim.config import RunConfig, ModelConfig, run_id; "
        "run_id(RunConfig(ModelConfig('gru', ('gru',)))); "
        "assert not {'torch', 'hydra', 'sympy', 'polars'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
