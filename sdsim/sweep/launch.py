"""Launching a sweep: jobs for Hydra's launcher, again and again until the store has all runs."""

from __future__ import annotations

import contextlib
import io
import logging
import multiprocessing
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from hydra._internal.callbacks import Callbacks  # a HydraContext cannot be made without
from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn
from hydra.errors import InstantiationException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig, open_dict

from sdsim.conf.compose import composed
from sdsim.store.store import Store
from sdsim.sweep.grid import Grid, split_overrides
from sdsim.sweep.grouping import group_jobs
from sdsim.sweep.job import parse_job, register_jobs, run_job
from sdsim.sweep.plan import Plan, make_plan

_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
_LAUNCHES = 3  # in a row that may fail without any run done

logger = logging.getLogger(__name__)


Progress: TypeAlias = Callable[[int, int, str], None]
"""Takes the number of stored runs, that of all runs, and a word on those that have begun."""


@dataclass(frozen=True)
class Outcome:
    """What a sweep has come to.

    Attributes:
        store: of the runs.
        stored: how many of the sweep's runs it has.
        identities: the ids of all; more than `stored` only after the time budget.
    """

    store: Store
    stored: int
    identities: list[str]

    @property
    def runs(self) -> int:
        """How many runs there are."""
        return len(self.identities)


def sweep(
    command: str,
    arguments: list[str],
    on_progress: Progress = lambda done, total, note: None,
    *,
    grid: Grid | None = None,
) -> Outcome:
    """Train what the store lacks of a grid, through the Hydra launcher of the config.

    The grid is the config's ``sweep`` (see `sdsim.sweep.grid.Grid`). An override among the
    arguments replaces that axis in every block; of a config group (``model=gru``) it keeps the
    blocks with that choice. Without a grid (``sdsim train -m``) the arguments are the axes.

    Args:
        command: the primary config, ``"sweep"`` or ``"train"``.
        arguments: Hydra overrides; ``key=1,2,3`` is an axis.
        on_progress: see `Progress`; called from another thread.
        grid: in place of the config's.

    Raises:
        ValueError: for a grid or an override that describes no valid run, or a store or device
            that cannot be used; nothing has been written then.
        RuntimeError: if a run failed; the others are stored.
    """
    register_jobs()
    places, _ = split_overrides(arguments)
    with composed(command, places) as (config, loader):
        if grid is not None:
            blocks = {"common": grid.common, "grid": grid.grid, "machines": grid.machines}
            with open_dict(config):
                config.sweep = {**config.sweep, **blocks}
        plan = make_plan(config, loader, arguments)
        check(plan)
        return launch(plan, loader, on_progress)


def check(plan: Plan) -> None:
    """Raise `ValueError` unless the runs of a plan can be launched and stored here."""
    from sdsim.training.device import check_device

    launcher = plan.composed.hydra.launcher
    if _is_slurm(launcher) and not shutil.which("srun"):
        raise ValueError("hydra/launcher=slurm: there is no Slurm here (no srun is found)")
    if not _is_slurm(launcher) and launcher.get("address") is None:
        check_device(plan.job.device)  # elsewhere each job does
    plan.job.tracking.check()
    Store(plan.job.store).check()


def launch(plan: Plan, loader: ConfigLoader, on_progress: Progress) -> Outcome:
    """Launch what is missing until the store has all runs of a plan, or time is up."""
    store, identities = Store(plan.job.store), list(plan.runs)
    budget = plan.grid.seconds
    deadline = None if budget is None else time.time() + budget
    launcher = _launcher(plan.composed, loader)
    workers = _workers(plan.composed.hydra.launcher)

    def launch_missing(missing: list[str]) -> Sequence[JobReturn]:
        jobs = group_jobs([plan.runs[run] for run in missing], plan.grid.members, workers)
        if deadline is not None:
            jobs = [[*overrides, f"deadline={deadline:.1f}"] for overrides in jobs]
        return launcher.launch(jobs, initial_job_idx=0)

    with _watched(store, identities, on_progress):
        _launch_until_stored(launch_missing, store, identities, deadline)
    return Outcome(store, sum(identity in store for identity in identities), identities)


