"""The configs of pretraining and of generation, as plain data.

Neither this module nor `sdsim.text.presets` imports torch, so that the command line starts fast.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Annotated, Any, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count, Fraction, NonNegative, Positive, Seed
from sdsim.text.presets import Preset, preset_of

PYTHON = "python"
"""The text that comes with every Python: its documentation, and the docstrings of its library."""

TRAIN_TOKENIZER = "train"
"""A byte-level BPE, trained on the corpus."""

Split = Literal["train", "validation"]
"""The documents to train on, and those held out."""

PackageName = Literal["linux", "python", "gcide", "anarchism", "perl", "wikipedia"]
"""Packages with text, see `sdsim.text.packages`."""

Strategy = Literal["left_pad", "read_twice", "iterate"]
"""How a prompt shorter than the prefix is read (paper, Table 4).

- ``"left_pad"``: as it is, padded on the left;
- ``"read_twice"``: repeated on the left until it fills the prefix;
- ``"iterate"``: as it is, and again from the start after each new token; expensive.
"""

# Fields of `PretrainConfig` that say how a run is executed, and may change when it is resumed.
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


# Fields that were added when runs had been stored already, with their defaults.
_ADDED_FIELDS: dict[str, Any] = {
    "decay_norms": False,
    "decay_embedding": True,
    "stop_after": None,
}
_ADDED_TO_OBJECTIVE: dict[str, Any] = {"form": "paper"}


@dataclass(frozen=True, config=STRICT)
class CorpusConfig:
    """A text, and how it becomes tokens.

    Attributes:
        tokens: folder of the tokens, written on first use; several runs may share it.
        data: files, folders, hf:<dataset> or python, see `sdsim.text.documents.documents`.
        held_out: text that is held out, named as data is; empty: documents of data are.
        text_field: column or key that holds the text in JSONL, Parquet and datasets.
        tokenizer: a tokenizer.json, a name on the Hugging Face hub such as gpt2, or train: a
            byte-level BPE trained on the corpus.
        vocab_size: number of tokens, where the tokenizer is trained.
        validation_every: every so many documents of data, one is held out, unless held_out names
            others; where there are too few, the end of the text, one sequence of so many.
        skip_empty: whether documents without text, or with null in its place, are skipped and
            counted; otherwise they are an error.
    """

    tokens: str
    data: tuple[str, ...] = (PYTHON,)
    held_out: tuple[str, ...] = ()
    text_field: str = "text"
    tokenizer: str = TRAIN_TOKENIZER
    vocab_size: Annotated[int, Field(ge=257)] = 2047
    validation_every: Annotated[int, Field(ge=2)] = 100
    skip_empty: bool = False


_Counts = Annotated[tuple[Count, ...], Field(min_length=1)]
_Numbers = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class RecipeConfig:
    """What a corpus consists of.

    Attributes:
        out: folder of the corpus.
        packages: whose text is read: linux, python, gcide, anarchism, perl, wikipedia; or none.
        root: folder in which Debian's packages are installed, or were extracted by dpkg-deb -x; a
            Python package is found where Python finds it, or in this folder.
        package_megabytes: most text of each package.
        held_out_every: one package document of so many is held out.
        documents: generated ones to train on; a hundredth as many are held out.
        facts: numbers of facts in them, in turn.
        distractors: numbers of distractors in them, in turn.
        distance: numbers of sentences after their last statement, in turn.
        test_facts: numbers of facts in the documents that are asked about, a file for each.
        test_distractors: distractors in each of these.
        test_distance: sentences after their last statement.
        test_documents: documents in each file, with one question each.
        seed: of the generated documents.
    """

    out: str = "corpus"
    packages: tuple[PackageName, ...] = get_args(PackageName)
    root: str = "/"
    package_megabytes: NonNegative = 2.0
    held_out_every: Annotated[int, Field(ge=2)] = 100
    documents: Count = 60_000
    facts: _Counts = (1, 2, 4, 8)
    distractors: _Numbers = (0, 0, 2)
    distance: _Numbers = (0, 0, 0, 2, 5)
    test_facts: _Counts = (1, 2, 4, 8, 16)
    test_distractors: Annotated[int, Field(ge=0)] = 0
    test_distance: Annotated[int, Field(ge=0)] = 0
    test_documents: Count = 500
    seed: Seed = 0


@dataclass(frozen=True, config=STRICT)
class ObjectiveConfig:
    """The pretraining loss of JRT-RNN: next-token prediction and masked tokens (paper, section 3).

    Attributes:
        ntp_weight: w1, weight of the next-token loss.
        mlm_weight: w2, weight of the loss on the masked tokens of the prefix.
        mask_share: fraction of the prefix that is masked.
        weighting: paper: (w1·ntp + w2·mlm) / (w1 + w2); released: w1·ntp + w2·mlm, as in the
            paper's released code.
        form: paper: every token after the prefix is predicted, the first one at the prefix's last
            position, which is never masked; of each prefix the same number of tokens is masked.
            released: as in the released code, the first token after the prefix is not predicted,
            and each token of the prefix, the last one included, is masked independently, with
            probability mask_share.
    """

    ntp_weight: Positive = 1.0
    mlm_weight: NonNegative = 0.25
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    weighting: Literal["paper", "released"] = "paper"
    form: Literal["paper", "released"] = "paper"

    def first_predicted(self, prefix_len: int) -> int:
        """The first token, counted from 0, of which a next-token loss is taken.

        Args:
            prefix_len: M; without a prefix, 0, all but the sequence's first token are predicted.
        """
        return prefix_len + (prefix_len == 0 or self.form == "released")


@dataclass(frozen=True, config=STRICT)
class SamplingConfig:
    """How the next token is chosen.

    Attributes:
        max_new_tokens: most tokens generated for each prompt.
        temperature: divides the logits; 0: always the likeliest token.
        top_k: sample from so many of the likeliest tokens; null: from all.
        top_p: sample from the smallest set of likeliest tokens with at least this probability.
        seed: of the random numbers; each prompt has a stream of its own.
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
        preset: jrt, based or transformer, with _tiny, _1m, _360m or _1b3; mamba2_1m,
            gated_deltanet_1m or gru_1m.
        seq_len: N, tokens of a sequence; null: the preset's.
        prefix_len: M, leading tokens of it that are read non-causally; null: the preset's.
        steps: optimizer steps; the most of them where `stop_after` ends the run.
        stop_after: validations in a row without a new lowest held-out loss, after which training
            ends; null: all steps are taken.
        batch_size: sequences per step, over all processes.
        lr: peak learning rate.
        min_lr: learning rate at the end of the cosine.
        warmup: fraction of the steps in which the learning rate rises.
        beta1, beta2, eps, weight_decay: of AdamW; biases do not decay.
        decay_norms: whether the gains of norms decay.
        decay_embedding: whether the embedding, which is also the read-out, decays.
        clip_norm: largest gradient norm.
        seed: of initialization, the order of the data, and the masks.

    How it is executed, which may change whenever a run is resumed:

    Attributes:
        device: cpu or cuda; under torchrun each process takes a GPU of its own.
        threads: threads of torch in each process, on the CPU.
        micro_batch_size: sequences per process in one forward pass; null: its whole share of the
            batch, without gradient accumulation.
        dtype: of matrix products, float32 or bfloat16; parameters stay in float32; null: bfloat16
            on CUDA, float32 elsewhere.
        compile: whether each layer is compiled.
        recompute: activation checkpointing: less memory, more time.
        parallel: ddp: a whole model in every process; fsdp: parameters, gradients and moments
            sharded over the processes (FSDP2).
        save_every: steps between checkpoints.
        save_async: whether training continues while a checkpoint is written.
        keep: number of checkpoints kept, the newest ones.
        log_every: steps between lines of the log.
        validate_every: steps between validations.
        validation_windows: most held-out sequences read by a validation.
        peak_tflops: TFLOP/s of the device, for the model FLOPs utilization in the log; null: known
            for some GPUs.
    """

    out: str
    corpus: CorpusConfig
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    preset: str = "jrt_tiny"
    seq_len: Annotated[int, Field(ge=2)] | None = None
    prefix_len: Annotated[int, Field(ge=0)] | None = None
    steps: Count = 1000
    stop_after: Count | None = None
    batch_size: Count = 8
    lr: Positive = 8e-4
    min_lr: NonNegative = 8e-5
    warmup: Fraction = 0.01
    beta1: Fraction = 0.9
    beta2: Fraction = 0.95
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.1
    decay_norms: bool = False
    decay_embedding: bool = True
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
        preset_of(self.preset)
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr = {self.min_lr}: must lie between 0 and lr = {self.lr}")
        if self.prefix >= self.length:
            raise ValueError(
                f"prefix_len = {self.prefix}: must lie between 0 and seq_len - 1 = "
                f"{self.length - 1}"
            )
        if self.objective.first_predicted(self.prefix) >= self.length:
            raise ValueError(
                f"prefix_len = {self.prefix}: must lie between 0 and seq_len - 2 = "
                f"{self.length - 2}, since objective.form = {self.objective.form!r} does not "
                "predict the first token after the prefix"
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
        """Sequences per process in one forward pass, and gradient-accumulation steps.

        Args:
            processes: how many share the batch.

        Raises:
            ValueError: if the batch cannot be split into equal parts.
        """
        if self.batch_size % processes:
            raise ValueError(
                f"batch_size = {self.batch_size}: must be a multiple of the {processes} processes"
            )
        share = self.batch_size // processes
        size = share if self.micro_batch_size is None else self.micro_batch_size
        if share % size:
            raise ValueError(
                f"micro_batch_size = {size}: must divide the {share} sequences of a process"
            )
        return size, share // size

    def identity(self) -> dict[str, Any]:
        """The fields that must be the same for a run to be resumed, as plain data.

        Fields that were added when runs had been stored already are among them only where they
        differ from their defaults, so that such runs stay what they are; see `with_added_fields`.
        """
        values = {name: value for name, value in asdict(self).items() if name not in _EXECUTION}
        del values["corpus"]  # identified by its tokens instead
        values["objective"] = _without(_ADDED_TO_OBJECTIVE, values["objective"])
        return _without(_ADDED_FIELDS, values)


def with_added_fields(identity: dict[str, Any]) -> dict[str, Any]:
    """`PretrainConfig.identity`, of today or of a stored run, and the fields that it leaves out."""
    objective = identity.get("objective")
    if isinstance(objective, dict):
        objective = _ADDED_TO_OBJECTIVE | objective
    return _ADDED_FIELDS | identity | {"objective": objective}


def _without(added: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Values without the added fields that have their defaults."""
    return {
        name: value for name, value in values.items() if name not in added or value != added[name]
    }
