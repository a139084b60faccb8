"""From a run's config to the tasks that it names, and the check that all it names exists."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sdsim.config import AlgorithmConfig, ModuleConfig, RunConfig, TaskConfig
from sdsim.models import LanguageModel, Network, WholeModel
from sdsim.models.construction import import_class
from synthetic import Mixture, Task


def check_run(config: RunConfig) -> None:
    """Raise `ValueError`, naming the setting, unless the run's tasks and model can be built.

    The ranges of single settings are checked where they are declared; here a mixer is looked up,
    heads are held against the width, a task's sizes against its vocabulary. The model is built
    without its weights, on torch's meta device; modules of one's own, which may not know of that,
    are built as they are.
    """
    train_tasks(config.task)
    tasks = eval_tasks(config.task)
    if isinstance(config.model, AlgorithmConfig):
        from sdsim.models.streaming import check_algorithm  # not every run needs the theory

        for task in tasks:
            check_algorithm(config.model, task)
        return
    if isinstance(config.model, ModuleConfig):
        model: Network = WholeModel(config.model, config.task.vocab_size)
    else:
        without_weights = contextlib.ExitStack()
        if not config.model.has_modules:
            without_weights.enter_context(torch.device("meta"))
            without_weights.enter_context(_NothingDrawn())
        with without_weights:
            boundaries = most_boundaries(config.task)
            model = LanguageModel(config.model, config.task.vocab_size, boundaries)
    if config.test.bits and not model.measures_state:
        raise ValueError(
            f"test.bits = {list(config.test.bits)}: the state of {config.model.name} cannot be "
            "quantized, since a module of it has no prefill and step; leave test.bits empty"
        )


class _NothingDrawn(TorchFunctionMode):
    """Leaves out the drawing of initial weights, for which the meta device imports a compiler."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "kaiming_uniform_"):
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def train_tasks(config: TaskConfig) -> Mixture:
    """One task for each training size, and which of them trains when.

    Raises:
        ValueError: where the class is no task, or a size or option does not fit.
    """
    tasks = tuple(_task(config, sizes) for sizes in config.train_sizes)
    try:
        return Mixture(tasks, config.weights, config.curriculum)
    except ValueError as error:
        raise ValueError(f"task: {error}") from error


def eval_tasks(config: TaskConfig) -> list[Task]:
    """One task for each test size; errors as `train_tasks`."""
    return [_task(config, sizes) for sizes in config.test_sizes or config.train_sizes]


def most_boundaries(config: TaskConfig) -> int:
    """The most segment boundaries of any of the tasks."""
    tasks = (*train_tasks(config).tasks, *eval_tasks(config))
    return max(len(task.segment_boundaries) for task in tasks)


def _task(config: TaskConfig, sizes: tuple[int, int]) -> Task:
    kind = import_class("task.kind", config.kind)
    try:
        task: Task = kind(config.vocab_size, *sizes, passes=config.passes, **config.options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"task: {error}") from error
    if {getattr(task, "size_a", None), getattr(task, "size_b", None)} != set(sizes):
        raise ValueError(
            f"task.kind = {config.kind!r}: not a synthetic.Task whose sides have the sizes "
            f"{sizes[0]} and {sizes[1]}"
        )
    return task
