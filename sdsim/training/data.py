"""What a run reads and what it is asked: batches of its tasks, and a model's answers to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import AlgorithmConfig, ModelConfig, ModuleConfig, RunConfig
from sdsim.models import Network
from sdsim.seeding import seeded_generator
from sdsim.training.tasks import train_tasks
from synthetic import IGNORE_INDEX, Batch, Task

_EXAMPLES_PER_BLOCK = 4096


class Layout(NamedTuple):
    """How the sequences of a batch are made up.

    Attributes:
        prefix_len: as in `synthetic.Batch`.
        boundaries: as `synthetic.Task.segment_boundaries`; () for models without a budget.
    """

    prefix_len: int
    boundaries: tuple[int, ...] = ()


class Questions(NamedTuple):
    """A batch, and the positions at which something is asked.

    Attributes:
        inputs: tokens, int64 (B, N).
        positions: of the answers, in order, int64 (B, K).
        targets: the answers, int64 (B, K); `IGNORE_INDEX` in rows that ask for fewer than K.
        layout: what all examples have in common.
    """

    inputs: Tensor
    positions: Tensor
    targets: Tensor
    layout: Layout

    @classmethod
    def of(cls, batch: Batch, boundaries: tuple[int, ...] = ()) -> Questions:
        """All that a batch asks; its segment boundaries, for models that have a use for them."""
        asked = batch.targets != IGNORE_INDEX
        counts = asked.sum(1)
        least, most = (int(count) for count in counts.aminmax())
        if least == most:
            positions = asked.nonzero()[:, 1].view(-1, most)
        else:
            positions = asked.byte().sort(dim=1, descending=True, stable=True).indices[:, :most]
        targets, layout = batch.targets.gather(1, positions), Layout(batch.prefix_len, boundaries)
        return cls(batch.inputs, positions, targets, layout)

    def split(self, size: int) -> Iterator[Questions]:
        """In batches of `size` examples."""
        tensors = (self.inputs, self.positions, self.targets)
        for parts in zip(*(torch.split(tensor, size) for tensor in tensors), strict=True):
            inputs, positions, targets = parts
            yield Questions(inputs, positions, targets, self.layout)

    def take(self, examples: Tensor) -> Questions:
        """Some of the examples, by number."""
        return Questions(
            self.inputs[examples], self.positions[examples], self.targets[examples], self.layout
        )


class TaskBatch(NamedTuple):
    """The number of a train task, and a batch of it."""

    task: int
    questions: Questions


def answer_logits(
    model: Network, asked: Questions, embedding_scale: Tensor | None = None
) -> Tensor:
    """Logits (B, K, V) at the positions of the answers."""
    prefix_len, boundaries = asked.layout
    hidden = model.hidden(
        asked.inputs, prefix_len, embedding_scale=embedding_scale, boundaries=boundaries
    )
    where = asked.positions[..., None].expand(-1, -1, hidden.shape[-1])
    return model.logits(hidden.gather(1, where))


def loss_and_accuracy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the answers, in nats, and the fraction right; both 0-dimensional."""
    logits, targets = logits.flatten(0, 1), targets.flatten()
    loss = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
    right = (logits.detach().argmax(-1) == targets).sum() / (targets != IGNORE_INDEX).sum()
    return loss, right


def embedding_scale(config: RunConfig, step: int, tokens: Tensor) -> Tensor | None:
    """Dropout of the embeddings of tokens (B, N) at a step: factors (B, N, width).

    None without dropout. A function of the seed and the step alone, on one kind of device.
    """
    if not isinstance(config.model, ModelConfig) or not config.model.embedding_dropout:
        return None
    kept = 1 - config.model.embedding_dropout
    generator = seeded_generator("dropout", config.seed, step, device=tokens.device)
    shape = (*tokens.shape, config.model.width)
    return (torch.rand(shape, generator=generator, device=tokens.device) < kept) / kept


def segment_boundaries(
    model: ModelConfig | ModuleConfig | AlgorithmConfig, task: Task
) -> tuple[int, ...]:
    """Those of a task at which a model quantizes its state; () where it does not."""
    if not isinstance(model, ModelConfig) or not model.has_budget:
        return ()
    return task.segment_boundaries if model.state_quantized_at == "boundaries" else ()


def training_batches(
    config: RunConfig, device: torch.device, first_step: int = 0
) -> Iterator[TaskBatch]:
    """What a run reads, step by step, from a step on.

    The train tasks take turns, a batch each; a batch holds one task, hence one length.
    """
    mixture = train_tasks(config.task)
    schedule = mixture.schedule(config.train.steps)
    streams = [
        _batches_of(task, config, device, schedule[:first_step].count(index))
        for index, task in enumerate(mixture.tasks)
    ]
    for turn in schedule[first_step:]:
        yield TaskBatch(turn, next(streams[turn]))


def _batches_of(
    task: Task, config: RunConfig, device: torch.device, first: int
) -> Iterator[Questions]:
    """A task's batches without end, from number `first` on."""
    size = config.train.batch_size
    if config.train.examples is not None:
        return _epochs(task, config, device, first * size)
    boundaries = segment_boundaries(config.model, task)
    # Examples are made in blocks of many batches: a call costs the same for few as for many.
    block = size * max(1, _EXAMPLES_PER_BLOCK // size)
    return (
        batch
        for start in itertools.count(first * size, block)
        for batch in Questions.of(
            task.sample(block, seed=config.seed, start=start, device=device), boundaries
        ).split(size)
    )


def _epochs(task: Task, config: RunConfig, device: torch.device, start: int) -> Iterator[Questions]:
    """Batches of a set of examples, read again and again, each time in another order."""
    count, size = config.train.examples or 0, config.train.batch_size
    everything = Questions.of(
        task.sample(count, seed=config.seed, device=device), segment_boundaries(config.model, task)
    )
    epoch, skip = divmod(start, count)
    order = torch.empty(0, dtype=torch.int64, device=device)
    while True:
        while len(order) < skip + size:
            generator = seeded_generator("epoch", repr(task), config.seed, epoch)
            more = torch.randperm(count, generator=generator).to(device)
            order, epoch = torch.cat([order, more]), epoch + 1
        chosen, order, skip = order[skip : skip + size], order[skip + size :], 0
        yield everything.take(chosen)
