"""The report of a store: one page that holds, and says, what the runs are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

import figures
from figures import order
from figures.drawing import Drawing, NothingToDraw
from figures.report import page, write_report
from figures.report.facts import convergence, facts
from figures.report.heat import heat_maps
from figures.report.inline import inline
from figures.report.prompts import prompt_section
from figures.report.tables import as_table, runs_table
from figures.style import add_legend, add_note, house_style
from sdsim.config import ModelConfig, RunConfig, TaskConfig, TrainConfig
from sdsim.store.store import Store
from sdsim.store.table import load
from sdsim.training.result import RunResult, SliceResult
from sdsim.training.tasks import eval_tasks
from sdsim.training.trainer import build
from tests.conftest import Run


@pytest.fixture
def runs(store, write_run):
    for model, width in (("gru", 8), ("gru", 16), ("based", 32)):
        for seed in (0, 1):
            counts = {(2, 4): 6 + seed, (3, 3): 5, (4, 2): 3 + width // 8}
            write_run(counts, model=model, width=width, seed=seed, converged=width != 16)
    return store


@pytest.fixture
def one_figure(monkeypatch):
    """Pages with one figure, which are drawn in a moment."""
    monkeypatch.setattr(page, "FIGURES", {"order": order.draw})


def numbers_of(figure: Figure, data: pl.DataFrame | None = None) -> dict[str, list[list]]:
    with house_style():
        drawing = Drawing(figure, pl.DataFrame() if data is None else data)
        return json.loads(inline("drawn", drawing).points)


def points_of(figure: Figure, data: pl.DataFrame | None = None) -> list[tuple[str, ...]]:
    """Of each point of a figure: its series, and what its axes say."""
    found = numbers_of(figure, data)
    return [(found["series"][number][1], *said) for number, _, _, *said in found["points"]]


# The page


def test_the_page_is_one_file_that_points_at_its_runs_and_asks_for_nothing_else(
    runs, one_figure, tmp_path
):
    before = set(runs.iterdir())
    path = write_report(runs, tmp_path / "a b" / "page.html")
    assert set(runs.iterdir()) == before
    assert list(path.parent.iterdir()) == [path]
    sources = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|@import', path.read_text())
    asked = {one or other for one, other in sources}
    outside = {address for address in asked if not address.startswith(("#", "data:,"))}
    files = {(path.parent / unquote(address)).resolve() for address in outside}
    assert files == {runs / run / "run.json" for run in load(runs)["run_id"]}


def test_same_runs_same_bytes_in_any_process_and_place(runs, one_figure, tmp_path):
    shutil.copytree(runs, tmp_path / "there" / "runs")
    code = (
        "import sys; from figures import order; from figures.report import page;"
        "page.FIGURES = {'order': order.draw}; page.write_report(sys.argv[1])"
    )
    root = str(Path(figures.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "TZ": "Asia/Tokyo",
    }
    there = tmp_path / "there" / "runs"
    subprocess.run([sys.executable, "-c", code, str(there)], env=environment, check=True)
    assert write_report(runs).read_bytes() == (there / "report.html").read_bytes()


def test_names_are_data(store, write_run, one_figure, monkeypatch):
    name = '</script><b title="x">&\x1b[31m'
    monkeypatch.setitem(sys.modules["tests.figures.conftest"].MIXERS, name, ("gru",))
    for seed in (0, 1):
        write_run({(2, 4): 8, (4, 2): 3}, model=name, seed=seed)
    text = write_report(store).read_text()
    assert "<b title" not in text
    assert "\x1b" not in text
    assert '</script><b title="x">&\\x1b[31m' in unescape(text)
    assert text.count("<script") == text.count("</script>") == 2


def test_a_figure_that_the_runs_do_not_allow_is_named_with_the_reason(store, write_run, one_figure):
    write_run({(3, 3): 8, (4, 4): 5})
    text = write_report(store).read_text()
    assert "no pair of sizes (a, b) with a &lt; b was tested along with (b, a)" in text
    assert "<figure" not in text


# Numbers under the pointer


def test_the_numbers_under_the_pointer_are_those_of_the_figures_table(runs):
    with house_style():
        drawing = order.draw(load(runs))
        data = drawing.data.filter(pl.col("seed").is_null())
        found = json.loads(inline("order", drawing).points)
    said = {(*found["series"][number], *rest) for number, _, _, *rest in found["points"]}
    assert len(data) == 3
    for row in data.iter_rows(named=True):
        model = {"gru": "GRU", "based": "Based (causal)"}[row["model"]]
        gap = f"{row['gap']:.4g} [{row['gap_low']:.4g}, {row['gap_high']:.4g}]"
        gap = gap.replace("-", "\N{MINUS SIGN}")
        panel = "Difference (short first minus long first)"
        axes = ("Recurrent state per sequence, bytes", "Accuracy difference")
        assert (panel, model, *axes, str(row["state_bytes"]), gap) in said


def test_points_lie_where_the_figure_draws_them():
    figure = Figure(figsize=(4, 2))
    ax = figure.add_axes((0.25, 0.25, 0.5, 0.5), xlim=(0, 10), ylim=(0, 1))
    ax.plot([0, 10], [1, 0], "o")
    (_, *first, _, _), (_, *last, _, _) = numbers_of(figure)["points"]
    assert (first, last) == ([72.0, 36.0], [216.0, 108.0])  # points, from the upper left corner


def test_series_are_told_apart_by_colour_marker_and_dashes():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([1], [1], "o", color="black", label="one")
    ax.plot([2], [2], "s", color="black", label="two")
    ax.plot([3], [3], "s", color="black")
    ax.plot([4], [4], "x", color="black")
    ax.scatter([5], [5], color="red", label="five")
    named = [name for name, *_ in points_of(figure)]
    assert named == ["one", "two", "two", "", ""]


def test_an_interval_is_that_of_its_own_point():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([1, 2], [0.5, 0.6], "o", color="blue")
    ax.vlines([1, 2], [0.4, 0.7], [0.55, 0.8], colors="blue")
    ax.vlines([2], [0.5], [0.7], colors="red")
    ax.hlines([0.6], [1.5], [2.5], colors="blue")
    assert points_of(figure) == [("", "1", "0.5 [0.4, 0.55]"), ("", "2 [1.5, 2.5]", "0.6")]


def test_an_axis_says_names_numbers_and_units_as_its_ticks_do():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([4000], [2.9], "o")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda steps, _: f"{steps / 1000:g}"))
    ax.set_yticks([1, 3], ["first model", "third model"])
    assert points_of(figure) == [("", "4", "third model")]


def test_a_place_beside_its_tick_is_not_said_to_be_a_number():
    figure = Figure()
    ax = figure.subplots()
    ax.plot([2.3], [0.5], "o")
    ax.set_xticks([2, 4])
    assert points_of(figure, pl.DataFrame({"size": [2, 4]})) == [("", "2", "0.5")]
    assert points_of(figure, pl.DataFrame({"size": [2.3, 4]})) == [("", "2.3", "0.5")]


def test_of_a_dense_line_only_what_a_pointer_can_tell_apart_and_no_faint_marks():
    figure = Figure(figsize=(4, 2))
    ax = figure.subplots()
    ax.plot(range(1000), [0.5] * 1000)
    ax.plot(range(1000), [0.4] * 1000, "o", alpha=0.3)
    ax.axhline(0.3)
    assert 50 < len(numbers_of(figure)["points"]) < 120
    ax.plot(range(1000), [0.2] * 1000, "o")
    assert len(numbers_of(figure)["points"]) > 1000


def test_a_note_becomes_a_caption_word_for_word():
    figure = Figure(figsize=(6, 3), layout="constrained")
    ax = figure.subplots()
    ax.plot([1], [1], label="one")
    note = "Of a non-causal model, 90 % - or less - of the zero-error bits; read-twice prompts. "
    with house_style():
        add_legend(figure)
        add_note(figure, note * 12)
        drawn = inline("drawn", Drawing(figure, pl.DataFrame()))
    assert drawn.caption == (note * 12).strip()
    assert figure.get_size_inches()[1] < 3


# Tables


def test_the_table_of_runs_is_that_of_the_store(runs):
    table = load(runs)
    shown = runs_table(table, lambda run: f"{run}/run.json")
    names = [column.name for column in shown.columns]
    assert len(shown.rows) == len(table)
    for row, cells in zip(table.iter_rows(named=True), shown.rows, strict=True):
        said = dict(zip(names, cells, strict=True))
        ends = f"[{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]"
        assert said["run"] == row["run_id"]
        assert said["accuracy"] == f"{row['accuracy']:.3f} {ends}"
        assert said["converged"] == ("yes" if row["converged"] else "no")
        assert (said["width"], said["seed"]) == (str(row["width"]), str(row["seed"]))
    assert not {"vocab size", "mixers", "examples"} & set(names)  # alike, or implied by the model


def test_what_a_streaming_algorithm_lacks_is_not_said_of_it(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3}, lr=1e-3)
    write_run({(2, 4): 8, (4, 2): 3}, lr=2e-3)
    write_run({(2, 4): 9, (4, 2): 9}, budget=16)
    table = load(store)
    shown = runs_table(table, str)
    lr = [column.name for column in shown.columns].index("lr")
    rates = {row[1]: row[lr] for row in shown.rows}
    assert rates["fingerprint"] == "\N{EN DASH}"
    different = {setting.key: setting.value for setting in facts(store, table).different}
    assert different == {"model.name": "fingerprint, gru", "train.lr": "0.001, 0.002"}


def test_an_interval_with_one_open_end():
    frame = pl.DataFrame({"bits": [3.5], "bits_low": [2.25], "bits_high": [None], "list": [[1]]})
    table = as_table("name", "caption", frame)
    assert table.rows == [["3.5 [2.25, \N{EN DASH}]"]]


# What has not converged


def test_what_has_not_converged_is_said_first(store, write_run):
    write_run({(2, 4): 8, (4, 2): 3}, seed=0, converged=True)
    write_run({(2, 4): 8, (4, 2): 3}, seed=1, converged=False)
    write_run({(2, 4): 8, (4, 2): 3}, seed=2, diverged=True)
    write_run({(2, 4): 8, (4, 2): 3}, seed=3)
    table = load(store)
    found = convergence(table, {run: run for run in table["run_id"]})
    assert not found.is_clean
    said = " ".join(found.sentences)
    assert "1 of 4 runs had not converged" in said
    assert "Runs that diverged, and count in no mean: 1 of 4" in said
    assert "Of 2 of 4 runs it is not known" in said  # the one that diverged was not asked either
    assert "fewer than 5 seeds: 1 of 1" in said
    assert [row[1] for row in found.unfinished.rows] == ["still rising", "diverged"]
    assert found.by_model.rows == [["gru", "4", "1", "1", "2", "1"]]


def test_all_that_converged(store, write_run):
    for seed in range(5):
        write_run({(2, 4): 8, (4, 2): 3}, seed=seed, converged=True)
    table = load(store)
    found = convergence(table, {run: run for run in table["run_id"]})
    assert found.is_clean
    assert found.sentences[0] == "All 5 trained networks have converged: accuracy no longer rose."
    assert not found.unfinished.rows


# Heat maps


def test_a_heat_map_pools_seeds_and_marks_what_has_not_converged(runs):
    maps = heat_maps(load(runs), "validation")
    assert [found.title for found in maps.maps] == [
        "Based (causal), 1,024 bits",
        "GRU, 256 bits",
        "GRU, 512 bits",
    ]
    _, small, large = maps.maps
    assert small.sizes_a == small.sizes_b == [2, 3, 4]
    cells = [[cell and cell.text for cell in row] for row in small.rows]
    assert cells == [[None, None, "0.65"], [None, "0.50", None], ["0.40", None, None]]
    assert not small.rows[1][1].is_unfinished
    assert large.rows[1][1].is_unfinished
    assert "converged 0" in large.rows[1][1].title


def test_pairs_that_were_trained_alone_share_a_map(store, write_run):
    for sizes in ((2, 4), (4, 2)):
        write_run({sizes: 7})
    (alone,) = heat_maps(load(store), "validation").maps
    assert alone.title == "GRU, 256 bits"
    assert [[cell and cell.text for cell in row] for row in alone.rows] == [
        [None, "0.70"],
        ["0.70", None],
    ]


def test_maps_of_states_of_one_size_are_told_apart(store, write_run):
    for width, numbers in ((8, 4), (16, 4), (16, 8)):
        write_run({(2, 4): 7, (4, 2): 7}, width=width, numbers=numbers)
    assert [found.title for found in heat_maps(load(store), "validation").maps] == [
        "GRU, 4 bits, width=8, state_numbers=[4]",
        "GRU, 4 bits, width=16, state_numbers=[4]",
        "GRU, 8 bits",
    ]


def test_one_pair_of_sizes_is_no_map(store, write_run):
    write_run({(2, 4): 7})
    with pytest.raises(NothingToDraw, match="same pair of sizes"):
        heat_maps(load(store), "validation")


# Prompts


def test_a_prompt_is_that_of_the_task_by_its_seed(store, write_run):
    write_run({(2, 3): 7}, vocab_size=12, passes=2)
    section = prompt_section(store, load(store), "validation")
    (group,) = section.groups
    config = TaskConfig(vocab_size=12, train_sizes=((2, 3),), passes=2)
    batch = eval_tasks(config)[0].sample(2, seed=0, split="test")
    assert group.title == "set disjointness, |A| = 2, |B| = 3, short first, shown 2 times"
    for example, prompt in enumerate(group.prompts):
        answer = str(batch.targets[example, -1].item())
        names = {"[prefix]": "0", "[sep]": "1", "[sep_answer]": "2"}
        texts = [names.get(token.text, token.text) for token in prompt.tokens]
        assert texts == [str(token) for token in batch.inputs[example].tolist()]
        assert "".join(token.side[0] for token in prompt.tokens) == "maambbbmaambbbm"
        assert [token.text for token in prompt.tokens if token.is_answer] == [answer] * 4
        assert [token.target for token in prompt.tokens] == [None] * 14 + [answer]
    assert section.notes == ["Weights were not kept (keep=weights), so no model answers here."]


def test_in_a_decision_the_answer_has_a_name(store):
    config = RunConfig(
        ModelConfig("gru", ("gru",), width=8, depth=1),
        TaskConfig(
            vocab_size=16, train_sizes=((2, 4),), options={"answer": "decision", "common": 1}
        ),
    )
    write_untrained(store, config)
    (group,) = prompt_section(store, load(store), "validation").groups
    targets = {prompt.tokens[-1].target for prompt in group.prompts}
    assert targets <= {"[disjoint]", "[intersecting]"}


def write_untrained(store: Path, config: RunConfig, *, keep: bool = False) -> torch.nn.Module:
    """Store a model as its seed makes it, with an invented result."""
    slices = [
        SliceResult.of(
            task,
            examples=config.test.examples,
            answers=1,
            correct=10,
            loss=0.5,
            state_numel=8,
            state_bits=256,
            quantized=[],
        )
        for task in eval_tasks(config.task)
    ]
    result = RunResult(
        slices, params=1, train_loss=0.5, steps_done=1, ensemble=1, seconds=1.0, converged=True
    )
    model = build(config, torch.device("cpu")).eval()
    Store(store).write(config, result, device="cpu", weights=model.state_dict() if keep else None)
    return model


def test_models_that_were_kept_answer_as_they_would(store):
    config = RunConfig(
        ModelConfig("gru", ("gru",), width=8, depth=1, mlp="none"),
        TaskConfig(vocab_size=16, train_sizes=((2, 4), (4, 2))),
        TrainConfig(steps=10),
    )
    model = write_untrained(store, config, keep=True)
    section = prompt_section(store, load(store), "validation")
    assert section.notes == []
    for task, group in zip(eval_tasks(config.task), section.groups, strict=True):
        batch = task.sample(2, seed=0, split="test")
        with torch.no_grad():
            said = model(batch.inputs, batch.prefix_len)[:, -1].argmax(-1)
        right = said == batch.targets[:, -1]
        for example, prompt in enumerate(group.prompts):
            (answer,) = prompt.answers
            ((text, is_right),) = answer.tokens
            assert answer.model == "GRU, 256 bits"
            assert is_right == right[example].item()
            assert text in (str(said[example].item()), "[prefix]", "[sep]", "[sep_answer]")


# What is asked for wrongly


def test_what_cannot_be_is_one_line(run: Run, runs, one_figure, tmp_path):
    bench = Path(figures.__file__).parents[1] / "results" / "bench" / "cpu"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for words, said in {
        ("store=nowhere",): "there is no such folder",
        ("store=empty",): "it holds no finished run",
        (f"store={bench}",): "it holds what `sdsim bench` measured",
        (f"store={bench.parents[1] / 'theory'}",): "it holds no finished run",
        (f"store={runs}", "out=empty"): "it is a folder",
        (f"store={runs}", "out=file/page.html"): "out = ",
        (f"store={runs}", "select=best"): "select = 'best'",
    }.items():
        code, out, err = run("report", *words)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert said in err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_damaged_run_is_named_and_the_page_says_so(run: Run, runs, one_figure, caplog):
    damaged = sorted(runs.glob("*/run.json"))[0]
    damaged.write_text(damaged.read_text()[:100])
    code, out, _ = run("report", f"store={runs}")
    assert (code, out) == (0, f"{runs / 'report.html'}\n")
    assert len(load(runs)) == 5 * 3  # the page is not taken for a run
    warning, _ = caplog.messages
    assert f"{damaged} is damaged" in warning
    text = (runs / "report.html").read_text()
    assert "1 of the store's folders could not be read" in text
    assert damaged.parent.name in text
