"""A user's names, paths and texts pass unharmed through terminal, tables, figures and files."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
import yaml

import figures
from figures.palette import model_label
from figures.style import printable
from sdsim.commands.console import as_table, console
from sdsim.config import EvalConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.models import ModelConfig
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training.result import RunResult, SliceResult
from sdsim.training.tasks import eval_tasks
from tests.conftest import Run

NAMES = {
    "gru [no mlp]": None,
    "x[/a]": None,
    "$x_1$ ^ \\alpha": None,
    "_mine": "\N{HAIR SPACE}_mine",
    'it\'s "q", <b>&': None,
    "%s {x} :smile:": None,
    "../up": None,
    "two\nlines\ttab": "two\\nlines\\ttab",
    "\x1b[31mred\x00": "\\x1b[31mred\\x00",
    "\u202eabc": "\\u202eabc",
    "a \u05e9\u05dc\u05d5 \u05de b": "a \u05de \u05d5\u05dc\u05e9 b",  # as it is read
    "\u0645\u0627": "\\u0645\\u0627",  # its letters would stand apart
    "\u65e5\u672c": "\\u65e5\\u672c",  # no glyphs
}
"""Each as a figure writes it; None: as it is."""


def write_runs(store: Store) -> None:
    for place, name in enumerate(NAMES):
        config = RunConfig(
            ModelConfig(name, ("gru",), width=8, depth=1, mlp="none"),
            TaskConfig(vocab_size=20, train_sizes=((2, 4), (4, 2))),
            TrainConfig(steps=5),
            EvalConfig(examples=100),
        )
        slices = [
            SliceResult.of(
                task,
                examples=100,
                answers=1,
                correct=40 + place,
                loss=0.5,
                state_numel=8,
                state_bits=256,
                quantized=[],
            )
            for task in eval_tasks(config.task)
        ]
        result = RunResult(
            slices,
            params=10,
            train_loss=0.4,
            steps_done=5,
            ensemble=1,
            seconds=1.0,
            bidirectional_prefix=False,
        )
        store.write(config, result, device="cpu")


def test_names_of_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Matplotlib's warnings of missing glyphs are errors here."""
    store = Store(tmp_path / "runs [mine] $1$ \u65e5\u672c" / "two\nlines")
    write_runs(store)
    table = load(store.path)
    assert set(table["model"]) == set(NAMES)
    console.print(as_table(figures.summary_table(table), "[title]"))
    out = capsys.readouterr().out
    assert "[title]" in out
    assert "\x1b" not in out
    for name, written in NAMES.items():
        escaped = (written is not None and "\\x" in written) or "\n" in name or "\u202e" in name
        assert (written if escaped else name) in out
    drawn = figures.draw_all(table, store.path / "figures")
    assert all(path.is_file() for path in drawn)
    stored = pl.read_csv((store.path / "figures" / "order.csv").read_bytes())
    assert set(NAMES) <= set(stored["model"])


@pytest.mark.parametrize(("name", "written"), NAMES.items())
def test_names_in_figures(name: str, written: str | None) -> None:
    assert printable(name) == model_label(name) == (name if written is None else written)


FOLDERS = [*NAMES, os.fsdecode(b"\xff.d"), " ", "a,b", "a=b", "~", "#x", "null ", "true", "3"]


@pytest.mark.parametrize("name", ["~", os.fsdecode(b"\xff.d"), "*[a] $x$,\n"], ids=repr)
def test_what_is_drawn_is_where_it_was_asked_for(name: str, run: Run) -> None:
    code, out, err = run("theory", "figures", f"out={name}")
    assert (code, err) == (0, "")
    assert len(list(Path(name).glob("*.png"))) > 1
    assert out.count("\n") == len(list(Path(name).iterdir()))


def test_a_folder_that_is_not_there_is_named_as_it_was_typed(run: Run) -> None:
    for name in FOLDERS:
        code, out, err = run("figures", f"store={name}")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "there is no such folder" in err
        assert "\x1b" not in err
        assert name.strip() in err or "\\" in err or "\n" in name
        if "\x00" not in name:
            Path(name).mkdir(parents=True, exist_ok=True)
            assert "it holds no finished run" in run("figures", f"store={name}")[2]


def test_a_text_stays_what_it_is(run: Run) -> None:
    """Numbers, truth values and lists are texts where a text is asked for."""
    for text in ("3", "true", "1e3", "[a]", "{x}", "a: b", "it's", "\\", "a=b"):
        code, out, err = run("train", f"task.name={text}", "--cfg", "job")
        assert (code, err) == (0, "")
        assert yaml.safe_load(out)["task"]["name"] == text
    code, out, _ = run("train", "store=${task.name}/x", "--cfg", "job")
    assert (code, yaml.safe_load(out)["store"]) == (0, "${task.name}/x")
