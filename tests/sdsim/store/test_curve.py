"""A learning curve comes back as it was stored; a damaged one is named, and its run stays."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdsim.config import RunConfig
from sdsim.store.curve import CURVE, curve_text, read_curve
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training.result import CurvePoint, RunResult

Invent = Callable[..., RunResult]
SIZES = ((2, 4), (4, 2))
POINTS = [CurvePoint(10, 2.5, 0.25, (0.5, None)), CurvePoint(20, None, 0.5, (0.75, 0.25))]


@pytest.mark.parametrize(
    ("curve", "sizes"),
    [(POINTS, SIZES), ([point._replace(by_task=()) for point in POINTS], SIZES[:1]), ([], SIZES)],
)
def test_a_curve_comes_back(
    curve: list[CurvePoint], sizes: tuple[tuple[int, int], ...], tmp_path: Path
) -> None:
    (tmp_path / CURVE).write_text(curve_text(curve, sizes))
    assert read_curve(tmp_path, sizes) == curve


def test_runs_without_a_curve_or_without_one_of_each_task_are_read(tmp_path: Path) -> None:
    assert read_curve(tmp_path, SIZES) == []
    (tmp_path / CURVE).write_text("step,loss,accuracy\n10,2.5,0.25\n")
    assert read_curve(tmp_path, SIZES) == [CurvePoint(10, 2.5, 0.25)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "step,loss\n10,2.5\n",
        "step,loss,accuracy,accuracy_2_4\n10,2.5,0.25,0.25\n",  # of other tasks
        "step,loss,accuracy\n10,2.5\n",
        "step,loss,accuracy\n10,2.5,0.25,0.25\n",
        "step,loss,accuracy\n10,2.5,\n",
        "step,loss,accuracy\n10,2.5,1.5\n",
        "step,loss,accuracy\n10,2.5,nan\n",
        "step,loss,accuracy\n10,inf,0.5\n",
        "step,loss,accuracy\nten,2.5,0.5\n",
        "step,loss,accuracy\n20,2.5,0.5\n10,2.5,0.5\n",
        "step,loss,accuracy\n0,2.5,0.5\n",
        f"step,loss,accuracy\n{10**30},2.5,0.5\n",
        "step,loss,accuracy,accuracy_2_4,accuracy_4_2\n10,2.5,0.5,-0.5,0.5\n",
    ],
)
def test_a_damaged_curve_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / CURVE).write_text(text)
    with pytest.raises(ValueError, match=r"curve\.csv is damaged \(.+\)"):
        read_curve(tmp_path, SIZES)


def test_the_table_has_the_curve_on_each_slice(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    result = replace(invented_result(small_run, [90, 60]), curve=POINTS)
    store.write(small_run, result, device="cpu")
    short, long = load(store.path).sort("size_a")["curve"].to_list()
    assert short == [
        {"step": 10, "loss": 2.5, "accuracy": 0.25, "slice_accuracy": 0.5},
        {"step": 20, "loss": None, "accuracy": 0.5, "slice_accuracy": 0.75},
    ]
    assert [point["slice_accuracy"] for point in long] == [None, 0.25]


def test_what_is_trained_alone_is_its_own_slice(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    """And a slice that was not trained on has no curve of its own."""
    task = replace(small_run.task, train_sizes=SIZES[:1], test_sizes=SIZES)
    run = replace(small_run, task=task)
    curve = [point._replace(by_task=()) for point in POINTS]
    store.write(run, replace(invented_result(run, [90, 60]), curve=curve), device="cpu")
    short, long = load(store.path).sort("size_a")["curve"].to_list()
    assert [point["slice_accuracy"] for point in short] == [0.25, 0.5]
    assert [point["slice_accuracy"] for point in long] == [None, None]


def test_a_run_with_a_damaged_curve_is_read_without_it(
    store: Store, small_run: RunConfig, invented_result: Invent, caplog: pytest.LogCaptureFixture
) -> None:
    result = replace(invented_result(small_run, [90, 60]), curve=POINTS)
    folder = store.write(small_run, result, device="cpu")
    whole = load(store.path)
    (folder / CURVE).write_text("step")
    with caplog.at_level(logging.WARNING, logger="sdsim"):
        table = load(store.path)
    assert table.drop("curve").equals(whole.drop("curve"))
    assert table["curve"].to_list() == [[], []]
    assert f"without its learning curve: {folder / CURVE} is damaged (columns" in caplog.text
