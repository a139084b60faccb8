"""What is stored stays what it is: the table of all runs, the ids of all presets, every figure.

`python -m tests.test_golden` writes `tests/golden.json` anew, for a change that is meant to change
it: a new store, or a new preset. A stored figure that is meant to change is drawn again with
`sdsim figures`.
"""

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest

import figures
from sdsim.bench.report import load_reports
from sdsim.config import run_id
from sdsim.evaluation.report import write_tables
from sdsim.store.table import load
from sdsim.sweep.plan import runs_of

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
GOLDEN = Path(__file__).with_name("golden.json")
ANSWERED = sorted({path.parent.parent.name for path in RESULTS.glob("*/*/answers.jsonl")})
STORES = sorted({path.parent.parent.name for path in RESULTS.glob("*/*/run.json")} - {*ANSWERED})
REPORTS = sorted({path.parent for path in RESULTS.rglob("*.json") if path.name != "run.json"})
PRESETS = sorted(path.stem for path in (ROOT / "sdsim/conf/sweep").glob("*.yaml"))
DRAWN = (".pdf", ".png", ".csv")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def table_digests() -> dict[str, str]:
    """A digest of each column of the table of all stored runs."""
    tables = [load(RESULTS / store).with_columns(store=pl.lit(store)) for store in STORES]
    table = pl.concat(tables, how="diagonal_relaxed")
    return {name: digest(json.dumps(table[name].to_list())) for name in sorted(table.columns)}


def preset_digest(preset: str) -> str:
    """A digest of the ids of a preset's runs, in order."""
    return digest(" ".join(run_id(run) for run in runs_of(preset)))


def golden() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(GOLDEN.read_text())
    return found


def test_every_stored_run_loads_into_the_same_table() -> None:
    recorded, now = golden()["table"], table_digests()
    changed = [name for name, value in recorded.items() if now.get(name) != value]
    assert not changed, f"columns that are gone or hold other values: {changed}"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_stands_for_the_same_runs(preset: str) -> None:
    assert preset_digest(preset) == golden()["presets"][preset]


@pytest.mark.parametrize("store", ANSWERED)
def test_stored_answers_give_the_same_tables_and_figure(store: str, tmp_path: Path) -> None:
    shutil.copytree(RESULTS / store, tmp_path / store)
    write_tables(tmp_path / store)
    figures.draw_text(tmp_path / store, tmp_path / store)
    stored = [path.name for path in (RESULTS / store).iterdir() if path.is_file()]
    assert {"table.csv", "table.md", "changed.csv", "answers.pdf"} <= {*stored}
    for name in stored:
        assert (tmp_path / store / name).read_bytes() == (RESULTS / store / name).read_bytes(), name


@pytest.mark.parametrize("store", STORES)
def test_stored_figures_redraw_byte_for_byte(store: str, tmp_path: Path) -> None:
    drawn = figures.draw_all(load(RESULTS / store), tmp_path)
    reports = {path.stem for path in (RESULTS / store / "figures").glob("*.json")}
    stored = {
        path.name
        for path in (RESULTS / store / "figures").iterdir()
        if path.suffix in DRAWN and path.stem.removesuffix("_time") not in reports
    }
    assert {path.name for path in drawn} == stored
    assert_same(drawn, RESULTS / store / "figures")


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: str(folder.relative_to(RESULTS)))
def test_stored_reports_redraw_byte_for_byte(folder: Path, tmp_path: Path) -> None:
    drawn: list[Path] = []
    for report in load_reports(folder):
        if report.what in ("generation", "sweep"):  # tables alone
            continue
        drawn += figures.draw_bench(report.what, report.title, report.table, tmp_path)
    stored = {path.name for path in folder.glob("*_time.*")}
    assert {path.name for path in drawn} == stored
    assert_same(drawn, folder)


def assert_same(drawn: list[Path], folder: Path) -> None:
    changed = [
        path.name for path in drawn if path.read_bytes() != (folder / path.name).read_bytes()
    ]
    assert not changed, f"drawn otherwise than stored in {folder}: {changed}"


if __name__ == "__main__":
    whole = {
        "table": table_digests(),
        "presets": {preset: preset_digest(preset) for preset in PRESETS},
    }
    GOLDEN.write_text(json.dumps(whole, indent=1) + "\n")
