"""What one process is asked to do: runs, and where."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import field, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig
from pydantic.dataclasses import dataclass

from sdsim.conf import defaults_of, register_primary
from sdsim.conf.compose import plain, validate
from sdsim.config import (
    STRICT,
    Count,
    Positive,
    RunConfig,
    Seed,
    TaskConfig,
    TrainingMode,
    kind_of_model,
    run_id,
)
from sdsim.training.tracking import TrackingConfig, tracked

if TYPE_CHECKING:
    from torch import Tensor

    from sdsim.models import Network

GROUPS = {
    "model": "based",
    "task": "set_disjointness",
    "train": "adamw",
    "test": "standard",
    "tracking": "none",
}
"""Config groups of a job, and the file that each takes by default."""

_RUN = tuple(part.name for part in fields(RunConfig))


@dataclass(frozen=True, config=STRICT)
class Job:
    """A run, or several that may be trained as one, and where they are done and stored.

    Attributes:
        run: the run.
        store: folder of runs.
        device: name of the torch device, such as cpu or cuda.
        threads: threads of torch, on the CPU.
        members: pairs (train.lr, seed): a run for each, else like `run`; empty: `run` alone.
        mode: how networks are trained: sequential, vmap, compiled or cuda_graph, which round
            differently; null: the fastest here and now.
        keep: weights, to store the trained model with its run (see `sdsim.load_model`), or nothing.
        deadline: seconds since 1970 at which training stops, to be resumed later; null: none.
        tracking: where training curves go.
    """

    run: RunConfig
    store: str = "runs/default"
    device: str = "cpu"
    threads: Count = 1
    members: tuple[tuple[Positive, Seed], ...] = ()
    mode: TrainingMode | None = None
    keep: Literal["nothing", "weights"] = "nothing"
    deadline: float | None = None
    tracking: TrackingConfig = field(default_factory=TrackingConfig)

    def __post_init__(self) -> None:
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"members = {list(self.members)}: each pair once")
        needed = {"compiled": "cpu", "cuda_graph": "cuda"}.get(self.mode or "", self.device)
        if not self.device.startswith(needed):
            raise ValueError(
                f"mode = {self.mode!r}: needs device={needed} rather than {self.device}"
            )

    @property
    def runs(self) -> list[RunConfig]:
        """The runs, one for each member."""
        return [
            replace(self.run, train=replace(self.run.train, lr=lr), seed=seed)
            for lr, seed in self.members
        ] or [self.run]


SETTINGS = {"seed": 0} | {
    name: value for name, value in defaults_of(Job).items() if name not in ("run", "tracking")
}
"""Settings of a job's config beside its groups, and their defaults."""


PRIMARY: dict[str, dict[str, Any]] = {
    "train": {"settings": SETTINGS, "groups": GROUPS, "launcher": "joblib"},
    "sweep": {
        "settings": SETTINGS,
        "groups": {**GROUPS, "sweep": "tiny"},
        "launcher": "joblib",
        "hydra": {"mode": "MULTIRUN"},
    },
}
"""What the primary configs of one job and of a sweep are registered with, by name."""


def register_jobs() -> None:
    """Make the primary configs ``train`` and ``sweep`` available to Hydra."""
    for name, described in PRIMARY.items():
        register_primary(name, **described)


def parse_job(config: DictConfig) -> Job:
    """The job that a composed config describes.

    The config has the fields of the run beside those of the job. A task's options stand beside its
    other settings; a model that names a machine is a streaming algorithm, one that names a module a
    whole model of one's own.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = plain(config, ("hydra", "sweep"))
    missing = [name for name in ("model", "task") if name not in values]
    if missing:
        raise ValueError(f"{missing[0]} is missing: `{missing[0]}=…` chooses one")
    task, known = values["task"], {setting.name for setting in fields(TaskConfig)}
    options = {name: task.pop(name) for name in list(task) if name not in known}
    if isinstance(task["options"], dict):
        task["options"] |= options
    kind: type[Any] = kind_of_model(values["model"])
    # Before the union of both, whose errors would name each field twice.
    values["model"] = validate(kind, values["model"], "model.")
    run = validate(RunConfig, {name: values.pop(name) for name in _RUN if name in values})
    return validate(Job, {**values, "run": run})


def run_job(job: Job, on_step: Callable[[int], None] | None = None) -> int:
    """Do the runs of a job, except those that are stored or being done by another process.

    Args:
        job: the runs, and where.
        on_step: called with the number of training steps done.

    Returns:
        How many were done here.

    Raises:
        ValueError: for a device or a mode that there is not.
    """
    from sdsim.store.store import Store

    store = Store(job.store)
    done = 0
    with contextlib.ExitStack() as claims:
        ours = [run for run in job.runs if claims.enter_context(store.claim(run_id(run)))]
        if not ours:
            return 0
        import torch

        from sdsim.training.compiled import why_not
        from sdsim.training.device import check_device
        from sdsim.training.run import Conditions, execute_all

        check_device(job.device)
        if job.mode == "compiled" and (reason := why_not()):
            raise ValueError(f"mode = 'compiled': {reason}")
        torch.set_num_threads(job.threads)
        log = claims.enter_context(tracked(job.tracking, store.path))
        weights: dict[str, dict[str, Tensor]] = {}

        def keep(run: RunConfig, model: Network) -> None:
            weights[run_id(run)] = {name: w.detach() for name, w in model.weights().items()}

        conditions = Conditions(
            torch.device(job.device),
            store.checkpoint,
            job.deadline,
            on_step,
            track=log,
            on_trained=keep if job.keep == "weights" else None,
        )
        for run, result in execute_all(ours, conditions, mode=job.mode):
            kept = weights.pop(run_id(run), None)
            store.write(run, result, device=job.device, weights=kept)
            done += 1
    return done
