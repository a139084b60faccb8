import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch

from sdsim.config import RunConfig, TaskConfig, TrainConfig
from sdsim.models import LanguageModel, ModelConfig
from sdsim.train import check_device, evaluate, learning_rate_factor, train
from synthetic import Batch, SetDisjointness


def test_a_model_learns_and_its_state_is_measured() -> None:
    """Memorising two of eight tokens is soon learned; a broken loop stays at chance, 0.5."""
    config = RunConfig(
        model=ModelConfig(name="attention", mixers=("softmax_attention",), width=32, depth=2),
        task=TaskConfig(vocab_size=12, train_sizes=((2, 3),), test_sizes=((2, 3), (3, 2))),
        train=TrainConfig(steps=400, batch_size=64, lr=3e-3, test_examples=500),
    )
    seen: list[int] = []
    result = train(config, on_step=seen.append)
    assert seen == list(range(1, 401))
    learned, other = result.slices
    assert learned.correct / learned.examples > 0.9
    assert (learned.task.size_a, other.task.size_a) == (2, 3)
    assert learned.loss < 0.5
    assert result.train_loss < 0.5
    assert learned.state_numel == 2 * 2 * 32 * 8  # layers · (k and v) · width · N
    assert learned.state_bytes == 4 * learned.state_numel


def test_same_config_same_metrics_and_nobody_elses_random_state(small_run: RunConfig) -> None:
    before = torch.get_rng_state()
    first = train(small_run)
    torch.rand(3)
    second = train(small_run)
    assert [replace(first, seconds=0)] == [replace(second, seconds=0)]
    torch.set_rng_state(before)
    train(small_run)
    assert torch.equal(torch.get_rng_state(), before)
    other_seed = train(replace(small_run, seed=1))
    assert other_seed.train_loss != first.train_loss


def test_dropout_too_is_a_function_of_the_seed(small_run: RunConfig) -> None:
    dropping = replace(small_run, model=replace(small_run.model, embedding_dropout=0.5))
    losses = {train(dropping).train_loss for _ in range(2)}
    assert len(losses) == 1
    assert losses != {train(small_run).train_loss}


def test_a_run_that_diverges_reports_nan(small_run: RunConfig) -> None:
    wild = replace(small_run, train=replace(small_run.train, lr=1e30, clip_norm=1e30, steps=50))
    result = train(wild)
    assert not math.isfinite(result.train_loss)
    assert all(one.examples == 40 for one in result.slices)


def test_evaluation_counts_right_answers() -> None:
    task = SetDisjointness(12, 2, 3)

    class Oracle(torch.nn.Module):
        """Knows the answer, but for every tenth example."""

        def hidden(self, tokens: torch.Tensor, prefix_len: int) -> torch.Tensor:
            in_b = torch.nn.functional.one_hot(tokens[:, 4:7], 12).sum(1)
            in_a = torch.nn.functional.one_hot(tokens[:, 1:3], 12).sum(1)
            answer = (in_a * in_b).float()
            answer[::10] = 1.0 - answer[::10]
            return answer[:, None].expand(-1, tokens.shape[1], -1) * 50

        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden

        def prefill(self, tokens: torch.Tensor, prefix_len: int) -> object:
            return None, type("State", (), {"numel": 3, "nbytes": 12})

    result = evaluate(Oracle(), task, 250, seed=0)  # type: ignore[arg-type]
    assert (result.examples, result.correct) == (250, 225)
    assert (result.state_numel, result.state_bytes) == (3, 12)


@dataclass(frozen=True)
class Spy(SetDisjointness):
    """A task that notes which split it was asked for, and hides all but one token as prefix."""

    prefix_len: int = 1
    asked: ClassVar[list[str]] = []

    def sample(self, batch_size: int, **options: Any) -> Batch:
        self.asked.append(options.get("split", "train"))
        return replace(super().sample(batch_size, **options), prefix_len=self.prefix_len)


def test_training_and_testing_draw_from_their_own_streams(
    small_run: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskConfig, "_task", lambda self, a, b: Spy(self.vocab_size, a, b))
    Spy.asked.clear()
    train(small_run)
    first_test = Spy.asked.index("test")
    assert set(Spy.asked[:first_test]) == {"train"}
    assert set(Spy.asked[first_test:]) == {"test"}


def test_the_model_reads_the_tasks_prefix() -> None:
    """How much may be read ahead changes what a prefix model answers, and nothing for others."""
    with torch.random.fork_rng():
        for mixer, differs in (("prefix_linear_attention", True), ("linear_attention", False)):
            torch.manual_seed(0)
            model = LanguageModel(ModelConfig("test", (mixer,), width=16, depth=2), 12)
            losses = {evaluate(model, Spy(12, 2, 3, prefix_len=m), 50, seed=0).loss for m in (1, 8)}
            assert len(losses) == (2 if differs else 1)


def test_evaluation_does_not_drop_out() -> None:
    config = ModelConfig("test", ("gru",), width=16, depth=1, embedding_dropout=0.5)
    model = LanguageModel(config, 12).train()
    assert len({evaluate(model, SetDisjointness(12, 2, 3), 50, seed=0).loss for _ in range(3)}) == 1


@pytest.mark.parametrize("change", [{"weight_decay": 0.0}, {"clip_norm": 1e-3}, {"beta2": 0.5}])
def test_each_optimizer_setting_matters(small_run: RunConfig, change: dict[str, float]) -> None:
    other = replace(small_run, train=replace(small_run.train, **change))  # type: ignore[arg-type]
    assert train(other).train_loss != train(small_run).train_loss


def test_the_schedule_is_followed(small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate of zero nothing changes: all later steps leave the first one's model."""
    monkeypatch.setattr("sdsim.train.learning_rate_factor", lambda step, _: float(step == 0))
    one_step = replace(small_run, train=replace(small_run.train, steps=1))
    assert train(small_run).slices == train(one_step).slices


def test_learning_rate_warms_up_and_decays_to_zero() -> None:
    settings = TrainConfig(steps=1000, warmup=0.1)
    factors = [learning_rate_factor(step, settings) for step in range(1000)]
    assert factors[:100] == sorted(factors[:100])
    assert max(factors) == factors[100] == 1
    assert factors[100:] == sorted(factors[100:], reverse=True)
    assert 0 < factors[-1] < 1e-4
    assert learning_rate_factor(0, replace(settings, warmup=0)) == 1


def test_unusable_device() -> None:
    with pytest.raises(ValueError, match="device = 'warp' cannot be used"):
        check_device("warp")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, "train.steps = 0"),
        ({"batch_size": -1}, "train.batch_size = -1"),
        ({"lr": 0.0}, "train.lr = 0.0"),
        ({"lr": math.nan}, "train.lr = nan"),
        ({"warmup": 1.0}, "train.warmup = 1.0"),
        ({"weight_decay": -0.1}, "train.weight_decay = -0.1"),
    ],
)
def test_bad_train_settings(change: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(TrainConfig(), **change)  # type: ignore[arg-type]


def test_bad_task_settings() -> None:
    with pytest.raises(ValueError, match="train_sizes is empty"):
        TaskConfig(train_sizes=())
    with pytest.raises(ValueError, match="does not fit"):
        TaskConfig(test_sizes=((30, 30),))
