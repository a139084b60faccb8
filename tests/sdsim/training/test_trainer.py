import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from sdsim.config import AlgorithmConfig, EvalConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.models import LanguageModel, ModelConfig
from sdsim.training.data import Questions, answer_logits, loss_and_accuracy, training_batches
from sdsim.training.device import check_device
from sdsim.training.run import Conditions, execute
from sdsim.training.schedule import warmup_cosine
from sdsim.training.trainer import BETA1, SequentialTrainer, build
from synthetic import Batch, SetDisjointness

CPU = torch.device("cpu")


def train_loss(config: RunConfig) -> float:
    loss = execute(config).train_loss
    assert loss is not None
    return loss


def test_a_model_learns_and_its_state_is_measured() -> None:
    """Memorising two of eight tokens is soon learned; a broken loop stays at chance, 0.5."""
    config = RunConfig(
        model=ModelConfig(name="attention", mixers=("softmax_attention",), width=32, depth=2),
        task=TaskConfig(vocab_size=12, train_sizes=((2, 3),), test_sizes=((2, 3), (3, 2))),
        train=TrainConfig(steps=400, batch_size=64, lr=3e-3),
        test=EvalConfig(examples=500),
    )
    seen: list[int] = []
    result = execute(config, Conditions(on_step=seen.append))
    assert seen == list(range(1, 401))
    learned, other = result.slices
    assert learned.correct / learned.examples > 0.9
    assert (learned.size_a, other.size_a) == (2, 3)
    assert learned.loss is not None
    assert learned.loss < 0.5
    assert result.train_loss is not None
    assert result.train_loss < 0.5
    assert learned.state_numel == 2 * 2 * 32 * 8  # layers · (k and v) · width · N
    assert learned.state_bits == 32 * learned.state_numel


def test_same_config_same_metrics_and_nobody_elses_random_state(small_run: RunConfig) -> None:
    before = torch.get_rng_state()
    first = execute(small_run)
    torch.rand(3)
    second = execute(small_run)
    assert [replace(first, seconds=0)] == [replace(second, seconds=0)]
    torch.set_rng_state(before)
    execute(small_run)
    assert torch.equal(torch.get_rng_state(), before)
    other_seed = execute(replace(small_run, seed=1))
    assert other_seed.train_loss != first.train_loss


def test_dropout_too_is_a_function_of_the_seed(small_run: RunConfig) -> None:
    dropping = replace(small_run, model=replace(small_run.model, embedding_dropout=0.5))
    losses = {train_loss(dropping) for _ in range(2)}
    assert len(losses) == 1
    assert losses != {train_loss(small_run)}


def test_a_run_that_diverges_reports_no_loss(small_run: RunConfig) -> None:
    wild = replace(small_run, train=replace(small_run.train, lr=1e30, clip_norm=1e30, steps=50))
    result = execute(wild)
    assert result.train_loss is None
    assert all(one.examples == 40 for one in result.slices)


@dataclass(frozen=True)
class Spy(SetDisjointness):
    """A task that notes who was asked for which split."""

    asked: ClassVar[list[tuple[int, str]]] = []

    def sample(self, batch_size: int, **options: Any) -> Batch:
        self.asked.append((self.size_a, options.get("split", "train")))
        return super().sample(batch_size, **options)


@pytest.fixture
def spied(small_run: RunConfig) -> RunConfig:
    Spy.asked.clear()
    return replace(small_run, task=replace(small_run.task, kind=f"{__name__}.Spy"))


def test_training_and_testing_draw_from_their_own_streams(spied: RunConfig) -> None:
    execute(spied)
    splits = [split for _, split in Spy.asked]
    first_test = splits.index("test")
    assert set(splits[:first_test]) == {"train"}
    assert set(splits[first_test:]) == {"test"}


