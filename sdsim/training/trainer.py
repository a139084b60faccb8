"""Training, step by step: how a run learns, and all that it has to remember."""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn

from sdsim.config import AlgorithmConfig, ModelConfig, ModuleConfig, RunConfig, TrainConfig
from sdsim.models import LanguageModel, Network, WholeModel
from sdsim.seeding import seeded_generator
from sdsim.training.convergence import Verdict, verdict
from sdsim.training.data import (
    TaskBatch,
    answer_logits,
    embedding_scale,
    loss_and_accuracy,
    training_batches,
)
from sdsim.training.result import CurvePoint, finite_or_none
from sdsim.training.schedule import end_of_decay, warmup_constant, warmup_cosine
from sdsim.training.tasks import most_boundaries, train_tasks

BETA1 = 0.9
"""Decay of AdamW's first moment."""

EPS = 1e-8
"""AdamW's ε, torch's default."""

Tensors: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Snapshot:
    """A run in the middle of its training: resumed from it, a run ends as if never interrupted.

    Data and dropout need not be kept: they are functions of the seed and the step.

    Attributes:
        step: steps done.
        seconds: spent on them.
        parameters, exp_avg, exp_avg_sq: of the model and of AdamW, by name.
        losses, accuracies: of the last steps, step s at s modulo their number.
        curve: loss and accuracy over each hundredth of the steps, then the accuracy on each train
            task, if there are several, (hundredths, 2 or 2 + tasks); NaN from the present one on.
        buffers: of modules of one's own, what they learn beside parameters, by name.
    """

    step: int
    seconds: float
    parameters: Tensors
    exp_avg: Tensors
    exp_avg_sq: Tensors
    losses: Tensor
    accuracies: Tensor
    curve: Tensor
    buffers: Tensors = field(default_factory=dict)


