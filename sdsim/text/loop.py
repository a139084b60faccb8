"""The training loop: one process or many, whole models or spread ones, never from the start."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from sdsim.text import tokenizer
from sdsim.text.checkpoint import Checkpoints, checkpoints, load_model
from sdsim.text.config import PretrainConfig
from sdsim.text.corpus import Corpus, OnDocuments, Order, Windows, prepare
from sdsim.text.distributed import Processes, is_first, processes, world_size
from sdsim.text.flops import peak_tflops, training_flops
from sdsim.text.objective import Losses, Objective, masked_positions
from sdsim.text.pretrained import PretrainedModel

logger = logging.getLogger(__name__)

Numbers = Mapping[str, float]
OnNumbers = Callable[[int, Numbers], object]
"""Told the step and a line of the log."""

LOG, _CONFIG, _MODEL, _CHECKPOINTS = "log.jsonl", "run.json", "model", "checkpoints"
_SECONDS_TO_DIE = 5
"""What a killed process may take until its folder is free."""
_VALIDATION_SEED = 1 << 40
"""Masks of held-out text are the same whatever the run's seed."""


def pretrain(
    config: PretrainConfig,
    *,
    on_documents: OnDocuments | None = None,
    on_numbers: OnNumbers | None = None,
) -> Path:
    """Train a model on text, or go on with it; under torchrun, as one of its processes.

    Everything a step needs (its text, its masks, its learning rate) is a function of the config and
    the step's number, so that training from a checkpoint does what unbroken training does.

    Args:
        config: the run.
        on_documents: told how many documents are tokens, while they are made.
        on_numbers: told each line of the log, in the first process.

    Returns:
        Folder of the trained model, for `sdsim.text.pretrained.PretrainedModel.from_pretrained`.

    Raises:
        ValueError: for a config that does not fit the corpus, the processes, or what the folder
            holds.
        RuntimeError: if the loss is no longer a number.
    """
    size, passes = check_ready(config)
    out = Path(config.out)
    corpus = prepare(config.corpus, on_documents)
    _claim(config, out, corpus)
    with _alone(out), processes(config.device) as here:
        run = _Run(config, corpus, here, size, passes)
        run.train(on_numbers)
        run.export(out / _MODEL)
    return out / _MODEL


def check_ready(config: PretrainConfig) -> tuple[int, int]:
    """Raise `ValueError` if the run does not fit these processes or its folder.

    Returns:
        `PretrainConfig.accumulation`.
    """
    passes = config.accumulation(world_size())
    _claim(config, Path(config.out))
    return passes


