"""The plan of a sweep: which runs there are, and how each is asked for."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations

from hydra._internal.config_loader_impl import ConfigLoaderImpl  # applies values as compose does
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf

from sdsim.conf.compose import composed, parse
from sdsim.config import RunConfig, ensemble_key, run_id
from sdsim.sweep.grid import GROUPS, Grid, expand, split_overrides
from sdsim.sweep.job import Job, parse_job, register_jobs

_NOT_OF_RUNS = ("hydra", "sweep")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep, and the overrides that ask for it."""

    config: RunConfig
    overrides: list[str]


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do.

    Attributes:
        grid: the settings of the sweep.
        job: where and how runs are done; its run is one of them.
        runs: this shard's runs, by their ids.
        composed: the config of the command, Hydra's launcher included.
    """

    grid: Grid
    job: Job
    runs: dict[str, PlannedRun]
    composed: DictConfig


def make_plan(config: DictConfig, loader: ConfigLoader, arguments: list[str]) -> Plan:
    """Expand a grid, and check every run of it.

    Args:
        config: the composed config of a command, with a ``sweep`` or without.
        loader: what composed it.
        arguments: Hydra overrides of the command line; ``key=1,2,3`` is an axis.

    Raises:
        ValueError: for a grid or an override that describes no valid run.
    """
    from sdsim.training.tasks import check_run

    places, chosen = split_overrides(arguments)
    grid = parse(Grid, config.sweep, path="sweep.") if "sweep" in config else Grid()
    part, parts = grid.part
    keys: dict[str, int] = {}  # of ensembles, numbered as they come
    runs: dict[str, PlannedRun] = {}
    job, impossible = None, None
    for axes, composed_run in _composed_runs(config, loader, places, expand(grid, chosen)):
        try:
            parsed = parse_job(composed_run)
            key = ensemble_key(parsed.run)
            if key not in keys:
                check_run(parsed.run)
        except ValueError as error:
            is_algorithm = "machine" in composed_run.model
            if not is_algorithm or not any(name.startswith("task") for name in chosen):
                raise
            logger.warning("left out: %s: %s", " ".join(axes), str(error).splitlines()[0])
            impossible = error
            continue
        job = parsed
        if keys.setdefault(key, len(keys)) % parts == part:
            runs[run_id(job.run)] = PlannedRun(job.run, [*places, *axes])
    if job is None:
        raise impossible or ValueError("sweep.grid: it has no run")
    return Plan(grid, job, runs, config)


def runs_of(preset: str, searchpath: Sequence[str] = ()) -> list[RunConfig]:
    """All runs of a preset of ``sdsim sweep``.

    Args:
        preset: its name.
        searchpath: where presets of one's own are, such as ``"file://conf"``.

    Raises:
        ValueError: if there is none of that name.
    """
    register_jobs()
    try:
        places = [f"hydra.searchpath={json.dumps(list(searchpath))}"] if searchpath else []
        with composed("sweep", [f"sweep={preset}", *places]) as (config, loader):
            grid = parse(Grid, config.sweep, path="sweep.")
            return [
                parse_job(composed_run).run
                for _, composed_run in _composed_runs(config, loader, places, expand(grid, {}))
            ]
    except MissingConfigException as error:
        raise ValueError(f"preset = {preset!r}: there is no such sweep") from error


def _composed_runs(
    config: DictConfig, loader: ConfigLoader, places: list[str], runs: list[list[str]]
) -> Iterator[tuple[list[str], DictConfig]]:
    """Each list of overrides, and the config that it composes to, which the next one may change.

    Choosing files is slow and few choices differ: each is composed once. Nor do most values differ
    from one run to the next: those that do are set.
    """
    parse_override = cache(OverridesParser.create().parse_override)

    @cache
    def base(choices: tuple[str, ...]) -> DictConfig:
        whole = loader.load_sweep_config(config, [*places, *choices])
        part = OmegaConf.masked_copy(whole, [str(key) for key in whole if key not in _NOT_OF_RUNS])
        OmegaConf.set_struct(part, True)  # so that a setting that does not exist is refused
        return part

    @cache
    def independent(keys: tuple[str, ...]) -> bool:
        """Whether it does not matter what was set before, nor in which order these are."""
        parts = any(f"{one}.".startswith(f"{other}.") for one, other in permutations(keys, 2))
        return not parts and not any(key.startswith(("+", "~")) for key in keys)

    def fresh(choices: tuple[str, ...], keys: tuple[str, ...]) -> tuple[DictConfig, set[str]]:
        """A copy in which to set these keys, and the overrides that it has."""
        return copy.deepcopy(base(choices)), set()

    reused = cache(fresh)

    for overrides in runs:
        choices = tuple(text for text in overrides if text.split("=")[0] in GROUPS)
        values = [text for text in overrides if text not in choices]
        keys = tuple(text.split("=")[0] for text in values)
        composed_run, applied = (reused if independent(keys) else fresh)(choices, keys)
        new = [parse_override(text) for text in values if text not in applied]
        ConfigLoaderImpl._apply_overrides_to_config(new, composed_run)
        applied.clear()
        applied.update(values)
        yield overrides, composed_run
