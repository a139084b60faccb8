"""The command as a user meets it: what it says, how it exits, what it leaves behind."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from sdsim import cli, commands
from sdsim.commands.help import choices_of
from sdsim.conf.compose import composed
from sdsim.store.table import load
from tests.conftest import Run
from theory.claims.claim import Claim, Evidence, require
from theory.claims.verify import verify

SMALL = [
    *("task.vocab_size=12", "task.train_sizes=[[2,4],[4,2]]", "model.width=8", "model.depth=1"),
    *("train.until=steps", "train.steps=3", "train.batch_size=8", "test.examples=50"),
]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sweeep"], "sweeep is no command; did you mean sweep?"),
        (["train", "model.widht=3"], "model.widht: `sdsim train` has no such setting"),
        (["train", "model.widht=3"], "did you mean model.width?"),
        (["train", "+model.foo=3"], "model.foo: `sdsim train` has no such setting"),
        (["train", "model=transformer"], "did you mean model=transformer_"),
        (["train", "model=grru"], "model=grru: no such choice; did you mean model=gru?"),
        (["sweep", "model=grru"], "model=grru: no block of the grid has that"),
        (["train", "scale=tiny"], "it is a choice of `sdsim pretrain`"),
        (["sweep", "scale=tiny"], "did you mean sweep=tiny?"),
        (["train", "width=8"], "did you mean model.width?"),
        (["train", "mode=fast"], "mode = 'fast': must be 'sequential', 'vmap', 'compiled' or"),
        (["train", "mode=cuda_graph"], "mode = 'cuda_graph': needs device=cuda rather than cpu"),
        (["sweep", "mode=cuda_graph"], "mode = 'cuda_graph': needs device=cuda rather than cpu"),
        (["train", "store=a,b"], "store=a,b: several values take `sdsim train -m`"),
        (["figures", "store=a,b"], "store = a,b: there is no such folder"),
        (["train", "model.mixers=[gru"], "model.mixers=[gru: this list cannot be read"),
        (["train", "=3"], "=3: settings are given as key=value"),
        (["train", "nonsense"], "nonsense: settings are given as key=value"),
        (["train", "model.width=-3"], "model.width = -3: must be greater than or equal to 1"),
        (["train", "model.width=wide"], "model.width = 'wide': must be a valid integer"),
        (["train", "model.heads=3"], "model.heads = 3 does not divide model.width = 32"),
        (["train", "model.mixers=[mamba]"], "model.mixers names mamba"),
        (["train", "task.train_sizes=[[0,4]]"], "size_a = 0"),
        (["train", "task.train_sizes=[[40,4]]"], "40 + 4 does not fit: vocab_size = 36 leaves 32"),
        (["train", "task.train_sizes=[[4]]"], "task.train_sizes.0.1"),
        (["train", "model=attention", "model.heads=3"], "model.heads = 3 does not divide"),
        (["train", "task=recall"], "task=recall: no such choice"),
        (["train", "task.kind=synthetic.Recall"], "task.kind = 'synthetic.Recall'"),
        (["train", "task.answr=token"], "did you mean task.answer?"),
        (["train", "task.answer=maybe"], "task: answer = 'maybe': one of token, decision, all"),
        (["train", "task.options=3"], "task.options = 3: must be a valid dictionary"),
        (["train", "task.weights=[1]"], "task: weights = (1.0,): 2 are needed"),
        (["train", "test.bits=[0,3]"], "test.bits.0 = 0: must be greater than or equal to 1"),
        (["train", "test.examples=0"], "test.examples = 0: must be greater than or equal to 1"),
        (
            ["train", "train.test_examples=9"],
            "train.test_examples: `sdsim train` has no such setting",
        ),
        (
            ["train", "model=one_pass", "model.state_bits_per_number=1"],
            "model.state_bits_per_number: model=one_pass has no such setting",
        ),
        (["train", "model=one_pass", "model.machine=two_pass"], "model.machine = 'two_pass'"),
        (["train", "model=just_read_twice"], "task.passes = 1: exactly 2 for machine"),
        (
            ["train", "model=one_pass", "task=associative_recall"],
            "streaming algorithms do set disjointness",
        ),
        (["train", "seed=99999999999999999999"], "seed = 99999999999999999999: must be less than"),
        (["train", "seed=-1"], "seed = -1: must be greater than"),
        (["train", "+new=1"], " has no such setting"),
        (["train", "~model"], "model is missing: `model=…` chooses one"),
        (["train", "store=null"], "store = None: must be a valid string"),
        (["train", "device=null"], "device = None: must be a valid string"),
        (["train", "device=meta"], "device = 'meta' cannot be used"),
        (["train", "threads=1.5"], "threads = 1.5"),
        (["train", "--config-dir=elsewhere"], "--config-dir elsewhere: there is no such folder"),
        (["train", "--config-dir"], "--config-dir : there is no such folder"),
        (["import", "checkpoint=x"], "out is missing: give it as out=…"),
        (["generate", "prompt=hi"], "checkpoint is missing"),
        (["train", "members=[[-1,0]]"], "members.0.0 = -1: must be greater than 0"),
        (["confirm", "lengths=[0]"], "lengths.0 = 0: must be greater than or equal to 2"),
        (["train", "model.mlp_ratio=abc"], "model.mlp_ratio = 'abc': must be a valid number"),
        (["train", "sweep=tiny"], "it is a choice of `sdsim sweep`"),
        (["sweep", "sweep=tyni"], "did you mean sweep=tiny?"),
        (["train", "hydra/launcher=slrm"], "did you mean hydra/launcher=slurm?"),
        (["bench", "presets=[foo]"], "presets: 'foo' is not one of jrt_360m"),
        (["bench", "lengths=2048"], "lengths = 2048: must be a list, such as [2048]"),
        (["sweep", "sweep.grid=[]"], "sweep.grid: it has no run"),
        (["sweep", "sweep=passes_tiny", "model=based", "task=associative_recall"], "has no run"),
        (["train", "--verbose"], "--verbose: settings are given as key=value"),
        (["-sc", "install=cmd"], "install=SHELL"),
        (["sweep", "model.mixers=[mamba]"], "model.mixers names mamba"),
        (["sweep", "seed=99999999999999999999"], "seed = 99999999999999999999: must be less than"),
        (["sweep", "model=gru,lstm"], "model=lstm: no block"),
        (["sweep", "+new=1"], " has no such setting"),
        (["sweep", "~nothing"], "nothing"),
        (["sweep", "sweep.grid=3"], "grid = 3"),
        (["sweep", "store=null"], "store = None"),
        (["sweep", "device=null"], "device = None"),
        (["sweep", "hydra.launcher.n_jobs=x"], "Value 'x' of type 'str'"),
        (["figures", "store=null"], "store = None"),
        (["figures", "-m"], "-m: settings are given as key=value"),
        (["theory", "verfy"], "did you mean theory verify?"),
        (["theory", "bounds", "size_a=2000", "size_b=200"], "size_a"),
        (["theory", "bounds", "error=0.7"], "error = 7/10"),
        (["theory", "bounds", "size=3"], "size: `sdsim theory bounds` has no such setting"),
        (["bench", "what=generation"], "what = 'generation'"),
        (["bench", "threads=0"], "threads = 0"),
        (["bench", "lengths=[]"], "lengths = []: must have at least 1 item"),
        (["bench", "lengths=[64,1]"], "lengths.1 = 1: must be greater than or equal to 2"),
        (["bench", "what=[]"], "what = []: must have at least 1 item"),
        (["bench", "members=[]"], "members = []: must have at least 1 item"),
        (["bench", "prefil"], "prefil: no such benchmark; did you mean prefill?"),
        (["train", "widht=3"], "did you mean model.width?"),
        (["sweep", "sweep.grid=[{model: [bassed]}]"], "sweep.grid: model: bassed: no such choice;"),
        (["sweep", "model=glob(*)"], "glob(…): a sweep takes no patterns"),
        (["figures", "store=a/${x}"], "store: Interpolation key 'x' not found; \\${ is how"),
        (["bench", "workers=0"], "workers = 0: must be greater than or equal to 1"),
        (["bench", "settings=0"], "settings = 0: must be greater than or equal to 1"),
        (["bench", "what=[sweep]", "preset=nosuch"], "preset = 'nosuch': there is no such sweep"),
        (["train", "tracking=dashboard"], "dashboard"),
        (["train", "tracking.kind=mlflow"], "tracking.kind = 'mlflow'"),
        (
            ["train", "tracking=wandb"],
            "tracking = wandb: wandb is not installed: pip install -e '.[wandb]'",
        ),
        (["sweep", "tracking=tensorboard"], "tracking = tensorboard: tensorboard is not installed"),
        (["bench", "methods=[]"], "methods = []: must have at least 1 item"),
        (["bench", "batches=[0]"], "batches.0 = 0: must be greater than or equal to 1"),
        (["bench", "max_seconds=0"], "max_seconds = 0: must be greater than 0"),
        (["bench", "patience=0"], "max_seconds = 0: must be greater than 0"),
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
        (["sweep", "sweep=huge"], "sweep=huge: no such choice. Choices: bits,"),
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
        assert all(f"sdsim {name}" in out for name in commands.names())
    for name in commands.names():
        code, out, _ = run(*name.split(), "--help")
        assert code == 0
        assert f"sdsim {name}:" in out
        assert commands.find(name).summary in run()[1]
    for words in (["theory"], ["theory", "--help"]):
        code, out, _ = run(*words)
        assert code == 0
        assert "sdsim theory verify" in out
        assert "sdsim train" not in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", commands.names())
def test_help_gives_each_setting_its_meaning(name: str, run: Run) -> None:
    """Also the settings of each choice of a model and a task."""
    commands.find(name).register()
    groups = commands.find(name).groups
    others = [
        f"{group}={choice}"
        for group in ("model", "task")
        if group in groups
        for choice in (
            "fingerprint",
            "jrt_360m",
            "associative_recall",
            "general_associative_recall",
        )
        if choice in choices_of(commands.find(name), [])[group]
    ]
    for chosen in [[], *([choice] for choice in others if name != "sweep")]:
        _, out, _ = run(*name.split(), *chosen, "--help")
        listed = out.partition("Settings and their defaults:\n")[2]
        # A meaning stands beside its setting, or below a long one, further in.
        bare = re.findall(r"^  (\S+=.{0,60}?)\n(?!      )", listed + "\n", re.MULTILINE)
        assert [line for line in bare if "   " not in line.strip() and "  " not in line] == []


def test_help_shows_the_settings_that_overrides_make(run: Run) -> None:
    _, out, _ = run("train", "model=gru", "model.width=24", "--help")
    assert "model.width=24" in out
    assert "model.name=gru" in out


def test_help_offers_no_group_that_the_command_cannot_use(run: Run) -> None:
    _, out, _ = run("train", "--help")
    assert "\n  model: attention" in out
    assert "\n  scale:" not in out
    assert "\n  sweep:" not in out
    assert "\n  scale: paper, small, tiny" in run("pretrain", "--help")[1]


def test_cfg_shows_settings_and_runs_nothing(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("sweep", "store=elsewhere", "--cfg", "job")
    assert code == 0
    assert "store: elsewhere" in out
    assert "name: tiny" in out
    code, out, _ = run("train", "~model.window", "--cfg", "job", "--package", "model")
    assert code == 0
    assert "width: 32" in out
    assert "window" not in out
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_is_deleted_has_its_default(run: Run, tmp_path: Path) -> None:
    code, _, err = run("train", "model=gru", *SMALL, "model.heads=4", "~model.heads")
    assert code == 0, err
    assert set(load(tmp_path / "runs" / "default")["heads"]) == {2}
    code, _, err = run("sweep", "sweep=tiny", "model=gru", "model.width=8", *SMALL, "~threads")
    assert code == 0, err


def test_choices_in_a_folder_of_ones_own(run: Run, tmp_path: Path) -> None:
    """--config-dir, as in any Hydra application; also for a sweep."""
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "defaults: [/model_defaults@_here_, _self_]\nname: mine\nmixers: [gru]\n"
    )
    for words in (["train"], ["train", "-m", "seed=0,1", "hydra.launcher.n_jobs=1"]):
        code, _, err = run(*words, "model=mine", *SMALL, "--config-dir", "conf")
        assert code == 0, err
    assert load(tmp_path / "runs" / "default")["model"].to_list() == ["mine"] * 4
    assert "mine" in run("train", "--config-dir=conf", "--help")[1]


def test_the_shell_completes_commands_and_settings(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run("-sc", "install=bash")
    assert code == 0
    assert out.rstrip().endswith("-F hydra_bash_completion sdsim")
    for line, expected in (
        ("sdsim ", "sweep tasks theory train"),
        ("sdsim theory ", "bounds codes figures kernels layers optima passes tradeoff verify"),
        ("sdsim theory bounds uni", "universe="),
        ("sdsim evaluate missing", "missing_answer="),
        ("sdsim bench prefill len", "lengths."),
        ("sdsim train model=ls", "model=lstm"),
        ("sdsim train model.wi", "model.width= model.window="),
        ("sdsim sweep sweep=pap", "sweep=paper sweep=paper_no_mlp sweep=paper_released"),
    ):
        monkeypatch.setenv("COMP_LINE", line)
        code, out, _ = run("-sc", "query=bash")
        assert code == 0
        assert out.strip().endswith(expected), line


def test_a_reader_that_has_seen_enough_is_not_complained_to() -> None:
    script = f"{sys.executable} -m sdsim sweep --help | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("sdsim sweep:")
    assert done.stderr == ""


HEAVY = ("torch", "sympy", "polars", "numpy", "matplotlib", "huggingface_hub", "tokenizers")


@pytest.mark.parametrize("words", [["--help"], *([*n.split(), "--help"] for n in commands.names())])
def test_help_opens_without_what_is_heavy(words: list[str]) -> None:
    script = (
        "import sys; sys.argv = ['sdsim', *sys.argv[1:]]\n"
        "from sdsim.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 0\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_training_begins_without_what_it_does_not_need(tmp_path: Path) -> None:
    """Up to the first step: no theory, no hub's client, no FSDP, no figures."""
    script = (
        "import sys; from sdsim.cli import main; import sdsim.sweep.job as job\n"
        "def first(trainer):\n"
        "    unwanted = ('sympy', 'theory', 'figures', 'matplotlib', 'huggingface_hub', 'polars',\n"
        "                'torch.distributed.fsdp', 'sdsim.text.loop', 'sdsim.bench.report')\n"
        "    print([name for name in unwanted if name in sys.modules], file=sys.stderr)\n"
        "    sys.exit(0)\n"
        "import sdsim.training.trainer as trainer; trainer.Trainer.step = first\n"
        "sys.argv = ['sdsim', 'train', 'model=gru']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.strip() == "[]"


def test_train_stores_and_shows_a_run_once(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "model=gru", *SMALL)
    assert code == 0, err
    assert "short_first" in out
    table = load(tmp_path / "runs" / "default")
    assert table["model"].to_list() == ["gru", "gru"]
    assert f"{table['accuracy'][0]:.3f}" in out
    code, out, _ = run("train", "model=gru", *SMALL)
    assert code == 0
    assert "are there already" in out
    assert load(tmp_path / "runs" / "default").equals(table)


def test_a_training_mode_can_be_given(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not identify a run; where it cannot be had, nothing is trained."""
    words = ("train", "model=gru", *SMALL, f"store={tmp_path / 'there'}")
    monkeypatch.setenv("CXX", "no-such-compiler")
    code, _, error = run(*words, "mode=compiled")
    assert code == 2
    assert "mode = 'compiled': there is no C++ compiler (no-such-compiler)" in error
    assert run(*words, "mode=vmap")[0] == 0
    assert run(*words, "mode=sequential")[0] == 0
    assert len(load(tmp_path / "there")["run_id"].unique()) == 1


def test_an_algorithm_is_a_model_that_trains_nothing(run: Run, tmp_path: Path) -> None:
    code, out, err = run("train", "model=fingerprint", "model.budget=20", "test.examples=50")
    assert code == 0, err
    assert "steps" not in err
    table = load(tmp_path / "runs" / "default")
    assert table["machine"].to_list() == ["fingerprint"] * 2
    assert max(table["state_bits"]) <= 20
    assert f"{table['accuracy'][0]:.3f}" in out


def test_options_of_a_task_stand_beside_its_settings(run: Run, tmp_path: Path) -> None:
    task = ["task=general_associative_recall", "task.train_sizes=[[3,2]]", "task.null_share=0.25"]
    code, _, err = run("train", "model=gru", *SMALL[2:], *task, "test.bits=[2,8]")
    assert code == 0, err
    (row,) = load(tmp_path / "runs" / "default").iter_rows(named=True)
    assert json.loads(row["options"]) == {"order": "context_first", "null_share": 0.25}
    assert (row["answers"], row["chance"], row["order"]) == (2, 0.25, "context_first")
    assert [less["bits"] for less in row["quantized"]] == [2, 8]


def test_figures_draw_what_train_stored(run: Run, tmp_path: Path) -> None:
    run("train", "model=gru", *SMALL)
    code, out, err = run("figures")
    assert code == 0, err
    assert "accuracy short first" in out
    drawn = sorted(path.name for path in (tmp_path / "runs" / "default" / "figures").iterdir())
    names = ("bits", "curves", "curves_by_order", "order")
    figures = [f"{name}.{kind}" for name in names for kind in ("csv", "pdf", "png")]
    assert drawn == [*figures, "slices.csv"]
    assert all(f"runs/default/figures/{name}" in out for name in drawn)
    assert run("figures")[2] == "", "the figures in the store are not foreign to it"


def test_a_learning_rate_is_chosen_on_validation_examples_or_as_released(
    run: Run, tmp_path: Path
) -> None:
    for rate in ("1e-3", "1e-2"):
        run("train", "model=gru", *SMALL, f"train.lr={rate}", "test.validation=50")
    table = load(tmp_path / "runs" / "default")
    means = table.group_by("lr").agg(pl.col("validation_accuracy").mean())
    best = means.sort("validation_accuracy", "lr", descending=[True, False])["lr"][0]
    drawn = tmp_path / "runs" / "default" / "figures"
    code, out, err = run("figures")
    assert code == 0, err
    assert " rates " in out
    chosen = pl.read_csv(drawn / "rates.csv").filter("chosen")
    assert chosen["rate"].to_list() == [best]
    code, _, err = run("figures", "select=released")
    assert code == 0, err
    assert not (drawn / "rates.csv").exists()
    assert pl.read_csv(drawn / "order.csv")["seeds"].to_list() == [1]
    code, _, err = run("figures", "select=best")
    assert code == 2
    assert "select = 'best'" in err


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


def test_theory_bounds_are_printed(run: Run) -> None:
    code, out, _ = run("theory", "bounds", "universe=32", "size_a=4", "size_b=12")
    assert code == 0
    lines = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    rows = {cells[1]: cells[3:5] for cells in lines if len(cells) > 4}
    assert rows["one pass, no errors"] == ["16", "28"]
    assert rows["one pass, error 1/10"] == ["6.6", "14.3"]


def test_codes_are_printed_and_written(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("theory", "codes", "universe=6", "sizes=[[2,2]]", "bits=[1,2]", "out=codes")
    assert code == 0
    assert "0.667" in out  # a bitmap of one element
    rows = pl.read_csv(tmp_path / "codes" / "codes.csv")
    assert rows["bits"].to_list() == [1, 2]
    assert (rows["bitmap"] <= rows["found"]).all()
    assert (rows["found"] <= rows["at_most"]).all()
    code, _, err = run("theory", "codes", "sizes=[[9,9]]", "out=nothing")
    assert code == 2
    assert "universe = 16, size_a = 9, size_b = 9" in err
    assert not (tmp_path / "nothing").exists()


def test_a_tradeoff_is_printed_and_drawn(run: Run, tmp_path: Path) -> None:
    sizes = ("universe=5", "size_a=2", "size_b=2", "steps=4", f"out={tmp_path}")
    code, out, _ = run("theory", "tradeoff", *sizes)
    assert code == 0
    lines = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert ["optimum", "1", "1.000", "0.733", "0.733"] in [cells[1:6] for cells in lines]
    assert ["stored exactly", "2", "3.322", "1.000", "1.000"] in [cells[1:6] for cells in lines]
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {
        f"tradeoff.{kind}" for kind in ("pdf", "png", "csv")
    }
    code, _, err = run("theory", "tradeoff", "universe=4", "size_a=3", "size_b=3")
    assert code == 2
    assert "size_a + size_b - 1 ≤ universe is needed" in err


def test_what_several_passes_take_is_printed(run: Run) -> None:
    code, out, _ = run("theory", "passes", "universe=4", "size_a=8", "size_b=8", "most_passes=2")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert ["4", "1", "1", "2", "2", "2", "3"] in [cells[1:8] for cells in rows]
    assert [cells[1] for cells in rows if len(cells) == 7] == ["1", "2"]


def test_the_features_that_kernels_need_are_printed(run: Run) -> None:
    code, out, _ = run("theory", "kernels", "universe=32", "sizes=[1,2]")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert [cells[1:4] for cells in rows if len(cells) == 10] == [
        ["1", "1/3", "8"],
        ["2", "1/6", "18"],
    ]
    code, _, err = run("theory", "kernels", "universe=32", "sizes=[32]")
    assert code == 2
    assert "set_size = 32" in err


def test_the_layers_that_recall_takes_are_printed(run: Run) -> None:
    code, out, _ = run("theory", "layers", "widths=[16]")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert ["16", "32", "5", "6", "3", "1"] in [cells[1:7] for cells in rows]
    code, _, err = run("theory", "layers", "error=0.5")
    assert code == 2
    assert "error = 1/2" in err


@pytest.mark.parametrize("truth", [True, False])
def test_theory_verify_exits_by_its_claims(
    run: Run, monkeypatch: pytest.MonkeyPatch, truth: bool
) -> None:
    def check() -> Evidence:
        require(truth, "a planted counterexample")
        return Evidence(3, "three numbers")

    claims = [
        Claim("planted", "a statement", check, hypotheses="a hypothesis", strength="sample"),
        Claim("theirs", "a theorem", None, hypotheses="none", strength="cited"),
    ]
    monkeypatch.setattr("theory.claims.verify.CLAIMS", claims)
    monkeypatch.setattr("theory.claims.verify.verify", lambda: verify(claims))
    code, out, err = run("theory", "verify")
    assert code == (0 if truth else 1)
    assert ("holds" if truth else "FAILS") in out
    assert ("a planted counterexample" in out) is not truth
    assert ("1 of 2 claims fail: planted" in err) is not truth
    rows = [[cell.strip() for cell in line.split("│")] for line in out.splitlines()]
    assert ["a hypothesis", "sample"] in [cells[3:5] for cells in rows]
    assert any(cells[3:5] == ["none", "cited"] and "not checked" in cells for cells in rows)
    assert ("1 sample" in out and "1 are cited and not checked" in out) is truth


def test_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("sdsim 0.")


@pytest.mark.parametrize(
    "text",
    [
        "Hello, world",
        "two\nlines",
        'it\'s "quoted", {braced} [listed] (called)',
        "back\\slash \\n",
        "ends with \\",
        "two \\ lines \\\n",
        "costs ${x} and $y",
        "\\${x}",
        "  leading",
        "a=b",
        "null",
        "12",
        "[not closed",
        "[The if]",
        '"a quotation" and more',
        "ünï",
    ],
)
def test_a_text_setting_is_taken_as_written(text: str) -> None:
    generate = commands.find("generate")
    generate.register()
    with composed("generate", ["checkpoint=x", cli._as_written(f"prompt={text}")]) as (config, _):
        assert generate.parse(config).prompt == (text,)


def test_a_text_setting_may_be_a_list_or_quoted() -> None:
    generate = commands.find("generate")
    generate.register()
    for words, expected in (
        ('["one, two","three"]', ("one, two", "three")),
        ('"one, two"', ("one, two",)),
    ):
        override = cli._as_written(f"prompt={words}")
        with composed("generate", ["checkpoint=x", override]) as (config, _):
            assert generate.parse(config).prompt == expected


@pytest.mark.parametrize("name", commands.names())
def test_no_setting_is_shadowed_by_a_group(name: str) -> None:
    """Hydra takes `key=value` for a choice of files wherever there is a group of that name."""
    command = commands.find(name)
    command.register()
    with composed(command.config_name, []) as (_, loader):
        groups = set(loader.list_groups(""))
    assert groups & (set(command.settings) - set(command.groups)) == set()


def test_confirm_takes_its_size(run: Run) -> None:
    code, out, err = run("confirm", "size=360m", "--cfg", "job", "--resolve")
    assert code == 0, err
    assert "store: runs/confirm_360m" in out
