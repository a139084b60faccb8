"""How fast whole models read, write and learn: JRT-RNN and Based beside a Transformer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import Any

import polars as pl
import torch
from torch import Tensor

from kernels.bench import Foresight, halved, measure_roofline, seconds_taken, threads
from sdsim.bench.config import BenchConfig, ModelTask
from sdsim.bench.measured import MILLISECONDS, Measured, Progress, conditions, not_run, table_of
from sdsim.models import LanguageModel
from sdsim.text.config import ObjectiveConfig
from sdsim.text.flops import peak_tflops, training_flops
from sdsim.text.objective import Objective, masked_positions
from sdsim.text.presets import Preset, preset_of

_DOING = {
    "model_prefill": "reading a prompt of N tokens",
    "model_decode": "writing a token after N others",
    "model_train": "a forward and a backward pass",
}


@dataclass(frozen=True)
class ModelTiming:
    """One model in one case.

    Attributes:
        batch, length: B sequences of N tokens; of decoding, N are read before the one measured.
        method: the preset.
        seconds, seconds_low, seconds_high: median and quartiles of the calls; None if not run.
        calls: how many were timed.
        tokens_per_second: read, written, or learned from.
        speedup: seconds of the Transformer over these; None without.
        mfu: of training, the fraction of the device's peak; None where that is not known.
        peak_bytes: most memory that torch held, on a GPU.
        reason: why it was not run.
    """

    batch: int
    length: int
    method: str
    seconds: float | None = None
    seconds_low: float | None = None
    seconds_high: float | None = None
    calls: int = 0
    tokens_per_second: float | None = None
    speedup: float | None = None
    mfu: float | None = None
    peak_bytes: int | None = None
    reason: str | None = None


def measure(config: BenchConfig, what: ModelTask, progress: Progress) -> Measured:
    """Time `config.presets` at all batches and lengths: a row of `ModelTiming` for each."""
    device, dtype = torch.device(config.device), getattr(torch, config.dtype)
    known = peak_tflops(device) if dtype == torch.bfloat16 else None
    with threads(config.threads):
        roofline = measure_roofline(device, dtype)
        timings = time_models(
            what,
            config.presets,
            config.cases,
            device=device,
            dtype=dtype,
            peak_flops=known * 1e12 if known else roofline.operations_per_second,
            repeats=config.repeats,
            max_seconds=config.max_seconds,
            progress=progress,
        )
        found = conditions(config, what, device, roofline) | {"peak_tflops": known}
    title = f"Whole models, {_DOING[what]}: {config.dtype}, on {found['device']}"
    return Measured(title, found, table_of(ModelTiming, timings))


def display_table(table: pl.DataFrame) -> pl.DataFrame:
    """Milliseconds of the models that were run; mfu where training was timed."""
    timed = table.filter(pl.col("seconds").is_not_null()).select(
        "batch",
        "length",
        "method",
        *MILLISECONDS,
        "calls",
        pl.col("tokens_per_second").round(0).cast(pl.Int64),
        "speedup",
        "mfu",
    )
    return timed.drop("mfu") if timed["mfu"].is_null().all() else timed


def notes(table: pl.DataFrame, conditions: dict[str, Any]) -> list[str]:
    """The meaning of the columns, and what was not run."""
    lines = ["milliseconds: median [quartiles]; speedup: over the Transformer"]
    if conditions["what"] == "model_train":
        peak = conditions["peak_tflops"]
        product = conditions["ceilings"]["operations_per_second"] / 1e12
        of = f"{peak:g} TFLOP/s, the data sheet's" if peak else f"a matrix product's {product:.3g}"
        lines.append(f"mfu: the model's TFLOP/s over {of}")
    return [*lines, *not_run(table)]


def time_models(
    what: ModelTask,
    presets: Sequence[str],
    cases: Sequence[tuple[int, int]],
    *,
    device: torch.device,
    dtype: torch.dtype,
    peak_flops: float | None,
    repeats: int = 9,
    max_seconds: float = 60.0,
    progress: Progress = lambda done, total: None,
) -> list[ModelTiming]:
    """Time models in turns, with random weights, on which the time does not depend.

    Half of each sequence is the prefix of a model that has one. Reading gives the logits of the
    next token alone; learning is a forward and a backward pass of the pretraining loss.

    Args:
        what: reading a prompt, writing a token after it, or learning.
        presets: keys of `sdsim.text.presets.PRESETS`.
        cases: pairs (batch, length), the shorter first.
        device, dtype: of all; in training, parameters stay in float32.
        peak_flops: operations per second of the device, for `ModelTiming.mfu`.
        repeats: timed calls of each, after one that warms up.
        max_seconds: that the calls of one model in one case may take. Shorter texts tell beforehand
            how long one takes; where that exceeds this, the model is not run. Nor is it where it
            ran out of memory before.
        progress: called after each case with the number of cases done and of all cases.

    Raises:
        ValueError: for an unknown preset.
    """
    presets_by_name = {name: preset_of(name) for name in presets}
    foresight = {name: _foresight(preset, max_seconds) for name, preset in presets_by_name.items()}
    without_memory: set[str] = set()
    timings: list[ModelTiming] = []
    for done, (batch, length) in enumerate(cases, start=1):
        case = _Case(what, batch, length, device, dtype)
        trials = [_Trial(name, preset) for name, preset in presets_by_name.items()]
        for trial in trials:
            try:
                if trial.name in without_memory:
                    trial.reason = _OUT_OF_MEMORY
                elif foresight[trial.name].seconds(case) > max_seconds:
                    trial.reason = f"more than {max_seconds:g} s"
                else:
                    foresight[trial.name].learn(case, trial.start(case))
            except torch.OutOfMemoryError:
                trial.reason = _OUT_OF_MEMORY
                without_memory.add(trial.name)
        _time_in_turns(trials, device, repeats, max_seconds)
        transformers = [median(t.seconds) for t in trials if t.seconds and t.is_transformer]
        baseline = transformers[0] if transformers else None
        timings += [trial.timing(case, baseline, peak_flops) for trial in trials]
        progress(done, len(cases))
    return timings


_OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True)
class _Case:
    """What all models do."""

    what: ModelTask
    batch: int
    length: int
    device: torch.device
    dtype: torch.dtype

    @property
    def smaller(self) -> _Case | None:
        """Half of the text, then half of the sequences; None where little is left."""
        sizes = halved(self.length, self.batch, least=(16, 1))
        return None if sizes is None else replace(self, length=sizes[0], batch=sizes[1])


def _foresight(preset: Preset, max_seconds: float) -> Foresight[_Case]:
    """How long it takes to prepare and to make a model's call."""

    return Foresight(
        measure=lambda case: _Trial("", preset).start(case, warm_up=False),
        smaller=lambda case: case.smaller,
        limit=max_seconds,
    )


