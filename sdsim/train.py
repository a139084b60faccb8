"""Training: a config in, a trained model out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import RunConfig, TrainConfig
from sdsim.models import LanguageModel, ModelConfig
from synthetic import IGNORE_INDEX, Batch, Task

_EXAMPLES_PER_BLOCK = 4096


def train(
    config: RunConfig, *, device: torch.device, on_step: Callable[[int], None] | None = None
) -> tuple[LanguageModel, float]:
    """Train one model.

    The outcome is a function of the config, on one machine: initialisation, data and dropout draw
    from streams of their own, and the process's random state is left as it was.

    Args:
        config: what to train on what; its model is a network.
        device: where.
        on_step: called with the number of steps done, after each.

    Returns:
        The model, and the mean loss of the last hundredth of the steps in nats, NaN if it diverged.
    """
    if not isinstance(config.model, ModelConfig):
        raise ValueError(f"model.name = {config.model.name!r}: a machine is not trained")
    # Neither the caller's random state nor the caller's devices are touched.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = LanguageModel(config.model, config.task.vocab_size).to(device)
        return model, _fit(model, config, device, on_step)


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
    mixture = config.task.train_tasks()
    batch_size = config.train.batch_size
    # Examples are made in blocks of many batches: a call costs the same for few as for many.
    batches_per_block = max(1, _EXAMPLES_PER_BLOCK // batch_size)
    streams = [
        _batches_of(task, batch_size, batches_per_block, config.seed, device)
        for task in mixture.tasks
    ]
    for turn in mixture.schedule(config.train.steps):
        yield next(streams[turn])


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


def answers(model: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (answers, V) at the positions that carry a target, and the targets (answers,)."""
    asked = batch.targets != IGNORE_INDEX
    hidden = model.hidden(batch.inputs, batch.prefix_len)
    return model.logits(hidden[asked]), batch.targets[asked]


def _loss(model: LanguageModel, batch: Batch) -> Tensor:
    return F.cross_entropy(*answers(model, batch))
