"""How fast whole models read, write and learn: JRT-RNN and Based beside a Transformer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import torch
from torch import Tensor

from sdsim.bench.config import ModelTask
from sdsim.models import LanguageModel
from sdsim.text.config import ObjectiveConfig
from sdsim.text.flops import training_flops
from sdsim.text.objective import Objective, masked_positions
from sdsim.text.presets import Preset, preset_of


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
        mfu: of training, the share of the device's peak; None where that is not known.
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


def time_models(
    what: ModelTask,
    presets: Sequence[str],
    cases: Sequence[tuple[int, int]],
    *,
    device: torch.device,
    dtype: torch.dtype,
    peak_flops: float | None,
    repeats: int = 9,
    patience: float = 60.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ModelTiming]:
    """Time models turn by turn, as they are built: what is measured does not hang on the weights.

    Half of each sequence is the prefix of a model that has one. Reading gives the scores of the
    next token alone; learning is a forward and a backward pass of the pretraining loss.

    Args:
        what: reading a prompt, writing a token after it, or learning.
        presets: keys of `sdsim.text.presets.PRESETS`.
        cases: pairs (batch, length), the shorter first.
        device, dtype: of all; in training, parameters stay in float32.
        peak_flops: operations per second of the device, for `ModelTiming.mfu`.
        repeats: timed calls of each, after one that warms up.
        patience: seconds that one model may take with one case; longer ones are then not tried.
        progress: told after each case how many are done.

    Raises:
        ValueError: for an unknown preset.
    """
    chosen = {name: preset_of(name) for name in presets}
    impatient: set[str] = set()
    timings: list[ModelTiming] = []
    for done, (batch, length) in enumerate(cases):
        calls: dict[str, Callable[[], object]] = {}
        reasons = dict.fromkeys(impatient, "takes too long")
        found: dict[str, list[float]] = {}
        peaks: dict[str, int] = {}
        flops: dict[str, float] = {}
        for name, preset in chosen.items():
            if name in impatient:
                continue
            try:
                calls[name], flops[name] = _call(what, preset, batch, length, device, dtype)
                first = _seconds(calls[name], device)  # warms up
                if device.type == "cuda":
                    torch.cuda.reset_peak_memory_stats(device)
                found[name] = [_seconds(calls[name], device)]
                if device.type == "cuda":
                    peaks[name] = torch.cuda.max_memory_allocated(device)
            except torch.OutOfMemoryError:
                reasons[name] = "out of memory"
                impatient.add(name)
                calls.pop(name, None)
                continue
            # The next length takes twice as long, or four times.
            if repeats * min(first, found[name][0]) * 2 > patience:
                impatient.add(name)
        for _ in range(repeats - 1):
            for name, seconds in found.items():
                if sum(seconds) + seconds[-1] <= patience:
                    seconds.append(_seconds(calls[name], device))
        base = next((median(found[name]) for name in found if name.startswith("transformer")), None)
        for name in chosen:
            if name not in found:
                timings.append(ModelTiming(batch, length, name, reason=reasons[name]))
                continue
            middle = median(found[name])
            low, _, high = quantiles(found[name]) if len(found[name]) > 1 else (middle,) * 3
            mfu = flops[name] * batch / middle / peak_flops if peak_flops and flops[name] else None
            timings.append(
                ModelTiming(
                    *(batch, length, name, middle, low, high, len(found[name])),
                    tokens_per_second=batch * (1 if what == "model_decode" else length) / middle,
                    speedup=base / middle if base else None,
                    mfu=mfu,
                    peak_bytes=peaks.get(name),
                )
            )
        progress(done + 1, len(cases))
    return timings


def _call(
    what: ModelTask,
    preset: Preset,
    batch: int,
    length: int,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Callable[[], object], float]:
    """What is timed, and the operations per sequence of a training step (else 0)."""
    with torch.random.fork_rng(devices=[]), device:
        torch.manual_seed(0)
        model = LanguageModel(preset.config, preset.vocab_size)
    prefix = length // 2 if preset.prefix_len else 0
    tokens = torch.arange(batch * length, device=device).view(batch, length) % preset.vocab_size
    if what == "model_train":
        objective = Objective(model, ObjectiveConfig(), prefix, preset.vocab_size - 1).train()
        masked = masked_positions(0, torch.arange(batch), prefix, 0.15, device)
        asked = length - max(prefix, 1) + masked.shape[1]

        def learn() -> Tensor:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss: Tensor = objective(tokens, masked).loss
            loss.backward()  # type: ignore[no-untyped-call]
            model.zero_grad(set_to_none=True)
            return loss.detach()

        return learn, training_flops(model, length, prefix, asked)
    model = model.to(dtype).eval()

    @torch.inference_mode()
    def read() -> Tensor:
        hidden, _ = model.read(tokens, prefix)
        return model.logits(hidden[:, -1])

    if what == "model_prefill":
        return read, 0.0
    with torch.inference_mode():
        _, state = model.read(tokens, prefix)

    @torch.inference_mode()
    def write() -> Tensor:
        return model.step(tokens[:, 0], state)[0]

    return write, 0.0


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
