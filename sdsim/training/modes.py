"""Training modes: how runs that differ in learning rate and seed alone train, and how fast."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import torch

from sdsim.config import ModelConfig, ModuleConfig, RunConfig, TrainingMode, ensemble_key
from sdsim.models.registry import is_mixer
from sdsim.training.compiled import CompiledProgram, Trace, compiled, why_not
from sdsim.training.ensemble import CudaGraph, EnsembleTrainer, Programs, eager
from sdsim.training.trainer import SequentialTrainer, Snapshot, Trainer

logger = logging.getLogger(__name__)

_STEPS_TO_MEASURE = 40  # per train size: from here on, measuring costs a tenth of the run at most
_SPEEDUP_OF_FEW, _SPEEDUP_OF_MANY = 3.0, 2.0  # by compiling, as results/bench/speed_19 has them
_FEW = 4  # runs
_TRACING_SECONDS = 5.0  # of all that is done beside compiling
_GROUP_SIZES = (1, 2, 4)  # runs in one call of a compiled program; more do not fit a core's cache

_ENSEMBLES_KEPT = 4  # whose programs stay loaded

_known: OrderedDict[str, Programs] = OrderedDict()  # by the ensemble, the last few


def modes(count: int, device: torch.device) -> list[TrainingMode]:
    """The modes in which so many runs can be trained."""
    choices: list[TrainingMode] = ["sequential"]
    if count > 1:
        choices.append("vmap")
    if device.type == "cuda":
        choices.append("cuda_graph")
    elif reason := why_not():
        _say_once(f"nothing is compiled: {reason}")
    else:
        choices.append("compiled")
    return choices


def trains_alone(config: RunConfig) -> bool:
    """Whether a run's model can be trained in the sequential mode alone.

    So it is with modules of one's own that are no `Mixer`: they may learn buffers and draw random
    numbers, which programs of several runs know nothing of.
    """
    if isinstance(config.model, ModelConfig):
        return any("." in name and not is_mixer(name) for name in config.model.mixers)
    return isinstance(config.model, ModuleConfig)


@lru_cache
def _say_once(text: str) -> None:
    logger.warning(text)


def trainers(
    mode: TrainingMode,
    configs: Sequence[RunConfig],
    device: torch.device,
    resume_from: Sequence[Snapshot] = (),
) -> Iterator[Trainer]:
    """The trainers of these runs, to be used one after the other; `resume_from` as in `Trainer`.

    Raises:
        ValueError: for a mode in which these cannot be trained.
    """
    if mode != "sequential" and trains_alone(configs[0]):
        raise ValueError(f"mode = {mode!r}: modules that are no Mixer train sequentially")
    if mode == "compiled":
        yield _compiled_ensemble(configs, device, resume_from)
        return
    if mode != "sequential":
        execution = CudaGraph if mode == "cuda_graph" else eager
        yield EnsembleTrainer(configs, device, resume_from, execution=execution)
        return
    for config, snapshot in itertools.zip_longest(configs, resume_from):
        yield SequentialTrainer(config, device, snapshot)


def throughput(
    mode: TrainingMode,
    configs: Sequence[RunConfig],
    device: torch.device,
    rounds: int = 1,
    max_seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Steps per second times runs, measured over some rounds of all train tasks.

    0 where the models cannot be trained in this mode, as with operators that vmap does not know.

    Args:
        mode, configs, device: as in `trainers`.
        rounds: how many.
        max_seconds: see below.
        clock: whose seconds these are.

    Raises:
        TimeoutError: after the step with which `max_seconds` are over.
    """
    if mode != "sequential" and trains_alone(configs[0]):
        return 0.0
    deadline = time.monotonic() + max_seconds
    one_round = len(configs[0].task.train_sizes)
    enough = replace(configs[0].train, steps=(rounds + 1) * one_round, until="steps")
    configs = [replace(c, train=replace(enough, lr=c.train.lr)) for c in configs]

    def train(steps: int) -> None:
        for _ in range(steps):
            trainer.step()
            if time.monotonic() > deadline:
                raise TimeoutError(f"more than {max_seconds:g} s")
        _synchronize(device)

    try:
        trainer = next(trainers(mode, configs, device))
        train(one_round)  # allocates, captures, compiles, draws the examples
        started = clock()
        train(rounds * one_round)
    except RuntimeError as error:
        if mode == "sequential":
            raise
        logger.info("%s cannot be trained in mode %s: %s", configs[0].model.name, mode, error)
        return 0.0
    return rounds * one_round * len(trainer.configs) / (clock() - started)


