"""A grid of runs: expanded, checked, and given to a Hydra launcher until the store has all."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import math
import multiprocessing
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import joblib
import torch
from hydra import compose, initialize_config_module
from hydra._internal.callbacks import Callbacks  # a HydraContext cannot be made without
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import InstantiationException, MissingConfigException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig

from sdsim.conf import parse, parse_job, register
from sdsim.config import RunConfig
from sdsim.console import Bar
from sdsim.ensemble import setting
from sdsim.machines import MachineConfig
from sdsim.models.config import STRICT
from sdsim.results import Store, run_id
from sdsim.run import Conditions, execute_all
from sdsim.tracking import tracked
from sdsim.train import check_device

Axes = dict[str, list[str]]
"""A block of a grid: override keys, and the values that each takes."""

# Axes that choose a file of `conf` rather than a value in it.
_GROUPS = ("model", "task", "train", "test")
# Settings that networks or machines alone have; "model" itself, the choice, both have.
_OF_NETWORKS = ("model.", "train.")
_OF_MACHINES = ("model.budget", "model.features")
# Overrides that say where and how to run, not what.
_PLACES = ("sweep", "store", "device", "threads", "tracking")
# Settings of a job that a sweep gives by itself, and what stands for them.
_OF_JOBS = {"members": "sweep.members", "deadline": "sweep.time_budget"}
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
_LAUNCHES = 3  # in a row that may fail without any run done
_SHARD = re.compile(r"(\d+)/(\d+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")

logger = logging.getLogger(__name__)


def run_one(composed: DictConfig) -> bool:
    """One job of a sweep: do its runs but those that are stored, or being done elsewhere.

    Returns:
        Whether any was done here.
    """
    if multiprocessing.current_process().name != "MainProcess":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launching process's business
    job = parse_job(composed)
    store = Store(job.store)
    done = 0
    with contextlib.ExitStack() as claims:
        ours = [run for run in job.runs if claims.enter_context(store.claim(run_id(run)))]
        if ours:
            check_device(job.device)
            torch.set_num_threads(job.threads)
            log = claims.enter_context(tracked(job.tracking, store.path))
            conditions = Conditions(
                torch.device(job.device), store.checkpoint, job.deadline, track=log
            )
            for run, result in execute_all(ours, conditions):
                store.write(run, result, device=job.device)
                done += 1
    return done > 0


@dataclass(frozen=True)
class Grid:
    """The runs of a sweep, as blocks of axes.

    Attributes:
        name: of the sweep.
        common: a block that all others start from.
        grid: the blocks; each maps override keys to a value or a list of values, and stands for
            every combination.
        machines: more blocks, of models that are not trained; what the common block and the command
            line say of the settings of networks is not for them, and one that cannot do a task
            which the command line sets is left out.
        shard: ``"3/8"``, the third of eight parts that share nothing and need not know of each
            other; runs that differ in learning rate and seed alone are in the same one.
        members: how many of those may be trained as one program, where that is faster; None: as
            many as leave none of joblib's workers without work, 1 with another launcher.
        time_budget: ``"90s"``, ``"8m"``, ``"2h"``: then runs stop, to be gone on with by the same
            command.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str = ""
    common: dict[str, Any] = field(default_factory=dict)
    grid: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    machines: list[dict[str, Any]] = field(default_factory=list)
    shard: str | int | float | None = None  # a number is none, but an error of ours
    members: int | None = None
    time_budget: str | int | float | None = None

    def __post_init__(self) -> None:
        _ = self.part, self.seconds
        if self.members is not None and self.members < 1:
            raise ValueError(f"sweep.members = {self.members}: must be at least 1")

    @property
    def seconds(self) -> float | None:
        """The time budget."""
        if self.time_budget is None:
            return None
        match = _DURATION.fullmatch(str(self.time_budget))
        if not match:
            raise ValueError(
                f"sweep.time_budget = {self.time_budget!r}: a number of s, m or h, such as 8m"
            )
        return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]

    @property
    def part(self) -> tuple[int, int]:
        """The shard: its number, from 0, and how many there are."""
        match = _SHARD.fullmatch("1/1" if self.shard is None else str(self.shard))
        number, count = (int(part) for part in match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise ValueError(f"sweep.shard = {self.shard!r}: k/n with 1 ≤ k ≤ n, such as 3/8")
        return number - 1, count


def sweep(command: str, arguments: list[str]) -> tuple[Store, int, int]:
    """Train what the store lacks of a grid, through the Hydra launcher of the config.

    The grid is the config's ``sweep``, a `Grid`. An override among the arguments takes the place
    of that axis in every block; of a config group (``model=gru``) it keeps the blocks with that
    choice. Without a grid (``sdsim train -m``) the arguments are the axes.

    Args:
        command: the primary config, ``"sweep"`` or ``"train"``.
        arguments: Hydra overrides; ``key=1,2,3`` is an axis.

    Returns:
        The store, how many of the runs it has then, and how many there are: fewer than all only
        after the time budget.

    Raises:
        ValueError: for a grid or an override that describes no valid run, or a store or device
            that cannot be used; nothing has been written then.
        RuntimeError: if a run failed; the others are stored.
    """
    places, chosen = split_overrides(arguments)
    for key in chosen:
        if key in _OF_JOBS:
            raise ValueError(f"{key} is for one `sdsim train`; a sweep has {_OF_JOBS[key]}")
    with initialize_config_module("sdsim.conf", version_base="1.3"):
        composed = compose(command, overrides=places, return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        grid = parse(Grid, composed.sweep, path="sweep.") if "sweep" in composed else Grid()
        jobs: dict[str, tuple[RunConfig, list[str]]] = {}
        settings: dict[str, int] = {}  # numbered as they come
        part, parts = grid.part
        impossible: ValueError | None = None
        for axes in expand(grid, chosen):
            overrides = [*places, *axes]
            one = loader.load_sweep_config(composed, overrides)
            try:
                job = parse_job(one)
            except ValueError as error:
                if "machine" not in one.model or not any(key.startswith("task") for key in chosen):
                    raise
                logger.warning("left out: %s: %s", " ".join(axes), _first_line(error))
                impossible = error
                continue
            (run,) = job.runs
            number = settings.setdefault(run_id(setting(run)), len(settings))
            if number % parts == part:
                jobs[run_id(run)] = run, overrides
        if impossible and not settings:
            raise impossible
        launchers = composed.hydra.launcher
        if _is_slurm(launchers) and not shutil.which("srun"):
            raise ValueError("hydra/launcher=slurm: there is no Slurm here (no srun is found)")
        if not _is_slurm(launchers) and launchers.get("address") is None:
            check_device(job.device)  # which elsewhere each job does
        job.tracking.check()
        store = Store(job.store)
        store.check_writable()
        store.check_current()
        workers = _workers(launchers)
        deadline = None if grid.seconds is None else time.time() + grid.seconds
        launcher = _launcher(composed, loader)

        def launch(missing: list[str]) -> Sequence[JobReturn]:
            grouped = _grouped([jobs[identity] for identity in missing], grid.members, workers)
            if deadline is not None:
                grouped = [[*overrides, f"deadline={deadline:.1f}"] for overrides in grouped]
            return launcher.launch(grouped, initial_job_idx=0)

        with _watched(store, list(jobs)):
            _launch_until_stored(launch, store, list(jobs), deadline)
    return store, sum(identity in store for identity in jobs), len(jobs)


def runs_of(preset: str) -> list[RunConfig]:
    """All runs of a preset of ``sdsim sweep``.

    Raises:
        ValueError: if there is none of that name.
    """
    register()
    try:
        with apart(), initialize_config_module("sdsim.conf", version_base="1.3"):
            composed = compose("sweep", [f"sweep={preset}"], return_hydra_config=True)
            loader = GlobalHydra.instance().config_loader()
            grid = parse(Grid, composed.sweep, path="sweep.")
            return [
                run
                for axes in expand(grid, {})
                for run in parse_job(loader.load_sweep_config(composed, axes)).runs
            ]
    except MissingConfigException as error:
        raise ValueError(f"preset = {preset!r}: there is no such sweep") from error


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Compose other configs while a command of Hydra's is under way."""
    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        yield
    finally:
        GlobalHydra.instance().hydra = running


def _workers(launcher: DictConfig) -> int | None:
    """How many processes joblib has; None with another launcher."""
    return joblib.effective_n_jobs(launcher.n_jobs) if "n_jobs" in launcher else None


def _grouped(
    jobs: list[tuple[RunConfig, list[str]]], most: int | None, workers: int | None
) -> list[list[str]]:
    """Jobs of one run, or of several that differ in learning rate and seed alone.

    Args:
        jobs: the runs that are missing, and their overrides.
        most: runs in one job; None: as many as leave no worker idle, or 1 where there are no
            `workers` to know of.
        workers: processes that take jobs.
    """
    alike: dict[str, list[tuple[RunConfig, list[str]]]] = {}
    groups: list[list[tuple[RunConfig, list[str]]]] = []
    for run, overrides in jobs:
        if isinstance(run.model, MachineConfig):
            groups.append([(run, overrides)])
        else:
            alike.setdefault(run_id(setting(run)), []).append((run, overrides))
    even = math.ceil(sum(map(len, alike.values())) / workers) if workers else 1
    largest = max(1, even if most is None else most)
    for group in alike.values():
        parts = math.ceil(len(group) / largest)
        groups.extend(group[start::parts] for start in range(parts))
    # As many jobs for one worker as for another: halve the largest until it comes out even.
    while most is None and workers and len(groups) % workers:
        longest = max(groups, key=len)
        if len(longest) == 1:
            break
        groups.remove(longest)
        groups += [longest[::2], longest[1::2]]
    return [_job(group) for group in groups]


def _job(group: list[tuple[RunConfig, list[str]]]) -> list[str]:
    overrides = group[0][1]
    if len(group) == 1:
        return overrides
    members = ",".join(f"[{run.train.lr!r},{run.seed}]" for run, _ in group)
    return [*overrides, f"members=[{members}]"]


def _is_slurm(launcher: DictConfig) -> bool:
    return str(launcher.get("_target_")).endswith(".SlurmLauncher")


def _launcher(composed: DictConfig, loader: ConfigLoader) -> Launcher:
    try:
        launcher: Launcher = instantiate(composed.hydra.launcher)
    except InstantiationException as error:
        # Hydra says it twice.
        raise (error.__cause__ if isinstance(error.__cause__, ValueError) else error) from error
    context = HydraContext(config_loader=loader, callbacks=Callbacks(composed))
    launcher.setup(hydra_context=context, task_function=run_one, config=composed)
    return launcher


def _launch_until_stored(
    launch: Callable[[list[str]], Sequence[JobReturn]],
    store: Store,
    identities: list[str],
    deadline: float | None,
) -> None:
    failures = 0
    while missing := [identity for identity in identities if identity not in store]:
        if deadline is not None and time.time() >= deadline:
            return
        try:
            returned = launch(missing)
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
        if stored_none and any(one.return_value for one in returned):
            raise RuntimeError(f"{store.path / missing[0]} was written but cannot be read")
        if any(identity not in store for identity in missing):
            time.sleep(_RETRY_SECONDS)  # another sweep is at them; it may die


def split_overrides(arguments: list[str]) -> tuple[list[str], Axes]:
    """Overrides of the command line: those that every run gets as they are, and the axes."""
    places: list[str] = []
    axes: Axes = {}
    for override in OverridesParser.create().parse_overrides(arguments):
        key = override.get_key_element()
        if override.is_hydra_override() or key.split(".")[0] in _PLACES:
            places.append(_text(override))
        else:
            axes[key] = _values(override)
    return places, axes


def _text(override: Override) -> str:
    return str(override.input_line)


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [_text(override).split("=", 1)[1]]


def expand(grid: Grid, chosen: Axes) -> list[list[str]]:
    """All runs of a grid as lists of overrides, with the axes `chosen` on the command line.

    Raises:
        ValueError: for a choice of a config group that no block has.
    """
    common = _axes(grid.common)
    blocks = [{**common, **_axes(block)} for block in grid.grid]
    machines = [{**_for_machine(common, {}), **_axes(block)} for block in grid.machines]
    for group in _GROUPS:
        offered = [block.get(group) for block in blocks + machines]
        _check_choice(group, chosen.get(group, []), offered)
    runs: list[list[str]] = []
    for index, axes in enumerate(blocks + machines):
        if not machines:
            wanted = chosen
        elif index < len(blocks):
            wanted = {key: values for key, values in chosen.items() if key not in _OF_MACHINES}
        else:
            wanted = _for_machine(chosen, axes)
        for key, values in wanted.items():
            # Of a group, the block's own choices are kept, so that others drop out.
            is_choice = key in _GROUPS and key in axes
            axes[key] = [value for value in axes[key] if value in values] if is_choice else values
        runs.extend(
            [f"{key}={value}" for key, value in zip(axes, combination, strict=True)]
            for combination in itertools.product(*axes.values())
        )
    return runs


def _for_machine(wanted: Axes, block: Axes) -> Axes:
    """What of some axes is for a block of machines: of budgets and features, those that it sets."""
    return {
        key: values
        for key, values in wanted.items()
        if not key.startswith(_OF_NETWORKS) or (key in _OF_MACHINES and key in block)
    }


def _check_choice(group: str, asked: list[str], offered: list[list[str] | None]) -> None:
    if None in offered:
        return  # a block without a choice of its own takes any
    choices = sorted({choice for block in offered for choice in block or []})
    for choice in asked:
        if choice not in choices:
            raise ValueError(
                f"{group}={choice}: no block of the grid has that; it has {', '.join(choices)}"
            )


def _axes(block: dict[str, Any]) -> Axes:
    # A list is an axis; a value that is itself a list (sizes) stands in a list of one.
    return {
        key: [_override_text(value) for value in (values if isinstance(values, list) else [values])]
        for key, values in block.items()
    }


def _override_text(value: Any) -> str:
    return str(value).replace(" ", "")


def _raise_if_failed(returned: Sequence[JobReturn]) -> None:
    errors = [(one, error) for one in returned if (error := _error(one)) is not None]
    if errors:
        first, error = errors[0]
        raise RuntimeError(
            f"{len(errors)} of {len(returned)} runs failed; the first: "
            f"{' '.join(first.overrides or [])}: {error!r}"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().split("\n")[0]


def _error(returned: JobReturn) -> Exception | None:
    try:
        # Hydra says of a failed job that it failed, on standard error; so do we, in one line.
        with contextlib.redirect_stderr(io.StringIO()):
            _ = returned.return_value
    except Exception as error:
        return error
    return None


@contextlib.contextmanager
def _watched(store: Store, identities: list[str]) -> Iterator[None]:
    """Show how many runs the store has, whatever launcher does the work."""
    stop = threading.Event()
    missing = set(identities)

    def watch(bar: Bar) -> None:
        last_look = False
        while not last_look:
            last_look = stop.wait(_POLL_SECONDS)
            missing.difference_update([one for one in missing if one in store])
            bar.show(len(identities) - len(missing), len(identities))

    with Bar("sweeping", "runs") as bar:
        watcher = threading.Thread(target=watch, args=(bar,), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            stop.set()
            watcher.join()
