"""One training run: a config in, measured accuracies and a measured state out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import RunConfig, TrainConfig
from sdsim.models import LanguageModel
from synthetic import IGNORE_INDEX, Batch, Task

_EXAMPLES_PER_BLOCK = 4096
_EVALUATION_BATCH = 256


@dataclass(frozen=True)
class SliceResult:
    """What a trained model does on one test task.

    Attributes:
        task: the test task.
        examples: how many were drawn.
        correct: how many answers were right.
        loss: mean cross-entropy of the answers, nats.
        state_numel: numbers that `step` carries per sequence after the input.
        state_bytes: the same in bytes.
    """

    task: Task
    examples: int
    correct: int
    loss: float
    state_numel: int
    state_bytes: int


@dataclass(frozen=True)
class TrainResult:
    """What one run measured.

    Attributes:
        slices: one result per test task.
        params: trainable numbers.
        train_loss: mean loss of the last hundredth of the steps, nats; NaN if the run diverged.
        seconds: wall-clock time of training and testing.
    """

    slices: list[SliceResult]
    params: int
    train_loss: float
    seconds: float


def train(
    config: RunConfig,
    *,
    device: torch.device | str = "cpu",
    on_step: Callable[[int], None] | None = None,
) -> TrainResult:
    """Train one model and test it on every test task.

    The outcome is a function of the config, on one machine: initialisation, data and dropout draw
    from streams of their own, and the process's random state is left as it was.

    Args:
        config: what to train on what.
        device: where.
        on_step: called with the number of steps done, after each.
    """
    started = time.perf_counter()
    device = torch.device(device)
    # Neither the caller's random state nor the caller's devices are touched.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = LanguageModel(config.model, config.task.vocab_size).to(device)
        train_loss = _fit(model, config, device, on_step)
        slices = [
            evaluate(model, task, config.train.test_examples, seed=config.seed, device=device)
            for task in config.task.test_tasks()
        ]
    return TrainResult(
        slices=slices,
        params=sum(p.numel() for p in model.parameters()),
        train_loss=train_loss,
        seconds=time.perf_counter() - started,
    )


def check_device(name: str) -> None:
    """Raise `ValueError` unless torch can compute on the device of this name."""
    try:
        float(torch.ones(1, device=name).sum())
    except (RuntimeError, AssertionError) as error:  # torch raises both, by backend
        reason = str(error).splitlines()[0]
        raise ValueError(f"device = {name!r} cannot be used: {reason}") from error


def _fit(
    model: LanguageModel,
    config: RunConfig,
    device: torch.device,
    on_step: Callable[[int], None] | None,
) -> float:
    settings = config.train
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.lr,
        betas=(0.9, settings.beta2),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, settings)
    )
    model.train()
    tail = max(1, settings.steps // 100)
    last_losses = torch.zeros(tail, device=device)
    for step, batch in enumerate(_training_batches(config, device)):
        loss = _loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        optimizer.step()
        schedule.step()
        last_losses[step % tail] = loss.detach()
        if on_step is not None:
            on_step(step + 1)
    return float(last_losses.mean())


def learning_rate_factor(step: int, settings: TrainConfig) -> float:
    """Linear warm-up, then a cosine to zero: the factor on the peak learning rate."""
    warmup = settings.warmup * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, settings.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def _training_batches(config: RunConfig, device: torch.device) -> Iterator[Batch]:
    """The train tasks take turns, a batch each; a batch holds one task, hence one length."""
    tasks = config.task.train_tasks()
    batch_size = config.train.batch_size
    # Examples are made in blocks of many batches: a call costs the same for few as for many.
    batches_per_block = max(1, _EXAMPLES_PER_BLOCK // batch_size)
    streams = [
        _batches_of(task, batch_size, batches_per_block, config.seed, device) for task in tasks
    ]
    for step in range(config.train.steps):
        yield next(streams[step % len(streams)])


def _batches_of(
    task: Task, batch_size: int, batches_per_block: int, seed: int, device: torch.device
) -> Iterator[Batch]:
    start = 0
    while True:
        block_size = batch_size * batches_per_block
        block = task.sample(block_size, seed=seed, start=start, device=device)
        for inputs, targets in zip(
            torch.split(block.inputs, batch_size),
            torch.split(block.targets, batch_size),
            strict=True,
        ):
            yield Batch(inputs, targets, block.prefix_len)
        start += block_size


def _answers(model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (answers, V) at the positions that carry a target, and the targets (answers,)."""
    asked = batch.targets != IGNORE_INDEX
    hidden = model.hidden(batch.inputs, batch.prefix_len)
    return model.logits(hidden[asked]), batch.targets[asked]


def _loss(model: LanguageModel, batch: Batch) -> Tensor:
    return F.cross_entropy(*_answers(model, batch))


@torch.no_grad()
def evaluate(
    model: LanguageModel,
    task: Task,
    examples: int,
    *,
    seed: int,
    device: torch.device | str = "cpu",
) -> SliceResult:
    """Accuracy and loss on `examples` examples of the test stream, and the state after one."""
    model.eval()
    correct, loss = 0, 0.0
    for start in range(0, examples, _EVALUATION_BATCH):
        size = min(_EVALUATION_BATCH, examples - start)
        batch = task.sample(size, seed=seed, start=start, device=device, split="test")
        logits, targets = _answers(model, batch)
        correct += int((logits.argmax(-1) == targets).sum())
        loss += float(F.cross_entropy(logits, targets, reduction="sum"))
    one = task.sample(1, seed=seed, device=device, split="test")
    _, state = model.prefill(one.inputs, one.prefix_len)
    return SliceResult(
        task=task,
        examples=examples,
        correct=correct,
        loss=loss / examples,
        state_numel=state.numel,
        state_bytes=state.nbytes,
    )
