"""Training, step by step: what a run draws, how it learns, and all that it has to remember."""

from __future__ import annotations

import hashlib
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from sdsim.config import RunConfig, TrainConfig
from sdsim.models import LanguageModel, ModelConfig
from synthetic import IGNORE_INDEX, Batch, Task

BETA1 = 0.9
"""Decay of AdamW's first moment."""

_EXAMPLES_PER_BLOCK = 4096


def check_device(name: str) -> None:
    """Raise `ValueError` unless torch can compute on the device of this name."""
    try:
        float(torch.ones(1, device=name).sum())
    except (RuntimeError, AssertionError) as error:  # torch raises both, by backend
        reason = str(error).splitlines()[0]
        raise ValueError(f"device = {name!r} cannot be used: {reason}") from error


class Questions(NamedTuple):
    """A batch, and where in it something is asked.

    Attributes:
        inputs: tokens, int64 (B, N).
        positions: of the answers, in order, int64 (B, K).
        targets: the answers, int64 (B, K); `IGNORE_INDEX` in rows that ask for fewer than K.
        prefix_len: as in `synthetic.Batch`.
    """

    inputs: Tensor
    positions: Tensor
    targets: Tensor
    prefix_len: int

    @classmethod
    def of(cls, batch: Batch) -> Questions:
        """All that a batch asks."""
        asked = batch.targets != IGNORE_INDEX
        most = int(asked.sum(1).max())
        positions = asked.byte().sort(dim=1, descending=True, stable=True).indices[:, :most]
        return cls(batch.inputs, positions, batch.targets.gather(1, positions), batch.prefix_len)

    def split(self, size: int) -> Iterator[Questions]:
        """In batches of `size` examples."""
        tensors = (self.inputs, self.positions, self.targets)
        for parts in zip(*(torch.split(tensor, size) for tensor in tensors), strict=True):
            inputs, positions, targets = parts
            yield Questions(inputs, positions, targets, self.prefix_len)


def answers(
    model: LanguageModel, asked: Questions, embedding_scale: Tensor | None = None
) -> Tensor:
    """Logits (B, K, V) at the positions of the answers."""
    hidden = model.hidden(asked.inputs, asked.prefix_len, embedding_scale=embedding_scale)
    where = asked.positions[..., None].expand(-1, -1, hidden.shape[-1])
    return model.logits(hidden.gather(1, where))


