"""Many small runs as one batched program: every operation does the work of all of them."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sdsim.config import RunConfig
from sdsim.models import LanguageModel
from sdsim.train import (
    BETA1,
    PlainTrainer,
    Questions,
    Snapshot,
    TaskBatch,
    Tensors,
    Trainer,
    answers,
    build,
    embedding_scale,
    learning_rate_factor,
    loss_and_accuracy,
)

logger = logging.getLogger(__name__)

_STEPS_TO_ASK = 40  # per train size: where asking costs a tenth at most
_EPS = 1e-8  # AdamW's, as torch has it


def setting(config: RunConfig) -> RunConfig:
    """The same for runs that differ in learning rate and seed alone."""
    return replace(config, seed=0, train=replace(config.train, lr=1.0))


class EnsembleTrainer(Trainer):
    """Runs that differ in learning rate and seed alone, trained as one.

    The parameters of all lie in one matrix, a row each, and so do AdamW's moments: a forward and a
    backward pass under `torch.func.vmap`, then one update of the matrix. No number of one run
    enters another's, so that one which diverges harms none. Each run is what it is alone, but for
    the rounding of sums that a batched operation takes in another order.

    Args:
        configs: the runs.
        device: where.
        starts: as of `Trainer`.
        capture: on a CUDA device, replay the steps as CUDA graphs: for where launching the kernels
            of a step takes longer than their work.

    Raises:
        ValueError: if the runs differ in more.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        starts: Sequence[Snapshot] = (),
        *,
        capture: bool = False,
    ) -> None:
        if any(setting(config) != setting(configs[0]) for config in configs):
            raise ValueError("configs: the runs differ in more than train.lr and seed")
        super().__init__(configs, device, starts)
        models = [build(config, device) for config in configs]
        self._loss = _Loss(models[0])
        self._shapes = {name: one.shape for name, one in models[0].named_parameters()}
        if starts:
            self._matrix = self._rows([start.parameters for start in starts])
            self._first = self._rows([start.exp_avg for start in starts])
            self._second = self._rows([start.exp_avg_sq for start in starts])
        else:
            self._matrix = self._rows([dict(model.named_parameters()) for model in models])
            self._first, self._second = (torch.zeros_like(self._matrix) for _ in range(2))
        self._capture = capture
        self._prepare()

    def model(self, member: int) -> LanguageModel:
        model = build(self.configs[member], self.device)
        model.load_state_dict(self._tensors(member)[0])
        return model

    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        task = batches[0].task
        asked = [batch.questions for batch in batches]
        scales = [
            embedding_scale(config, self.steps_done, one.inputs)
            for config, one in zip(self.configs, asked, strict=True)
        ]
        inputs = (
            torch.stack([one.inputs for one in asked]),
            torch.stack([one.positions for one in asked]),
            torch.stack([one.targets for one in asked]),
            self._schedule[self.steps_done],
            *([torch.stack([s for s in scales if s is not None])] if scales[0] is not None else []),
        )
        if not self._capture:
            return self._update(asked[0].prefix_len, *inputs)
        if task not in self._graphs:
            prefix_len = asked[0].prefix_len
            self._graphs[task] = _Graph(
                lambda *tensors: self._update(prefix_len, *tensors),
                inputs,
                changed=(self._matrix, self._first, self._second),
            )
        return self._graphs[task](*inputs)

    def _update(
        self,
        prefix_len: int,
        inputs: Tensor,
        positions: Tensor,
        targets: Tensor,
        schedule: Tensor,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One step of all runs: their losses and accuracies before it, (runs,) each.

        Args:
            prefix_len: of all of them.
            inputs, positions, targets: a batch for each run, as in `Questions`.
            schedule: learning rates, and AdamW's two bias corrections, (runs + 2,).
            scale: of the embeddings.
        """
        matrix = self._matrix.detach().requires_grad_()

        def loss(
            parameters: Tensors, batch: tuple[Tensor, Tensor, Tensor], scale: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            asked = Questions(batch[0], batch[1], batch[2], prefix_len)
            outputs: tuple[Tensor, Tensor] = functional_call(self._loss, parameters, (asked, scale))
            return outputs

        losses, accuracies = vmap(loss, in_dims=(0, 0, None if scale is None else 0))(
            {f"model.{name}": one for name, one in self._named(matrix).items()},
            (inputs, positions, targets),
            scale,
        )
        (gradient,) = torch.autograd.grad(losses.sum(), matrix)
        self._adamw(gradient, schedule[:-2, None], schedule[-2], schedule[-1])
        return losses.detach(), accuracies

    def _adamw(self, gradient: Tensor, rates: Tensor, first: Tensor, second: Tensor) -> None:
        """Clip each run's gradient and update its row; the corrections are those of its moments."""
        settings = self.settings
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient = gradient * (settings.clip_norm / (norm + 1e-6)).clamp(max=1)
        self._first.lerp_(gradient, 1 - BETA1)
        self._second.mul_(settings.beta2).addcmul_(gradient, gradient, value=1 - settings.beta2)
        denominator = (self._second / second).sqrt_().add_(_EPS)
        self._matrix.mul_(1 - rates * settings.weight_decay)
        self._matrix.sub_(rates / first * self._first / denominator)

    def _keep(self, members: Sequence[int]) -> None:
        kept = list(members)
        self._matrix, self._first, self._second = (
            rows[kept] for rows in (self._matrix, self._first, self._second)
        )
        self._prepare()

    def _prepare(self) -> None:
        """What hangs on which runs there are."""
        steps = range(self.settings.steps)
        factors = torch.tensor(
            [learning_rate_factor(step, self.settings) for step in steps], dtype=torch.float64
        )
        rates = torch.tensor([config.train.lr for config in self.configs], dtype=torch.float64)
        taken = torch.arange(1, len(steps) + 1, dtype=torch.float64)[:, None]
        decays = torch.tensor([BETA1, self.settings.beta2], dtype=torch.float64)
        schedule = torch.cat([factors[:, None] * rates, 1 - decays**taken], dim=1)
        self._schedule = schedule.to(self.device, torch.get_default_dtype())  # (steps, runs + 2)
        self._graphs: dict[int, _Graph] = {}

    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        parameters, first, second = (
            {name: one[member].clone() for name, one in self._named(rows).items()}
            for rows in (self._matrix, self._first, self._second)
        )
        return parameters, first, second

    def _rows(self, members: Sequence[Tensors]) -> Tensor:
        rows = [
            torch.cat([one[name].detach().flatten() for name in self._shapes]) for one in members
        ]
        return torch.stack(rows).to(self.device)

    def _named(self, rows: Tensor) -> Tensors:
        """The parameters of all runs, (runs, …) each, as views of the rows."""
        parts = torch.split(rows, [shape.numel() for shape in self._shapes.values()], dim=1)
        return {
            name: part.view(-1, *shape)
            for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }


class _Loss(nn.Module):
    """A model as a function of what it is asked."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, asked: Questions, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        return loss_and_accuracy(answers(self.model, asked, scale), asked.targets)


class _Graph:
    """A function of tensors as a CUDA graph: the same kernels, launched at once.

    Args:
        function: what to capture; it may change `changed` in place.
        inputs: of the shapes that all calls have.
        changed: tensors that come out of the capture as they were.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, Tensor]],
        inputs: tuple[Tensor, ...],
        changed: tuple[Tensor, ...],
    ) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        before = [tensor.clone() for tensor in changed]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # lets libraries choose and allocate what no capture may
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)
        for tensor, value in zip(changed, before, strict=True):
            tensor.copy_(value)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._outputs


