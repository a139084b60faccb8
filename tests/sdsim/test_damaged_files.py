"""Fuzzing of files that are read back: each is read, or named in one line; nothing else happens.

`tests/sdsim/text/test_damage.py` follows what the errors of a pretraining run advise.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures import draw_bench
from sdsim.bench.report import load_reports
from sdsim.config import RunConfig, run_id
from sdsim.store.curve import CURVE
from sdsim.store.record import RECORD, SCHEMA
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training import checkpoint
from sdsim.training.result import RunResult
from sdsim.training.trainer import SequentialTrainer
from tests.sdsim.damage import FUZZ, Damage, byte_damage, edit, reads_or_names

RESULTS = Path(__file__).parents[2] / "results"


@FUZZ
@given(name=st.sampled_from(["prefill", "model_train", "sweep"]), damage=edit() | byte_damage())
def test_a_report_of_bench(name: str, damage: Damage, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.json"
    file.write_bytes(damage((RESULTS / "bench" / "cpu" / file.name).read_bytes()))
    reads_or_names(lambda: load_reports(tmp_path), file)


@settings(FUZZ, max_examples=8)
@given(damage=edit())
def test_a_report_that_is_read_can_be_drawn(damage: Damage, tmp_path: Path) -> None:
    file = tmp_path / "decode.json"
    file.write_bytes(damage((RESULTS / "bench" / "cpu" / file.name).read_bytes()))
    try:
        (report,) = load_reports(tmp_path)
    except ValueError:
        return
    draw_bench(report.what, report.title, report.table, tmp_path)


@FUZZ
@given(damage=edit() | byte_damage())
def test_a_run_of_the_store(damage: Damage, tmp_path: Path) -> None:
    """The others are read; that one is named in a warning, and left as it is."""
    good, other = sorted((RESULTS / "tiny").glob(f"*/{RECORD}"))[:2]
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    for source in (good, other):
        shutil.copytree(source.parent, tmp_path / "store" / source.parent.name)
    file = tmp_path / "store" / other.parent.name / RECORD
    file.write_bytes(damage(other.read_bytes()))
    before = file.read_bytes()
    table = load(tmp_path / "store")
    assert good.parent.name in table["run_id"].unique()
    assert file.read_bytes() == before


@settings(FUZZ, max_examples=20)
@given(damage=byte_damage())
def test_the_learning_curve_of_a_run(damage: Damage, tmp_path: Path) -> None:
    """What the run measured is read all the same."""
    source = min((RESULTS / "tiny").glob(f"*/{CURVE}"))
    folder = tmp_path / "store" / source.parent.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source.parent, folder)
    (folder / CURVE).write_bytes(damage(source.read_bytes()))
    assert load(tmp_path / "store")["run_id"].unique().to_list() == [folder.name]


def test_every_earlier_schema_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = min((RESULTS / "tiny").glob(f"*/{RECORD}"))
    shutil.copytree(source.parent, tmp_path / "store" / source.parent.name)
    file = tmp_path / "store" / source.parent.name / RECORD
    stored = json.loads(source.read_text())
    for schema in (*range(SCHEMA), SCHEMA + 1, None, "4", 4.5, True, [], {}):
        file.write_text(json.dumps({**stored, "schema": schema}))
        with pytest.raises(ValueError, match=r"schema than 4, which this one reads; choose anoth"):
            Store(tmp_path / "store").check()
        assert load(tmp_path / "store").is_empty()
        assert f"has schema {schema}, this version reads 4" in caplog.text
        caplog.clear()


@FUZZ
@given(damage=byte_damage())
def test_a_checkpoint_of_training(
    damage: Damage, small_run: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is used or the run starts again, and a warning says so."""
    whole = tmp_path / "whole.safetensors"
    if not whole.exists():
        trainer = SequentialTrainer(small_run, "cpu")
        trainer.step()
        checkpoint.save(whole, trainer.snapshot(0, 1.0))
    file = tmp_path / "damaged.safetensors"
    file.write_bytes(damage(whole.read_bytes()))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = checkpoint.load(file, small_run)
    assert (found is None) == ("is damaged, its run starts again" in caplog.text)


def test_a_damaged_run_is_done_again(
    small_run: RunConfig, invented_result: Callable[..., RunResult], tmp_path: Path
) -> None:
    """And is kept beside the new one."""
    store = Store(tmp_path)
    result = invented_result(small_run, [50, 60])
    folder = store.write(small_run, result, device="cpu")
    (folder / RECORD).write_text("{")
    assert run_id(small_run) not in store
    assert store.write(small_run, result, device="cpu") == folder
    assert run_id(small_run) in store
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1
    assert replace(small_run, seed=1) != small_run
