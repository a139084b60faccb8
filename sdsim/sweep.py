"""A grid of runs: expanded, checked, and given to a Hydra launcher until the store has all."""

from __future__ import annotations

import io
import itertools
import logging
import multiprocessing
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from hydra import compose, initialize_config_module
from hydra._internal.callbacks import Callbacks  # a HydraContext cannot be made without
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from hydra.utils import instantiate
from omegaconf import DictConfig

from sdsim.conf import parse, parse_job
from sdsim.config import RunConfig
from sdsim.console import Bar
from sdsim.models.config import STRICT
from sdsim.results import Store, run_id
from sdsim.run import execute
from sdsim.train import check_device

Axes = dict[str, list[str]]
"""A block of a grid: override keys, and the values that each takes."""

# Axes that choose a file of `conf` rather than a value in it.
_GROUPS = ("model", "task", "train", "test")
# Settings that a machine does not have; of "model" itself, the choice, it has.
_OF_NETWORKS = ("model.", "train.")
# Overrides that say where and how to run, not what.
_PLACES = ("sweep", "store", "device", "threads")
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0
_LAUNCHES = 3  # in a row that may fail without any run done
_SHARD = re.compile(r"(\d+)/(\d+)")

logger = logging.getLogger(__name__)


def run_one(composed: DictConfig) -> bool:
    """One job of a sweep: train a run and store it, unless it is there or being done elsewhere.

    Returns:
        Whether it was done here.
    """
    if multiprocessing.current_process().name != "MainProcess":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launching process's business
    job = parse_job(composed)
    store = Store(job.store)
    with store.claim(run_id(job.run)) as is_ours:
        if is_ours:
            torch.set_num_threads(job.threads)
            store.write(job.run, execute(job.run, device=job.device), device=job.device)
    return is_ours


@dataclass(frozen=True)
class Grid:
    """The runs of a sweep, as blocks of axes.

    Attributes:
        name: of the sweep.
        common: a block that all others start from.
        grid: the blocks; each maps override keys to a value or a list of values, and stands for
            every combination.
        machines: more blocks, of models that are not trained; what the common block and the command
            line say of ``model.`` and ``train.`` settings is not for them.
        shard: ``"3/8"``, the third of eight parts that share nothing and need not know of each
            other; runs that differ in learning rate and seed alone are in the same one.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str = ""
    common: dict[str, Any] = field(default_factory=dict)
    grid: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    machines: list[dict[str, Any]] = field(default_factory=list)
    shard: str | None = None

    def __post_init__(self) -> None:
        _ = self.part

    @property
    def part(self) -> tuple[int, int]:
        """The shard: its number, from 0, and how many there are."""
        match = _SHARD.fullmatch(self.shard or "1/1")
        number, count = (int(part) for part in match.groups()) if match else (0, 0)
        if not 1 <= number <= count:
            raise ValueError(f"sweep.shard = {self.shard!r}: k/n with 1 ≤ k ≤ n, such as 3/8")
        return number - 1, count


def sweep(command: str, arguments: list[str]) -> Store:
    """Train what the store lacks of a grid, through the Hydra launcher of the config.

    The grid is the config's ``sweep``, a `Grid`. An override among the arguments takes the place
    of that axis in every block; of a config group (``model=gru``) it keeps the blocks with that
    choice. Without a grid (``sdsim train -m``) the arguments are the axes.

    Args:
        command: the primary config, ``"sweep"`` or ``"train"``.
        arguments: Hydra overrides; ``key=1,2,3`` is an axis.

    Returns:
        The store, which then has every run.

    Raises:
        ValueError: for a grid or an override that describes no valid run, or a store or device
            that cannot be used; nothing has been written then.
        RuntimeError: if a run failed; the others are stored.
    """
    places, chosen = split_overrides(arguments)
    with initialize_config_module("sdsim.conf", version_base="1.3"):
        composed = compose(command, overrides=places, return_hydra_config=True)
        loader = GlobalHydra.instance().config_loader()
        grid = parse(Grid, composed.sweep) if "sweep" in composed else Grid()
        jobs: dict[str, list[str]] = {}
        settings: dict[str, int] = {}  # numbered as they come
        part, parts = grid.part
        for axes in expand(grid, chosen):
            overrides = [*places, *axes]
            job = parse_job(loader.load_sweep_config(composed, overrides))
            number = settings.setdefault(_setting(job.run), len(settings))
            if number % parts == part:
                jobs[run_id(job.run)] = overrides
        check_device(job.device)
        store = Store(job.store)
        store.check_writable()
        with _watched(store, list(jobs)):
            _launch_until_stored(_launcher(composed, loader), store, jobs)
    return store


def _setting(run: RunConfig) -> str:
    """The same for runs that differ in learning rate and seed alone."""
    return run_id(replace(run, seed=0, train=replace(run.train, lr=1.0)))


def _launcher(composed: DictConfig, loader: ConfigLoader) -> Launcher:
    launcher: Launcher = instantiate(composed.hydra.launcher)
    context = HydraContext(config_loader=loader, callbacks=Callbacks(composed))
    launcher.setup(hydra_context=context, task_function=run_one, config=composed)
    return launcher


def _launch_until_stored(launcher: Launcher, store: Store, jobs: dict[str, list[str]]) -> None:
    failures = 0
    while missing := [identity for identity in jobs if identity not in store]:
        try:
            returned = launcher.launch([jobs[identity] for identity in missing], initial_job_idx=0)
        except Exception as error:
            # A worker was killed, or a node was lost: what it had in hand is done again.
            stored_some = any(identity in store for identity in missing)
            failures = 0 if stored_some else failures + 1
            if failures == _LAUNCHES:
                raise RuntimeError(f"the launcher failed {failures} times: {error}") from error
            logger.warning("the launcher failed, trying again: %s", _first_line(error))
            continue
        _raise_if_failed(returned)
        still_missing = [identity for identity in missing if identity not in store]
        for identity, one in zip(missing, returned, strict=True):
            if identity in still_missing and one.return_value:
                raise RuntimeError(f"{store.path / identity} was written but cannot be read")
        if still_missing:
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
    machines = [{**_for_machines(common), **_axes(block)} for block in grid.machines]
    for group in _GROUPS:
        offered = [block.get(group) for block in blocks + machines]
        _check_choice(group, chosen.get(group, []), offered)
    runs: list[list[str]] = []
    for index, axes in enumerate(blocks + machines):
        wanted = chosen if index < len(blocks) else _for_machines(chosen)
        for key, values in wanted.items():
            # Of a group, the block's own choices are kept, so that others drop out.
            is_choice = key in _GROUPS and key in axes
            axes[key] = [value for value in axes[key] if value in values] if is_choice else values
        runs.extend(
            [f"{key}={value}" for key, value in zip(axes, combination, strict=True)]
            for combination in itertools.product(*axes.values())
        )
    return runs


def _for_machines(axes: Axes) -> Axes:
    return {key: values for key, values in axes.items() if not key.startswith(_OF_NETWORKS)}


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
        with redirect_stderr(io.StringIO()):
            _ = returned.return_value
    except Exception as error:
        return error
    return None


@contextmanager
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
