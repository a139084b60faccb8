"""Tests of testing: accuracy, and accuracy with a rounded state against a loop that is plain."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sdsim.config import EvalConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.models import LanguageModel, ModelConfig
from sdsim.models.quantization import quantized, quantized_bits
from sdsim.training import evaluation
from sdsim.training.result import SliceResult
from sdsim.training.trainer import SequentialTrainer
from synthetic import (
    IGNORE_INDEX,
    Batch,
    GeneralAssociativeRecall,
    MultiQueryAssociativeRecall,
    SetDisjointness,
    Task,
)

CPU = torch.device("cpu")
Train = Callable[[str], LanguageModel]

MODELS = {
    "gru": ModelConfig("gru", ("gru",), width=20, depth=1, mlp="none"),
    "based": ModelConfig("based", ("base_conv", "linear_attention"), 24, 2, 2, 2, mlp="none"),
    "jrt_rnn": ModelConfig(
        "jrt", ("base_conv", "prefix_linear_attention"), 24, 2, 2, 2, mlp="none"
    ),
}


@pytest.fixture(scope="module")
def trained() -> Train:
    """Models that have learned to name the common element of two and four out of eight."""
    models: dict[str, LanguageModel] = {}

    def once(name: str) -> LanguageModel:
        if name not in models:
            config = RunConfig(
                MODELS[name],
                TaskConfig(vocab_size=12, train_sizes=((2, 4), (4, 2))),
                TrainConfig(steps=300, batch_size=64, lr=1e-2),
            )
            trainer = SequentialTrainer(config, CPU)
            while not trainer.finished():
                trainer.step()
            models[name] = trainer.model(0).eval()
        return models[name]

    return once


def untrained(*mixers: str, vocab_size: int = 12, **settings: Any) -> LanguageModel:
    """With loud mixers, so that what it names depends on its state."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LanguageModel(ModelConfig("test", mixers, 16, 2, 2, 2, **settings), vocab_size)
    for name, parameter in model.named_parameters():
        if name.endswith("out_proj.weight"):
            parameter.data *= 10
    return model.eval()


def evaluate(model: LanguageModel, task: Task, examples: int = 50, **test: Any) -> SliceResult:
    return evaluation.evaluate(model, task, EvalConfig(examples, **test), seed=0, device=CPU)


# --- accuracy ---


@dataclass(frozen=True)
class Read:
    """What an oracle hands on as hidden features, and as its state."""

    numel: int = 3
    nbytes: int = 12


class Oracle(torch.nn.Module):
    """Knows all answers of the test stream, except those that it is asked to miss."""

    bidirectional_prefix = False
    config = ModelConfig("oracle", ("gru",))

    def __init__(self, task: Task, missed: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.task, self.missed, self.start = task, missed, 0

    measures_state = True

    def hidden(self, tokens: Tensor, prefix_len: int, **_: Any) -> Tensor:
        known = self.task.sample(len(tokens), seed=0, start=self.start, split="test")
        assert torch.equal(tokens, known.inputs)
        assert prefix_len == known.prefix_len
        self.start += len(tokens)
        asked = known.targets != IGNORE_INDEX
        named = torch.where(self.missed(asked.cumsum(1)) | ~asked, 0, known.targets)
        return torch.nn.functional.one_hot(named, self.task.vocab_size) * 50.0

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden

    def prefill(self, tokens: Tensor, prefix_len: int) -> tuple[None, Read]:
        return None, Read()


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        (SetDisjointness(12, 2, 3), 1),
        (SetDisjointness(12, 3, 4, answer="all", common=3), 3),
        (MultiQueryAssociativeRecall(20, 4, 3, gaps="power_law", query_len=6), 3),
        (GeneralAssociativeRecall(20, 4, 3, null_share=0.25), 3),
        (GeneralAssociativeRecall(20, 4, 3, order="query_first", passes=2), 3),
    ],
    ids=str,
)
def test_every_answer_of_every_example_counts(task: Task, answers: int) -> None:
    def result(missed: Callable[[Tensor], Tensor]) -> SliceResult:
        oracle: Any = Oracle(task, missed)
        return evaluate(oracle, task, 300)

    all_right = result(lambda number: number < 0)
    assert (all_right.examples, all_right.answers) == (300, answers)
    assert all_right.correct == 300 * answers
    assert all_right.loss == pytest.approx(0, abs=1e-6)
    assert (all_right.state_numel, all_right.state_bits) == (3, 96)

    def first(number: Tensor) -> Tensor:
        return number == 1

    def first_of_every_tenth(number: Tensor) -> Tensor:
        return (number == 1) & (torch.arange(len(number)) % 10 == 0)[:, None]

    one_missed = result(first)
    assert one_missed.correct == 300 * (answers - 1)
    assert one_missed.loss == pytest.approx(50 / answers, rel=0.01), "the mean over answers"
    assert result(first_of_every_tenth).correct == 300 * answers - 26 - 5, "of 256 and of 44"