def fastest_mode(
    configs: Sequence[RunConfig], device: torch.device, steps_done: int = 0
) -> TrainingMode:
    """The mode in which the steps that are left are done soonest, compiling included.

    For runs long enough to measure, it is the one with the highest `throughput` here and now. What
    must be compiled first is compiled only where that takes less time than it will save.
    """
    choices = modes(len(configs), device)
    train = configs[0].train
    steps = train.steps - steps_done
    if train.until == "converged":  # some runs end long before the limit
        steps //= 2
    if (
        len(choices) == 1
        or trains_alone(configs[0])
        or steps < _STEPS_TO_MEASURE * len(configs[0].task.train_sizes)
    ):
        return "sequential"
    # Twice in turn, the better one of each: other programs disturb.
    ready = [mode for mode in choices if mode != "compiled"]
    rates = {mode: max(throughput(mode, configs, device) for _ in range(2)) for mode in ready}
    best = max(ready, key=lambda mode: rates[mode])
    seconds = steps * len(configs) / rates[best]
    speedup = _SPEEDUP_OF_FEW if len(configs) <= _FEW else _SPEEDUP_OF_MANY
    saved = seconds * (1 - 1 / speedup) - _TRACING_SECONDS
    if "compiled" not in choices or saved <= 0 or why_not_compiled(configs, device, saved):
        return best
    rate = max(throughput("compiled", configs, device) for _ in range(2))
    return "compiled" if rate > rates[best] else best


def why_not_compiled(
    configs: Sequence[RunConfig], device: torch.device, max_seconds: float
) -> str | None:
    """Compile the programs of these runs, if that takes less than so many seconds.

    Returns:
        None: they are there; else why they are not.
    """
    if trains_alone(configs[0]):
        return "modules that are no Mixer train sequentially"
    programs = _programs_of(configs[0])
    trainer = _compiled_ensemble(configs, device)
    missing = {}
    seconds = 0.0
    try:
        for key, update, inputs in trainer.examples():
            if key not in programs:
                missing[key] = Trace.of(update, inputs)
                seconds += missing[key].seconds_to_compile()
                if seconds > max_seconds:
                    return f"compiling would take more than {max_seconds:.0f} s"
        for key, trace in missing.items():
            programs[key] = trace.compile()
    except RuntimeError as error:
        logger.warning("%s is not compiled: %s", configs[0].model.name, error)
        return f"{error}"
    return None


def compile_seconds(configs: Sequence[RunConfig]) -> float:
    """What compiling took of all programs that these runs have used in this process."""
    programs = _programs_of(configs[0]).values()
    return sum(each.seconds for each in programs if isinstance(each, CompiledProgram))


def _compiled_ensemble(
    configs: Sequence[RunConfig], device: torch.device, resume_from: Sequence[Snapshot] = ()
) -> EnsembleTrainer:
    return EnsembleTrainer(
        configs,
        device,
        resume_from,
        execution=compiled,
        group_size=next((n for n in _GROUP_SIZES if n >= len(configs)), _GROUP_SIZES[-1]),
        programs=_programs_of(configs[0]),
    )


def _programs_of(config: RunConfig) -> Programs:
    """The compiled programs of ensembles like this one, of any length, that are loaded already."""
    train = replace(config.train, steps=1, until="steps")
    key = f"{ensemble_key(replace(config, train=train))} {torch.get_default_dtype()}"
    programs = _known.setdefault(key, {})
    _known.move_to_end(key)
    while len(_known) > _ENSEMBLES_KEPT:
        _known.popitem(last=False)
    return programs


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
