"""A run as plain data: which model, on which task, how it is trained and evaluated.

Every setting is declared here once, with its default, its range and its meaning. The command line,
its ``--help``, the stored runs and Python all read these classes. Building what a config describes
(and so finding out whether a mixer or a task of that name exists) is the business of
`sdsim.models` and `sdsim.training`: this module imports neither of them, nor torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, field, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, defer_build=True)
"""How plain values become a config: no unknown fields, no NaN."""

TrainingMode = Literal["sequential", "vmap", "compiled", "cuda_graph"]
"""One run after another; all as one program; that program compiled, or replayed as CUDA graphs."""

Selection = Literal["validation", "released"]
"""Which runs figures show of a config: all seeds at the learning rate that validation examples
choose, or, as the paper's released code, for each order the run with the best test accuracy."""

StateSource = Literal["measured", "stated", "unknown"]
"""Where the size of a model's state comes from: counted tensors, what is said of it, or nowhere."""

Reader = Literal["causal", "prefix", "noncausal", "unknown"]
"""How a model reads its prompt, see `sdsim.store.architecture.reader`."""

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """A residual stack of `depth` layers whose mixers cycle through `mixers`.

    Attributes:
        name: what runs and figures call the model.
        mixers: names of `sdsim.models.MIXERS`, or import paths of other mixers
            (``"package.module.ClassName"``); layer i uses ``mixers[i % len(mixers)]``.
        width: d, numbers per token between the layers; also the state of a GRU or LSTM layer.
        depth: number of layers.
        heads: heads of a mixer; must divide `width`.
        feature_dim: D, numbers per head in a query or key of a linear recurrence, in linear
            attention before its feature map.
        filter_size: taps of a short convolution.
        mlp: what follows each mixer: gelu, swiglu or none.
        mlp_ratio: hidden width of the MLP over `width`; their product is rounded.
        embedding_dropout: probability with which training zeroes a number of an embedding.
        window: tokens that sliding-window attention sees, the current one included.
        state_bits_per_number: b, bits to which each number of the state is quantized, in training
            and in testing; 0: the state is not quantized. See `sdsim.models.budget`.
        state_numbers: how many numbers each layer carries in place of its state, by a learned map
            of it and back; layers cycle through them as through `mixers`. 0: the layer's state is
            forgotten. Empty: the states themselves are carried.
        state_quantized_at: boundaries, where the input goes from one side to the other; or tokens:
            after each.
        arguments: keyword arguments of the mixers that are given by import paths, beside what
            their parameters' names ask for (`sdsim.models.construction`).
        stated_state_bits: bits that the whole model carries per sequence, as you know them; for
            models with a module that has no `step`, whose state cannot be measured; null: unknown.
    """

    name: str
    mixers: Annotated[tuple[str, ...], Field(min_length=1)]
    width: Count = 32
    depth: Count = 4
    heads: Count = 2
    feature_dim: Count = 4
    filter_size: Count = 3
    mlp: Literal["gelu", "swiglu", "none"] = "gelu"
    mlp_ratio: Annotated[int | float, Field(ge=1)] = 2
    embedding_dropout: Fraction = 0.0
    window: Count = 64
    state_bits_per_number: Annotated[int, Field(ge=0, le=16)] = 0
    state_numbers: tuple[Annotated[int, Field(ge=0)], ...] = ()
    state_quantized_at: Literal["boundaries", "tokens"] = "boundaries"
    arguments: dict[str, Any] = field(default_factory=dict)
    stated_state_bits: Count | None = None

    def __post_init__(self) -> None:
        if not self.has_modules and (self.arguments or self.stated_state_bits is not None):
            name = "arguments" if self.arguments else "stated_state_bits"
            raise ValueError(
                f"model.{name}: it is for mixers given by import paths; model.mixers = "
                f"{list(self.mixers)} are built in"
            )
        if not self.has_budget and (self.state_numbers or self.state_quantized_at == "tokens"):
            raise ValueError(
                "model.state_bits_per_number = 0: the state is not quantized, so leave "
                "model.state_numbers and model.state_quantized_at as they are"
            )
        if len(self.state_numbers) > self.depth:
            raise ValueError(
                f"model.state_numbers = {list(self.state_numbers)}: there are only model.depth = "
                f"{self.depth} layers"
            )

    @property
    def has_budget(self) -> bool:
        """Whether the state is quantized."""
        return self.state_bits_per_number > 0

    @property
    def has_modules(self) -> bool:
        """Whether a mixer is given by its import path."""
        return any("." in name for name in self.mixers)


@dataclass(frozen=True, config=STRICT)
class ModuleConfig:
    """A whole model of your own, from tokens to logits, as a `torch.nn.Module`.

    Attributes:
        name: what runs and figures call the model.
        module: import path of the class, or of a function that returns the module, called with
            what its parameters' names ask for (`sdsim.models.construction`), such as
            ``vocab_size``. The module maps tokens (B, N) to logits (B, N, vocab_size).
        arguments: its other keyword arguments.
        stated_state_bits: bits that it carries per sequence, as you know them; null: unknown,
            unless the module states its own by an attribute ``state_bits``.
    """

    name: str
    module: str
    arguments: dict[str, Any] = field(default_factory=dict)
    stated_state_bits: Count | None = None

    has_budget = False  # its state cannot be reached, so it is never quantized
    has_modules = True