def trained_on(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """|A| of each step's task."""
    seen: list[int] = []

    def note(model: LanguageModel, asked: Questions, scale: torch.Tensor | None) -> torch.Tensor:
        first_side = (asked.inputs[0] == SetDisjointness.SEP).nonzero()
        seen.append(int(first_side[0]) - 1)
        return answer_logits(model, asked, scale)

    monkeypatch.setattr("sdsim.training.trainer.answer_logits", note)
    execute(config)
    return seen


def test_tasks_take_turns_by_weight_and_curriculum(
    small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trained_on(small_run, monkeypatch) == [2, 4] * 10
    weighted = replace(small_run.task, weights=(3.0, 1.0), curriculum=((0.6, (0.0, 1.0)),))
    seen = trained_on(replace(small_run, task=weighted), monkeypatch)
    assert sorted(seen[:12]) == [2] * 9 + [4] * 3
    assert seen[12:] == [4] * 8


def test_a_recall_task_is_learned() -> None:
    """Three of seven values: the loss falls below that of guessing any of the three."""
    config = RunConfig(
        model=ModelConfig("attention", ("base_conv", "softmax_attention"), width=32, depth=2),
        task=TaskConfig("ar", "synthetic.AssociativeRecall", 12, ((3, 2),)),
        train=TrainConfig(steps=200, batch_size=64, lr=4e-3),
        test=EvalConfig(examples=200),
    )
    (one,) = execute(config).slices
    assert (one.size_a, one.size_b, one.order) == (3, 2, "context_first")
    assert one.answers == 2
    assert one.loss is not None
    assert one.loss < 0.5 * math.log(3)
    assert one.correct > 0.8 * 2 * 200


def test_an_algorithm_is_not_trained(small_run: RunConfig) -> None:
    machine = replace(small_run, model=AlgorithmConfig("mine", "one_pass"))
    with pytest.raises(ValueError, match=r"model\.name = 'mine': an algorithm has no weights"):
        build(machine, CPU)
    result = execute(machine, Conditions(on_step=lambda done: pytest.fail("a step")))
    assert (result.params, result.train_loss) == (0, None)


@pytest.mark.parametrize("change", [{"weight_decay": 0.0}, {"clip_norm": 1e-3}, {"beta2": 0.5}])
def test_each_optimizer_setting_matters(small_run: RunConfig, change: dict[str, float]) -> None:
    other = replace(small_run, train=replace(small_run.train, **change))
    assert train_loss(other) != train_loss(small_run)


def test_the_schedule_is_followed(small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of zero nothing changes: all later steps leave the first one's model."""
    monkeypatch.setattr("sdsim.training.trainer.warmup_cosine", lambda step, *_: float(step == 0))
    one_step = replace(small_run, train=replace(small_run.train, steps=1))
    assert execute(small_run).slices == execute(one_step).slices


def test_learning_rate_warms_up_and_decays_to_zero() -> None:
    factors = [warmup_cosine(step, 1000, 0.1) for step in range(1000)]
    assert factors[:100] == sorted(factors[:100])
    assert max(factors) == factors[100] == 1
    assert factors[100:] == sorted(factors[100:], reverse=True)
    assert 0 < factors[-1] < 1e-4
    assert warmup_cosine(0, 1000, 0.0) == 1
    assert warmup_cosine(999, 1000, 0.1, floor=0.1) == pytest.approx(0.1, abs=1e-4)


def test_unusable_device() -> None:
    with pytest.raises(ValueError, match="device = 'warp' cannot be used"):
        check_device("warp")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "steps"),
        ({"batch_size": -1}, "batch_size"),
        ({"lr": 0.0}, "lr"),
        ({"lr": math.nan}, "lr"),
        ({"warmup": 1.0}, "warmup"),
        ({"weight_decay": -0.1}, "weight_decay"),
    ],
)
def test_bad_train_settings(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(TrainConfig(), **change)


def test_what_cannot_be_tested_is_refused_before_training(small_run: RunConfig) -> None:
    config = replace(small_run, task=replace(small_run.task, test_sizes=((2, 40),)))
    with pytest.raises(ValueError, match="2 \\+ 40 does not fit"):
        execute(config, Conditions(on_step=lambda done: pytest.fail("a step")))


def test_the_update_is_torch_s_adamw_bit_for_bit(small_run: RunConfig) -> None:
    trainer, model = SequentialTrainer(small_run, CPU), build(small_run, CPU).train()
    train = small_run.train
    optimizer = torch.optim.AdamW(
        model.parameters(),
        betas=(BETA1, train.beta2),
        weight_decay=train.weight_decay,
        fused=True,
    )
    for step, (_, asked) in enumerate(training_batches(small_run, CPU)):
        trainer.step()
        loss, _ = loss_and_accuracy(answer_logits(model, asked), asked.targets)
        for group in optimizer.param_groups:
            group["lr"] = train.lr * warmup_cosine(step, train.steps, train.warmup)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), train.clip_norm)
        optimizer.step()
    for name, parameter in trainer.model(0).state_dict().items():
        assert torch.equal(parameter, model.state_dict()[name]), name
