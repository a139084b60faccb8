"""Many small runs as one batched program: every operation does the work of all of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sdsim.config import RunConfig, ensemble_key
from sdsim.models import Network
from sdsim.training.data import (
    Layout,
    Questions,
    TaskBatch,
    answer_logits,
    embedding_scale,
    loss_and_accuracy,
)
from sdsim.training.trainer import BETA1, EPS, Snapshot, Tensors, Trainer, build, parameter_shapes


class Rows(NamedTuple):
    """The parameters of some runs and AdamW's two moments, (runs, parameters) each."""

    matrix: Tensor
    first: Tensor
    second: Tensor


Program: TypeAlias = Callable[..., Sequence[Tensor]]
"""An update of `Rows`: rows and a batch to the next rows, losses and accuracies, all tensors."""

Programs: TypeAlias = dict[object, Program]
"""Updates that can be executed, by the shapes of what they take."""

Execution = Callable[[Program, Sequence[Tensor]], Program]
"""How an update is executed: given it, and an example of what it takes."""


def eager(update: Program, inputs: Sequence[Tensor]) -> Program:
    """The update, operator by operator."""
    return update


@dataclass
class _Group:
    """Runs that are trained by one call of the update.

    Attributes:
        members: their numbers; the last one may be there several times, to fill the group.
        rows: of them.
        schedule: learning rates, and AdamW's two bias corrections, (steps, runs + 2).
    """

    members: list[int]
    rows: Rows
    schedule: Tensor


