"""What `import sdsim` offers: tasks, models, training, sweeps and stored runs, a call each.

The settings are those of the command line, and the calls do what its commands do: ``sdsim train
model=gru`` is ``sdsim.train(model="gru")``. Names that hold a dot stand in a dictionary:
``sdsim.train(model="gru", **{"model.width": 24})``, or are written as on the command line:
``sdsim.train("model=gru", "model.width=24")``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdsim.conf.compose import composed
from sdsim.config import EvalConfig, run_id
from sdsim.sweep.job import GROUPS, Job, parse_job, register_jobs, run_job

_GROUPS = {*GROUPS, "sweep"}  # choices of files, which Hydra takes without quotes

if TYPE_CHECKING:
    import polars as pl

    from sdsim.models import Network
    from sdsim.sweep.launch import Outcome, Progress
    from sdsim.training.result import SliceResult
    from synthetic import Task


def task(name: str = "set_disjointness", *sizes: int, **settings: Any) -> Task:
    """A task: where tokens come from.

    Args:
        name: a choice of the command line's ``task=``.
        sizes: of its two sides, the first first: |A| and |B|, or pairs and queries; none: the
            first that the choice trains on.
        settings: the task's others, such as ``vocab_size``, ``passes`` and ``answer``.

    Raises:
        ValueError: for a name, a size or a setting that there is not, or that does not fit.

    >>> import sdsim
    >>> task = sdsim.task("set_disjointness", 2, 3, vocab_size=12)
    >>> batch = task.sample(1, seed=0)
    >>> batch
    Batch(inputs int64 (1, 8), prefix_len=8)
    >>> batch.inputs.tolist()
    [[0, 4, 5, 1, 9, 8, 4, 2]]
    """
    from sdsim.training.tasks import train_tasks

    words = [_word(f"task.{key}", value) for key, value in settings.items()]
    if sizes:
        words.append(_word("task.train_sizes", [sizes]))
    return train_tasks(_job([f"task={name}", *words]).run.task).tasks[0]


def model(name: str, task: Task, *, seed: int = 0, device: str = "cpu", **settings: Any) -> Network:
    """A new model for a task.

    Args:
        name: a choice of the command line's ``model=``, or the import path of a mixer or module of
            your own (docs/extending.md).
        task: gives the vocabulary, and the segments that a budget of the state has.
        seed: of the initial weights; the global random state is neither read nor changed.
        device: of torch.
        settings: of the model, such as ``width``; see `sdsim.models.ModelConfig`.

    Raises:
        ValueError: for a name or a setting that there is not, and for a streaming algorithm.

    >>> import sdsim
    >>> task = sdsim.task("set_disjointness", 4, 12)
    >>> model = sdsim.model("gru", task, width=16, depth=1)
    >>> model
    LanguageModel(gru: 1 layer of gru, width 16, 3,328 parameters)
    >>> logits, state = model.prefill(task.sample(2, seed=0).inputs)
    >>> logits.shape, state
    (torch.Size([2, 19, 36]), ModelState(1 layer, 16 numbers, 512 bits per sequence, batch 2))
    """
    import torch

    from sdsim.training.trainer import build_model

    words = [*model_words(name), *(_word(f"model.{key}", each) for key, each in settings.items())]
    boundaries = len(task.segment_boundaries)
    config = _job(words).run.model
    return build_model(config, task.vocab_size, boundaries, seed, torch.device(device))


def model_words(name: str) -> list[str]:
    """The overrides that choose a model by its name, or mixers of one's own by an import path.

    >>> model_words("my.package.Layer")
    ['model=own', 'model.mixers=["my.package.Layer"]', 'model.name="Layer"']
    """
    if "." not in name:
        return [f"model={name}"]
    own = name.rpartition(".")[2]
    return ["model=own", _word("model.mixers", [name]), _word("model.name", own)]


def train(*overrides: str, **settings: Any) -> pl.DataFrame:
    """Train a model on a task, test it, store the run: what ``sdsim train`` does.

    A run that is stored already is read, not trained again.

    Args:
        overrides: as on the command line, ``"train.steps=2000"``.
        settings: the same as keywords: ``store="runs/mine"``.

    Returns:
        Its rows of `load`: one for each pair of test sizes, and for each of `members`.

    Raises:
        ValueError: for a setting that cannot be; nothing is written then.

    >>> import sdsim, tempfile
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = sdsim.train("model=gru", "train.steps=20", store=store)
    >>> table.select("model", "size_a", "size_b", "state_bits").rows()
    [('gru', 4, 12, 4096), ('gru', 12, 4, 4096)]
    """
    return do(_job(list(overrides), settings))


def do(job: Job, on_step: Callable[[int], None] | None = None) -> pl.DataFrame:
    """Do what the store lacks of a job.

    Args:
        job: the runs, and where.
        on_step: called with the number of training steps done.

    Returns:
        The rows of its runs that are stored: all, unless a deadline came or another process is
        doing some of them.

    Raises:
        ValueError: before anything is written, for runs or a store that cannot be.
    """
    from sdsim.store.store import Store
    from sdsim.training.device import check_device
    from sdsim.training.tasks import check_run

    check_run(job.run)
    check_device(job.device)
    job.tracking.check()
    Store(job.store).check()
    run_job(job, on_step)
    return _rows(job.store, [run_id(run) for run in job.runs])


def evaluate(
    model: Network,
    task: Task,
    *,
    examples: int = 1000,
    bits: tuple[int, ...] = (),
    seed: int = 0,
    device: str = "cpu",
) -> SliceResult:
    """Test a model on a task, as runs are tested.

    Args:
        model: as it is; it is left in evaluation mode.
        task: gives the test examples.
        examples: how many.
        bits: widths to which each number of the carried state is quantized for further tests.
        seed: of the examples.
        device: where the model is.

    Raises:
        ValueError: for `bits` with a model whose state is not measured, or a width out of range.

    >>> import sdsim
    >>> task = sdsim.task("set_disjointness", 4, 12)
    >>> untrained = sdsim.model("gru", task, width=16)
    >>> sdsim.evaluate(untrained, task, examples=100)  # doctest: +ELLIPSIS
    SliceResult(|A| = 4, |B| = 12: accuracy 0.0..., 2,048 bits)
    """
    import torch

    from sdsim.conf.compose import validate
    from sdsim.training.evaluation import evaluate

    test = validate(EvalConfig, {"examples": examples, "bits": bits}, "test.")
    return evaluate(model, task, test, seed=seed, device=torch.device(device))


def sweep(
    *overrides: str,
    on_progress: Progress = lambda done, total, note: None,
    **settings: Any,
) -> pl.DataFrame:
    """Train what the store lacks of a grid: what ``sdsim sweep`` does; ``train -m`` without a grid.

    Args:
        overrides: as on the command line; ``"model.width=8,16"`` is an axis.
        on_progress: called from another thread with the number of stored runs, that of all, and a
            word on those that have begun.
        settings: the same as keywords, a value each; ``sweep="tiny"`` is a preset. Without a
            preset the overrides are the whole grid.

    Returns:
        The rows of `load` of all runs of the grid that are stored: all of them, but after a
        ``sweep.time_budget``.

    Raises:
        ValueError: for a grid or a setting that cannot be; nothing is written then.
        RuntimeError: if a run failed; the others are stored.

    In a script, processes of a sweep import the script again: call it under
    ``if __name__ == "__main__":``, or with ``hydra.launcher.n_jobs=1``.

    >>> import sdsim, tempfile
    >>> with tempfile.TemporaryDirectory() as store:
    ...     table = sdsim.sweep("model=gru", "model.width=8,16", "train.steps=20",
    ...                         "hydra.launcher.n_jobs=1", store=store)
    >>> table.select("width", "size_a", "state_bits").rows()
    [(8, 4, 1024), (8, 12, 1024), (16, 4, 2048), (16, 12, 2048)]
    """
    outcome = launch_sweep(words_of(overrides, settings), on_progress)
    return _rows(outcome.store.path, outcome.identities)


def launch_sweep(words: list[str], on_progress: Progress, command: str | None = None) -> Outcome:
    """`sweep`, given all its words.

    Args:
        words: overrides.
        on_progress: see `sweep`.
        command: ``"sweep"`` or ``"train"``; None: sweep where a preset is named.
    """
    from sdsim.sweep.launch import sweep

    if command is None:
        command = "sweep" if any(word.startswith("sweep=") for word in words) else "train"
    return sweep(command, words, on_progress)


def _rows(store: Path | str, identities: list[str]) -> pl.DataFrame:
    import polars as pl  # training begins without it

    from sdsim.store.table import load

    return load(store).filter(pl.col("run_id").is_in(identities))


def _job(overrides: list[str], settings: dict[str, Any] | None = None) -> Job:
    """The job that overrides and settings describe; errors are one line, as the command line's."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register_jobs()
    try:
        with composed("train", words_of(overrides, settings or {})) as (config, _):
            return parse_job(config)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(" ".join(str(error).split())) from error


def words_of(overrides: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
    """Overrides, and settings as overrides."""
    return [*overrides, *(_word(key, value) for key, value in settings.items())]


def _word(key: str, value: Any) -> str:
    """A setting as an override; texts in quotes, so that they are taken as they are.

    >>> _word("store", Path("runs/a b")), _word("task.train_sizes", [(4, 12)]), _word("mode", None)
    ('store="runs/a b"', 'task.train_sizes=[[4,12]]', 'mode=null')
    >>> _word("model", "gru")
    'model=gru'
    """
    if isinstance(value, Path):
        value = str(value)
    if key in _GROUPS:
        return f"{key}={value}"
    return f"{key}={json.dumps(value, separators=(',', ':'))}"
