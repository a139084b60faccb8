"""What `import sdsim` offers: a call each, the same as the commands, imported when it is used."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

import sdsim
from sdsim.config import RunConfig
from sdsim.models import ModelState
from sdsim.training.run import execute
from tests.conftest import Run

FAST = ("model=gru", "model.width=4", "model.depth=1", "train.steps=2", "test.examples=10")


def test_it_shows_what_it_offers_and_no_plumbing() -> None:
    offered = {
        "card",
        "evaluate",
        "load",
        "load_model",
        "model",
        "report",
        "sweep",
        "task",
        "train",
    }
    assert set(dir(sdsim)) == offered | {"__version__"}
    for name in offered:
        assert callable(getattr(sdsim, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sdsim.nothing


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    code = (
        "import sdsim, sys; dir(sdsim); from sdsim import sweep, train;"
        "sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_package_is_called_like_the_function_of_its_name(tmp_path: Path) -> None:
    import sdsim.sweep.launch  # from here on sdsim.sweep is the package

    table = sdsim.sweep(*FAST, "seed=0,1", "hydra.launcher.n_jobs=1", store=tmp_path / "a")
    assert table["seed"].to_list() == [0, 0, 1, 1]
    assert sdsim.sweep.launch.__name__ == "sdsim.sweep.launch"


def test_a_run_is_that_of_the_command_line(run: Run, tmp_path: Path) -> None:
    table = sdsim.train(*FAST, store=tmp_path / "runs", keep="weights")
    code, out, _ = run("train", *FAST, f"store={tmp_path / 'runs'}")
    assert code == 0
    assert "are there already" in out
    assert table.equals(sdsim.load(tmp_path / "runs"))
    model = sdsim.load_model(tmp_path / "runs", table["run_id"][0])
    task = sdsim.task("set_disjointness", 4, 12)
    result = sdsim.evaluate(model, task, examples=10)
    assert result.accuracy == table.filter(pl.col("size_a") == 4)["accuracy"][0]


def test_settings_are_words_or_keywords(tmp_path: Path) -> None:
    as_words = sdsim.train(*FAST, f"store={tmp_path}")
    named = dict(word.split("=") for word in FAST)
    as_keywords = sdsim.train(**named, store=tmp_path, **{"task.train_sizes": [(4, 12), (12, 4)]})
    assert as_words.equals(as_keywords)


def test_wrong_settings_are_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    for wrong in ("model=grn", "model.width=x", "train.stpes=3", "device=nowhere"):
        with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
            sdsim.train(wrong, store=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    with pytest.raises(ValueError, match="does not fit"):
        sdsim.task("set_disjointness", 40, 5)
    with pytest.raises(ValueError, match="an algorithm has no weights"):
        sdsim.model("one_pass", sdsim.task())
    gru = sdsim.model("gru", sdsim.task(), width=4)
    with pytest.raises(ValueError, match=r"test\.bits"):
        sdsim.evaluate(gru, sdsim.task(), bits=(17,))


def test_tasks_and_models_are_those_of_the_command_line() -> None:
    recall = sdsim.task("associative_recall", 4, 2, order="query_first", passes=2)
    assert (recall.size_a, recall.size_b, recall.passes) == (2, 4, 2)
    assert sdsim.task().vocab_size == 36
    budgeted = sdsim.model("gru", recall, width=4, state_bits_per_number=2, state_numbers=[3])
    assert budgeted.hidden(recall.sample(2, seed=0).inputs, boundaries=(4, 8, 12)).shape[0] == 2
    layer = sdsim.model("tests.sdsim.models.own_modules.RunningMean", recall, depth=1)
    assert layer.config.name == "RunningMean"
    same = [next(sdsim.model("gru", recall, seed=seed).parameters()) for seed in (0, 0, 1)]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


def test_representations_are_one_short_line(small_run: RunConfig) -> None:
    task = sdsim.task("set_disjointness", 2, 4, vocab_size=12)
    model = sdsim.model("based", task, width=8, depth=2)
    batch = task.sample(3, seed=0)
    _, state = model.prefill(batch.inputs)
    result = execute(small_run)
    for shown in (task, batch, model, state, result, *result.slices, ModelState(((), ()))):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 120, repr(shown)


def test_a_state_moves_and_keeps_what_counts() -> None:
    task = sdsim.task("set_disjointness", 2, 4, vocab_size=12)
    model = sdsim.model("attention", task, width=8, depth=1)
    _, state = model.prefill(task.sample(3, seed=0).inputs)
    moved = state.to("meta", torch.float16)
    assert {tensor.device.type for tensor in moved.tensors()} == {"meta"}
    for before, after in zip(state.tensors(), moved.tensors(), strict=True):
        assert after.dtype == (torch.float16 if before.is_floating_point() else before.dtype)
    assert moved.numel == state.numel


def test_a_state_is_kept_and_goes_on_where_it_was(tmp_path: Path) -> None:
    task = sdsim.task("set_disjointness", 2, 4, vocab_size=12)
    model = sdsim.model("based", task, width=8, depth=2)
    tokens = task.sample(3, seed=0).inputs
    logits, _ = model.prefill(tokens)
    _, state = model.prefill(tokens[:, :4])
    state.save(tmp_path / "state.safetensors")
    read = ModelState.load(tmp_path / "state.safetensors")
    rest, _ = model.prefill(tokens[:, 4:], state=read)
    torch.testing.assert_close(rest, logits[:, 4:])
    ModelState(((), (torch.ones(2, 1),), ())).save(tmp_path / "odd.safetensors")
    assert [len(layer) for layer in ModelState.load(tmp_path / "odd.safetensors").layers] == [
        0,
        1,
        0,
    ]
    (tmp_path / "odd.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="holds no state of a model"):
        ModelState.load(tmp_path / "odd.safetensors")
