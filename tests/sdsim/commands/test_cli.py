"""The command as a user meets it: what it says, how it exits, what it leaves behind."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sdsim import cli
from sdsim.store.table import load
from theory.claims.claim import Claim, Evidence, require
from theory.claims.verify import verify

Run = Callable[..., tuple[int, str, str]]

SMALL = [
    *("task.vocab_size=12", "task.train_sizes=[[2,4],[4,2]]", "model.width=8", "model.depth=1"),
    *("train.steps=3", "train.batch_size=8", "test.examples=50"),
]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweeep"], "sweeep is no command; did you mean sweep?"),
        (["train", "model.widht=3"], "model.widht is no setting"),
        (["train", "model.widht=3"], "did you mean model.width?"),
        (["train", "+model.foo=3"], "model.foo = 3"),
        (["train", "model=transformer"], "Could not find 'model/transformer'"),
        (["train", "nonsense"], "Error parsing override 'nonsense'"),
        (["train", "model.width=-3"], "model.width = -3: must be at least 1"),
        (["train", "model.width=wide"], "model.width = 'wide': input should be a valid integer"),
        (["train", "model.heads=3"], "model.heads = 3 does not divide model.width = 32"),
        (["train", "model.mixers=[mamba]"], "model.mixers names mamba"),
        (["train", "task.train_sizes=[[0,4]]"], "size_a = 0"),
        (["train", "task.train_sizes=[[40,4]]"], "40 + 4 does not fit: vocab_size = 36 leaves 32"),
        (["train", "task.train_sizes=[[4]]"], "task.train_sizes.0.1"),
        (["train", "model=attention", "model.heads=3"], "model.heads = 3 does not divide"),
        (["train", "task=recall"], "Could not find 'task/recall'"),
        (["train", "task.name=3"], "task.name = 3: input should be a valid string"),
        (["train", "task.kind=synthetic.Recall"], "task.kind = 'synthetic.Recall'"),
        (["train", "task.answr=token"], "did you mean task.answer?"),
        (["train", "task.answer=maybe"], "task: answer = 'maybe': one of token, decision, all"),
        (["train", "task.options=3"], "task.options = 3: input should be a valid dictionary"),
        (["train", "task.weights=[1]"], "task: weights = (1.0,): 2 are needed"),
        (["train", "test.bits=[0,3]"], "test.bits = [0, 3]: widths must lie between 1 and 16"),
        (["train", "test.examples=0"], "test.examples = 0: must be at least 1"),
        (["train", "train.test_examples=9"], "train.test_examples is no setting"),
        (["train", "model=one_pass", "model.machine=two_pass"], "model.machine = 'two_pass'"),
        (["train", "model=just_read_twice"], "task.passes = 1: exactly 2 for machine"),
        (["train", "model=one_pass", "task=associative_recall"], "machines do set disjointness"),
        (["train", "seed=99999999999999999999"], "seed = 99999999999999999999: must lie in"),
        (["train", "seed=-1"], "seed = -1: must lie in"),
        (["train", "+new=1"], "new = 1: unexpected"),
        (["train", "~seed"], "~seed: settings are given as key=value"),
        (["train", "store=null"], "store = None: input should be a valid string"),
        (["train", "device=null"], "device = None: input should be a valid string"),
        (["train", "device=meta"], "device = 'meta' cannot be used"),
        (["train", "threads=1.5"], "threads = 1.5"),
        (["train", "--config-dir=elsewhere"], "--config-dir=elsewhere: settings are given as"),
        (["sweep", "model.mixers=[mamba]"], "model.mixers names mamba"),
        (["sweep", "seed=99999999999999999999"], "seed = 99999999999999999999: must lie in"),
        (["sweep", "model=gru,lstm"], "model=lstm: no block"),
        (["sweep", "+new=1"], "new = 1: unexpected"),
        (["sweep", "~seed"], "~seed"),
        (["sweep", "sweep.grid=3"], "grid = 3"),
        (["sweep", "store=null"], "store = None"),
        (["sweep", "device=null"], "device = None"),
        (["sweep", "hydra.launcher.n_jobs=x"], "Value 'x' of type 'str'"),
        (["figures", "store=null"], "store = None"),
        (["upgrade", "store=null"], "store = None"),
        (["upgrade", "store=nowhere"], "store = nowhere: there is no such folder"),
        (["upgrad"], "did you mean upgrade?"),
        (["figures", "-m"], "-m: settings are given as key=value"),
        (["theory"], "theory is no command"),
        (["theory", "verfy"], "did you mean theory verify?"),
        (["theory", "bounds", "size_a=2000", "size_b=200"], "size_a"),
        (["theory", "bounds", "error=0.7"], "error = 7/10"),
        (["theory", "bounds", "size=3"], "size is no setting"),
        (["bench", "what=generation"], "what = 'generation'"),
        (["bench", "threads=0"], "threads = 0"),
        (["bench", "lengths=[]"], "lengths = []: one or more numbers from 2"),
        (["bench", "lengths=[64,1]"], "lengths = [64, 1]: one or more numbers from 2"),
        (["bench", "what=[]"], "what = []: name at least one"),
        (["bench", "members=[]"], "members = []: one or more numbers from 1"),
        (["bench", "workers=0"], "workers = 0: must be at least 1"),
        (["bench", "settings=0"], "settings = 0: must be at least 1"),
        (["bench", "what=[sweep]", "preset=nosuch"], "preset = 'nosuch': there is no such sweep"),
        (["train", "tracking=dashboard"], "dashboard"),
        (["train", "tracking.kind=mlflow"], "tracking.kind = 'mlflow'"),
        (
            ["train", "tracking=wandb"],
            "tracking = wandb: needs the extra of that name: pip install",
        ),
        (["sweep", "tracking=tensorboard"], "tracking = tensorboard: needs the extra"),
        (["bench", "methods=[]"], "methods = []: name at least one"),
        (["bench", "batches=[0]"], "batches = [0]: one or more numbers from 1"),
        (["bench", "patience=0"], "patience = 0.0: must be above 0"),
        (["bench", "methods=[flash]"], "methods: 'flash' is not one of 'jrt-rnn'"),
        (["bench", "dtype=float64"], "dtype = 'float64'"),
        (["bench", "device=abacus"], "abacus"),
        (["figures", "bench=nowhere"], "bench = 'nowhere': no reports of `sdsim bench` there"),
        (["train", "train.lr=0"], "train.lr = 0"),
        (["train", "train.lr=nan"], "train.lr = nan"),
        (["train", "seed=1.5"], "seed = 1.5"),
        (["train", "device=warp"], "device = 'warp' cannot be used"),
        (["train", "threads=0"], "threads = 0"),
        (["train", "store=file/store"], "store = file/store: cannot write in"),
        (["train", "-m", "model.width=8,9"], "model.heads = 2 does not divide model.width = 9"),
        (
            ["sweep", "model=lstm"],
            "model=lstm: no block of the grid has that; it has based",
        ),
        (["sweep", "sweep=huge"], "Could not find 'sweep/huge'"),
        (["sweep", "model.heads=5"], "model.heads = 5 does not divide"),
        (["sweep", "task.vocab_size=12"], "2 + 14 does not fit: vocab_size = 12 leaves 8"),
        (["sweep", "store=file"], "store = file: cannot write in"),
        (["sweep", "threads=0"], "threads = 0"),
        (["figures", "store=nowhere"], "store = nowhere: there is no such folder"),
        (["figures", "store=."], "holds no finished run"),
        (["bench", "what=[everything]"], "what.0 = 'everything'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run, tmp_path: Path, words: list[str], expected: str
) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run(*words)
    lines = [line for line in err.splitlines() if "skipped:" not in line]
    assert code == 2
    assert out == ""
    assert len(lines) == 1
    assert expected in lines[0]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_help_teaches(run: Run, tmp_path: Path) -> None:
    for words in ([], ["--help"]):
        code, out, _ = run(*words)
        assert code == 0
        assert all(f"sdsim {name}" in out for name in cli.COMMANDS)
    for name in cli.COMMANDS:
        code, out, _ = run(*name.split(), "--help")
        assert code == 0
        assert f"sdsim {name}" in out
        assert "Settings and their defaults" in out
    assert list(tmp_path.iterdir()) == []


def test_cfg_shows_settings_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("sweep", "store=elsewhere", "--cfg", "job")
    assert code == 0
    assert "store: elsewhere" in out
    assert "name: tiny" in out
    assert list(tmp_path.iterdir()) == []


def test_train_stores_and_shows_a_run_once(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "model=gru", *SMALL)
    assert code == 0, err
    assert "short_first" in out
    table = load(tmp_path / "runs")
    assert table["model"].to_list() == ["gru", "gru"]
    assert f"{table['accuracy'][0]:.3f}" in out
    code, out, _ = run("train", "model=gru", *SMALL)
    assert code == 0
    assert "are there already" in out
    assert load(tmp_path / "runs").equals(table)


def test_a_machine_is_a_model_that_trains_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "model=fingerprint", "model.budget=20", "test.examples=50")
    assert code == 0, err
    assert "steps" not in err
    table = load(tmp_path / "runs")
    assert table["machine"].to_list() == ["fingerprint"] * 2
    assert max(table["state_bits"]) <= 20
    assert f"{table['accuracy'][0]:.3f}" in out


def test_options_of_a_task_stand_beside_its_settings(run: Run, tmp_path: Path) -> None:
    task = ["task=general_associative_recall", "task.train_sizes=[[3,2]]", "task.null_share=0.25"]
    code, _, err = run("train", "model=gru", *SMALL[2:], *task, "test.bits=[2,8]")
    assert code == 0, err
    (row,) = load(tmp_path / "runs").iter_rows(named=True)
    assert json.loads(row["options"]) == {"order": "context_first", "null_share": 0.25}
    assert (row["answers"], row["chance"], row["order"]) == (2, 0.25, "context_first")
    assert [less["bits"] for less in row["quantized"]] == [2, 8]


def test_figures_draw_what_train_stored(run: Run, tmp_path: Path) -> None:
    run("train", "model=gru", *SMALL)
    code, out, err = run("figures")
    assert code == 0, err
    assert "accuracy short first" in out
    drawn = sorted(path.name for path in (tmp_path / "runs" / "figures").iterdir())
    figures = [f"{name}.{kind}" for name in ("bits", "order") for kind in ("csv", "pdf", "png")]
    assert drawn == [*figures, "slices.csv"]
    assert all(f"runs/figures/{name}" in out for name in drawn)
    assert run("figures")[2] == "", "the figures in the store are not foreign to it"


def test_figures_to_an_unwritable_place(run: Run, tmp_path: Path) -> None:
    run("train", "model=gru", *SMALL)
    (tmp_path / "file").write_text("")
    code, _, err = run("figures", "out=file")
    assert code == 2
    assert "out = file: cannot write in" in err


def test_bench_prints_keeps_and_draws_again(run: Run, tmp_path: Path) -> None:
    settings = ["lengths=[32,64]", "heads=1", "repeats=2", "methods=[jrt-rnn,based]"]
    code, out, err = run("bench", "what=[prefill,decode]", *settings, "out=kept")
    assert code == 0, err
    for word in ("jrt-rnn", "based", "GFLOP/s", "median [quartiles]", "decodes as jrt-rnn does"):
        assert word in out
    kept = {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
    assert sorted(kept) == sorted(
        f"{name}.{kind}"
        for what in ("prefill", "decode")
        for name, kinds in ((what, ("json", "csv")), (f"{what}_time", ("pdf", "png", "csv")))
        for kind in kinds
    )
    report = json.loads(kept["prefill.json"])
    assert report["config"]["heads"] == 1
    assert report["versions"]["torch"] == torch.__version__
    assert [(row["length"], row["method"]) for row in report["rows"]] == [
        (32, "jrt-rnn"),
        (32, "based"),
        (64, "jrt-rnn"),
        (64, "based"),
    ]

    for path in (tmp_path / "kept").glob("*_time.*"):
        path.unlink()
    assert run("figures", "bench=kept")[0] == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()} == kept
    assert run("figures", "bench=kept", "out=elsewhere")[0] == 0
    for path in (tmp_path / "elsewhere").iterdir():
        assert path.read_bytes() == kept[path.name]


def test_a_damaged_report_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "train.json").write_text("[1, 2]")
    code, out, err = run("figures", "bench=kept")
    assert (code, out) == (2, "")
    assert "train.json is not a report of `sdsim bench`" in err


def test_a_shadowed_room_is_named(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").write_text("")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import sdsim"
    outcome = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert outcome.returncode == 1
    assert "another package named 'kernels'" in outcome.stderr
    assert str(tmp_path) in outcome.stderr


def test_theory_bounds_are_printed(run: Run) -> None:
    code, out, _ = run("theory", "bounds", "universe=32", "size_a=4", "size_b=12")
    assert code == 0
    row = next(line for line in out.splitlines() if "one pass, no errors" in line)
    assert "16.000" in row
    assert "28.000" in row


@pytest.mark.parametrize("truth", [True, False])
def test_theory_verify_exits_by_its_claims(
    run: Run, monkeypatch: pytest.MonkeyPatch, truth: bool
) -> None:
    def check() -> Evidence:
        require(truth, "a planted counterexample")
        return Evidence(3, "three numbers")

    claims = [Claim("planted", "a statement", check)]
    monkeypatch.setattr(cli, "CLAIMS", claims)
    monkeypatch.setattr(cli, "verify", lambda: verify(claims))
    code, out, err = run("theory", "verify")
    assert code == (0 if truth else 1)
    assert ("holds" if truth else "FAILS") in out
    assert ("a planted counterexample" in out) is not truth
    assert ("1 of 1 claims fail: planted" in err) is not truth


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("sdsim 0.")