def loss_and_accuracy(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the answers, nats, and the share that is right; both 0-dimensional."""
    logits, targets = logits.flatten(0, 1), targets.flatten()
    loss = F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX)
    right = (logits.detach().argmax(-1) == targets).sum() / (targets != IGNORE_INDEX).sum()
    return loss, right


class TaskBatch(NamedTuple):
    """Which of the train tasks a batch is of, and the batch."""

    task: int
    questions: Questions


Tensors: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """All that one run has come to: from it, training goes on as if it had never stopped.

    What it draws need not be kept: data and dropout are functions of the seed and the step.

    Attributes:
        step: steps done.
        seconds: spent on them.
        parameters, exp_avg, exp_avg_sq: of the model and of AdamW, by name.
        losses, accuracies: of the last steps, step s at s modulo their number.
    """

    step: int
    seconds: float
    parameters: Tensors
    exp_avg: Tensors
    exp_avg_sq: Tensors
    losses: Tensor
    accuracies: Tensor


class Trainer(ABC):
    """Runs in training, side by side, all after the same number of steps.

    The outcome of each is a function of its config alone, on one machine and in one way of training
    (others round differently): initialisation, data and dropout draw from streams of their own, and
    the process's random state is left as it was.

    Args:
        configs: the runs; they may differ in learning rate and seed.
        device: where.
        starts: where each goes on, all after the same number of steps; empty: from the beginning.
    """

    def __init__(
        self, configs: Sequence[RunConfig], device: torch.device, starts: Sequence[Snapshot] = ()
    ) -> None:
        self.configs, self.device = list(configs), device
        self.settings = self.configs[0].train
        self.steps_done = starts[0].step if starts else 0
        self.window = max(1, self.settings.steps // 100)
        shape = (self.window, len(self.configs))
        self.losses, self.accuracies = (torch.zeros(shape, device=device) for _ in range(2))
        for member, start in enumerate(starts):
            self.losses[:, member] = start.losses.to(device)
            self.accuracies[:, member] = start.accuracies.to(device)
        self._batches = self._draw()

    def step(self) -> None:
        """One optimizer step of every run."""
        place = self.steps_done % self.window
        self.losses[place], self.accuracies[place] = self._learn(next(self._batches))
        self.steps_done += 1

    def finished(self) -> list[int]:
        """Indices of the runs that are done: by their steps, or by the stopping accuracy.

        Waits for the device after each hundredth of the steps at most.
        """
        if self.steps_done == self.settings.steps:
            return list(range(len(self.configs)))
        threshold = self.settings.stop_accuracy
        if threshold is None or self.steps_done == 0 or self.steps_done % self.window:
            return []
        reached = (self.accuracies.mean(0) >= threshold).tolist()
        return [member for member, enough in enumerate(reached) if enough]

    def loss(self, member: int) -> float:
        """Mean training loss of a run's last hundredth of the steps, nats; NaN if it diverged."""
        return float(self.losses[:, member].mean())

    def leave(self, members: Sequence[int]) -> None:
        """Go on without these runs."""
        stay = [member for member in range(len(self.configs)) if member not in members]
        self.configs = [self.configs[member] for member in stay]
        self.losses, self.accuracies = self.losses[:, stay], self.accuracies[:, stay]
        self._keep(stay)
        self._batches = self._draw()

    def snapshot(self, member: int, seconds: float) -> Snapshot:
        """What a run has come to, `seconds` after it began."""
        return Snapshot(
            self.steps_done,
            seconds,
            *self._tensors(member),
            losses=self.losses[:, member].clone(),
            accuracies=self.accuracies[:, member].clone(),
        )

    @abstractmethod
    def model(self, member: int) -> LanguageModel:
        """A run's model as it is now."""

    @abstractmethod
    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        """Take a step, from a batch of each run: losses and accuracies before it, (runs,) each."""

    @abstractmethod
    def _keep(self, members: Sequence[int]) -> None:
        """Forget all other runs."""

    @abstractmethod
    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        """Copies of a run's parameters and of AdamW's two moments, by name."""

    def _draw(self) -> Iterator[tuple[TaskBatch, ...]]:
        streams = [training_batches(one, self.device, self.steps_done) for one in self.configs]
        return zip(*streams, strict=True)


def build(config: RunConfig, device: torch.device) -> LanguageModel:
    """The model that a run starts from: a function of its config."""
    if not isinstance(config.model, ModelConfig):
        raise ValueError(f"model.name = {config.model.name!r}: a machine is not trained")
    # Neither the caller's random state nor the caller's devices are touched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return LanguageModel(config.model, config.task.vocab_size).to(device)


def shapes(config: RunConfig) -> dict[str, torch.Size]:
    """The shape of each parameter of a run's model."""
    model = build(config, torch.device("meta"))
    return {name: parameter.shape for name, parameter in model.named_parameters()}


def learning_rate_factor(step: int, settings: TrainConfig) -> float:
    """Linear warm-up, then a cosine to zero: the factor on the peak learning rate."""
    warmup = settings.warmup * settings.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, settings.steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def training_batches(
    config: RunConfig, device: torch.device, first_step: int = 0
) -> Iterator[TaskBatch]:
    """What a run reads, step by step, from a step on.

    The train tasks take turns, a batch each; a batch holds one task, hence one length.
    """
    mixture = config.task.train_tasks()
    schedule = mixture.schedule(config.train.steps)
    streams = [
        _batches_of(task, config, device, schedule[:first_step].count(index))
        for index, task in enumerate(mixture.tasks)
    ]
    for turn in schedule[first_step:]:
        yield TaskBatch(turn, next(streams[turn]))


def embedding_scale(config: RunConfig, step: int, tokens: Tensor) -> Tensor | None:
    """What dropout makes of the embeddings of tokens (B, N) at a step: factors (B, N, width).

    None without dropout. A function of the seed and the step alone, on one kind of device.
    """
    if not isinstance(config.model, ModelConfig) or not config.model.embedding_dropout:
        return None
    kept = 1 - config.model.embedding_dropout
    generator = _generator("dropout", config.seed, step, device=tokens.device)
    shape = (*tokens.shape, config.model.width)
    return (torch.rand(shape, generator=generator, device=tokens.device) < kept) / kept


def _batches_of(
    task: Task, config: RunConfig, device: torch.device, first: int
) -> Iterator[Questions]:
    """A task's batches without end, from number `first` on."""
    size = config.train.batch_size
    if config.train.examples is not None:
        return _epochs(task, config, device, first * size)
    # Examples are made in blocks of many batches: a call costs the same for few as for many.
    block = size * max(1, _EXAMPLES_PER_BLOCK // size)
    return (
        batch
        for start in itertools.count(first * size, block)
        for batch in Questions.of(
            task.sample(block, seed=config.seed, start=start, device=device)
        ).split(size)
    )


def _epochs(task: Task, config: RunConfig, device: torch.device, start: int) -> Iterator[Questions]:
    """Batches of a set of examples, read again and again, each time in another order."""
    count, size = config.train.examples or 0, config.train.batch_size
    everything = Questions.of(task.sample(count, seed=config.seed, device=device))
    epoch, skip = divmod(start, count)
    order = torch.empty(0, dtype=torch.int64, device=device)
    while True:
        while len(order) < skip + size:
            generator = _generator("epoch", repr(task), config.seed, epoch)
            more = torch.randperm(count, generator=generator).to(device)
            order, epoch = torch.cat([order, more]), epoch + 1
        chosen, order, skip = order[skip : skip + size], order[skip + size :], 0
        yield Questions(
            everything.inputs[chosen],
            everything.positions[chosen],
            everything.targets[chosen],
            everything.prefix_len,
        )


def _generator(*stream: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A source of random numbers of its own for each name."""
    digest = hashlib.blake2b(repr(stream).encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))


class PlainTrainer(Trainer):
    """One run in training, by torch's own means."""

    def __init__(
        self, config: RunConfig, device: torch.device, start: Snapshot | None = None
    ) -> None:
        super().__init__([config], device, [start] if start else [])
        self._model = build(config, device).train()
        self._optimizer = torch.optim.AdamW(
            self._model.parameters(),
            lr=self.settings.lr,
            betas=(BETA1, self.settings.beta2),
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        if start is not None:
            self._go_on_from(start)

    def model(self, member: int) -> LanguageModel:
        return self._model

    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        ((_, asked),) = batches
        scale = embedding_scale(self.configs[0], self.steps_done, asked.inputs)
        loss, accuracy = loss_and_accuracy(answers(self._model, asked, scale), asked.targets)
        factor = learning_rate_factor(self.steps_done, self.settings)
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.lr * factor
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), self.settings.clip_norm)
        self._optimizer.step()
        return loss.detach()[None], accuracy[None]

    def _keep(self, members: Sequence[int]) -> None:
        """There is one, or none."""

    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        moments = self._optimizer.state
        parameters, first, second = {}, {}, {}
        for name, parameter in self._model.named_parameters():
            parameters[name] = parameter.detach().clone()
            first[name] = moments[parameter]["exp_avg"].clone()
            second[name] = moments[parameter]["exp_avg_sq"].clone()
        return parameters, first, second

    def _go_on_from(self, start: Snapshot) -> None:
        self._model.load_state_dict(start.parameters)
        whole = self._optimizer.state_dict()
        whole["state"] = {
            index: {
                "step": torch.tensor(float(start.step)),
                "exp_avg": start.exp_avg[name],
                "exp_avg_sq": start.exp_avg_sq[name],
            }
            for index, (name, _) in enumerate(self._model.named_parameters())
        }
        self._optimizer.load_state_dict(whole)
