"""`sdsim train`: one run, or a few that may be trained as one."""

from __future__ import annotations

from functools import partial
from shlex import quote

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console, print_state_notes
from sdsim.config import (
    AlgorithmConfig,
    EvalConfig,
    ModelConfig,
    ModuleConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
    run_id,
)
from sdsim.sweep.job import PRIMARY, Job, parse_job
from sdsim.training.tracking import TrackingConfig

HELP = """\
sdsim train: train one model on one task, test it, store the run.

  sdsim train model=gru model.width=24 train.steps=4000
  sdsim train model=based model.feature_dim=8 'task.train_sizes=[[4,12],[12,4]]'
  sdsim train model=gru task=associative_recall 'test.bits=[1,2,4,8]'   also with a quantized state
  sdsim train -m model=gru model.width=8,16,24   several runs, in parallel
  sdsim train 'members=[[1e-3,0],[3e-3,0]]'      pairs (train.lr, seed), as one program if faster
"""

SHOWN = (
    "model",
    "size_a",
    "size_b",
    "order",
    "state_bytes",
    "chance",
    "last_set_chance",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "above_chance",
    "loss",
)
"""Columns of a run's table, a row for each pair of sizes."""

MEANINGS = {
    "": (RunConfig, Job),
    "model.": (AlgorithmConfig, ModuleConfig, ModelConfig),
    "task.": (TaskConfig,),
    "train.": (TrainConfig,),
    "test.": (EvalConfig,),
    "tracking.": (TrackingConfig,),
}
KEPT = ": finished runs are stored; the same command resumes the rest"


def run(job: Job) -> None:
    """Do what the store lacks of a job, and print what was measured."""
    from sdsim.library import do
    from sdsim.store.store import Store

    store, identities = Store(job.store), [run_id(config) for config in job.runs]
    missing = [identity for identity in identities if identity not in store]
    with Bar("training", "steps") as bar:
        table = do(job, on_step=lambda done: bar.show(done, job.run.train.steps))
    if table["run_id"].n_unique() < len(identities):
        # Stopped by the deadline, or another process is doing them.
        console.print("not all runs are done yet; the same command resumes them")
        return
    folders = ", ".join(str(store.path / identity) for identity in identities)
    console.print(f"{folders} {'are stored' if missing else 'are there already'}:")
    console.print(as_table(table.select(SHOWN)))
    print_state_notes(table)


def sweep_and_report(command: str, overrides: list[str]) -> bool:
    """Do a sweep, and say what the store then has; whether that is all."""
    from sdsim.library import launch_sweep

    with Bar("sweeping", "runs") as bar:
        done = launch_sweep(overrides, bar.show, command)
    if not done.runs:
        console.print("this shard has no run: the grid has fewer ensembles than shards")
        return True
    finished = done.stored == done.runs
    which = "all runs are" if finished else f"in time, {done.stored} of {done.runs} runs are"
    command = f"sdsim figures {quote(f'store={done.store.path}')}"
    draws = f"; `{command}` draws them" if done.stored else ""
    console.print(f"{which} in {done.store.path}{draws}")
    if not finished:
        console.print("the same command resumes the others")
    return finished


def preview_sweep(command: str, overrides: list[str]) -> None:
    """Print the settings that the runs of a sweep share, and what each run adds."""
    from omegaconf import OmegaConf

    from sdsim.conf.compose import composed
    from sdsim.sweep.grid import split_overrides
    from sdsim.sweep.job import register_jobs
    from sdsim.sweep.plan import make_plan

    register_jobs()
    places, _ = split_overrides(overrides)
    with composed(command, places) as (config, loader):
        plan = make_plan(config, loader, overrides)
        shared = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    console.print(OmegaConf.to_yaml(shared), soft_wrap=True)
    console.print(f"# {len(plan.runs)} runs:", soft_wrap=True)
    for run in plan.runs.values():
        console.print(f"# {' '.join(run.overrides[len(places) :])}", soft_wrap=True)


COMMAND = Command(
    name="train",
    summary="train one model, or a few",
    help=HELP,
    parse=parse_job,
    run=run,
    meanings=MEANINGS,
    sweep=partial(sweep_and_report, "train"),
    preview=partial(preview_sweep, "train"),
    interrupted=KEPT,
    **PRIMARY["train"],
)
