import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sdsim.config import RunConfig
from sdsim.intervals import wilson
from sdsim.results import RECORD, Store, load, run_id
from sdsim.train import TrainResult

Invent = Callable[..., TrainResult]


def test_id_depends_on_every_field_and_on_nothing_else(small_run: RunConfig) -> None:
    identity = run_id(small_run)
    assert identity == run_id(replace(small_run))
    others = [
        replace(small_run, seed=1),
        replace(small_run, model=replace(small_run.model, width=10)),
        replace(small_run, task=replace(small_run.task, passes=2)),
        replace(small_run, train=replace(small_run.train, lr=1e-4)),
    ]
    assert len({identity, *map(run_id, others)}) == 5


def test_a_stored_run_comes_back_as_rows(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    assert run_id(small_run) in store
    short, long = load(store.path).sort("size_a").iter_rows(named=True)
    assert (short["size_a"], short["size_b"], short["order"]) == (2, 4, "short_first")
    assert (long["size_a"], long["size_b"], long["order"]) == (4, 2, "long_first")
    assert (short["accuracy"], long["accuracy"]) == (0.9, 0.6)
    assert (short["accuracy_low"], short["accuracy_high"]) == wilson(90, 100)
    assert short["chance"] == 0.5
    assert short["universe_size"] == 8
    expected = {
        "run_id": run_id(small_run),
        "model": "gru",
        "task": "set_disjointness",
        "passes": 1,
        "state_numel": 8,
        "state_bytes": 32,
        "params": 10,
        "lr": small_run.train.lr,
        "seed": 0,
        "loss": 0.5,
        "steps": 20,
        "seconds": 1.0,
        "device": "cpu",
    }
    assert {key: short[key] for key in expected} == expected
    assert "torch" in json.loads(short["versions"])
    assert "commit" in short


def test_loss_that_is_not_finite_is_null_not_zero(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    result = invented_result(small_run, [1, 1])
    broken = replace(result.slices[0], loss=float("nan"))
    store.write(
        small_run,
        replace(result, slices=[broken, result.slices[1]], train_loss=float("inf")),
        device="cpu",
    )
    table = load(store.path)
    assert table["loss"].to_list() == [None, 0.5]
    assert table["train_loss"].to_list() == [None, None]


def test_the_first_writer_of_a_run_stays(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    for correct in ([90, 60], [10, 20]):
        store.write(small_run, invented_result(small_run, correct), device="cpu")
    assert load(store.path)["correct"].to_list() == [90, 60]
    assert [entry.name for entry in store.path.iterdir()] == [run_id(small_run)]


def damage_truncated(run: Path) -> None:
    (run / RECORD).write_text((run / RECORD).read_text()[:100])


def damage_binary(run: Path) -> None:
    (run / RECORD).write_bytes(b"\xff\xfe\x00")


def damage_empty_folder(run: Path) -> None:
    (run / RECORD).unlink()


def damage_other_schema(run: Path) -> None:
    (run / RECORD).write_text(json.dumps(json.loads((run / RECORD).read_text()) | {"schema": 0}))


def damage_other_config(run: Path) -> None:
    record = json.loads((run / RECORD).read_text())
    record["config"]["seed"] = 77
    (run / RECORD).write_text(json.dumps(record))


def damage_impossible_count(run: Path) -> None:
    record = json.loads((run / RECORD).read_text())
    record["slices"][0]["correct"] = 1000
    (run / RECORD).write_text(json.dumps(record))


def damage_not_a_record(run: Path) -> None:
    (run / RECORD).write_text("[1, 2]")


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncated,
        damage_binary,
        damage_empty_folder,
        damage_other_schema,
        damage_other_config,
        damage_impossible_count,
        damage_not_a_record,
    ],
)
def test_damage_is_named_skipped_and_kept(
    damage: Callable[[Path], None],
    store: Store,
    small_run: RunConfig,
    invented_result: Invent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = small_run, replace(small_run, seed=1)
    for config in (good, bad):
        store.write(config, invented_result(config, [90, 60]), device="cpu")
    folder = store.path / run_id(bad)
    damage(folder)
    left = {file.name: file.read_bytes() for file in folder.iterdir()}

    assert set(load(store.path)["run_id"]) == {run_id(good)}
    assert run_id(bad) in caplog.text
    assert run_id(bad) not in store

    # Done again, the run takes its place; the damaged files are still there, beside it.
    store.write(bad, invented_result(bad, [80, 50]), device="cpu")
    assert set(load(store.path)["run_id"]) == {run_id(good), run_id(bad)}
    (aside,) = store.path.glob(f"{run_id(bad)}.damaged-*")
    assert {file.name: file.read_bytes() for file in aside.iterdir()} == left


def test_foreign_files_are_named_and_left_alone(
    store: Store, small_run: RunConfig, invented_result: Invent, caplog: pytest.LogCaptureFixture
) -> None:
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    (store.path / "notes.txt").write_text("mine")
    (store.path / "0123456789abcdef").write_text("a file with a run's name")
    (store.path / "photos").mkdir()
    with caplog.at_level(logging.WARNING):
        assert len(load(store.path)) == 2
    for name in ("notes.txt", "0123456789abcdef", "photos"):
        assert name in caplog.text
    assert (store.path / "notes.txt").read_text() == "mine"


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no finished run"):
        load(tmp_path)


def test_unwritable_places(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "store"):
        with pytest.raises(ValueError, match="cannot write in"):
            Store(place).check_writable()
    Store(tmp_path / "a" / "b").check_writable()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


PRELUDE = """
import sys, time
from dataclasses import replace
from sdsim.config import RunConfig
from sdsim.models import ModelConfig
from sdsim.results import Store
from sdsim.train import TrainResult

config = RunConfig(ModelConfig(name="gru", mixers=("gru",)))
store = Store(sys.argv[1])

def write(seed):
    store.write(replace(config, seed=seed), TrainResult([], 1, 0.0, 0.0), device="cpu")

print("ready", flush=True)
"""


def start(script: str, *arguments: object) -> "subprocess.Popen[bytes]":
    """A process of its own that has got as far as printing a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, *map(str, arguments)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def runs_in(store: Store) -> list[str]:
    return [entry.name for entry in store.path.iterdir() if not entry.name.startswith(".")]


def test_kill_9_while_writing_leaves_whole_runs_only(store: Store) -> None:
    stored = 0
    for attempt in range(3):
        endless = f"for seed in range({attempt} * 10**6, 10**9): write(seed)"
        with start(endless, store.path) as writer:
            time.sleep(0.3 + 0.037 * attempt)
            writer.kill()
        runs = runs_in(store)
        assert len(runs) > max(5, stored)
        assert all(name in store for name in runs)
        stored = len(runs)


def test_many_writers_lose_nothing(store: Store) -> None:
    overlapping = ["range(40)", "reversed(range(40))", "range(20, 60)"]
    scripts = [f"sys.stdin.readline()\nfor seed in {seeds}: write(seed)" for seeds in overlapping]
    writers = [start(script, store.path) for script in scripts]
    for writer in writers:
        with writer:
            pass
        assert writer.returncode == 0
    assert len(runs_in(store)) == 60
    assert all(name in store for name in runs_in(store))


def test_a_claim_is_exclusive_and_dies_with_its_holder(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    identity = run_id(small_run)
    hold = "with store.claim(sys.argv[2]): print('held', flush=True); time.sleep(600)"
    with start(hold, store.path, identity) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with store.claim(identity) as is_ours:
            assert not is_ours
        with store.claim("another") as is_ours:
            assert is_ours
        holder.kill()
    with store.claim(identity) as is_ours:
        assert is_ours
        store.write(small_run, invented_result(small_run, [1, 2]), device="cpu")
    with store.claim(identity) as is_ours:
        assert not is_ours, "it is done"