def trained(path: Path) -> PretrainedModel:
    """The model in a run's folder: as it was exported, else that of the newest checkpoint.

    Raises:
        ValueError: where there is neither.
    """
    if (path / _MODEL).exists():
        return PretrainedModel.from_pretrained(path / _MODEL)
    found = checkpoints(path / _CHECKPOINTS)
    if not found:
        raise ValueError(f"{path} holds neither a model nor a checkpoint")
    described = json.loads((path / _CONFIG).read_text())
    model = PretrainedModel(**described["model"])
    load_model(found[-1][1], model)
    model.source = described["tokens"]
    return model


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep others from training in the folder at the same time."""
    if not is_first():
        yield
        return
    try:
        with FileLock(out / ".lock", timeout=_SECONDS_TO_DIE):
            yield
    except Timeout as error:
        raise ValueError(f"out = {str(out)!r}: another process is training there") from error


def _claim(config: PretrainConfig, out: Path, corpus: Corpus | None = None) -> None:
    """Raise `ValueError` if the folder holds another run; with the corpus, note this one there."""
    identity = json.loads(json.dumps(config.identity()))
    path = out / _CONFIG
    if path.exists():
        stored = json.loads(path.read_text())
        held = stored["config"]
        wrong = [name for name, value in identity.items() if held.get(name) != value]
        if wrong:
            name = wrong[0]
            raise ValueError(
                f"out = {config.out!r}: the folder holds another run, of which {name} = "
                f"{held.get(name)!r} rather than {identity[name]!r}; choose another folder"
            )
        if corpus is not None and stored["corpus"] != corpus.identity():
            raise ValueError(f"out = {config.out!r}: its run was trained on another corpus")
    elif corpus is not None:
        out.mkdir(parents=True, exist_ok=True)
        described = {
            "config": identity,
            "tokens": str(Path(config.corpus.tokens).absolute()),
            "corpus": corpus.identity(),
            "model": _description(config, corpus),
        }
        _write(path, json.dumps(described, indent=1) + "\n")


def _description(config: PretrainConfig, corpus: Corpus) -> dict[str, Any]:
    """What `PretrainedModel` is built from."""
    return {
        "model": asdict(config.model.config),
        "vocab_size": tokenizer.rows(corpus.vocab_size),
        "seq_len": config.length,
        "prefix_len": config.prefix,
    }


class _Run:
    """A run in one process: its part of each batch."""

    def __init__(
        self, config: PretrainConfig, corpus: Corpus, here: Processes, size: int, passes: int
    ) -> None:
        self.config, self.corpus, self.here = config, corpus, here
        self.size, self.passes = size, passes
        if here.device.type == "cpu":
            torch.set_num_threads(config.threads)
        self.out = Path(config.out)
        self.windows = corpus.windows("train", config.length)
        self.held_out = corpus.windows("validation", config.length)
        self.order = Order(len(self.windows), config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = PretrainedModel(**_description(config, corpus))
        self.model.activation_checkpointing = config.recompute
        self.objective = Objective(
            self.model, config.objective, config.prefix, self.model.vocab_size - 1
        ).to(here.device)
        if config.compile:
            for layer in self.model.layers:
                layer.compile()
        self.flops = training_flops(
            self.model,
            config.length,
            config.prefix,
            self._masks(0, 1).shape[1] + config.length - max(config.prefix, 1),
        )
        self.wrapped = self._wrap()
        self.optimizer = torch.optim.AdamW(
            _groups(self.wrapped, config.weight_decay),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )
        self.checkpoints = Checkpoints(
            self.out / _CHECKPOINTS,
            self.wrapped,
            self.optimizer,
            here,
            keep=config.keep,
            background=config.save_async,
        )
        self.step = self.checkpoints.load()

    def train(self, on_numbers: OnNumbers | None) -> None:
        """Take all steps that are left."""
        config = self.config
        with _Log(self.out / LOG, self.step, on_numbers, silent=not self.here.first) as log:
            since, steps = time.perf_counter(), 0
            while self.step < config.steps:
                losses, norm = self._learn()
                self.step, steps = self.step + 1, steps + 1
                last = self.step == config.steps
                save = self.step % config.save_every == 0 or last
                if save:  # never what is no number any more
                    self._raise_if_diverged(losses, norm)
                if self.step % config.log_every == 0 or last:
                    log.write(self.step, self._numbers(losses, norm, since, steps))
                    since, steps = time.perf_counter(), 0
                    self._raise_if_diverged(losses, norm)
                    self.checkpoints.settle_if_written()
                if self.step % config.validate_every == 0 or last:
                    log.write(self.step, self._validate())
                    since, steps = time.perf_counter(), 0
                if save:
                    self.checkpoints.save(self.step)
                    since, steps = time.perf_counter(), 0
        self.checkpoints.settle()

    def export(self, folder: Path) -> None:
        """Write the model and its tokenizer for use, in the first process."""
        if self.here.first and not folder.exists():
            found = checkpoints(self.out / _CHECKPOINTS)
            model = PretrainedModel(**_description(self.config, self.corpus))
            load_model(found[-1][1], model)
            model.save_with(self.corpus.tokenizer, folder)
        self.here.wait()

    def _raise_if_diverged(self, losses: Losses, norm: Tensor) -> None:
        together = self.here.mean(torch.stack([losses.loss, norm]))
        if not bool(together.isfinite().all()):
            loss, size = together.tolist()
            raise RuntimeError(
                f"diverged at step {self.step}: loss {loss}, gradient norm {size}; a lower lr, in "
                "another folder, may do"
            )

    def _learn(self) -> tuple[Losses, Tensor]:
        """One step: losses before it, and the gradient's norm."""
        self.objective.train()
        rate = self._rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        parts = []
        first = self.step * self.config.batch_size + self.here.rank * self.size * self.passes
        for number in range(self.passes):
            start = first + number * self.size
            examples = torch.arange(start, start + self.size)
            tokens = self._tokens(self.windows, self.order[examples])
            with self._synchronised(number == self.passes - 1), self._cast():
                losses = cast("Losses", self.wrapped(tokens, self._masks(start, self.size)))
                (losses.loss / self.passes).backward()  # type: ignore[no-untyped-call]
            parts.append(torch.stack([loss.detach() for loss in losses]))
        norm = nn.utils.clip_grad_norm_(self.wrapped.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Losses(*torch.stack(parts).mean(0)), _whole(norm)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Losses on held-out text: the same text and masks each time."""
        self.objective.eval()
        count = min(len(self.held_out), self.config.validation_windows)
        total = torch.zeros(3, device=self.here.device)
        # Each process reads as many, the last ones perhaps some that do not count.
        for start in range(0, count, self.here.count):
            number = min(start + self.here.rank, count - 1)
            counts = float(start + self.here.rank < count)
            tokens = self._tokens(self.held_out, torch.tensor([number]))
            masked = self._masks(number, 1, _VALIDATION_SEED)
            with self._cast():
                total += counts * torch.stack(list(self.wrapped(tokens, masked)))
        losses = self.here.mean(total) * (self.here.count / count)
        names = ("validation_loss", "validation_ntp", "validation_mlm")
        return dict(zip(names, losses.tolist(), strict=True))

    def _numbers(self, losses: Losses, norm: Tensor, since: float, steps: int) -> dict[str, float]:
        """A line of the log; waits for the device."""
        together = self.here.mean(torch.stack(list(losses)))
        numbers = dict(zip(("loss", "ntp", "mlm"), together.tolist(), strict=True))
        seconds = (time.perf_counter() - since) / steps
        sequences = self.config.batch_size
        numbers |= {
            "grad_norm": float(norm),
            "lr": self._rate(self.step - 1),
            "tokens": float(self.step * sequences * self.config.length),
            "tokens_per_second": sequences * self.config.length / seconds,
            "memory_gb": self._memory() / 1e9,
        }
        peak = self.config.peak_tflops or peak_tflops(self.here.device)
        if peak is not None:
            used = self.flops * sequences / seconds / self.here.count
            numbers["mfu"] = used / (peak * 1e12)
        return numbers

    def _memory(self) -> int:
        """Bytes at most: on a GPU what torch has allocated, else of the whole process."""
        if self.here.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.here.device)
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _rate(self, step: int | None = None) -> float:
        """The learning rate of a step (None: the next)."""
        config, step = self.config, self.step if step is None else step
        warmup = config.warmup * config.steps
        if step < warmup:
            return config.lr * (step + 1) / (warmup + 1)
        progress = (step - warmup) / max(1, config.steps - warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return config.min_lr + (config.lr - config.min_lr) * cosine

    def _tokens(self, windows: Windows, numbers: Tensor) -> Tensor:
        return windows[numbers].to(self.here.device, non_blocking=True)

    def _masks(self, start: int, count: int, seed: int | None = None) -> Tensor:
        return masked_positions(
            self.config.seed if seed is None else seed,
            torch.arange(start, start + count),
            self.config.prefix,
            self.config.objective.mask_share,
            self.here.device,
        )

    def _wrap(self) -> nn.Module:
        if self.here.count == 1:
            return self.objective
        if self.config.parallel == "ddp":
            return DistributedDataParallel(self.objective)
        mesh = init_device_mesh(self.here.device.type, (self.here.count,))
        policy = MixedPrecisionPolicy(
            param_dtype=getattr(torch, self.config.precision), reduce_dtype=torch.float32
        )
        for layer in self.model.layers:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
        fully_shard(self.objective, mesh=mesh, mp_policy=policy)
        return self.objective

    def _synchronised(self, last: bool) -> AbstractContextManager[object]:
        """Gradients meet after the last pass alone."""
        if isinstance(self.wrapped, DistributedDataParallel) and not last:
            return cast("AbstractContextManager[object]", self.wrapped.no_sync())
        if isinstance(self.wrapped, FSDPModule):
            self.wrapped.set_requires_gradient_sync(last)
        return nullcontext()

    def _cast(self) -> AbstractContextManager[object]:
        return torch.autocast(
            self.here.device.type,
            torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
        )


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters that decay, and biases and norms, which do not."""
    parameters = list(model.parameters())
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": weight_decay},
        {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
    ]


def _whole(norm: Tensor) -> Tensor:
    """A number that may be spread over the processes."""
    whole: Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole.detach()


class _Log(contextlib.AbstractContextManager["_Log"]):
    """Lines of numbers by step, in a file; those after the step that is gone on from are cut."""

    def __init__(
        self, path: Path, step: int, on_numbers: OnNumbers | None, *, silent: bool
    ) -> None:
        self.on_numbers, self.silent = on_numbers, silent
        if not silent:
            _write(path, "".join(line for line in _lines(path) if json.loads(line)["step"] <= step))
            self._file = path.open("a")

    def write(self, step: int, numbers: Numbers) -> None:
        if self.silent or not numbers:
            return
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()
        if self.on_numbers is not None:
            self.on_numbers(step, numbers)

    def __exit__(self, *error: object) -> None:
        if not self.silent:
            self._file.close()


def _lines(path: Path) -> Iterator[str]:
    """The whole lines of a log; the last may have been cut off."""
    if path.exists():
        yield from (line for line in path.read_text().splitlines(True) if line.endswith("\n"))


def _write(path: Path, text: str) -> None:
    """A file, there whole or as it was before; the same from all processes at once."""
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