class Trainer(ABC):
    """Runs in training, side by side, all after the same number of steps.

    Each run's outcome depends on its config alone, on one machine and in one training mode (others
    round differently): initialization, data and dropout draw from streams of their own, and the
    process's random state is left as it was.

    Args:
        configs: the runs; they may differ in learning rate and seed.
        device: where they train.
        resume_from: a snapshot of each run, all after the same number of steps; empty: none.

    Attributes:
        seconds_before: spent on the steps that were done before this trainer was made.
        log_every: steps in a hundredth of the run, at least one, over which losses and accuracies
            are averaged.
        curve: these averages, and those of the accuracy on each train task, if there are several,
            (hundredths, 2 or 2 + tasks, runs); NaN from the present one on.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        resume_from: Sequence[Snapshot] = (),
    ) -> None:
        self.configs, self.device = list(configs), device
        self.config = self.configs[0].train
        self.steps_done = resume_from[0].step if resume_from else 0
        self.seconds_before = resume_from[0].seconds if resume_from else 0.0
        self.log_every = log_every(self.config)
        shape = (self.log_every, len(self.configs))
        self.losses, self.accuracies = (torch.zeros(shape, device=device) for _ in range(2))
        mixture = train_tasks(self.configs[0].task)
        self._turns = torch.tensor(mixture.schedule(self.config.steps), device=device)
        points = (*curve_shape(self.configs[0]), len(self.configs))
        self.curve = torch.full(points, math.nan, device=device)
        for member, snapshot in enumerate(resume_from):
            self.losses[:, member] = snapshot.losses.to(device)
            self.accuracies[:, member] = snapshot.accuracies.to(device)
            self.curve[:, :, member] = snapshot.curve.to(device)
        self._verdicts: list[Verdict | None] = [None] * len(self.configs)
        self._judge()
        self._batches = self._draw()

    def step(self) -> None:
        """One optimizer step of every run."""
        place = self.steps_done % self.log_every
        self.losses[place], self.accuracies[place] = self._learn(next(self._batches))
        self.steps_done += 1
        if self.steps_done % self.log_every == 0:
            self.curve[self.steps_done // self.log_every - 1] = self._means()
            if self._judge():
                self._reschedule()

    def _means(self) -> Tensor:
        """A point of the curve, of the hundredth of the steps that was just done."""
        means = [self.losses.mean(0), self.accuracies.mean(0)]
        turns = self._turns[self.steps_done - self.log_every : self.steps_done]
        by_task = [
            self.accuracies[turns == task].mean(0) for task in range(self.curve.shape[1] - 2)
        ]
        return torch.stack(means + by_task)

    def finished(self) -> list[int]:
        """Indices of the runs that are done: by their steps, or by what ends them earlier.

        Waits for the device after each hundredth of the steps at most.
        """
        if done := [m for m in range(len(self.configs)) if self.steps_done >= self._end(m)]:
            return done
        threshold = self.config.stop_accuracy
        if threshold is None or self.steps_done == 0 or self.steps_done % self.log_every:
            return []
        reached = (self.accuracies.mean(0) >= threshold).tolist()
        return [member for member, enough in enumerate(reached) if enough]

    def loss(self, member: int) -> float:
        """Mean training loss of a run's last hundredth of the steps, nats; NaN if it diverged."""
        return float(self.losses[:, member].mean())

    def converged(self, member: int) -> bool | None:
        """Whether a run has converged; None where that is not asked, or not yet known."""
        known = self._verdicts[member]
        return known.converged if known else None

    def learning_curve(self, member: int) -> list[CurvePoint]:
        """Loss and accuracy of a run over each hundredth of its steps so far, as far as known."""
        done = self.steps_done // self.log_every
        return [
            CurvePoint(
                (point + 1) * self.log_every,
                finite_or_none(loss),
                accuracy,
                tuple(map(finite_or_none, by_task)),
            )
            for point, (loss, accuracy, *by_task) in enumerate(
                self.curve[:done, :, member].tolist()
            )
            if not math.isnan(accuracy)  # before a snapshot that had no curve
        ]

    def drop(self, members: Sequence[int]) -> None:
        """Train on without these runs."""
        stay = [member for member in range(len(self.configs)) if member not in members]
        self.configs = [self.configs[member] for member in stay]
        self.losses, self.accuracies = self.losses[:, stay], self.accuracies[:, stay]
        self.curve = self.curve[:, :, stay]
        self._verdicts = [self._verdicts[member] for member in stay]
        self._keep(stay)
        self._batches = self._draw()

    def snapshot(self, member: int, seconds: float) -> Snapshot:
        """A run as it is now, `seconds` after it began."""
        return Snapshot(
            self.steps_done,
            seconds,
            *self._tensors(member),
            losses=self.losses[:, member].clone(),
            accuracies=self.accuracies[:, member].clone(),
            curve=self.curve[:, :, member].clone(),
            buffers=self._buffers(),
        )

    @abstractmethod
    def model(self, member: int) -> Network:
        """A run's model as it is now."""

    @abstractmethod
    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        """Take a step on a batch of each run; the losses and accuracies before it, (runs,) each."""

    @abstractmethod
    def _keep(self, members: Sequence[int]) -> None:
        """Drop all other runs."""

    def _reschedule(self) -> None:  # noqa: B027
        """Verdicts are new: with them change the learning rates to come."""

    @abstractmethod
    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        """Copies of a run's parameters and of AdamW's two moments, by name."""

    def _buffers(self) -> Tensors:
        """Copies of what a run's model learns beside them; runs trained as one have none."""
        return {}

    def _factor(self, step: int, decay_from: int | None) -> float:
        """Of the peak learning rate, what the rate is in a step."""
        steps, warmup = self.config.steps, self.config.warmup
        if self.config.until == "steps":
            return warmup_cosine(step, steps, warmup)
        return warmup_constant(step, steps, warmup, decay_from)

    def _decay_from(self, member: int) -> int | None:
        """Steps after which a run's learning rate falls, where its verdict says."""
        known = self._verdicts[member]
        return known.point * self.log_every if known else None

    def _end(self, member: int) -> int:
        """Steps of the whole run, as far as is known."""
        decay_from = self._decay_from(member)
        return self.config.steps if decay_from is None else end_of_decay(decay_from)

    def _judge(self) -> bool:
        """Whether there are new verdicts on runs that train until they have converged."""
        if self.config.until == "steps" or None not in self._verdicts:
            return False
        before = list(self._verdicts)
        done = self.steps_done // self.log_every
        curves = self.curve[:done].permute(2, 1, 0).tolist()
        for member, (losses, accuracies, *_) in enumerate(curves):
            self._verdicts[member] = verdict(accuracies, len(self.curve), losses)
        return self._verdicts != before

    def _draw(self) -> Iterator[tuple[TaskBatch, ...]]:
        """Batches of all runs; those of one seed read the same ones."""
        configs = self.configs
        streams = {
            config.seed: training_batches(config, self.device, self.steps_done)
            for config in configs
        }
        for drawn in zip(*streams.values(), strict=True):
            by_seed = dict(zip(streams, drawn, strict=True))
            yield tuple(by_seed[config.seed] for config in configs)


def curve_shape(config: RunConfig) -> tuple[int, int]:
    """That of a run's curve, see `Snapshot`."""
    tasks = len(config.task.train_sizes)
    return config.train.steps // log_every(config.train), 2 + (tasks if tasks > 1 else 0)