@dataclass(frozen=True, config=STRICT)
class AlgorithmConfig:
    """A streaming algorithm in place of a network: nothing is trained, every bit held is counted.

    Attributes:
        name: what runs and figures call the algorithm.
        machine: the algorithm. one_pass stores all of A; just_read_twice (Algorithm 3) the smaller
            set, on two passes; multi_pass a part of it at a time, on two passes or more;
            fingerprint a hash value for each element of A; random_kernel is linear attention with
            random features (G.23).
        budget: bits that a fingerprint may hold; it takes the longest hash values that fit.
        features: f, random features of random_kernel.

    Source:
        `theory.algorithms`.
    """

    name: str
    machine: Literal["one_pass", "just_read_twice", "multi_pass", "fingerprint", "random_kernel"]
    budget: Annotated[int, Field(ge=0)] = 0
    features: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        for name, user in (("budget", "fingerprint"), ("features", "random_kernel")):
            value = getattr(self, name)
            if (value < 1) == (self.machine == user):
                raise ValueError(
                    f"model.{name} = {value}: at least 1 for machine {user!r}, 0 for the others"
                )


def _pairs(sizes: Any) -> Any:
    """A pair alone stands for a list of that one pair."""
    is_pair = isinstance(sizes, (list, tuple)) and len(sizes) == 2
    return [sizes] if is_pair and all(isinstance(size, int) for size in sizes) else sizes


Sizes = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_pairs)]
"""Pairs of sizes; ``[4, 12]`` is ``[[4, 12]]``."""


@dataclass(frozen=True, config=STRICT)
class TaskConfig:
    """A task at several sizes.

    Attributes:
        name: what runs and figures call the task.
        kind: import path of the task's class, called as ``kind(vocab_size, *sizes, passes=…,
            **options)``.
        vocab_size: V, tokens, special ones included.
        train_sizes: pairs of sizes to train on: (|A|, |B|), or (pairs, queries) of a recall task,
            whichever comes first in it.
        test_sizes: pairs to test on, each a slice of the results; empty: the train sizes.
        passes: how often the input is shown.
        options: the task's other settings; on the command line they stand beside these:
            ``task.answer=decision``.
        weights: share of the training that each of the train sizes gets; empty: equal shares.
        curriculum: stages (share of the steps, weights), see `synthetic.Mixture`.
    """

    name: str = "set_disjointness"
    kind: str = "synthetic.SetDisjointness"
    vocab_size: int = 36
    train_sizes: Annotated[Sizes, Field(min_length=1)] = ((4, 12), (12, 4))
    test_sizes: Sizes = ()
    passes: Count = 1
    options: dict[str, Any] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    curriculum: tuple[tuple[float, tuple[float, ...]], ...] = ()


LEAST_STEPS_TO_CONVERGE = 1000
"""Fewer show no trend: the rule compares fifths of a fifth of them."""

LONGEST_WARMUP_TO_CONVERGE = 0.1
"""A fraction of the steps; the rule compares accuracies from 0.12 on."""


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """How to train: AdamW, linear warm-up and decay of the learning rate, clipped gradients.

    Attributes:
        steps: optimizer steps; the most of them where `until` or `stop_accuracy` ends a run.
        batch_size: sequences per step.
        lr: peak learning rate.
        weight_decay: decoupled, on every parameter.
        beta2: decay of AdamW's second moment.
        warmup: fraction of the steps with a rising learning rate.
        clip_norm: largest gradient norm.
        examples: of each train size, read again and again in a new order each time; null: no
            example is seen twice.
        stop_accuracy: training accuracy, over a hundredth of the steps, at which training ends
            early; null: it does not.
        until: what ends training. steps: all steps are done; the learning rate falls along a
            cosine. converged: accuracy no longer rises, see `sdsim.training.convergence`; the
            learning rate stays at its peak until then, and falls in the last fifth of the run.
    """

    steps: Count = 3000
    batch_size: Count = 64
    lr: Positive = 3e-3
    weight_decay: NonNegative = 0.1
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    warmup: Fraction = 0.1
    clip_norm: Positive = 1.0
    examples: Count | None = None
    stop_accuracy: Annotated[float, Field(gt=0, le=1)] | None = None
    until: Literal["steps", "converged"] = "steps"

    def __post_init__(self) -> None:
        if self.until == "steps":
            return
        if self.steps < LEAST_STEPS_TO_CONVERGE:
            raise ValueError(
                f"train.steps = {self.steps}: at least {LEAST_STEPS_TO_CONVERGE} until converged"
            )
        if self.warmup > LONGEST_WARMUP_TO_CONVERGE:
            raise ValueError(
                f"train.warmup = {self.warmup}: at most {LONGEST_WARMUP_TO_CONVERGE} until "
                "converged, so that the rule sees no rising learning rate"
            )
        if self.stop_accuracy is not None:
            raise ValueError("train.stop_accuracy is null where train.until is converged")
        if self.examples is not None:
            raise ValueError(
                "train.examples is null where train.until is converged: accuracy on examples that "
                "were seen before says nothing of others"
            )


