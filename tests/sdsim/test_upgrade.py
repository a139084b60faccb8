"""A store of schema 1, as version 0.1 wrote it, becomes one that the same commands find done."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from sdsim import cli, conf
from sdsim.config import RunConfig, TaskConfig, TestConfig, TrainConfig
from sdsim.machines import MachineConfig
from sdsim.models import ModelConfig
from sdsim.results import Store, config_id, load, run_id
from sdsim.run import execute
from sdsim.sweep import Grid, expand
from sdsim.upgrade import upgrade


def old_record(seed: int) -> dict[str, Any]:
    config = {
        "model": {
            **{"name": "gru", "mixers": ["gru"], "width": 8, "depth": 1, "heads": 2},
            **{"feature_dim": 4, "filter_size": 3, "mlp": "none", "mlp_ratio": 2},
            "embedding_dropout": 0.0,
        },
        "task": {
            **{"name": "set_disjointness", "vocab_size": 12, "train_sizes": [[2, 4], [4, 2]]},
            **{"test_sizes": [], "passes": 1, "answer": "token"},
        },
        "train": {
            **{"steps": 40, "batch_size": 8, "lr": 0.01, "weight_decay": 0.1, "beta2": 0.98},
            **{"warmup": 0.1, "clip_norm": 1.0, "test_examples": 50},
        },
        "seed": seed,
    }
    one = {
        **{"universe_size": 8, "chance": 0.5, "seq_len": 9, "examples": 50, "loss": 1.5},
        **{"correct": 30, "state_numel": 8, "state_bytes": 32},
    }
    slices = [
        {"size_a": 2, "size_b": 4, "order": "short_first", **one},
        {"size_a": 4, "size_b": 2, "order": "long_first", **one},
    ]
    return {
        **{"schema": 1, "run_id": config_id(config), "config": config, "params": 100},
        **{"train_loss": 1.0, "seconds": 2.0, "slices": slices, "device": "cpu"},
        **{"versions": {"torch": "2.13.0"}, "commit": "abc"},
    }


def write(store: Path, record: dict[str, Any]) -> Path:
    folder = store / record["run_id"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def config_now(seed: int) -> RunConfig:
    return RunConfig(
        ModelConfig("gru", ("gru",), width=8, depth=1, mlp="none"),
        TaskConfig(
            vocab_size=12,
            train_sizes=((2, 4), (4, 2)),
            options={"answer": "token", "common": 1},
        ),
        TrainConfig(steps=40, batch_size=8, lr=1e-2),
        TestConfig(examples=50),
        seed,
    )


def test_an_old_run_is_found_under_its_new_id(tmp_path: Path) -> None:
    folders = [write(tmp_path, old_record(seed)) for seed in (0, 1)]
    with pytest.raises(ValueError, match="sdsim upgrade store="):
        load(tmp_path)
    assert upgrade(tmp_path) == 2
    assert not any(folder.exists() for folder in folders)
    table = load(tmp_path)
    assert set(table["run_id"]) == {run_id(config_now(seed)) for seed in (0, 1)}
    row = table.row(0, named=True)
    assert (row["accuracy"], row["state_bits"], row["answers"]) == (0.6, 256, 1)
    assert (row["seconds"], row["commit"], row["quantized"]) == (2.0, "abc", [])
    assert upgrade(tmp_path) == 0


def test_killed_between_writing_and_removing_it_goes_on(tmp_path: Path) -> None:
    record = old_record(0)
    write(tmp_path, record)
    upgrade(tmp_path)
    write(tmp_path, record)  # as if the old folder had not been removed yet
    assert upgrade(tmp_path) == 1
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.startswith(".")] == [
        run_id(config_now(0))
    ]


@pytest.mark.parametrize("steps", range(1, 6))
def test_killed_at_any_step_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Each change of the file system may be the last one of a process."""
    for seed in (0, 1):
        write(tmp_path, old_record(seed))
    left = steps

    def dying(change: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return change(*arguments, **options)

        return step

    with monkeypatch.context() as patched:
        for name in ("rename", "unlink", "rmdir"):
            patched.setattr(Path, name, dying(getattr(Path, name)))
        patched.setattr(Store, "check_writable", lambda self: None)
        with pytest.raises(KeyboardInterrupt):
            upgrade(tmp_path)
    upgrade(tmp_path)
    ids = {run_id(config_now(seed)) for seed in (0, 1)}
    assert {entry.name for entry in tmp_path.iterdir() if entry.name[0] != "."} == ids
    assert set(load(tmp_path)["run_id"]) == ids


def test_a_store_that_is_partly_old_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seed in (0, 1):
        write(tmp_path, old_record(seed))
        if seed == 0:
            upgrade(tmp_path)
    assert set(load(tmp_path)["run_id"]) == {run_id(config_now(0))}
    assert old_record(1)["run_id"] in caplog.text
    assert f"`sdsim upgrade store={tmp_path}` rewrites them" in caplog.text


def test_a_stored_run_has_the_id_that_its_command_composes_now() -> None:
    """The first run of the tiny sweep, that was stored by version 0.1 and upgraded."""
    conf.register()
    with initialize_config_module("sdsim.conf", version_base="1.3"):
        grid = conf.parse(Grid, compose("sweep", overrides=["sweep=tiny"]).sweep)
        jobs = [conf.parse_job(compose("train", overrides=axes)) for axes in expand(grid, {})[:2]]
    stored = Store(Path(__file__).parents[2] / "results" / "tiny")
    assert all(run_id(*job.runs) in stored for job in jobs)


def test_the_command_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, old_record(0))
    monkeypatch.setattr(sys, "argv", ["sdsim", "upgrade", f"store={tmp_path}"])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert not exit_info.value.code
    assert "1 runs of an earlier version rewritten" in capsys.readouterr().out


