"""`sdsim probe`: files beside the runs, once each, and errors in one line."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdsim.commands.probe import Config, run
from sdsim.config import RunConfig, TaskConfig, run_id
from sdsim.models import LanguageModel
from sdsim.store.held import CODE, HELD, CodeNumber, Held, read_rows, write_rows
from sdsim.store.table import load
from sdsim.sweep.job import Job, run_job
from sdsim.training.probe import held_bits_over_time, reader_within
from sdsim.training.tasks import eval_tasks
from sdsim.training.trainer import build


@pytest.fixture
def budgeted(small_run: RunConfig) -> RunConfig:
    model = replace(small_run.model, state_bits_per_number=1, state_numbers=(3,))
    return replace(small_run, model=model)


def test_each_run_is_probed_once(budgeted: RunConfig, tmp_path: Path) -> None:
    run_job(Job(budgeted, store=str(tmp_path), keep="weights"))
    run(Config(str(tmp_path), examples=60))
    file = tmp_path / run_id(budgeted) / HELD
    rows = read_rows(file.parent, Held)
    assert [(row.size_a, row.size_b, row.position) for row in rows] == [(2, 4, 4), (4, 2, 6)]
    for row in rows:
        assert 0 <= row.low <= row.bits <= row.high <= row.total_bits
        assert row.bits <= 3
    written = file.stat().st_mtime_ns
    run(Config(str(tmp_path), examples=60))
    assert file.stat().st_mtime_ns == written
    numbers = read_rows(file.parent, CodeNumber)
    assert [(row.size_a, row.number) for row in numbers] == [
        (size_a, number) for size_a in (2, 4) for number in range(3)
    ]
    assert all(0 <= row.share <= 1 and 0 <= row.element < 8 for row in numbers)
    table = load(tmp_path)
    assert [len(code) for code in table["code"]] == [3, 3]
    assert [[row["position"] for row in held] for held in table["held"]] == [[4], [6]]
    run(Config(str(tmp_path), examples=50, positions="all"))
    assert file.stat().st_mtime_ns > written
    assert len(read_rows(file.parent, Held)) == 2 * 9
    run(Config(str(tmp_path), examples=60))  # what was measured elsewhere stays
    assert len(read_rows(file.parent, Held)) == 2 * 9


def test_at_a_boundary_the_codes_alone_are_carried(budgeted: RunConfig) -> None:
    model, task = build(budgeted, torch.device("cpu")).eval(), eval_tasks(budgeted.task)[0]
    reader = reader_within(model, task)
    tokens = task.sample(5, seed=0).inputs
    _, within = reader.prefill(tokens[:, :3])
    assert within.numel == 8
    _, crossing = reader.prefill(tokens[:, :4])
    assert crossing.numel == 3
    assert set(crossing.tensors()[0].flatten().tolist()) <= {0, 1}
    with torch.no_grad():
        expected, state = model.prefill(tokens, boundaries=task.segment_boundaries)
        y, after = reader.prefill(tokens)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(after.tensors(), state.tensors())


def test_a_state_that_remembers_nothing_holds_nothing(budgeted: RunConfig) -> None:
    torch.manual_seed(0)
    forgets = replace(budgeted.model, state_numbers=(0,))
    model = LanguageModel(forgets, budgeted.task.vocab_size).eval()
    task = eval_tasks(budgeted.task)[1]
    places = held_bits_over_time(reader_within(model, task), task, [5, 6], examples=300)
    (_, before), (_, crossing) = places
    assert before.bits > 1
    assert crossing.low == 0
    assert crossing.bits < 0.1


def test_errors_are_one_line(
    budgeted: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        run(Config(str(tmp_path / "none")))
    run_job(Job(budgeted, store=str(tmp_path)))
    with pytest.raises(ValueError, match="keep=weights"):
        run(Config(str(tmp_path)))
    recall = TaskConfig("associative_recall", "synthetic.AssociativeRecall", 20, ((2, 1),))
    other = replace(budgeted, task=recall)
    run_job(Job(other, store=str(tmp_path), keep="weights"))
    with pytest.raises(ValueError, match="not on set disjointness"):
        run(Config(str(tmp_path), (run_id(other),), examples=60))
    run(Config(str(tmp_path), examples=60))
    assert "skipped" in caplog.text
    folder = tmp_path / run_id(other)
    (folder / HELD).write_text("position\n")
    with pytest.raises(ValueError, match="is damaged"):
        read_rows(folder, Held)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    numbers = [CodeNumber(2, 4, 0, 7, 0.25, 60)]
    write_rows(tmp_path, CodeNumber, numbers)
    assert read_rows(tmp_path, CodeNumber) == numbers
    (tmp_path / CODE).write_text("size_a,size_b,number,element,share,examples\n1,2,3\n")
    with pytest.raises(ValueError, match="is damaged"):
        read_rows(tmp_path, CodeNumber)
    rows = [Held(2, 4, 4, 1.25, 0.5, 2.0, 6.5, 60), Held(4, 2, 6, 0.0, 0.0, 0.25, 8.0, 60)]
    write_rows(tmp_path, Held, rows)
    assert read_rows(tmp_path, Held) == rows
