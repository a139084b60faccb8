"""Many small runs as one batched program: every operation does the work of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from sdsim.config import RunConfig, ensemble_key
from sdsim.models import LanguageModel
from sdsim.training.data import (
    Questions,
    TaskBatch,
    answer_logits,
    embedding_scale,
    loss_and_accuracy,
)
from sdsim.training.schedule import warmup_cosine
from sdsim.training.trainer import BETA1, EPS, Snapshot, Tensors, Trainer, build


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
        cuda_graph: on a CUDA device, replay the steps as CUDA graphs, for models so small that
            launching a step's kernels takes longer than running them.

    Raises:
        ValueError: if the runs differ in more.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        device: torch.device,
        resume_from: Sequence[Snapshot] = (),
        *,
        cuda_graph: bool = False,
    ) -> None:
        if len({ensemble_key(config) for config in configs}) > 1:
            raise ValueError("configs: the runs differ in more than train.lr and seed")
        super().__init__(configs, device, resume_from)
        models = [build(config, device) for config in configs]
        self._loss = _Loss(models[0])
        self._shapes = {name: one.shape for name, one in models[0].named_parameters()}
        if resume_from:
            self._matrix = self._rows([snapshot.parameters for snapshot in resume_from])
            self._first = self._rows([snapshot.exp_avg for snapshot in resume_from])
            self._second = self._rows([snapshot.exp_avg_sq for snapshot in resume_from])
        else:
            self._matrix = self._rows([dict(model.named_parameters()) for model in models])
            self._first, self._second = (torch.zeros_like(self._matrix) for _ in range(2))
        self._cuda_graph = cuda_graph
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
        if not self._cuda_graph:
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
        config = self.config
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient = gradient * (config.clip_norm / (norm + 1e-6)).clamp(max=1)
        self._first.lerp_(gradient, 1 - BETA1)
        self._second.mul_(config.beta2).addcmul_(gradient, gradient, value=1 - config.beta2)
        denominator = (self._second / second).sqrt_().add_(EPS)
        self._matrix.mul_(1 - rates * config.weight_decay)
        self._matrix.sub_(rates / first * self._first / denominator)

    def _keep(self, members: Sequence[int]) -> None:
        kept = list(members)
        self._matrix, self._first, self._second = (
            rows[kept] for rows in (self._matrix, self._first, self._second)
        )
        self._prepare()

    def _prepare(self) -> None:
        """Make what depends on which runs there are."""
        steps = range(self.config.steps)
        factors = torch.tensor(
            [warmup_cosine(step, self.config.steps, self.config.warmup) for step in steps],
            dtype=torch.float64,
        )
        rates = torch.tensor([config.train.lr for config in self.configs], dtype=torch.float64)
        taken = torch.arange(1, len(steps) + 1, dtype=torch.float64)[:, None]
        decays = torch.tensor([BETA1, self.config.beta2], dtype=torch.float64)
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
        return loss_and_accuracy(answer_logits(self.model, asked, scale), asked.targets)


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
