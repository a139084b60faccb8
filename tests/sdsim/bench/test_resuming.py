"""A sweep's report is kept case by case, and resumed: measured by a clock of our own."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from kernels.bench import Roofline
from sdsim.bench import sweep
from sdsim.bench.config import BenchConfig
from sdsim.bench.report import Report, load_reports, measure, notes, resumable
from sdsim.conf.compose import validate
from sdsim.config import ModelConfig, RunConfig, TaskConfig, TrainConfig
from tests.conftest import Run

WIDTHS, SIZES = (4, 8, 16), (1, 2, 4)
CASES = [(width, size) for width in WIDTHS for size in SIZES]
SPEED_19 = Path(__file__).parents[3] / "results" / "bench" / "speed_19"


def runs_of_widths(widths: Sequence[int]) -> list[RunConfig]:
    return [
        RunConfig(
            ModelConfig("gru", ("gru",), width=width, depth=1, mlp="none"),
            TaskConfig(vocab_size=12, train_sizes=((2, 4),)),
            TrainConfig(steps=100, batch_size=4),
        )
        for width in widths
    ]


@dataclass
class Machine:
    """Trains in no time, by a clock of its own; Ctrl-C comes before a case, if at all.

    Attributes:
        measured: the cases, as they came.
        rooflines: how often the roofline was measured.
        seconds: the time.
    """

    measured: list[tuple[int, int]] = field(default_factory=list)
    rooflines: int = 0
    interrupted_before: tuple[int, int] | None = None
    seconds: float = 0.0

    def throughput(self, mode: str, configs: Sequence[RunConfig], *_: object, **__: object) -> int:
        model = configs[0].model
        assert isinstance(model, ModelConfig)
        if mode == "vmap":
            self.seconds += 10 * len(configs)
            return 7200 // model.width
        self.seconds += 1
        return 3600 // model.width

    def roofline(self, *_: object) -> Roofline:
        self.rooflines += 1
        return Roofline(1e9, self.rooflines * 1e9)

    def members(self, runs: Sequence[RunConfig], size: int) -> list[RunConfig]:
        model = runs[0].model
        assert isinstance(model, ModelConfig)
        if (model.width, size) == self.interrupted_before:
            raise KeyboardInterrupt
        self.measured.append((model.width, size))
        return [replace(runs[0], seed=seed) for seed in range(size)]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr("sdsim.training.modes.why_not", lambda: "not here")
    monkeypatch.setattr(sweep, "throughput", machine.throughput)
    monkeypatch.setattr(sweep, "measure_roofline", machine.roofline)
    monkeypatch.setattr(sweep, "operations", lambda config: 1e6)
    monkeypatch.setattr(sweep, "_members", machine.members)
    monkeypatch.setattr(sweep, "runs_of", lambda preset, searchpath: runs_of_widths(WIDTHS))
    monkeypatch.setattr("time.monotonic", lambda: machine.seconds)
    for module in ("measured", "sweep"):
        monkeypatch.setattr(f"sdsim.bench.{module}.device_name", lambda device: f"my {device}")
    return machine


@pytest.fixture
def config(tmp_path: Path) -> BenchConfig:
    return BenchConfig(
        what=("sweep",),
        preset="mine",
        members=SIZES,
        all_members=True,
        repeats=1,
        max_seconds=30,
        threads=1,
        out=str(tmp_path / "kept"),
    )


def broken_off(config: BenchConfig, machine: Machine, before: tuple[int, int]) -> Report:
    """The stored report of a command that was interrupted then."""
    machine.interrupted_before = before
    with pytest.raises(KeyboardInterrupt):
        measure(config, "sweep")
    machine.interrupted_before = None
    machine.measured.clear()
    (report,) = load_reports(Path(str(config.out)))
    return report


def test_every_case_is_kept_when_it_is_measured(config: BenchConfig, machine: Machine) -> None:
    folder = Path(str(config.out))
    seen = []

    def show(done: int, total: int) -> None:
        (kept,) = load_reports(folder)
        seen.append((done, total, kept.is_complete))
        cases = kept.table.select("width", "members").unique(maintain_order=True).rows()
        assert cases == CASES[:done]
        assert (folder / "sweep.csv").read_text() == kept.table.write_csv()

    report = measure(config, "sweep", show)
    assert seen == [(done, 9, done == 9) for done in range(1, 10)]
    assert report.is_complete
    assert "incomplete" not in json.loads((folder / "sweep.json").read_text())


@pytest.mark.parametrize("before", CASES[1:])
def test_a_resumed_report_is_that_of_an_unbroken_one(
    before: tuple[int, int], config: BenchConfig, machine: Machine
) -> None:
    """Wherever it breaks off; vmap, which takes 20 s for two, is not tried for four."""
    unbroken = measure(replace(config, out=None), "sweep")
    assert unbroken.table.filter(way="vmap")["reason"].to_list() == [None, "takes too long"] * 3
    machine.rooflines = 0

    report = broken_off(config, machine, before)
    done = CASES.index(before)
    assert report.title == f"{unbroken.title}; incomplete: {done} of 9 cases"
    assert not report.is_complete
    assert f"incomplete: {done} of 9 cases; the same command measures the rest" in notes(report)
    assert not any("parts" in line for line in notes(report))

    resumed = measure(config, "sweep")
    assert machine.measured == CASES[done - done % 3 :], "all but whole ensembles"
    assert resumed.table.equals(unbroken.table, null_equal=True)
    assert resumed.title == unbroken.title
    same = ("projection", "ceilings")
    assert all(resumed.conditions[name] == unbroken.conditions[name] for name in same)
    assert machine.rooflines == 1, "all is held against one"
    assert notes(resumed)[-1].startswith("measured in 2 parts, at commit ")
    assert [set(part) for part in resumed.conditions["parts"]] == [{"commit", "versions"}] * 2


def test_a_complete_report_is_not_measured_again(config: BenchConfig, machine: Machine) -> None:
    report = measure(config, "sweep")
    machine.measured.clear()
    again = measure(config, "sweep")
    assert machine.measured == []
    assert again.table.equals(report.table, null_equal=True)
    assert again.conditions["parts"] == report.conditions["parts"]


def test_a_report_of_an_earlier_version_is_complete(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored = json.loads((SPEED_19 / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_bytes((SPEED_19 / "sweep.json").read_bytes())
    monkeypatch.setattr(sweep, "device_name", lambda device: stored["device"])
    config = replace(validate(BenchConfig, stored["config"]), out=str(tmp_path))
    assert measure(config, "sweep").table.equals(load_reports(SPEED_19)[0].table, null_equal=True)
    assert machine.measured == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"preset": "other"}, "preset = mine, now other"),
        ({"settings": 2}, "settings = None, now 2"),
        ({"members": (1, 2)}, r"members = \[1, 2, 4\], now \[1, 2\]"),
        ({"all_members": False}, "all_members = True, now False"),
        ({"repeats": 2, "threads": 2}, "threads = 1, now 2; repeats = 1, now 2"),
        ({"max_seconds": 31.0}, "max_seconds = 30.0, now 31.0"),
        ({"compile_seconds": 1.0}, "compile_seconds = 120, now 1.0"),
        ({"device": "meta"}, "device = my cpu, now my meta"),
        ({"workers": 2}, "workers = 1, now 2"),
    ],
    ids=lambda change: "-".join(change) if isinstance(change, dict) else "",
)
def test_a_report_of_other_settings_is_left_alone(
    change: dict[str, object],
    said: str,
    config: BenchConfig,
    machine: Machine,
) -> None:
    broken_off(config, machine, CASES[4])
    path = Path(str(config.out), "sweep.json")
    before = path.read_bytes()
    assert resumable(config, "sweep") is not None
    with pytest.raises(ValueError, match=rf"sweep.json was measured otherwise \({said}\); choose"):
        resumable(replace(config, **change), "sweep")
    assert path.read_bytes() == before


def test_settings_of_other_benchmarks_do_not_matter(config: BenchConfig, machine: Machine) -> None:
    broken_off(config, machine, CASES[3])
    measure(replace(config, heads=2, lengths=(64,), what=("generation", "sweep")), "sweep")
    assert machine.measured == CASES[3:]


def test_another_machine_does_not_resume(
    config: BenchConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(config, machine, CASES[3])
    monkeypatch.setattr(sweep, "device_name", lambda device: "another")
    with pytest.raises(ValueError, match="device = my cpu, now another"):
        measure(config, "sweep")


def test_a_sweep_that_has_changed_is_not_resumed(
    config: BenchConfig, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off(config, machine, CASES[4])
    monkeypatch.setattr(sweep, "runs_of", lambda preset, searchpath: runs_of_widths((8, 16)))
    with pytest.raises(ValueError, match="of runs that the sweep no longer has; choose another"):
        measure(config, "sweep")
    monkeypatch.setattr(sweep, "runs_of", lambda preset, searchpath: runs_of_widths((2, *WIDTHS)))
    report = measure(config, "sweep")
    assert machine.measured == [(2, 1), (2, 2), (2, 4), *CASES[3:]]
    assert report.is_complete


@pytest.mark.parametrize("name", ["ensemble", "members", "way"])
def test_a_damaged_report_is_not_resumed(name: str, config: BenchConfig, machine: Machine) -> None:
    broken_off(config, machine, CASES[4])
    path = Path(str(config.out), "sweep.json")
    stored = json.loads(path.read_text())
    del stored["rows"][0][name]
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=f"out: .* cannot be resumed: rows.0.{name} .*delete it"):
        measure(config, "sweep")
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"sweep.json is not a report .* again with out="):
        measure(config, "sweep")


def test_the_command_says_what_is_kept_and_resumes(
    run: Run, machine: Machine, tmp_path: Path
) -> None:
    words = ["bench", "sweep", "preset=mine", "members=[1,2,4]", "all_members=true", "repeats=1"]
    words += ["max_seconds=30", "threads=1", "out=kept"]
    machine.interrupted_before = CASES[0]
    code, out, err = run(*words)
    assert (code, out, err) == (130, "", "interrupted\n")

    machine.interrupted_before = CASES[4]
    code, out, err = run(*words)
    rest = "kept/sweep.json has 4 of 9 cases; the same command measures the rest"
    assert (code, out, err) == (130, "", f"interrupted: {rest}\n")
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "sweep.csv",
        "sweep.json",
    ]

    machine.interrupted_before = None
    machine.measured.clear()
    code, out, err = run(*words)
    assert code == 0, err
    assert out.startswith("kept/sweep.json has 4 of 9 cases; measuring the rest\n")
    assert "incomplete" not in out
    assert "measured in 2 parts" in out
    assert machine.measured == CASES[3:]

    kept = (tmp_path / "kept" / "sweep.json").read_bytes()
    machine.measured.clear()
    code, out, err = run(*words)
    assert code == 0, err
    assert out.endswith("kept/sweep.json has all cases; to measure again, delete it\n")
    assert "measured in 2 parts" in out
    assert machine.measured == []
    assert (tmp_path / "kept" / "sweep.json").read_bytes() == kept

    code, out, err = run("bench", "generation", *words[1:], "repeats=3")
    assert (code, out) == (2, ""), "before anything else is measured"
    assert "out = kept: kept/sweep.json was measured otherwise (repeats = 1, now 3)" in err
