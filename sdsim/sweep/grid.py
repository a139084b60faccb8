"""A grid of runs: blocks of axes, and the overrides of the command line that change them."""

from __future__ import annotations

import itertools
import re
from dataclasses import field
from typing import Any, TypeAlias

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count

Axes: TypeAlias = dict[str, list[str]]
"""A block of a grid: override keys, and the values that each takes."""

# Axes that choose a file of `conf` rather than a value in it.
GROUPS = ("model", "task", "train", "test")
# Settings that networks or algorithms alone have; "model" itself, the choice, both have.
_OF_NETWORKS = ("model.", "train.")
_OF_ALGORITHMS = ("model.budget", "model.features")
# Overrides that say where and how to run, not what.
_PLACES = ("sweep", "store", "device", "threads", "tracking")
# Settings of a job that a sweep sets itself, and what to use instead.
_OF_JOBS = {"members": "sweep.members", "deadline": "sweep.time_budget"}
_SIZES = ("task.train_sizes", "task.test_sizes")
_SHARD = re.compile(r"(\d+)/(\d+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smh])")


@dataclass(frozen=True, config=STRICT)
class Grid:
    """The runs of a sweep, as blocks of axes.

    Attributes:
        name: of the sweep.
        common: a block that all others start from.
        grid: the blocks; each maps override keys to a value or a list of values, and stands for
            every combination.
        machines: more blocks, of streaming algorithms; settings of networks in the common block
            or on the command line do not apply to them, and an algorithm that cannot do a task
            set on the command line is left out.
        shard: such as ``3/8``, the third of eight parts that share nothing and need not know of
            each other; runs that differ in learning rate and seed alone are in the same one.
        members: most runs that may be trained as one program, where that is faster; null: as many
            as leave no joblib worker idle, 1 with another launcher.
        time_budget: such as ``90s``, ``8m``, ``2h``; then runs stop, and the same command resumes
            them.
    """

    name: str = ""
    common: dict[str, Any] = field(default_factory=dict)
    grid: list[dict[str, Any]] = field(default_factory=lambda: [{}])
    machines: list[dict[str, Any]] = field(default_factory=list)
    shard: str | int | float | None = None  # a number is refused, with an error of ours
    members: Count | None = None
    time_budget: str | int | float | None = None

    def __post_init__(self) -> None:
        _ = self.part, self.seconds

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


def split_overrides(arguments: list[str]) -> tuple[list[str], Axes]:
    """Overrides of the command line: those that every run gets as they are, and the axes.

    Raises:
        ValueError: for a setting that a sweep sets itself.
    """
    places: list[str] = []
    axes: Axes = {}
    for override in OverridesParser.create().parse_overrides(arguments):
        key = override.get_key_element()
        if key in _OF_JOBS:
            raise ValueError(f"{key} is for one `sdsim train`; a sweep has {_OF_JOBS[key]}")
        is_place = key.split(".")[0] in _PLACES
        if is_place or override.is_hydra_override() or override.is_delete():
            places.append(str(override.input_line))
        else:
            axes[key] = _values(override)
    return places, axes


def _values(override: Override) -> list[str]:
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.input_line).split("=", 1)[1]]


def expand(grid: Grid, chosen: Axes) -> list[list[str]]:
    """All runs of a grid as lists of overrides, with the axes `chosen` on the command line.

    Raises:
        ValueError: for a choice of a config group that no block has.
    """
    common = _axes(grid.common)
    blocks = [{**common, **_axes(block)} for block in grid.grid]
    algorithms = [{**_for_algorithm(common, {}), **_axes(block)} for block in grid.machines]
    for group in GROUPS:
        offered = [block.get(group) for block in blocks + algorithms]
        _check_choice(group, chosen.get(group, []), offered)
    runs: list[list[str]] = []
    for index, axes in enumerate(blocks + algorithms):
        if not algorithms:
            wanted = chosen
        elif index < len(blocks):
            wanted = {key: values for key, values in chosen.items() if key not in _OF_ALGORITHMS}
        else:
            wanted = _for_algorithm(chosen, axes)
        for key, values in wanted.items():
            # Of a group, the block's own choices are kept, so that others drop out.
            is_choice = key in GROUPS and key in axes
            axes[key] = [value for value in axes[key] if value in values] if is_choice else values
        runs.extend(
            [f"{key}={value}" for key, value in zip(axes, combination, strict=True)]
            for combination in itertools.product(*axes.values())
        )
    return runs


def _for_algorithm(wanted: Axes, block: Axes) -> Axes:
    """The axes that apply to a block of algorithms: budgets and features only if it sets them."""
    return {
        key: values
        for key, values in wanted.items()
        if not key.startswith(_OF_NETWORKS) or (key in _OF_ALGORITHMS and key in block)
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
        key: [str(value).replace(" ", "") for value in _listed(key, values)]
        for key, values in block.items()
    }


def _listed(key: str, values: Any) -> list[Any]:
    """The values of an axis.

    Of sizes, whose values are lists of pairs, a pair or a list of pairs is one value: no other
    reading of it makes sense.

    >>> _listed("seed", [0, 1]), _listed("task.train_sizes", [[4, 12], [12, 4]])
    ([0, 1], [[[4, 12], [12, 4]]])
    >>> _listed("task.train_sizes", [4, 12]), _listed("task.train_sizes", [[[4, 12]], [[12, 4]]])
    ([[4, 12]], [[[4, 12]], [[12, 4]]])
    """
    is_value = key in _SIZES and _depth(values) < 3
    return [values] if is_value or not isinstance(values, list) else values


def _depth(values: Any) -> int:
    """How many brackets stand before the first number."""
    return 1 + _depth(values[0]) if isinstance(values, list) and values else 0
