"""Which runs of a sweep are one job: those that may be trained as one program."""

from __future__ import annotations

import math

from sdsim.config import AlgorithmConfig, ensemble_key
from sdsim.sweep.plan import PlannedRun


def group_jobs(runs: list[PlannedRun], most: int | None, workers: int | None) -> list[list[str]]:
    """The overrides of jobs: of one run each, or of several that may be trained as one.

    Args:
        runs: those that are missing.
        most: runs in one job; None: as many as leave no worker idle, 1 if `workers` is None.
        workers: processes that take jobs, if known.
    """
    alike: dict[str, list[PlannedRun]] = {}
    groups: list[list[PlannedRun]] = []
    for run in runs:
        if isinstance(run.config.model, AlgorithmConfig):
            groups.append([run])
        else:
            alike.setdefault(ensemble_key(run.config), []).append(run)
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


def _job(group: list[PlannedRun]) -> list[str]:
    overrides = group[0].overrides
    if len(group) == 1:
        return overrides
    members = ",".join(f"[{run.config.train.lr!r},{run.config.seed}]" for run in group)
    return [*overrides, f"members=[{members}]"]