@dataclass(frozen=True, config=STRICT)
class EvalConfig:
    """How to evaluate a trained model.

    Attributes:
        examples: test examples of each slice.
        validation: validation examples of each slice, a stream of their own, by which figures
            choose the learning rate; 0: none.
        bits: widths from 1 to 16; the test is repeated with the carried state quantized to so many
            bits per number (see `sdsim.models.quantization`).
        quantize: where the state is quantized: at the segment boundaries (crossings) or after every
            token (steps). A model with a non-causal prefix is quantized from the end of the
            prompt on, before the first token to be answered, so its reader of the prompt may miss
            a token that it was trained with; compare with 16 bits to see what quantizing costs.
    """

    examples: Count = 1000
    bits: tuple[Annotated[int, Field(ge=1, le=16)], ...] = ()
    quantize: Literal["crossings", "steps"] = "crossings"
    validation: Annotated[int, Field(ge=0)] = 0

    def __post_init__(self) -> None:
        if len(set(self.bits)) < len(self.bits):
            raise ValueError(f"test.bits = {list(self.bits)}: each width once")


@dataclass(frozen=True, config=STRICT)
class RunConfig:
    """One run; `run_id`, a hash of exactly these fields, is its name in a store.

    Attributes:
        model: a network of mixers, a whole model of your own, or a streaming algorithm.
        task: what it reads.
        train: how it is trained.
        test: how it is evaluated.
        seed: of initialization, data and dropout.
    """

    model: ModelConfig | ModuleConfig | AlgorithmConfig
    task: TaskConfig = field(default_factory=TaskConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    test: EvalConfig = field(default_factory=EvalConfig)
    seed: Seed = 0

    def __post_init__(self) -> None:
        if isinstance(self.model, ModelConfig) and set(self.model.state_numbers) == {0}:
            raise ValueError(
                f"model.state_numbers = {list(self.model.state_numbers)}: some layer has to carry "
                "a number"
            )
        if isinstance(self.model, ModelConfig) and self.model.has_budget and self.test.bits:
            raise ValueError(
                f"test.bits = {list(self.test.bits)}: the state is quantized to "
                f"model.state_bits_per_number = {self.model.state_bits_per_number} already"
            )
        if self.task.curriculum and self.train.until == "converged":
            raise ValueError(
                "task.curriculum is empty where train.until is converged: stages differ in "
                "difficulty, so accuracy rises and falls with them"
            )


ADDED_FIELDS: dict[str, dict[str, Any]] = {
    "ModelConfig": {
        "state_bits_per_number": 0,
        "state_numbers": (),
        "state_quantized_at": "boundaries",
        "arguments": {},
        "stated_state_bits": None,
    },
    "TrainConfig": {"until": "steps"},
    "EvalConfig": {"validation": 0},
}
"""Fields that were added when runs had been stored already: by class, their names and defaults.

They enter the hash of a run only where they differ from these, so that a new option leaves old runs
what they are.
"""


def run_id(config: RunConfig) -> str:
    """Sixteen hexadecimal digits: a hash of every field of the config; see `ADDED_FIELDS`."""
    return config_id(asdict(config))


def config_id(config: dict[str, Any]) -> str:
    """`run_id` of a config as plain data, fields that were added later present or not."""
    whole = _without(config, ADDED_FIELDS.get("RunConfig", {}))
    hashed = {
        name: _without(part, added_fields(name, part)) if isinstance(part, dict) else part
        for name, part in whole.items()
    }
    text = json.dumps(hashed, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def added_fields(name: str, part: dict[str, Any]) -> dict[str, Any]:
    """The `ADDED_FIELDS` of a part of a config as plain data, such as ``"train"``."""
    kinds = {"task": "TaskConfig", "train": "TrainConfig", "test": "EvalConfig"}
    kinds["model"] = kind_of_model(part).__name__
    return ADDED_FIELDS.get(kinds.get(name, name), {})


def kind_of_model(part: dict[str, Any]) -> type[ModelConfig | ModuleConfig | AlgorithmConfig]:
    """The class of a model's config, given as plain data: by the key that it alone has."""
    if "machine" in part:
        return AlgorithmConfig
    return ModuleConfig if "module" in part else ModelConfig


def _without(part: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in part.items()
        if key not in added or (tuple(value) if isinstance(value, list) else value) != added[key]
    }


def ensemble_key(config: RunConfig) -> str:
    """The same for runs that differ in learning rate and seed alone, which may train as one."""
    return run_id(replace(config, seed=0, train=replace(config.train, lr=1.0)))