def run_one(config: DictConfig) -> bool:
    """One job of a sweep, in whatever process the launcher chose; whether any run was done here."""
    if multiprocessing.current_process().name != "MainProcess":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launching process's business
    return run_job(parse_job(config)) > 0


def _is_slurm(launcher: DictConfig) -> bool:
    return str(launcher.get("_target_")).endswith(".SlurmLauncher")


def _workers(launcher: DictConfig) -> int | None:
    """How many processes joblib has; None with another launcher."""
    if "n_jobs" not in launcher:
        return None
    import joblib

    return int(joblib.effective_n_jobs(launcher.n_jobs))


def _launcher(config: DictConfig, loader: ConfigLoader) -> Launcher:
    try:
        launcher: Launcher = instantiate(config.hydra.launcher)
    except InstantiationException as error:
        # Hydra says it twice.
        raise (error.__cause__ if isinstance(error.__cause__, ValueError) else error) from error
    context = HydraContext(config_loader=loader, callbacks=Callbacks(config))
    launcher.setup(hydra_context=context, task_function=run_one, config=config)
    return launcher


def _launch_until_stored(
    launch_missing: Callable[[list[str]], Sequence[JobReturn]],
    store: Store,
    identities: list[str],
    deadline: float | None,
) -> None:
    failures = 0
    while missing := [identity for identity in identities if identity not in store]:
        if deadline is not None and time.time() >= deadline:
            return
        try:
            returned = launch_missing(missing)
        except (ValueError, TypeError):
            raise  # the launcher's settings
        except Exception as error:
            # A worker was killed, or a node was lost: what it had in hand is done again.
            stored_some = any(identity in store for identity in missing)
            failures = 0 if stored_some else failures + 1
            if failures == _LAUNCHES:
                raise RuntimeError(f"the launcher failed {failures} times: {error}") from error
            logger.warning("the launcher failed, trying again: %s", _first_line(error))
            continue
        _raise_if_failed(returned)
        stored_none = all(identity not in store for identity in missing)
        if stored_none and any(job.return_value for job in returned):
            raise RuntimeError(f"{store.path / missing[0]} was written but cannot be read")
        if any(identity not in store for identity in missing):
            time.sleep(_RETRY_SECONDS)  # another sweep is doing them; it may die


def _raise_if_failed(returned: Sequence[JobReturn]) -> None:
    errors = [(job, error) for job in returned if (error := _error(job)) is not None]
    if errors:
        first, error = errors[0]
        raise RuntimeError(
            f"{len(errors)} of {len(returned)} runs failed; the first: "
            f"{' '.join(first.overrides or [])}: {error!r}"
        ) from error


def _error(returned: JobReturn) -> Exception | None:
    try:
        # Hydra reports a failed job on standard error; so do we, in one line.
        with contextlib.redirect_stderr(io.StringIO()):
            _ = returned.return_value
    except Exception as error:
        return error
    return None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().split("\n")[0]


@contextlib.contextmanager
def _watched(store: Store, identities: list[str], on_progress: Progress) -> Iterator[None]:
    """Report how far the runs are, by their store, whatever launcher does the work."""
    stop = threading.Event()
    missing = set(identities)

    def watch() -> None:
        last_look = False
        while not last_look:
            last_look = stop.wait(_POLL_SECONDS)
            missing.difference_update([run for run in missing if run in store])
            note = _begun(store.begun(missing))
            on_progress(len(identities) - len(missing), len(identities), note)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _begun(steps: list[int]) -> str:
    """Of runs that are not finished but have a snapshot, after so many steps.

    >>> _begun([1200, 3400]), _begun([800]), _begun([])
    ('2 begun (steps 1,200 to 3,400)', '1 begun (step 800)', '')
    """
    if not steps:
        return ""
    least, most = min(steps), max(steps)
    reached = f"step {most:,}" if least == most else f"steps {least:,} to {most:,}"
    return f"{len(steps)} begun ({reached})"