@dataclass
class _Trial:
    """One model in one case: the call to time and its times, or the reason why there are none."""

    name: str
    preset: Preset
    reason: str | None = None
    call: Callable[[], object] | None = None
    flops: float = 0.0  # of a training step, per sequence
    seconds: list[float] = field(default_factory=list)
    peak_bytes: int | None = None

    @property
    def is_transformer(self) -> bool:
        return set(self.preset.config.mixers) <= {"rotary_attention", "softmax_attention"}

    def start(self, case: _Case, *, warm_up: bool = True) -> float:
        """Build the model, warm it up, time its first call; seconds, those of warming up apart."""
        on_gpu = case.device.type == "cuda"
        started = time.perf_counter()
        call, self.flops = _call(case, self.preset)
        preparing = time.perf_counter() - started
        if warm_up:
            call()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(case.device)
        first = seconds_taken(call, case.device)
        if on_gpu:
            self.peak_bytes = torch.cuda.max_memory_allocated(case.device)
        self.call, self.seconds = call, [first]
        return preparing + first

    def timing(self, case: _Case, baseline: float | None, peak_flops: float | None) -> ModelTiming:
        """What was measured; `baseline` is the Transformer's seconds."""
        if not self.seconds:
            return ModelTiming(case.batch, case.length, self.name, reason=self.reason)
        middle = median(self.seconds)
        low = high = middle
        if len(self.seconds) > 1:
            low, _, high = quantiles(self.seconds, method="inclusive")
        tokens = case.batch * (1 if case.what == "model_decode" else case.length)
        return ModelTiming(
            case.batch,
            case.length,
            self.name,
            middle,
            low,
            high,
            len(self.seconds),
            tokens_per_second=tokens / middle,
            speedup=baseline / middle if baseline else None,
            mfu=self.flops * case.batch / middle / peak_flops
            if peak_flops and self.flops
            else None,
            peak_bytes=self.peak_bytes,
        )


def _time_in_turns(
    trials: Iterable[_Trial], device: torch.device, repeats: int, max_seconds: float
) -> None:
    for _ in range(repeats - 1):
        for trial in trials:
            if trial.call is None or sum(trial.seconds) + trial.seconds[-1] > max_seconds:
                continue
            trial.seconds.append(seconds_taken(trial.call, device))


def _call(case: _Case, preset: Preset) -> tuple[Callable[[], object], float]:
    """What is timed, and the operations per sequence of a training step (else 0)."""
    with torch.random.fork_rng(devices=[]), case.device:
        torch.manual_seed(0)
        model = LanguageModel(preset.config, preset.vocab_size)
    prefix = case.length // 2 if preset.prefix_len else 0
    tokens = torch.arange(case.batch * case.length, device=case.device) % preset.vocab_size
    tokens = tokens.view(case.batch, case.length)
    if case.what == "model_train":
        return _training_step(case, model, tokens, prefix, preset.vocab_size - 1)
    model = model.to(case.dtype).eval()

    @torch.inference_mode()
    def read() -> Tensor:
        hidden, _ = model.read(tokens, prefix)
        return model.logits(hidden[:, -1])

    if case.what == "model_prefill":
        return read, 0.0
    with torch.inference_mode():
        _, state = model.read(tokens, prefix)

    @torch.inference_mode()
    def write() -> Tensor:
        return model.step(tokens[:, 0], state)[0]

    return write, 0.0


def _training_step(
    case: _Case, model: LanguageModel, tokens: Tensor, prefix: int, mask_id: int
) -> tuple[Callable[[], object], float]:
    """A forward and a backward pass of the pretraining loss, and its operations per sequence."""
    objective = Objective(model, ObjectiveConfig(), prefix, mask_id).train()
    masked = masked_positions(0, torch.arange(case.batch), prefix, 0.15, case.device)
    predicted = case.length - max(prefix, 1) + masked.shape[1]
    autocast = case.dtype != torch.float32

    def learn() -> Tensor:
        with torch.autocast(case.device.type, case.dtype, enabled=autocast):
            loss: Tensor = objective(tokens, masked).loss
        loss.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)
        return loss.detach()

    return learn, training_flops(model, case.length, prefix, predicted)