def test_what_else_is_in_a_runs_folder_is_kept(tmp_path: Path, caplog: Any) -> None:
    folder = write(tmp_path, old_record(0))
    (folder / "notes.txt").write_text("mine")
    assert upgrade(tmp_path) == 1
    assert (folder / "notes.txt").read_text() == "mine"
    assert "there is more in it than a run" in caplog.text


def test_what_is_damaged_or_foreign_is_left_alone(tmp_path: Path, caplog: Any) -> None:
    damaged = old_record(0)
    damaged["slices"][0]["correct"] = 51
    folder = write(tmp_path, damaged)
    (tmp_path / "notes.txt").write_text("mine")
    assert upgrade(tmp_path) == 0
    assert (folder / "run.json").exists()
    assert "is damaged" in caplog.text


def test_there_must_be_a_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        upgrade(tmp_path / "nowhere")


def test_a_run_of_schema_2_is_found_under_its_new_id(tmp_path: Path) -> None:
    """It had neither fixed examples nor early stops; of how it was trained there was one way."""
    config = json.loads(json.dumps(asdict(config_now(0))))
    del config["train"]["examples"], config["train"]["stop_accuracy"]
    slices = [
        {
            **{key: value for key, value in one.items() if key != "state_bytes"},
            **{"answers": 1, "state_bits": 256, "quantized": []},
        }
        for one in old_record(0)["slices"]
    ]
    new = {"schema": 2, "run_id": config_id(config), "config": config, "slices": slices}
    write(tmp_path, {**old_record(0), **new})
    assert upgrade(tmp_path) == 1
    table = load(tmp_path)
    assert set(table["run_id"]) == {run_id(config_now(0))}
    assert set(table["steps_done"]) == {40}
    assert set(table["ensemble"]) == {1}


def test_runs_of_schema_3_go_to_their_new_ids_or_stay(tmp_path: Path) -> None:
    """What had no choice of a window has the default; a machine has its id as before."""
    network = replace(config_now(0), train=TrainConfig(steps=3), test=TestConfig(examples=5))
    machine = replace(network, model=MachineConfig("one_pass", "one_pass"))
    expected = {}
    for run in (network, machine):
        now = tmp_path / "now"
        Store(now).write(run, execute(run), device="cpu")
        record = json.loads((now / run_id(run) / "run.json").read_text())
        expected[run_id(run)] = record
        old = json.loads(json.dumps(record)) | {"schema": 3, "ensemble": 4}
        old["config"]["model"].pop("window", None)
        old["run_id"] = config_id(old["config"])
        write(tmp_path / "old", old)
    assert (tmp_path / "old" / run_id(machine)).exists()
    assert not (tmp_path / "old" / run_id(network)).exists()
    assert upgrade(tmp_path / "old") == 2
    found = {
        folder.name: json.loads((folder / "run.json").read_text())
        for folder in (tmp_path / "old").iterdir()
        if folder.name[0] != "."
    }
    assert found == {identity: {**one, "ensemble": 4} for identity, one in expected.items()}
    assert [entry.name for entry in (tmp_path / "old" / run_id(machine)).iterdir()] == ["run.json"]
    assert upgrade(tmp_path / "old") == 0
