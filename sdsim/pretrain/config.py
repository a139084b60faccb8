"""What a pretraining run is: all of it plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import torch

from sdsim.models.config import STRICT
from sdsim.models.presets import Preset, preset_of
from sdsim.pretrain.corpus import CorpusConfig
from sdsim.pretrain.objective import ObjectiveConfig

_EXECUTION = (
    *("out", "device", "threads", "dtype", "compile", "recompute", "parallel"),
    *("micro_batch_size", "save_every", "save_async", "keep", "log_every", "peak_tflops"),
    *("validate_every", "validation_windows"),
)


@dataclass(frozen=True)
class PretrainConfig:
    """A pretraining run: AdamW, linear warm-up, cosine decay, clipped gradients.

    What is trained:

    Attributes:
        out: folder of the run.
        corpus: the text.
        objective: the loss.
        preset: a key of `sdsim.models.presets.PRESETS`.
        seq_len: N, tokens; None: the preset's.
        prefix_len: M, tokens that are read non-causally; None: the preset's.
        steps: optimizer steps.
        batch_size: sequences per step, on all devices together.
        lr, min_lr: peak of the learning rate, and what it falls to.
        warmup: share of the steps with a rising learning rate, in [0, 1).
        beta1, beta2, eps, weight_decay: of AdamW; biases and norms do not decay.
        clip_norm: largest gradient norm.
        seed: of initialisation, the order of the data, and masks.

    How, which may change whenever a run is gone on with:

    Attributes:
        device: ``"cpu"`` or ``"cuda"``; torchrun's processes take a device each.
        threads: of torch in each process, on the CPU.
        micro_batch_size: sequences per process of one forward pass; None: as few passes as can be.
        dtype: what is multiplied in, parameters being kept in float32; None: bfloat16 on CUDA.
        compile: whether each layer is compiled.
        recompute: whether activations are computed again rather than kept.
        parallel: ``"ddp"``: a whole model on every device; ``"fsdp"``: its parameters, gradients
            and moments spread over them (FSDP2).
        save_every: steps from one checkpoint to the next.
        save_async: whether training goes on while a checkpoint is written.
        keep: how many checkpoints are kept, the newest.
        log_every: steps from one line of the log to the next.
        validate_every: steps from one measurement on held-out text to the next.
        validation_windows: sequences of held-out text that are measured, at most.
        peak_tflops: of the device, for the share of it that is used; None: known for some GPUs.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    out: str
    corpus: CorpusConfig
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    preset: str = "jrt_tiny"
    seq_len: int | None = None
    prefix_len: int | None = None
    steps: int = 1000
    batch_size: int = 8
    lr: float = 8e-4
    min_lr: float = 8e-5
    warmup: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    seed: int = 0
    device: str = "cpu"
    threads: int = 2
    micro_batch_size: int | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    compile: bool = False
    recompute: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    save_every: int = 100
    save_async: bool = False
    keep: int = 2
    log_every: int = 10
    validate_every: int = 100
    validation_windows: int = 64
    peak_tflops: float | None = None

    def __post_init__(self) -> None:
        counts = ("steps", "batch_size", "threads", "save_every", "keep", "log_every")
        for name in (*counts, "validate_every", "validation_windows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least 1")
        for name in ("lr", "clip_norm", "eps"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must be positive")
        if not 0 <= self.min_lr <= self.lr:
            raise ValueError(f"min_lr = {self.min_lr}: must lie between 0 and lr = {self.lr}")
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay = {self.weight_decay}: must be at least 0")
        for name in ("warmup", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must lie in [0, 1)")
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"seed = {self.seed}: must lie in [0, 2^63)")
        if self.window < 2:
            raise ValueError(f"seq_len = {self.window}: must be at least 2")
        if not 0 <= self.prefix < self.window:
            raise ValueError(
                f"prefix_len = {self.prefix}: must lie between 0 and seq_len - 1 = "
                f"{self.window - 1}"
            )

    @property
    def model(self) -> Preset:
        """The preset."""
        return preset_of(self.preset)

    @property
    def window(self) -> int:
        """N, tokens of a sequence."""
        return self.model.seq_len if self.seq_len is None else self.seq_len

    @property
    def prefix(self) -> int:
        """M, tokens of the prefix."""
        return self.model.prefix_len if self.prefix_len is None else self.prefix_len

    @property
    def precision(self) -> torch.dtype:
        """What is multiplied in."""
        default = "bfloat16" if self.device.startswith("cuda") else "float32"
        return torch.bfloat16 if (self.dtype or default) == "bfloat16" else torch.float32

    def passes(self, processes: int) -> tuple[int, int]:
        """How the batch is split: sequences per pass and process, and passes per step.

        Raises:
            ValueError: where it cannot be split into equal parts.
        """
        if self.batch_size % processes:
            raise ValueError(
                f"batch_size = {self.batch_size}: the {processes} processes must divide it"
            )
        share = self.batch_size // processes
        size = share if self.micro_batch_size is None else self.micro_batch_size
        if size < 1 or share % size:
            raise ValueError(
                f"micro_batch_size = {size}: must divide the {share} sequences of a process"
            )
        return size, share // size

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be gone on with."""
        whole = {name: value for name, value in asdict(self).items() if name not in _EXECUTION}
        del whole["corpus"]  # of which its tokens tell
        return whole