def log_every(config: TrainConfig) -> int:
    """Steps in a hundredth of a run, at least one."""
    return max(1, config.steps // 100)


def build(config: RunConfig, device: torch.device) -> Network:
    """The model that a run starts from: a function of its config.

    Raises:
        ValueError: for a streaming algorithm, which is not trained; also see `LanguageModel` and
            `WholeModel`.
    """
    boundaries = most_boundaries(config.task)
    return build_model(config.model, config.task.vocab_size, boundaries, config.seed, device)


def build_model(
    model: ModelConfig | ModuleConfig | AlgorithmConfig,
    vocab_size: int,
    boundaries: int,
    seed: int,
    device: torch.device,
) -> Network:
    """A new model.

    Args:
        model: of a run.
        vocab_size: V, tokens.
        boundaries: most segment boundaries in an input.
        seed: of its initial weights.
        device: where it is put.

    Raises:
        ValueError: as `build`.
    """
    if isinstance(model, AlgorithmConfig):
        raise ValueError(f"model.name = {model.name!r}: an algorithm has no weights")
    # Neither the caller's random state nor the caller's devices are touched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(model, ModuleConfig):
            return WholeModel(model, vocab_size).to(device)
        return LanguageModel(model, vocab_size, boundaries).to(device)


def learned(model: Network) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name; a module may have frozen others."""
    return {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def parameter_shapes(config: RunConfig) -> dict[str, torch.Size]:
    """The shape of each parameter of a run's model that training changes."""
    model = build(config, torch.device("meta"))
    return {name: parameter.shape for name, parameter in learned(model).items()}


class SequentialTrainer(Trainer):
    """One run in training, by torch's own means.

    AdamW's update is torch's fused operator, called without `torch.optim`: its first use imports
    the whole compiler, which takes as long as importing torch.
    """

    def __init__(
        self, config: RunConfig, device: torch.device, resume_from: Snapshot | None = None
    ) -> None:
        super().__init__([config], device, [resume_from] if resume_from else [])
        self._model = build(config, device).train()
        self._parameters = learned(self._model)
        self._draws = getattr(config.model, "has_modules", False)
        self._first, self._second = (
            {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
            for _ in range(2)
        )
        if resume_from is not None:
            resumed_weights = resume_from.parameters | resume_from.buffers
            self._model.load_weights(self._model.weights() | resumed_weights)
            for own, resumed in (
                (self._first, resume_from.exp_avg),
                (self._second, resume_from.exp_avg_sq),
            ):
                own |= {name: tensor.to(device, copy=True) for name, tensor in resumed.items()}

    def model(self, member: int) -> Network:
        return self._model

    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        ((_, asked),) = batches
        scale = embedding_scale(self.configs[0], self.steps_done, asked.inputs)
        with self._own_randomness():
            logits = answer_logits(self._model, asked, scale)
            loss, accuracy = loss_and_accuracy(logits, asked.targets)
            self._model.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters.values(), self.config.clip_norm)
        self._adamw()
        return loss.detach()[None], accuracy[None]

    @contextlib.contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """What modules of one's own draw, as dropout does, depends on seed and step alone."""
        if not self._draws:
            yield
            return
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            generator = seeded_generator("module", self.configs[0].seed, self.steps_done)
            torch.manual_seed(generator.initial_seed())
            yield

    @torch.no_grad()
    def _adamw(self) -> None:
        # One that nothing depends on decays like the others, as it does in an ensemble.
        gradients = {
            name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for name, parameter in self._parameters.items()
        }
        step = torch.tensor(self.steps_done + 1.0, dtype=torch.float32, device=self.device)
        factor = self._factor(self.steps_done, self._decay_from(0))
        torch._fused_adamw_(
            [self._parameters[name] for name in gradients],
            list(gradients.values()),
            [self._first[name] for name in gradients],
            [self._second[name] for name in gradients],
            [],
            [step] * len(gradients),
            lr=self.config.lr * factor,
            beta1=BETA1,
            beta2=self.config.beta2,
            weight_decay=self.config.weight_decay,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def _keep(self, members: Sequence[int]) -> None:
        """There is one, or none."""

    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        parameters, first, second = (
            {name: tensor.detach().clone() for name, tensor in tensors.items()}
            for tensors in (self._parameters, self._first, self._second)
        )
        return parameters, first, second

    def _buffers(self) -> Tensors:
        own = self._model.extra_weights()
        return {name: buffer.detach().clone() for name, buffer in own.items()}
