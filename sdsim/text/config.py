"""What is pretrained, on which text, with which loss; and how text is generated: plain data.

No module of this is imported here that imports torch, so that the command line starts fast.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count, Fraction, NonNegative, Positive, Seed
from sdsim.text.presets import Preset, preset_of

PYTHON = "python"
"""The text that comes with every Python: its documentation, and the docstrings of its library."""

TRAIN_TOKENIZER = "train"
"""A byte-level BPE, trained on the corpus."""

Strategy = Literal["left_pad", "read_twice", "iterate"]
"""How a prompt shorter than the prefix is read (paper, Table 4).

- ``"left_pad"``: as it is, padded on the left;
- ``"read_twice"``: repeated on the left until it fills the prefix;
- ``"iterate"``: as it is, and again, with the new token, after each; expensive.
"""

_EXECUTION = (
    "out",
    "device",
    "threads",
    "dtype",
    "compile",
    "recompute",
    "parallel",
    "micro_batch_size",
    "save_every",
    "save_async",
    "keep",
    "log_every",
    "peak_tflops",
    "validate_every",
    "validation_windows",
)


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """Text, and how it becomes tokens.

    Attributes:
        tokens: folder of the tokens, made on first use; several runs may share it.
        data: files, folders, hf:<dataset> or python, see `sdsim.text.documents.documents`.
        text_field: what rows of JSONL, Parquet and datasets call their text.
        tokenizer: a tokenizer.json, a name on the Hugging Face hub such as gpt2, or train: a
            byte-level BPE, trained on the corpus.
        vocab_size: tokens of a tokenizer that is trained.
        validation_every: one document in so many is held out.
        skip_empty: whether documents without text are left out; else they are an error.
    """

    tokens: str
    data: tuple[str, ...] = (PYTHON,)
    text_field: str = "text"
    tokenizer: str = TRAIN_TOKENIZER
    vocab_size: Annotated[int, Field(ge=257)] = 2047
    validation_every: Annotated[int, Field(ge=2)] = 100
    skip_empty: bool = False


@dataclass(frozen=True, config=STRICT)
class ObjectiveConfig:
    """How the two losses are weighted.

    Attributes:
        ntp_weight: w1, of the next-token loss.
        mlm_weight: w2, of the loss on masked tokens.
        mask_share: fraction of the prefix that is masked.
        weighting: paper: (w1·ntp + w2·mlm) / (w1 + w2); released: w1·ntp + w2·mlm, as in the
            paper's released code.
    """

    ntp_weight: Positive = 1.0
    mlm_weight: NonNegative = 0.25
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    weighting: Literal["paper", "released"] = "paper"


@dataclass(frozen=True, config=STRICT)
class SamplingConfig:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: at most, for each prompt.
        temperature: 0: the likeliest token; else what scores are divided by.
        top_k: choose among so many likeliest tokens; null: all.
        top_p: choose among the fewest likeliest tokens that together have this probability.
        seed: what is drawn depends on it, the prompt's number and the position.
    """

    max_new_tokens: Count = 64
    temperature: NonNegative = 0.0
    top_k: Count | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    seed: Seed = 0


@dataclass(frozen=True, config=STRICT)
class PretrainConfig:
    """A pretraining run: AdamW, linear warm-up, cosine decay, clipped gradients.

    What is trained:

    Attributes:
        out: folder of the run.
        corpus: the text.
        objective: the loss.
        preset: a model of `sdsim.text.presets.PRESETS`.
        seq_len: N, tokens of a sequence; null: the preset's.
        prefix_len: M, tokens of it that are read non-causally; null: the preset's.
        steps: optimizer steps.
        batch_size: sequences per step, on all devices together.
        lr: peak learning rate.
        min_lr: what the learning rate falls to.
        warmup: fraction of the steps with a rising learning rate.
        beta1, beta2, eps, weight_decay: of AdamW; biases and norms do not decay.
        clip_norm: largest gradient norm.
        seed: of initialization, the order of the data, and masks.

    How, which may change whenever a run is resumed:

    Attributes:
        device: cpu or cuda; under torchrun each process takes a device of its own.
        threads: threads of torch in each process, on the CPU.
        micro_batch_size: sequences per process in one forward pass; null: all in one.
        dtype: of matrix products, parameters being kept in float32; null: bfloat16 on CUDA.
        compile: whether each layer is compiled.
        recompute: activation checkpointing: compute activations again rather than keep them.
        parallel: ddp: a whole model on every device; fsdp: parameters, gradients and moments
            sharded over them (FSDP2).
        save_every: steps between checkpoints.
        save_async: whether training goes on while a checkpoint is written.
        keep: how many checkpoints are kept, the newest.
        log_every: steps between lines of the log.
        validate_every: steps between measurements on held-out text.
        validation_windows: most sequences of held-out text that are measured.
        peak_tflops: of the device, for the fraction of it that is used; null: known for some GPUs.
    """

    out: str
    corpus: CorpusConfig
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    preset: str = "jrt_tiny"
    seq_len: int | None = None
    prefix_len: int | None = None
    steps: Count = 1000
    batch_size: Count = 8
    lr: Positive = 8e-4
    min_lr: NonNegative = 8e-5
    warmup: Fraction = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.95
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.1
    clip_norm: Positive = 1.0
    seed: Seed = 0
    device: str = "cpu"
    threads: Count = 2
    micro_batch_size: Count | None = None
    dtype: Literal["float32", "bfloat16"] | None = None
    compile: bool = False
    recompute: bool = False
    parallel: Literal["ddp", "fsdp"] = "ddp"
    save_every: Count = 100
    save_async: bool = False
    keep: Count = 2
    log_every: Count = 10
    validate_every: Count = 100
    validation_windows: Count = 64
    peak_tflops: Positive | None = None

    def __post_init__(self) -> None:
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr = {self.min_lr}: must lie between 0 and lr = {self.lr}")
        if self.length < 2:
            raise ValueError(f"seq_len = {self.length}: must be at least 2")
        if not 0 <= self.prefix < self.length:
            raise ValueError(
                f"prefix_len = {self.prefix}: must lie between 0 and seq_len - 1 = "
                f"{self.length - 1}"
            )

    @property
    def model(self) -> Preset:
        """The preset."""
        return preset_of(self.preset)

    @property
    def length(self) -> int:
        """N, tokens of a sequence."""
        return self.model.seq_len if self.seq_len is None else self.seq_len

    @property
    def prefix(self) -> int:
        """M, tokens of the prefix."""
        return self.model.prefix_len if self.prefix_len is None else self.prefix_len

    @property
    def precision(self) -> Literal["float32", "bfloat16"]:
        """The type of matrix products."""
        return self.dtype or ("bfloat16" if self.device.startswith("cuda") else "float32")

    def accumulation(self, processes: int) -> tuple[int, int]:
        """Sequences per process of one forward pass, and gradient-accumulation steps.

        Raises:
            ValueError: where the batch cannot be split into equal parts.
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
        """What must be the same for a run to be resumed."""
        whole = {name: value for name, value in asdict(self).items() if name not in _EXECUTION}
        del whole["corpus"]  # its tokens tell
        return whole
