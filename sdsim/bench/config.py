"""What `sdsim bench` is asked to measure: plain data, without torch."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count, NonNegative, Positive
from sdsim.text.presets import PRESETS

Attention = Literal["prefill", "decode", "train"]
ModelTask = Literal["model_prefill", "model_decode", "model_train"]
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


Lengths = Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class BenchConfig:
    """What to measure, and where.

    Attributes:
        what: generation, prefill, decode, train, sweep, model_prefill, model_decode, model_train.
        lengths: N, tokens of a sequence.
        batches: B, sequences that are computed at once.
        heads: attention heads.
        feature_dim: D, numbers per head in a query or key, before the feature map.
        head_dim: E, numbers per head in a value.
        dtype: float32, bfloat16 or float16.
        device: name of the torch device, such as cpu or cuda.
        threads: threads of torch, on the CPU.
        methods: methods of attention to measure, of `kernels.bench.METHODS`, which are known only
            where it is imported; null: all.
        repeats: timed calls of each method.
        max_seconds: seconds that one method may take in one case; past that it is not tried at
            larger ones.
        memory_gb: memory that one method may take, GB; what needs more is not run.
        out: folder to keep the numbers in, those of a sweep after each case; null: they are only
            printed.
        preset: of `sdsim bench sweep`: a sweep, whose runs are trained.
        presets: of whole models: jrt, based or transformer, with _tiny, _360m or _1b3.
        members: of `sdsim bench sweep`: runs per ensemble to try.
        settings: of `sdsim bench sweep`: how many of the preset's ensembles (runs that differ in
            learning rate and seed alone) to measure; null: all.
        all_members: of `sdsim bench sweep`: whether `members` are tried with every ensemble, rather
            than with the first and the last.
        workers: of `sdsim bench sweep`: processes that measure at the same time.
        compile_seconds: of `sdsim bench sweep`: what compiling may take in one case, by estimate.
        searchpath: where a preset of one's own is, besides; the command has Hydra's
            ``--config-dir`` and ``hydra.searchpath`` for it.
    """

    what: Annotated[tuple[What, ...], Field(min_length=1)] = ("generation", "prefill")
    lengths: Lengths = (
        2048,
        4096,
        8192,
        16384,
        32768,
    )
    batches: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    heads: Count = 16
    feature_dim: Count = 16
    head_dim: Count = 64
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    device: str = "cpu"
    threads: Count = 2
    methods: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    repeats: Count = 9
    max_seconds: Positive = 60
    memory_gb: Positive = 8
    out: str | None = None
    preset: str = "tiny"
    presets: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "jrt_tiny",
        "based_tiny",
        "transformer_tiny",
    )
    members: Annotated[tuple[Count, ...], Field(min_length=1)] = (1, 2, 4, 8, 16, 32, 64)
    settings: Count | None = None
    all_members: bool = False
    workers: Count = 1
    compile_seconds: NonNegative = 120
    searchpath: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.presets:
            if name not in PRESETS:
                raise ValueError(f"presets: {name!r} is not one of {', '.join(PRESETS)}")

    @property
    def cases(self) -> list[tuple[int, int]]:
        """Pairs (batch, length) of attention and whole models, the shorter first."""
        pairs = product(set(self.batches), set(self.lengths))
        return sorted(pairs, key=lambda pair: pair[::-1])
