"""A run as plain data: what is trained, on what, how. Every field is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from sdsim.imports import import_class
from sdsim.machines import MachineConfig
from sdsim.models import LanguageModel, ModelConfig
from sdsim.models.config import STRICT
from synthetic import Mixture, Task


def _at_least(minimum: float, group: str, **values: float) -> None:
    for name, value in values.items():
        if not value >= minimum:
            raise ValueError(f"{group}{name} = {value}: must be at least {minimum:g}")


@dataclass(frozen=True)
class TaskConfig:
    """A task at several sizes.

    Attributes:
        name: what the runs and figures call it.
        kind: import path of the task's class, called as ``kind(vocab_size, *sizes, passes=…,
            **options)``.
        vocab_size: V, special tokens included.
        train_sizes: pairs of sizes to train on: (|A|, |B|), or (pairs, queries) of a recall task,
            whichever comes first in it.
        test_sizes: pairs to test on; each is a slice of the results. Empty: the train sizes.
        passes: how often the input is shown.
        options: the task's other settings. On the command line they stand beside the others:
            ``task.answer=decision``.
        weights: how much of the training each of the train sizes gets; empty: the same.
        curriculum: stages (share of the steps, weights), see `synthetic.Mixture`.

    Raises:
        ValueError: where the class is no task, or a size or option does not fit.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str = "set_disjointness"
    kind: str = "synthetic.SetDisjointness"
    vocab_size: int = 36
    train_sizes: tuple[tuple[int, int], ...] = ((4, 12), (12, 4))
    test_sizes: tuple[tuple[int, int], ...] = ()
    passes: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    curriculum: tuple[tuple[float, tuple[float, ...]], ...] = ()

    def __post_init__(self) -> None:
        if not self.train_sizes:
            raise ValueError("task.train_sizes is empty: give at least one pair")
        if self.passes < 1:
            raise ValueError(f"task.passes = {self.passes}: must be at least 1")
        self.train_tasks()
        self.test_tasks()

    def train_tasks(self) -> Mixture:
        """One task per training size, and which one trains when."""
        tasks = tuple(self._task(sizes) for sizes in self.train_sizes)
        try:
            return Mixture(tasks, self.weights, self.curriculum)
        except ValueError as error:
            raise ValueError(f"task: {error}") from error

    def test_tasks(self) -> list[Task]:
        """One task per test size."""
        return [self._task(sizes) for sizes in self.test_sizes or self.train_sizes]

    def _task(self, sizes: tuple[int, int]) -> Task:
        kind = import_class("task.kind", self.kind)
        try:
            task: Task = kind(self.vocab_size, *sizes, passes=self.passes, **self.options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"task: {error}") from error
        if {getattr(task, "size_a", None), getattr(task, "size_b", None)} != set(sizes):
            raise ValueError(
                f"task.kind = {self.kind!r}: that is no synthetic.Task whose sides are of the "
                f"sizes {sizes[0]} and {sizes[1]}"
            )
        return task


@dataclass(frozen=True)
class TrainConfig:
    """How to train: AdamW, linear warm-up and cosine decay, clipped gradients.

    Attributes:
        steps: optimizer steps.
        batch_size: sequences per step.
        lr: peak learning rate.
        weight_decay: decoupled, on every parameter.
        beta2: decay of AdamW's second moment.
        warmup: share of the steps with a rising learning rate, in [0, 1).
        clip_norm: largest gradient norm.
        examples: of each train size; these are read again and again, each time in another order.
            None: no example is seen twice.
        stop_accuracy: training ends early once this share of the answers was right, over a
            hundredth of the steps, asked before learning from them. None: it does not.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    steps: int = 3000
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.1
    beta2: float = 0.98
    warmup: float = 0.1
    clip_norm: float = 1.0
    examples: int | None = None
    stop_accuracy: float | None = None

    def __post_init__(self) -> None:
        _at_least(1, "train.", steps=self.steps, batch_size=self.batch_size)
        if self.examples is not None:
            _at_least(1, "train.", examples=self.examples)
        if self.stop_accuracy is not None and not 0 < self.stop_accuracy <= 1:
            raise ValueError(f"train.stop_accuracy = {self.stop_accuracy}: must lie in (0, 1]")
        _at_least(0, "train.", weight_decay=self.weight_decay)
        if not self.lr > 0 or not self.clip_norm > 0:
            raise ValueError(
                f"train.lr = {self.lr}, train.clip_norm = {self.clip_norm}: both must be positive"
            )
        if not 0 <= self.warmup < 1 or not 0 < self.beta2 < 1:
            raise ValueError(
                f"train.warmup = {self.warmup}, train.beta2 = {self.beta2}: "
                "must lie in [0, 1) and (0, 1)"
            )


@dataclass(frozen=True)
class TestConfig:
    """How to test.

    Attributes:
        examples: per test slice.
        bits: widths b, from 1 to 16: the test is done again with the carried state rounded to b
            bits per number (see `sdsim.models.quantization`).
        quantize: where: at the ``"crossings"``, where the input passes from one side to the other
            (the separators), or at all ``"steps"``. Of a model that reads its prompt at once, in
            both cases, from the end of the prompt on: this is before the first token to be
            answered, so that its reader of the prompt may miss a token that it was trained with.
            What rounding costs such a model is seen against 16 bits.
    """

    __pydantic_config__: ClassVar[Any] = STRICT
    __test__: ClassVar[bool] = False  # or pytest would take it for a test

    examples: int = 1000
    bits: tuple[int, ...] = ()
    quantize: Literal["crossings", "steps"] = "crossings"

    def __post_init__(self) -> None:
        _at_least(1, "test.", examples=self.examples)
        if self.bits and not 1 <= min(self.bits) <= max(self.bits) <= 16:
            raise ValueError(f"test.bits = {list(self.bits)}: widths must lie between 1 and 16")
        if len(set(self.bits)) < len(self.bits):
            raise ValueError(f"test.bits = {list(self.bits)}: each width once")


@dataclass(frozen=True)
class RunConfig:
    """One run; its id in the store is a hash of exactly these fields.

    Raises:
        ValueError: for a model that cannot be built, or a seed outside [0, 2^63).
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    model: ModelConfig | MachineConfig
    task: TaskConfig = field(default_factory=TaskConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test: TestConfig = field(default_factory=TestConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed = {self.seed}: must lie in [0, 2^63)")
        if isinstance(self.model, MachineConfig):
            for task in self.task.test_tasks():
                self.model.check(task)
            return
        # What a model demands of its config is said where it is built; on meta that costs nothing.
        with torch.device("meta"):
            LanguageModel(self.model, self.task.vocab_size)
