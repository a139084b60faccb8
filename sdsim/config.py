"""A run as plain data: what is trained, on what, how. Every field is checked when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch

from sdsim.models import LanguageModel, ModelConfig
from sdsim.models.config import STRICT
from synthetic import SetDisjointness, Task
from synthetic.set_disjointness import Answer


def _at_least(minimum: float, group: str, **values: float) -> None:
    for name, value in values.items():
        if not value >= minimum:
            raise ValueError(f"{group}{name} = {value}: must be at least {minimum:g}")


@dataclass(frozen=True)
class TaskConfig:
    """Set disjointness at several sizes.

    Attributes:
        name: the task.
        vocab_size: V, special tokens included.
        train_sizes: pairs (|A|, |B|) to train on, in turns.
        test_sizes: pairs to test on; each is a slice of the results. Empty: the train sizes.
        passes: how often the input is shown.
        answer: ``"token"`` or ``"decision"``.

    Raises:
        ValueError: where a size does not fit (see `SetDisjointness`).
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: Literal["set_disjointness"] = "set_disjointness"
    vocab_size: int = 36
    train_sizes: tuple[tuple[int, int], ...] = ((4, 12), (12, 4))
    test_sizes: tuple[tuple[int, int], ...] = ()
    passes: int = 1
    answer: Answer = "token"

    def __post_init__(self) -> None:
        if not self.train_sizes:
            raise ValueError("task.train_sizes is empty: give at least one pair (|A|, |B|)")
        self.train_tasks()
        self.test_tasks()

    def train_tasks(self) -> list[Task]:
        """One task per training size."""
        return [self._task(*sizes) for sizes in self.train_sizes]

    def test_tasks(self) -> list[Task]:
        """One task per test size."""
        return [self._task(*sizes) for sizes in self.test_sizes or self.train_sizes]

    def _task(self, size_a: int, size_b: int) -> Task:
        return SetDisjointness(self.vocab_size, size_a, size_b, self.passes, self.answer)


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
        test_examples: examples per test slice.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    steps: int = 3000
    batch_size: int = 64
    lr: float = 3e-3
    weight_decay: float = 0.1
    beta2: float = 0.98
    warmup: float = 0.1
    clip_norm: float = 1.0
    test_examples: int = 1000

    def __post_init__(self) -> None:
        _at_least(
            1,
            "train.",
            steps=self.steps,
            batch_size=self.batch_size,
            test_examples=self.test_examples,
        )
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
class RunConfig:
    """One training run; its id in the store is a hash of exactly these fields.

    Raises:
        ValueError: for a model that cannot be built, or a seed outside [0, 2^63).
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    model: ModelConfig
    task: TaskConfig = field(default_factory=TaskConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed = {self.seed}: must lie in [0, 2^63)")
        # What a model demands of its config is said where it is built; on meta that costs nothing.
        with torch.device("meta"):
            LanguageModel(self.model, self.task.vocab_size)


@dataclass(frozen=True)
class Job(RunConfig):
    """A run, and where it is done and stored.

    Attributes:
        store: folder of runs.
        device: name of the torch device.
        threads: of torch, on the CPU.
    """

    store: str = "runs"
    device: str = "cpu"
    threads: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(1, "", threads=self.threads)

    @property
    def run(self) -> RunConfig:
        """What is done, without the where."""
        return RunConfig(self.model, self.task, self.train, self.seed)
