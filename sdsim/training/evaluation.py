"""Evaluating a trained model: its accuracy, its state, and its accuracy with a quantized state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import EvalConfig
from sdsim.models import LanguageModel, ModelState, Network
from sdsim.models.quantization import quantized, quantized_bits
from sdsim.training.data import Questions, answer_logits, segment_boundaries
from sdsim.training.result import QuantizedResult, SliceResult
from synthetic import IGNORE_INDEX, Batch, Split, Task

_BATCH = 256
_QUANTIZED_ROWS = 2048


@torch.no_grad()
def evaluate(
    model: Network, task: Task, test: EvalConfig, *, seed: int, device: torch.device
) -> SliceResult:
    """Accuracy and loss on examples of the test stream, and the state after an example.

    Validation examples, where some are asked for, are counted by their right answers alone.

    Raises:
        ValueError: for `test.bits` with a model whose state is not measured.
    """
    if test.bits and not model.measures_state:
        raise ValueError(f"test.bits: the state of {model.config.name} cannot be quantized")
    model.eval()
    correct, loss, asked = _score(
        model, task, _batches(task, "test", test.examples, _BATCH, seed, device)
    )
    validation = _batches(task, "validation", test.validation, _BATCH, seed, device)
    state_numel, state_bits = _state_size(model, task, seed, device)
    return SliceResult.of(
        task,
        examples=test.examples,
        answers=asked // test.examples,
        correct=correct,
        loss=loss / asked,
        state_numel=state_numel,
        state_bits=state_bits,
        quantized=_evaluate_quantized(model, task, test, seed, device) if test.bits else [],
        validation_correct=_score(model, task, validation)[0] if test.validation else None,
    )


def _score(model: Network, task: Task, batches: Iterator[Batch]) -> tuple[int, float, int]:
    """Right answers, the sum of the cross-entropies in nats, and the answers asked for."""
    correct, loss, asked = 0, 0.0, 0
    for batch in batches:
        questions = Questions.of(batch, segment_boundaries(model.config, task))
        logits, targets = answer_logits(model, questions).flatten(0, 1), questions.targets.flatten()
        correct += int((logits.argmax(-1) == targets).sum())
        loss += float(F.cross_entropy(logits, targets, reduction="sum", ignore_index=IGNORE_INDEX))
        asked += int((targets != IGNORE_INDEX).sum())
    return correct, loss, asked


def _state_size(
    model: Network, task: Task, seed: int, device: torch.device
) -> tuple[int | None, int | None]:
    """Numbers and bits carried per sequence: within the budget if there is one, else at the end.

    Of a state that is not measured the bits are those that are stated, None if none are.
    """
    if not model.measures_state:
        return None, model.stated_state_bits
    model = cast("LanguageModel", model)
    if model.config.has_budget:
        bits = model.budget_bits
        return bits // model.config.state_bits_per_number, bits
    example = task.sample(1, seed=seed, device=device, split="test")
    _, state = model.prefill(example.inputs, example.prefix_len)
    return state.numel, 8 * state.nbytes


def _batches(
    task: Task, split: Split, examples: int, size: int, seed: int, device: torch.device
) -> Iterator[Batch]:
    for start in range(0, examples, size):
        count = min(size, examples - start)
        yield task.sample(count, seed=seed, start=start, device=device, split=split)


def _evaluate_quantized(
    model: Network, task: Task, test: EvalConfig, seed: int, device: torch.device
) -> list[QuantizedResult]:
    """The same test at all widths at once, side by side in one batch."""
    model = cast("LanguageModel", model)  # others have been refused
    widths = torch.tensor(test.bits, device=device)
    correct = torch.zeros_like(widths)
    size = max(1, _QUANTIZED_ROWS // len(widths))
    state_bits = [0] * len(widths)
    for batch in _batches(task, "test", test.examples, size, seed, device):
        reader = _QuantizedReader(model, batch, widths)
        correct += reader.read(_quantized_after(model, task, batch, test.quantize))
        state_bits = [max(pair) for pair in zip(state_bits, reader.state_bits, strict=True)]
    return [
        QuantizedResult(*row) for row in zip(test.bits, state_bits, correct.tolist(), strict=True)
    ]


def _quantized_after(model: LanguageModel, task: Task, batch: Batch, where: str) -> list[int]:
    """After how many tokens the state is quantized, in order; the first is where steps begin."""
    length = batch.inputs.shape[1]
    if not model.bidirectional_prefix:
        return list(task.segment_boundaries) if where == "crossings" else list(range(1, length))
    asked = (batch.targets != IGNORE_INDEX).any(0).nonzero()
    # Where the prompt takes in the first [sep_answer], a state to carry is that before it.
    prompt = max(1, min(batch.prefix_len, int(asked[0])))
    return [prompt] if where == "crossings" else list(range(prompt, length))


class _QuantizedReader:
    """Reads a batch token by token with a quantized state, once for each of some widths.

    Attributes:
        state_bits: the most that was carried, for each width.
    """

    def __init__(self, model: LanguageModel, batch: Batch, widths: Tensor) -> None:
        self.model, self.batch, self.widths = model, batch, widths
        self.rows = widths.repeat_interleave(len(batch.inputs))
        self.state_bits = [0] * len(widths)

    def read(self, places: list[int]) -> Tensor:
        """Right answers for each width, int64 (widths,)."""
        inputs, targets = (
            x.repeat(len(self.widths), 1) for x in (self.batch.inputs, self.batch.targets)
        )
        start, after = places[0], set(places)
        right = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
        _, state = self.model.prefill(
            self.batch.inputs[:, :start], min(self.batch.prefix_len, start)
        )
        self._count(state)
        state = quantized(_repeated(state, len(self.widths)), self.rows)
        for position in range(start, inputs.shape[1]):
            logits, state = self.model.step(inputs[:, position], state)
            self._count(state)
            target = targets[:, position]
            right += (logits.argmax(-1) == target) & (target != IGNORE_INDEX)
            if position + 1 in after:
                state = quantized(state, self.rows)
        return right.view(len(self.widths), -1).sum(1)

    def _count(self, state: ModelState) -> None:
        carried = [quantized_bits(state, width) for width in self.widths.tolist()]
        self.state_bits = [max(pair) for pair in zip(self.state_bits, carried, strict=True)]


def _repeated(state: ModelState, times: int) -> ModelState:
    return ModelState(
        tuple(
            tuple(tensor.repeat(times, *[1] * (tensor.ndim - 1)) for tensor in layer)
            for layer in state.layers
        )
    )