Way = Literal["plain", "together", "captured"]
"""How some runs are trained: one after another, as one program, or as one in CUDA graphs."""


def ways(count: int, device: torch.device) -> list[Way]:
    """The ways there are to train so many runs."""
    choices: list[Way] = ["plain"]
    if count > 1:
        choices.append("together")
    if device.type == "cuda":
        choices.append("captured")
    return choices


def trainers(
    way: Way,
    configs: Sequence[RunConfig],
    device: torch.device,
    starts: Sequence[Snapshot] = (),
) -> Iterator[Trainer]:
    """What trains these runs, each after the one before; `starts` as of `Trainer`."""
    if way != "plain":
        yield EnsembleTrainer(configs, device, starts, capture=way == "captured")
        return
    for config, start in itertools.zip_longest(configs, starts):
        yield PlainTrainer(config, device, start)


def pace(way: Way, configs: Sequence[RunConfig], device: torch.device, rounds: int = 1) -> float:
    """Steps per second times runs, measured over some rounds of all train tasks.

    0 where the models cannot be trained this way, as with operators that have no rule for vmap.
    """
    one_round = len(configs[0].task.train_sizes)
    enough = replace(configs[0].train, steps=(rounds + 1) * one_round)
    configs = [replace(c, train=replace(enough, lr=c.train.lr)) for c in configs]
    trainer = next(trainers(way, configs, device))
    try:
        for _ in range(one_round):  # allocates, captures, draws the examples
            trainer.step()
        _wait_for(device)
        started = time.perf_counter()
        for _ in range(rounds * one_round):
            trainer.step()
        _wait_for(device)
    except RuntimeError as error:
        if way == "plain":
            raise
        logger.info("%s cannot be trained %s: %s", configs[0].model.name, way, error)
        return 0.0
    return rounds * one_round * len(trainer.configs) / (time.perf_counter() - started)


def fastest_way(configs: Sequence[RunConfig], device: torch.device) -> Way:
    """The way with the highest `pace` here and now, for runs long enough to ask."""
    choices = ways(len(configs), device)
    train_sizes = len(configs[0].task.train_sizes)
    if len(choices) == 1 or configs[0].train.steps < _STEPS_TO_ASK * train_sizes:
        return "plain"
    # Twice in turn, the better one of each: other programs disturb.
    paces = [max(pace(way, configs, device) for _ in range(2)) for way in choices]
    return choices[paces.index(max(paces))]


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
