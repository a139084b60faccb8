"""`sdsim sweep`: every run of a grid that the store does not have yet."""

from __future__ import annotations

from functools import partial

from sdsim.commands import train
from sdsim.commands.command import Command
from sdsim.sweep.grid import Grid
from sdsim.sweep.job import PRIMARY, parse_job

HELP = """\
sdsim sweep: train every run of a grid that the store does not have yet.

A sweep may be stopped at any time (Ctrl-C, kill -9): finished runs are kept, the others leave a
checkpoint each minute, and the same command does the rest. Several sweeps may share one store.

  sdsim sweep                                      the default grid, sweep=tiny
  sdsim sweep sweep=tiny store=runs/mine
  sdsim sweep sweep=bits_tiny                      another preset; those without _tiny are for a GPU
  sdsim sweep sweep=paper sweep.shard=3/8          the third of eight parts of a grid
  sdsim sweep sweep=paper hydra/launcher=slurm     with another launcher, see docs/clusters.md
  sdsim sweep sweep=paper sweep.time_budget=8m     stop then; the same command resumes
  sdsim sweep sweep.members=8                      at most 8 runs as one program (docs/clusters.md)
  sdsim sweep tracking=tensorboard                 training curves, while it runs
  sdsim sweep model=gru                            only the grid's runs of one model
  sdsim sweep model.width=32 seed=0,1,2            one axis of the grid, set by hand
  sdsim sweep hydra.launcher.n_jobs=1              one run at a time (default: one a core)
"""


COMMAND = Command(
    name="sweep",
    summary="train a grid of small models (order by state size), store every run",
    help=HELP,
    parse=parse_job,
    run=train.run,
    meanings={**train.MEANINGS, "sweep.": (Grid,)},
    sweep=partial(train.sweep_and_report, "sweep"),
    preview=partial(train.preview_sweep, "sweep"),
    is_sweep=True,
    unlisted=("members", "deadline"),
    interrupted=train.KEPT,
    **PRIMARY["sweep"],
)
