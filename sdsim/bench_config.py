"""What `sdsim bench` is asked to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from kernels.bench import METHODS
from sdsim.models.config import STRICT
from sdsim.models.presets import preset_of

Attention = Literal["prefill", "decode", "train"]
What = Literal[
    "generation",
    "sweep",
    "prefill",
    "decode",
    "train",
    "model_prefill",
    "model_decode",
    "model_train",
]
DType = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class BenchConfig:
    """What to measure, and where; see ``sdsim bench --help``."""

    __pydantic_config__: ClassVar[Any] = STRICT

    what: tuple[What, ...] = ("generation", "prefill")
    lengths: tuple[int, ...] = (2048, 4096, 8192, 16384, 32768)
    batches: tuple[int, ...] = (1,)
    heads: int = 16
    feature_dim: int = 16
    head_dim: int = 64
    dtype: DType = "float32"
    device: str = "cpu"
    threads: int = 2
    methods: tuple[str, ...] | None = None
    repeats: int = 9
    patience: float = 60
    memory_gb: float = 8
    out: str | None = None
    preset: str = "tiny"
    presets: tuple[str, ...] = ("jrt_tiny", "based_tiny", "transformer_tiny")
    members: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    settings: int | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("threads", "heads", "feature_dim", "head_dim", "repeats", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least 1")
        if self.settings is not None and self.settings < 1:
            raise ValueError(f"settings = {self.settings}: must be at least 1")
        for name in ("lengths", "batches", "members"):
            numbers = getattr(self, name)
            if not numbers or min(numbers) < (2 if name == "lengths" else 1):
                least = 2 if name == "lengths" else 1
                raise ValueError(f"{name} = {list(numbers)}: one or more numbers from {least}")
        for name in ("patience", "memory_gb"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be above 0")
        for name in self.presets:
            preset_of(name)
        for name in ("what", "methods", "presets"):
            if getattr(self, name) == ():
                raise ValueError(f"{name} = []: name at least one")
        for method in self.methods or ():
            if method not in METHODS:
                allowed = ", ".join(repr(name) for name in METHODS)
                raise ValueError(f"methods: {method!r} is not one of {allowed}")
