"""Trained models that are stored with their runs."""

from pathlib import Path

import pytest
import torch

import sdsim
from sdsim.config import RunConfig, run_id
from sdsim.store.weights import WEIGHTS
from sdsim.sweep.job import Job, run_job
from sdsim.training.evaluation import evaluate
from sdsim.training.tasks import eval_tasks

CPU = torch.device("cpu")


@pytest.mark.parametrize("members", [(), ((3e-3, 0), (1e-2, 5))])
def test_a_model_that_is_loaded_is_the_one_that_was_tested(
    members: tuple[tuple[float, int], ...], small_run: RunConfig, tmp_path: Path
) -> None:
    job = Job(small_run, store=str(tmp_path), keep="weights", members=members, mode="vmap")
    run_job(job)
    for config in job.runs:
        model = sdsim.load_model(tmp_path, run_id(config))
        assert not model.training
        measured = sdsim.store.record.read_record(tmp_path / run_id(config)).slices
        for task, expected in zip(eval_tasks(config.task), measured, strict=True):
            found = evaluate(model, task, config.test, seed=config.seed, device=CPU)
            assert found.correct == expected.correct
            assert found.loss == pytest.approx(expected.loss, abs=1e-6)


def test_errors_say_what_is_missing(small_run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        sdsim.load_model(tmp_path, "0123456789abcdef")
    run_job(Job(small_run, store=str(tmp_path)))
    with pytest.raises(ValueError, match="keep=weights"):
        sdsim.load_model(tmp_path, run_id(small_run))
    (tmp_path / run_id(small_run) / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is damaged"):
        sdsim.load_model(tmp_path, run_id(small_run))
    with pytest.raises(AttributeError, match="load_modle"):
        _ = sdsim.load_modle