@pytest.mark.parametrize("examples", [1, 255, 257])
def test_batches_make_no_difference(
    trained: Train, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    task = SetDisjointness(12, 4, 2)
    settings: dict[str, Any] = {"bits": (2, 8), "quantize": "steps"}
    whole = evaluate(trained("gru"), task, examples, **settings)
    monkeypatch.setattr(evaluation, "_BATCH", 100)
    monkeypatch.setattr(evaluation, "_QUANTIZED_ROWS", 51)
    parts = evaluate(trained("gru"), task, examples, **settings)
    assert parts.loss == pytest.approx(whole.loss)
    assert replace(parts, loss=whole.loss) == whole


@dataclass(frozen=True)
class ShortPrefix(SetDisjointness):
    """Its prompt is said to be short."""

    prefix: int = 1

    def sample(self, batch_size: int, **options: Any) -> Batch:
        return replace(super().sample(batch_size, **options), prefix_len=self.prefix)


def test_validation_examples_are_examples_of_their_own(trained: Train) -> None:
    """The same model, as accurate on another stream; what is measured on test examples stays."""
    model, task = trained("gru"), SetDisjointness(12, 4, 2)
    alone, both = (evaluate(model, task, 2000, validation=drawn) for drawn in (0, 1000))
    assert alone.validation_correct is None
    assert both == replace(alone, validation_correct=both.validation_correct)
    batch = task.sample(1000, seed=0, split="validation")
    with torch.no_grad():
        named = model(batch.inputs, batch.prefix_len)[:, -1].argmax(-1)
    assert both.validation_correct == int((named == batch.targets[:, -1]).sum())
    assert both.validation_correct / 1000 == pytest.approx(both.correct / 2000, abs=0.05)


def test_the_model_reads_the_tasks_prefix() -> None:
    """How much may be read ahead changes what a prefix model answers, and nothing for others."""
    for mixer, differs in (("prefix_linear_attention", True), ("linear_attention", False)):
        model = untrained(mixer)
        losses = {evaluate(model, ShortPrefix(12, 2, 3, prefix=m)).loss for m in (1, 8)}
        assert len(losses) == (2 if differs else 1)


def test_a_model_is_tested_as_such_and_nothing_has_a_gradient() -> None:
    model = untrained("gru").train()
    task = SetDisjointness(12, 2, 3)
    results = [evaluate(model, task, bits=(2,), quantize="steps") for _ in range(3)]
    assert results[0] == results[1] == results[2]
    assert not model.training


def test_without_widths_nothing_is_read_again(
    trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_evaluate_quantized", lambda *_: pytest.fail("read again"))
    assert evaluate(trained("gru"), SetDisjointness(12, 2, 4)).quantized == []


# --- with a rounded state ---


def one_by_one(model: LanguageModel, batch: Batch, bits: int, where: str) -> tuple[Tensor, int]:
    """What the model names at each position (B, N), and the most bits that it carried.

    Sequence by sequence and token by token, as one would say it.
    """
    named, most_bits = torch.zeros_like(batch.inputs), 0
    for row, (tokens, targets) in enumerate(zip(batch.inputs, batch.targets, strict=True)):
        length = len(tokens)
        if model.bidirectional_prefix:
            start = min(batch.prefix_len, int((targets != IGNORE_INDEX).nonzero()[0]))
            marks = {start} if where == "crossings" else set(range(start, length))
        else:
            start = 1
            after_separators = {n + 1 for n in range(length) if tokens[n] == SetDisjointness.SEP}
            before_copies = {n for n in range(1, length) if tokens[n] == SetDisjointness.PREFIX}
            crossings = after_separators | before_copies
            marks = crossings if where == "crossings" else set(range(start, length))
        _, state = model.prefill(tokens[None, :start], start)
        for position in range(start, length):
            if position in marks:
                state = quantized(state, torch.tensor([bits]))
            most_bits = max(most_bits, quantized_bits(state, bits))
            logits, state = model.step(tokens[None, position], state)
            named[row, position] = logits.argmax()
        most_bits = max(most_bits, quantized_bits(state, bits))
    return named, most_bits


class Renamed:
    """A task with other answers, for the first of its test examples."""

    def __init__(self, task: Task, named: Tensor) -> None:
        self.task, self.named = task, named

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    def sample(self, batch_size: int, *, start: int = 0, **options: Any) -> Batch:
        batch = self.task.sample(batch_size, start=start, **options)
        named = self.named[start : start + batch_size]
        return replace(batch, targets=batch.targets.where(batch.targets == IGNORE_INDEX, named))


@torch.no_grad()
def assert_as_one_by_one(model: LanguageModel, task: Task, where: str, examples: int = 12) -> None:
    """In float64, where other groupings of the same sums do not cross a rounding edge.

    The right answers are said to be those of the plain loop at 3 bits: then each of them counts,
    however little the model knows.
    """
    before = next(model.parameters()).dtype
    model.double()
    try:
        batch = task.sample(examples, seed=0, split="test")
        plain = {bits: one_by_one(model, batch, bits, where) for bits in (1, 3, 16)}
        renamed: Any = Renamed(task, plain[3][0])
        result = evaluate(model, renamed, examples, bits=(1, 3, 16), quantize=where)
    finally:
        model.to(before)
    asked = batch.targets != IGNORE_INDEX
    for one in result.quantized:
        named, most_bits = plain[one.bits]
        assert one.correct == int((named == plain[3][0])[asked].sum())
        assert one.state_bits == most_bits
    assert [one.bits for one in result.quantized] == [1, 3, 16]
    assert result.quantized[1].correct == int(asked.sum())


TRAINED_ON = [SetDisjointness(12, 2, 4), SetDisjointness(12, 4, 2, passes=3)]


@pytest.mark.parametrize("where", ["crossings", "steps"])
@pytest.mark.parametrize("task", TRAINED_ON, ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_rounding_is_that_of_a_plain_loop(
    trained: Train, name: str, task: Task, where: str
) -> None:
    assert_as_one_by_one(trained(name), task, where)


@pytest.mark.parametrize("where", ["crossings", "steps"])
@pytest.mark.parametrize(
    "task",
    [
        SetDisjointness(12, 3, 4, answer="all", common=2),
        MultiQueryAssociativeRecall(12, 3, 2, passes=2),
        GeneralAssociativeRecall(16, 3, 2, order="query_first"),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "mixers", [("softmax_attention",), ("base_conv", "noncausal_linear_attention")], ids=str
)
def test_several_answers_are_read_on_from_a_rounded_state(
    mixers: tuple[str, ...], task: Task, where: str
) -> None:
    assert_as_one_by_one(untrained(*mixers, vocab_size=task.vocab_size), task, where, 6)


@pytest.mark.parametrize("where", ["crossings", "steps"])
def test_a_prompt_may_end_before_the_first_question(where: str) -> None:
    task = MultiQueryAssociativeRecall(12, 3, 1, gaps="power_law", query_len=6, exponent=1.0)
    batch = task.sample(4, seed=0, split="test")
    first_asked = int((batch.targets != IGNORE_INDEX).any(0).nonzero()[0])
    assert first_asked > batch.prefix_len, "fillers stand between"
    assert_as_one_by_one(untrained("base_conv", "prefix_linear_attention"), task, where, 4)


def test_widths_beside_each_other_are_widths_alone(trained: Train) -> None:
    task = SetDisjointness(12, 4, 2)
    together = evaluate(trained("gru"), task, bits=(1, 16, 3), quantize="steps").quantized
    for one in together:
        assert [one] == evaluate(trained("gru"), task, bits=(one.bits,), quantize="steps").quantized


@pytest.mark.parametrize("name", MODELS)
def test_many_bits_cost_nothing_and_one_bit_does(trained: Train, name: str) -> None:
    """A state forgets more the fewer bits it has, and the more often it is rounded."""
    task = SetDisjointness(12, 4, 2)
    for where in ("crossings", "steps"):
        result = evaluate(trained(name), task, 500, bits=(1, 16), quantize=where)
        one_bit, sixteen = result.quantized
        assert result.correct > 0.9 * 500
        assert abs(sixteen.correct - result.correct) <= 0.01 * 500
        assert one_bit.correct < 0.99 * sixteen.correct
    if name != "jrt_rnn":
        assert one_bit.correct < 0.7 * 500


def test_the_state_that_is_counted_is_the_largest_that_was_carried() -> None:
    """Softmax attention's grows, also after the only crossing."""
    task = SetDisjointness(12, 2, 4)
    model = untrained("softmax_attention")
    numbers = 2 * 2 * 16 * task.seq_len  # layers, k and v, width
    for where in ("crossings", "steps"):
        (one,) = evaluate(model, task, bits=(5,), quantize=where).quantized
        assert one.state_bits == numbers * 5 + 2 * 2 * 2 * 16  # a scale for each head