class EnsembleTrainer(Trainer):
    """Runs that differ in learning rate and seed alone, trained as one.

    The parameters of all lie in one matrix, a row each, and so do AdamW's moments: a forward and a
    backward pass under `torch.func.vmap`, then one update of the matrix. No number of one run
    enters another's, so a run that diverges harms no other. Each run is what it would be alone, up
    to the rounding of sums that a batched operation takes in another order.

    Args:
        configs: the runs.
        device: where they train.
        resume_from: as in `Trainer`.
        execution: how their update is executed.
        group_size: runs in one call of the update; None: all. The last group is filled up with
            copies of its last run, so that all calls have the same shapes however many runs leave.
        programs: those of ensembles like this one that are there already; new ones join them.

    Raises:
        ValueError: if the runs differ in more.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        resume_from: Sequence[Snapshot] = (),
        *,
        execution: Execution = eager,
        group_size: int | None = None,
        programs: Programs | None = None,
    ) -> None:
        if len({ensemble_key(config) for config in configs}) > 1:
            raise ValueError("configs: the runs differ in more than train.lr and seed")
        super().__init__(configs, device, resume_from)
        models = [build(config, device) for config in configs]
        self._loss = _Loss(models[0])
        self._shapes = dict(parameter_shapes(configs[0]))
        self._execution, self._group_size = execution, group_size
        self._programs = {} if programs is None else programs
        self._known_factors: dict[int | None, Tensor] = {}
        if resume_from:
            rows = Rows(
                self._rows([snapshot.parameters for snapshot in resume_from]),
                self._rows([snapshot.exp_avg for snapshot in resume_from]),
                self._rows([snapshot.exp_avg_sq for snapshot in resume_from]),
            )
        else:
            matrix = self._rows([dict(model.named_parameters()) for model in models])
            rows = Rows(matrix, torch.zeros_like(matrix), torch.zeros_like(matrix))
        self._groups = self._grouped(rows)

    def model(self, member: int) -> Network:
        model = build(self.configs[member], self.device)
        model.load_state_dict(self._tensors(member)[0])
        return model

    def examples(self) -> Iterator[tuple[object, Program, tuple[Tensor, ...]]]:
        """The programs that the train tasks need: keys, updates, what these take.

        Batches are used up: no step should follow.
        """
        seen = set()
        for batches in itertools.islice(self._batches, len(self.configs[0].task.train_sizes)):
            asked = [batch.questions for batch in batches]
            inputs = self._inputs(self._groups[0], asked)
            key = self._key(asked[0].layout, inputs)
            if key not in seen:
                seen.add(key)
                yield key, partial(self._update, asked[0].layout), inputs

    def _learn(self, batches: Sequence[TaskBatch]) -> tuple[Tensor, Tensor]:
        asked = [batch.questions for batch in batches]
        layout = asked[0].layout
        losses, accuracies = [], []
        for group in self._groups:
            inputs = self._inputs(group, asked)
            key = self._key(layout, inputs)
            if key not in self._programs:
                update = partial(self._update, layout)
                self._programs[key] = self._execution(update, inputs)
            *rows, loss, accuracy = self._programs[key](*inputs)
            group.rows = Rows(*rows)
            losses.append(loss)
            accuracies.append(accuracy)
        count = len(asked)
        return torch.cat(losses)[:count], torch.cat(accuracies)[:count]

    @staticmethod
    def _key(layout: Layout, inputs: Sequence[Tensor]) -> object:
        """What a program depends on, beside the config."""
        return layout, *(tensor.shape for tensor in inputs)

    def _inputs(self, group: _Group, asked: Sequence[Questions]) -> tuple[Tensor, ...]:
        """What `_update` takes after the layout."""
        own = [asked[member] for member in group.members]
        scales = [
            embedding_scale(self.configs[member], self.steps_done, asked[member].inputs)
            for member in group.members
        ]
        return (
            *group.rows,
            torch.stack([questions.inputs for questions in own]),
            torch.stack([questions.positions for questions in own]),
            torch.stack([questions.targets for questions in own]),
            group.schedule[self.steps_done],
            *([torch.stack([s for s in scales if s is not None])] if scales[0] is not None else []),
        )

    def _update(
        self,
        layout: Layout,
        matrix: Tensor,
        first: Tensor,
        second: Tensor,
        inputs: Tensor,
        positions: Tensor,
        targets: Tensor,
        schedule: Tensor,
        scale: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """One step of some runs: their next rows; losses and accuracies before it, (runs,) each.

        Args:
            layout: of all their batches.
            matrix, first, second: their `Rows`.
            inputs, positions, targets: a batch for each run, as in `Questions`.
            schedule: learning rates, and AdamW's two bias corrections, (runs + 2,).
            scale: of the embeddings.
        """
        matrix = matrix.detach().requires_grad_()

        def loss(
            parameters: Tensors, batch: tuple[Tensor, Tensor, Tensor], scale: Tensor | None
        ) -> tuple[Tensor, Tensor]:
            asked = Questions(batch[0], batch[1], batch[2], layout)
            outputs: tuple[Tensor, Tensor] = functional_call(self._loss, parameters, (asked, scale))
            return outputs

        losses, accuracies = vmap(loss, in_dims=(0, 0, None if scale is None else 0))(
            {f"model.{name}": tensor for name, tensor in self._named(matrix).items()},
            (inputs, positions, targets),
            scale,
        )
        (gradient,) = torch.autograd.grad(losses.sum(), matrix)
        rows = self._adamw(Rows(matrix.detach(), first, second), gradient, schedule)
        return (*rows, losses.detach(), accuracies)

    def _adamw(self, rows: Rows, gradient: Tensor, schedule: Tensor) -> Rows:
        """Clip each run's gradient and update its row."""
        config, rates = self.config, schedule[:-2, None]
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient = gradient * (config.clip_norm / (norm + 1e-6)).clamp(max=1)
        first = torch.lerp(rows.first, gradient, 1 - BETA1)
        second = torch.addcmul(
            rows.second * config.beta2, gradient, gradient, value=1 - config.beta2
        )
        denominator = (second / schedule[-1]).sqrt() + EPS
        matrix = rows.matrix * (1 - rates * config.weight_decay)
        return Rows(matrix - rates / schedule[-2] * first / denominator, first, second)

    def _keep(self, members: Sequence[int]) -> None:
        kept = [self._place(member) for member in members]
        if not kept:
            self._groups = []
            return
        parts = zip(*([part[row] for part in group.rows] for group, row in kept), strict=True)
        self._groups = self._grouped(Rows(*(torch.stack(part) for part in parts)))

    def _grouped(self, rows: Rows) -> list[_Group]:
        """All runs, which have these rows, in groups."""
        count = len(self.configs)
        size = self._group_size or count
        groups = []
        for start in range(0, count, size):
            members = [min(member, count - 1) for member in range(start, start + size)]
            own = Rows(*(part[members] for part in rows))
            groups.append(_Group(members, own, self._schedule(members)))
        return groups

    def _reschedule(self) -> None:
        for group in self._groups:
            group.schedule = self._schedule(group.members)

    def _schedule(self, members: Sequence[int]) -> Tensor:
        rates = torch.stack(
            [
                self.configs[member].train.lr * self._factors(self._decay_from(member))
                for member in members
            ],
            dim=1,
        )
        taken = torch.arange(1, self.config.steps + 1, dtype=torch.float64)[:, None]
        decays = torch.tensor([BETA1, self.config.beta2], dtype=torch.float64)
        schedule = torch.cat([rates, 1 - decays**taken], dim=1)
        return schedule.to(self.device, torch.get_default_dtype())

    def _factors(self, decay_from: int | None) -> Tensor:
        """`_factor` of all steps, (steps,)."""
        if decay_from not in self._known_factors:
            factors = [self._factor(step, decay_from) for step in range(self.config.steps)]
            self._known_factors[decay_from] = torch.tensor(factors, dtype=torch.float64)
        return self._known_factors[decay_from]

    def _place(self, member: int) -> tuple[_Group, int]:
        """The group of a run, and its row there."""
        size = self._group_size or len(self._groups[0].members)
        return self._groups[member // size], member % size

    def _tensors(self, member: int) -> tuple[Tensors, Tensors, Tensors]:
        group, row = self._place(member)
        parameters, first, second = (
            {name: tensor[row].clone() for name, tensor in self._named(part).items()}
            for part in group.rows
        )
        return parameters, first, second

    def _rows(self, members: Sequence[Tensors]) -> Tensor:
        rows = [
            torch.cat(
                [
                    member[name].detach().permute(_stored_order(shape)).flatten()
                    for name, shape in self._shapes.items()
                ]
            )
            for member in members
        ]
        return torch.stack(rows).to(self.device)

    def _named(self, rows: Tensor) -> Tensors:
        """The parameters of all runs, (runs, …) each, as views of the rows."""
        parts = torch.split(rows, [shape.numel() for shape in self._shapes.values()], dim=1)
        named = {}
        for (name, shape), part in zip(self._shapes.items(), parts, strict=True):
            order = _stored_order(shape)
            stored = part.view(-1, *(shape[axis] for axis in order))
            named[name] = stored.permute(0, *(1 + order.index(axis) for axis in range(len(shape))))
        return named


def _stored_order(shape: torch.Size) -> list[int]:
    """The axes of a parameter in the order in which a row has them.

    The channels of a convolution come last: compiled loops run over the last axis, and there are
    too few taps to fill a register.
    """
    axes = list(range(len(shape)))
    return axes if len(axes) < 3 else axes[::-1]


class _Loss(nn.Module):
    """A model as a function of what it is asked."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, asked: Questions, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        return loss_and_accuracy(answer_logits(self.model, asked, scale), asked.targets)


class CudaGraph:
    """A function of tensors as a CUDA graph: the same kernels, launched at once.

    What it returns is overwritten by the next call.

    Args:
        function: what to capture.
        inputs: of the shapes that all calls have.
    """

    def __init__(self, function: Program, inputs: Sequence[Tensor]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):  # lets libraries choose and allocate what no capture may
                function(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        for own, given in zip(self._inputs, inputs, strict=True):
            own.copy_(given)
        self._graph.replay()
        return self._outputs
