"""Reports: dispatched, checked first, kept, read again, printed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import figures
from kernels.bench import METHODS
from sdsim.bench import attention, generation
from sdsim.bench.config import BenchConfig, What
from sdsim.bench.report import Report, display_table, load_reports, measure, notes

STORED = Path(__file__).parents[3] / "results" / "bench" / "cpu"


def test_a_case_is_a_batch_and_a_length_shorter_first() -> None:
    config = BenchConfig(lengths=(64, 32, 64), batches=(2, 1))
    assert config.cases == [(1, 32), (2, 32), (1, 64), (2, 64)]


@pytest.mark.parametrize("what", ["generation", "prefill", "sweep", "model_prefill"])
def test_an_unknown_method_is_named_before_anything_is_measured(
    what: What, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        pytest.fail("something is measured")

    for module in ("attention", "generation", "models", "sweep"):
        monkeypatch.setattr(f"sdsim.bench.{module}.measure", refuse)
    config = BenchConfig(methods=("jrt-rnn", "flash"))
    with pytest.raises(ValueError, match="methods: 'flash' is not one of 'jrt-rnn', ") as error:
        measure(config, what)
    assert all(repr(name) in str(error.value) for name in METHODS)


def test_a_config_is_made_without_torch() -> None:
    code = (
        "import sys; from sdsim.bench.config import BenchConfig; import sdsim.bench.report;"
        "BenchConfig(methods=('flash',)); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_attention_is_measured_kept_and_read_again(tmp_path: Path) -> None:
    config = BenchConfig(
        lengths=(32, 64), heads=1, repeats=2, threads=1, methods=("jrt-rnn", "based")
    )
    seen: list[tuple[int, int]] = []
    report = measure(config, "prefill", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    expected = [(n, name) for n in (32, 64) for name in ("jrt-rnn", "based")]
    assert report.table.select("length", "method").rows() == expected
    displayed = display_table(report)
    fraction = report.table["limit"] / report.table["seconds"]
    assert displayed["fraction_of_roofline"].to_list() == pytest.approx(
        [fraction[0], None, fraction[2], None]
    )
    assert displayed["milliseconds"].to_list() == pytest.approx(
        (report.table["seconds"] * 1e3).to_list()
    )
    assert "roofline measured on this device" in notes(report)[1]
    json_path, csv_path = report.save(tmp_path)
    assert csv_path.read_text() == report.table.write_csv()
    assert json.loads(json_path.read_text())["ceilings"] == report.conditions["ceilings"]
    (again,) = load_reports(tmp_path)
    assert again.table.equals(report.table, null_equal=True)
    assert (again.what, again.title) == (report.what, report.title)
    assert notes(again) == notes(report)


def test_a_value_that_is_no_value_is_named(tmp_path: Path) -> None:
    stored = json.loads((STORED / "train.json").read_text())
    for value in ({}, [1], {"x": None}):
        stored["rows"][0]["peak_bytes"] = value
        (tmp_path / "train.json").write_text(json.dumps(stored))
        with pytest.raises(ValueError, match=r"train.json is not a report .* again with out="):
            load_reports(tmp_path)


@pytest.mark.parametrize("report", load_reports(STORED), ids=lambda report: report.what)
def test_reports_of_earlier_versions_are_printed(report: Report) -> None:
    assert len(display_table(report)) > 0
    assert notes(report)


def test_generation_takes_turns_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([3.0, 1.0, 5.0, 2.0, 4.0, 9.0])

    def invented(call: object, device: object) -> float:
        return next(taken)

    monkeypatch.setattr(generation, "seconds_taken", invented)
    (row,) = generation.time_generation([(4, 16)], examples=1000, repeats=3)
    assert (row.size_a, row.size_b) == (4, 16)
    assert row.loop_us == pytest.approx(4000)  # the median of 3, 5 and 4 s
    assert row.sample_us == pytest.approx(2000)  # of 1, 2 and 9 s
    assert row.speedup == pytest.approx(2)


def test_generation_as_a_report() -> None:
    seen: list[tuple[int, int]] = []
    report = measure(
        BenchConfig(repeats=1), "generation", lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert display_table(report).equals(report.table)
    assert notes(report) == []
    assert (report.table["speedup"] > 1).all()
    assert not report.is_drawn


def test_all_methods_is_no_name() -> None:
    attention.check_methods(BenchConfig())
    attention.check_methods(BenchConfig(methods=tuple(METHODS)))


@pytest.mark.parametrize("what", ["prefill", "model_prefill", "model_train", "sweep"])
def test_a_report_in_which_nothing_was_run(what: What, tmp_path: Path) -> None:
    """It is printed, kept, read again, and not drawn."""
    config = BenchConfig(
        lengths=(32, 64), heads=1, repeats=1, threads=1, max_seconds=1e-9, members=(1,), settings=1
    )
    report = measure(config, what)
    (reason,) = report.table["reason"].drop_nulls().unique().to_list() if what != "prefill" else [0]
    assert reason in (0, "more than 1e-09 s", "takes too long")
    display_table(report)
    assert any(line.startswith("not ") for line in notes(report))
    report.save(tmp_path)
    (again,) = load_reports(tmp_path)
    assert again.table["reason"].to_list() == report.table["reason"].to_list()
    if report.is_drawn:
        assert figures.draw_bench(again.what, again.title, again.table, tmp_path) == []
