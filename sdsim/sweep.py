"""A grid of runs: expanded, checked, and given to a Hydra launcher until the store has all."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from hydra import compose, initialize_config_module
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from sdsim.conf import parse_run
from sdsim.console import Bar
from sdsim.results import Store, run_id
from sdsim.train import check_machine, train

Axes = dict[str, list[str]]
"""A block of a grid: override keys, and the values that each takes."""

# Axes that choose a file of `conf` rather than a value in it.
_GROUPS = ("model", "task", "train")
# Overrides that say where and how to run, not what.
_PLACES = ("sweep", "store", "device", "threads")
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 2.0


def run_one(composed: DictConfig) -> None:
    """One job of a sweep: train a run and store it, unless it is there or being done elsewhere."""
    config, store = parse_run(composed), Store(composed.store)
    with store.claim(run_id(config)) as is_ours:
        if is_ours:
            torch.set_num_threads(composed.threads)
            store.write(config, train(config, device=composed.device), device=composed.device)


def sweep(command: str, arguments: list[str]) -> Store:
    """Train what the store lacks of a grid, through the Hydra launcher of the config.

    The grid is the config's ``sweep.grid``, a list of blocks; a block maps override keys to a
    value or a list of values, and stands for every combination. ``sweep.common`` is a block that
    all others start from. An override among the arguments takes the place of that axis in every
    block; of a config group (``model=gru``) it keeps the blocks with that choice. Without a grid
    (``sdsim train -m``) the arguments are the axes.

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
        check_machine(composed.device, composed.threads)
        loader = GlobalHydra.instance().config_loader()
        grid = OmegaConf.select(composed, "sweep", default={"common": {}, "grid": [{}]})
        jobs = {}
        for axes in expand(OmegaConf.to_container(OmegaConf.create(grid)), chosen):
            overrides = [*places, *axes]
            run = loader.load_sweep_config(composed, overrides)
            jobs[run_id(parse_run(run))] = overrides
        store = Store(composed.store)
        store.check_writable()
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=Callbacks(composed)),
            task_function=run_one,
            config=composed,
        )
        with _watched(store, list(jobs)):
            _launch_until_stored(launcher, store, jobs)
    return store


def _launch_until_stored(launcher: Launcher, store: Store, jobs: dict[str, list[str]]) -> None:
    while missing := [identity for identity in jobs if identity not in store]:
        returned = launcher.launch([jobs[identity] for identity in missing], initial_job_idx=0)
        _raise_if_failed(returned)
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


def expand(sweep: Any, chosen: Axes) -> list[list[str]]:
    """All runs of a grid as lists of overrides, with the axes `chosen` on the command line."""
    common = _axes(sweep["common"])
    runs: list[list[str]] = []
    for block in sweep["grid"]:
        axes = {**common, **_axes(block)}
        for key, values in chosen.items():
            # Of a group, the grid's own choices are kept; a block without one asked for is dropped.
            is_choice = key in _GROUPS and key in axes
            axes[key] = [value for value in axes[key] if value in values] if is_choice else values
        runs.extend(
            [f"{key}={value}" for key, value in zip(axes, combination, strict=True)]
            for combination in itertools.product(*axes.values())
        )
    if not runs:
        asked = [f"{key}={','.join(chosen[key])}" for key in _GROUPS if key in chosen]
        blocks = [{**common, **_axes(block)} for block in sweep["grid"]]
        models = sorted({model for block in blocks for model in block.get("model", [])})
        raise ValueError(
            f"{' '.join(asked)}: no block of the grid has that; its models are {', '.join(models)}"
        )
    return runs


def _axes(block: dict[str, Any]) -> Axes:
    # A list is an axis; a value that is itself a list (sizes) stands in a list of one.
    return {
        key: [_override_text(value) for value in (values if isinstance(values, list) else [values])]
        for key, values in block.items()
    }


def _override_text(value: Any) -> str:
    return str(value).replace(" ", "")


def _raise_if_failed(returned: Any) -> None:
    failed: list[JobReturn] = [one for one in returned if one.status == JobStatus.FAILED]
    if failed:
        first = failed[0]
        raise RuntimeError(
            f"{len(failed)} of {len(returned)} runs failed; the first: "
            f"{' '.join(first.overrides or [])}: {first._return_value!r}"
        )


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
