"""The pretraining loop: one process or many, whole models or sharded ones, always resumable."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sdsim.text.batches import Batches
from sdsim.text.checkpoint import Checkpoints, checkpoints, load_model
from sdsim.text.config import PretrainConfig
from sdsim.text.corpus import Corpus, OnDocuments, prepare
from sdsim.text.distributed import DistributedContext, distributed_context, is_first, world_size
from sdsim.text.flops import peak_tflops, training_flops
from sdsim.text.objective import Losses, Objective
from sdsim.text.parallel import full_tensor, gradient_sync, parallelize
from sdsim.text.pretrained import PretrainedModel, missing_files
from sdsim.text.run_folder import (
    CHECKPOINTS,
    LOG,
    MODEL,
    VALIDATION_LOSS,
    Log,
    OnNumbers,
    check_same_run,
    describe_run,
    locked,
    model_arguments,
    validation_losses,
)
from sdsim.training.schedule import warmup_cosine


def pretrain(
    config: PretrainConfig,
    *,
    on_documents: OnDocuments | None = None,
    on_numbers: OnNumbers | None = None,
) -> Path:
    """Train a model on text, or resume its training; under torchrun, as one of its processes.

    Everything that a step needs beside the checkpoint (its text, its masks, its learning rate) is a
    function of the config and the step's number, so that a run that is resumed does exactly what
    unbroken training does.

    Args:
        config: the run.
        on_documents: called with the number of documents done, while they become tokens.
        on_numbers: called with each line of the log, in the first process.

    Returns:
        Folder of the trained model, for `sdsim.text.pretrained.PretrainedModel.from_pretrained`.

    Raises:
        ValueError: for a config that does not fit the corpus, the processes, or what the folder
            holds.
        RuntimeError: if the loss or the gradient is no longer finite.
    """
    check_ready(config)
    out = Path(config.out)
    corpus = prepare(config.corpus, on_documents)
    describe_run(config, corpus)
    lock = locked(out) if is_first() else nullcontext()
    with lock, distributed_context(config.device) as context:
        trainer = _Trainer(config, corpus, context)
        trainer.train(on_numbers)
        trainer.export()
    return out / MODEL


def check_ready(config: PretrainConfig) -> None:
    """Check, before anything is done, that the run fits these processes and its folder.

    Raises:
        ValueError: see `PretrainConfig.accumulation` and `check_same_run`.
    """
    config.accumulation(world_size())
    check_same_run(config)


class _Trainer:
    """A run in one process, which trains on its part of each batch."""

    def __init__(self, config: PretrainConfig, corpus: Corpus, context: DistributedContext) -> None:
        self.config, self.corpus, self.context = config, corpus, context
        self.out = Path(config.out)
        self.micro_batch, self.accumulation = config.accumulation(context.world_size)
        if context.device.type == "cpu":
            torch.set_num_threads(config.threads)
        self.batches = Batches(config, corpus, context.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = PretrainedModel(**model_arguments(config, corpus))
        model.activation_checkpointing = config.recompute
        objective = Objective(model, config.objective, config.prefix, model.vocab_size - 1)
        objective.to(context.device)
        if config.compile:
            for layer in model.layers:
                layer.compile()
        self.flops = training_flops(model, config.length, config.prefix, self.batches.predicted)
        self.module = parallelize(
            objective,
            model.layers,
            context,
            parallel=config.parallel,
            dtype=getattr(torch, config.precision),
        )
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.module, config),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )
        self.checkpoints = Checkpoints(
            self.out / CHECKPOINTS,
            self.module,
            self.optimizer,
            context,
            keep=config.keep,
            background=config.save_async,
        )
        self.step = self.checkpoints.load()
        self.validated = validation_losses(self.out / LOG, self.step)

    def train(self, on_numbers: OnNumbers | None) -> None:
        """Take all steps that are left, or fewer where held-out loss ends the run."""
        config = self.config
        with self._log(on_numbers) as log:
            timer = _StepTimer()
            while not self._is_done():
                losses, norm = self._train_step()
                self.step += 1
                timer.count()
                last = self.step == config.steps
                save = self.step % config.save_every == 0 or last
                if save:  # a checkpoint of what has diverged would push out a good one
                    self._check_finite(losses, norm)
                if self.step % config.log_every == 0 or last:
                    numbers = self._numbers(losses, norm)  # waits for the device
                    numbers |= self._speed(timer.seconds_per_step())
                    if log is not None:
                        log.write(self.step, numbers)
                    self._check_finite(losses, norm)
                    self.checkpoints.settle_if_written()
                    timer.restart()
                if self.step % config.validate_every == 0 or last:
                    numbers = self._validate()
                    self.validated.append(numbers[VALIDATION_LOSS])
                    if log is not None:
                        log.write(self.step, numbers)
                    timer.restart()
                if self._is_done() and not save:
                    self._check_finite(losses, norm)
                    save = True
                if save:
                    self.checkpoints.save(self.step)
                    timer.restart()
        self.checkpoints.settle()

    def _is_done(self) -> bool:
        patience = self.config.stop_after
        stopped = patience is not None and stalled(self.validated, patience)
        return stopped or self.step >= self.config.steps

    def export(self) -> None:
        """Write the model and its tokenizer for use: the files that are not there.

        Raises:
            ValueError: naming a file that is there and damaged.
        """
        folder = self.out / MODEL
        if self.context.is_first:
            if missing_files(folder):
                _, newest = checkpoints(self.out / CHECKPOINTS)[-1]
                model = PretrainedModel(**model_arguments(self.config, self.corpus))
                load_model(newest, model)
                model.save_with(self.corpus.tokenizer, folder)
            try:
                PretrainedModel.from_pretrained(folder).tokenizer()
            except ValueError as error:
                raise ValueError(
                    f"{error}; delete that file: the same command writes it again"
                ) from error
        self.context.wait()

    def _log(self, on_numbers: OnNumbers | None) -> AbstractContextManager[Log | None]:
        """The log in the first process, None in the others."""
        if not self.context.is_first:
            return nullcontext()
        return Log(self.out / LOG, self.step, on_numbers)

    def _train_step(self) -> tuple[Losses, Tensor]:
        """One optimizer step; the losses before it, and the norm of the gradient."""
        self.module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(self.step)
        losses = []
        start = self.step * self.config.batch_size
        start += self.context.rank * self.micro_batch * self.accumulation
        for number in range(self.accumulation):
            tokens, masked = self.batches.train(start, self.micro_batch)
            start += self.micro_batch
            last = number == self.accumulation - 1
            with gradient_sync(self.module, enabled=last), self._autocast():
                found = cast("Losses", self.module(tokens, masked))
                (found.loss / self.accumulation).backward()  # type: ignore[no-untyped-call]
            losses.append(torch.stack([loss.detach() for loss in found]))
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return Losses(*torch.stack(losses).mean(0)), full_tensor(norm)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Mean losses on held-out text: the same sequences and masks each time."""
        self.module.eval()
        count, processes = self.batches.validation_count, self.context.world_size
        total = torch.zeros(3, device=self.context.device)
        # All processes read equally many: some may read the last sequence again, uncounted.
        for start in range(0, count, processes):
            number = start + self.context.rank
            tokens, masked = self.batches.validation(min(number, count - 1))
            with self._autocast():
                total += float(number < count) * torch.stack(list(self.module(tokens, masked)))
        losses = self.context.mean(total) * (processes / count)
        names = (VALIDATION_LOSS, "validation_ntp", "validation_mlm")
        return dict(zip(names, losses.tolist(), strict=True))

    def _check_finite(self, losses: Losses, norm: Tensor) -> None:
        mean = self.context.mean(torch.stack([losses.loss, norm]))
        if not bool(mean.isfinite().all()):
            loss, size = mean.tolist()
            raise RuntimeError(
                f"diverged at step {self.step}: loss {loss}, gradient norm {size}; try a lower lr, "
                "in another folder"
            )

    def _numbers(self, losses: Losses, norm: Tensor) -> dict[str, float]:
        """What the log has of the last step."""
        mean = self.context.mean(torch.stack(list(losses)))
        numbers = dict(zip(("loss", "ntp", "mlm"), mean.tolist(), strict=True))
        return numbers | {
            "grad_norm": float(norm),
            "lr": self._learning_rate(self.step - 1),
            "tokens": float(self.step * self.config.batch_size * self.config.length),
        }

    def _speed(self, seconds: float) -> dict[str, float]:
        """What the log has of steps that take so many seconds each."""
        sequences = self.config.batch_size / seconds
        numbers = {
            "tokens_per_second": sequences * self.config.length,
            "memory_gb": _peak_memory(self.context.device) / 1e9,
        }
        peak = self.config.peak_tflops or peak_tflops(self.context.device)
        if peak is not None:
            per_device = self.flops * sequences / self.context.world_size
            numbers["mfu"] = per_device / (peak * 1e12)
        return numbers

    def _learning_rate(self, step: int) -> float:
        config = self.config
        floor = config.min_lr / config.lr
        return config.lr * warmup_cosine(step, config.steps, config.warmup, floor)

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(
            self.context.device.type,
            torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
        )


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last `patience` losses have brought no new lowest one.

    >>> stalled([3.0, 2.0, 2.5, 2.0], patience=2), stalled([3.0, 2.0, 2.5, 1.9], patience=2)
    (True, False)
    """
    before, recent = losses[:-patience], losses[-patience:]
    return bool(before) and min(recent) >= min(before)


class _StepTimer:
    """The mean time of the steps since the last restart."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what has been, such as the time of a validation."""
        self._started, self._steps = time.perf_counter(), 0

    def count(self) -> None:
        """One more step has been taken."""
        self._steps += 1

    def seconds_per_step(self) -> float:
        """Seconds."""
        return (time.perf_counter() - self._started) / self._steps


def _peak_memory(device: torch.device) -> int:
    """Most bytes held so far: on a GPU those that torch allocated, else the whole process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _parameter_groups(module: nn.Module, config: PretrainConfig) -> list[dict[str, Any]]:
    """Parameters that decay, and those that do not."""
    groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for part in module.modules():
        for parameter in part.parameters(recurse=False):
            if isinstance(part, nn.Embedding):
                decays = config.decay_embedding
            elif isinstance(part, nn.RMSNorm):
                decays = config.decay_norms
            else:
                decays = parameter.ndim > 1  # not a bias
            groups[not decays].append(parameter)
    return [
        {"params": groups[0], "weight_decay": config.weight_decay},
        {"params": groups[1], "weight_decay": 0.0},
    ]
