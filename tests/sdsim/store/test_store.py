import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import polars as pl
import pytest
import torch

from sdsim.config import (
    ADDED_FIELDS,
    AlgorithmConfig,
    EvalConfig,
    RunConfig,
    TaskConfig,
    config_id,
    run_id,
)
from sdsim.store.intervals import wilson
from sdsim.store.record import RECORD
from sdsim.store.store import Store
from sdsim.store.table import columns, config_columns, load, load_runs
from sdsim.training import checkpoint
from sdsim.training.result import QuantizedResult, RunResult, finite_or_none
from sdsim.training.run import execute
from sdsim.training.trainer import SequentialTrainer

Invent = Callable[..., RunResult]


def test_id_depends_on_every_field_and_on_nothing_else(small_run: RunConfig) -> None:
    identity = run_id(small_run)
    assert identity == run_id(replace(small_run))
    others = [
        replace(small_run, seed=1),
        replace(small_run, model=replace(small_run.model, width=10)),
        replace(small_run, task=replace(small_run.task, passes=2)),
        replace(small_run, task=replace(small_run.task, options={"answer": "decision"})),
        replace(small_run, train=replace(small_run.train, lr=1e-4)),
        replace(small_run, test=replace(small_run.test, bits=(4,))),
        replace(small_run, model=AlgorithmConfig("gru", "one_pass")),
    ]
    assert len({identity, *map(run_id, others)}) == 8


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
        "state_bits": 256,
        "state_bytes": 32,
        "answers": 1,
        "quantized": [],
        "test_examples": 40,
        "options": "{}",
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
    """Where it is measured: a result has no other loss."""
    broken = invented_result(small_run, [1, 1], losses=[float("nan"), 0.5])
    store.write(small_run, replace(broken, train_loss=finite_or_none(float("inf"))), device="cpu")
    table = load(store.path)
    assert table["loss"].to_list() == [None, 0.5]
    assert table["train_loss"].to_list() == [None, None]
    with pytest.raises(ValueError, match="finite number"):
        replace(broken, train_loss=float("inf"))


def test_right_answers_are_counted_in_examples(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    """Four answers an example: 100 examples make an interval, not 400 answers."""
    result = invented_result(small_run, [290, 400], answers=4)
    less = [QuantizedResult(2, 40, 100), QuantizedResult(8, 88, 290)]
    slices = [replace(one, quantized=less) for one in result.slices]
    store.write(small_run, replace(result, slices=slices), device="cpu")
    first, second = load(store.path).sort("size_a").iter_rows(named=True)
    assert (first["examples"], first["answers"], first["correct"]) == (100, 4, 72.5)
    assert first["accuracy"] == 0.725
    assert (first["accuracy_low"], first["accuracy_high"]) == wilson(72.5, 100)
    assert (second["correct"], second["accuracy"]) == (100, 1)
    assert first["quantized"] == [
        {"bits": 2, "state_bits": 40, "correct": 25},
        {"bits": 8, "state_bits": 88, "correct": 72.5},
    ]


@pytest.mark.parametrize("damage", [{"correct": 401}, {"answers": 0}, {"state_bits": 0}])
def test_counts_that_cannot_be_are_refused(
    small_run: RunConfig, invented_result: Invent, damage: dict[str, int]
) -> None:
    slices = invented_result(small_run, [400, 400], answers=4).slices
    with pytest.raises(ValueError, match=r"a count|greater than or equal to 1"):
        replace(slices[0], **damage)
    with pytest.raises(ValueError, match="a count of right answers"):
        replace(slices[0], quantized=[QuantizedResult(2, 40, 401)])


def test_machines_and_networks_share_a_table(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    machine = RunConfig(AlgorithmConfig("fingerprint", "fingerprint", budget=40), small_run.task)
    store.write(machine, execute(machine), device="cpu")
    alone = load(store.path)
    assert {"width", "machine", "lr", *config_columns()} <= set(alone.columns)
    less = [QuantizedResult(2, 40, 10)]
    result = invented_result(small_run, [90, 60])
    slices = [replace(result.slices[0], quantized=less), result.slices[1]]
    store.write(small_run, replace(result, slices=slices), device="cpu")

    rows = load(store.path).sort("model", "size_a").to_dicts()
    assert [row["model"] for row in rows] == ["fingerprint"] * 2 + ["gru"] * 2
    for row in rows[:2]:
        assert [row[name] for name in ("width", "mixers", "heads", "state_numel")] == [None] * 4
        assert (row["machine"], row["budget"], row["params"]) == ("fingerprint", 40, 0)
        assert (row["train_loss"], row["loss"], row["diverged"]) == (None, None, False)
        assert 1 <= row["state_bits"] <= 40
        assert row["state_bytes"] == -(-row["state_bits"] // 8)
    for row in rows[2:]:
        assert [row[name] for name in ("machine", "budget", "features")] == [None] * 3
        assert row["width"] == 8
    assert [len(row["quantized"]) for row in rows] == [0, 0, 1, 0]


def test_settings_that_are_no_numbers_are_text(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    task = TaskConfig(
        *("gar", "synthetic.GeneralAssociativeRecall", 16, ((4, 2), (3, 1))),
        options={"order": "query_first", "null_share": 0.5},
        curriculum=((0.5, (0.0, 1.0)),),
    )
    config = replace(small_run, task=task)
    store.write(config, invented_result(config, [1, 2]), device="cpu")
    row = load(store.path).to_dicts()[0]
    assert json.loads(row["options"]) == task.options
    assert json.loads(row["curriculum"]) == [[0.5, [0, 1]]]
    assert (row["task"], row["kind"]) == (task.name, task.kind)
    assert (row["size_a"], row["size_b"], row["order"]) == (1, 3, "query_first")


def test_the_first_writer_of_a_run_stays(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    for correct in ([90, 60], [10, 20]):
        store.write(small_run, invented_result(small_run, correct), device="cpu")
    assert load(store.path)["correct"].to_list() == [90, 60]
    assert [entry.name for entry in store.path.iterdir()] == [run_id(small_run)]


def truncate(text: str) -> bytes:
    return text.encode()[:100]


def make_binary(text: str) -> bytes:
    return b"\xff\xfe\x00"


def nest_deeply(text: str) -> bytes:
    return b"[" * 100_000


def replace_all(text: str) -> bytes:
    return b"[1, 2]"


def edit(*path: str | int, to: object = None, delete: bool = False) -> Callable[[str], bytes]:
    """Change or delete one field of the record."""

    def damage(text: str) -> bytes:
        record = node = json.loads(text)
        for step in path[:-1]:
            node = node[step]
        if delete:
            del node[path[-1]]
        else:
            node[path[-1]] = to
        return json.dumps(record).encode()

    damage.__name__ = f"{'-'.join(map(str, path))}-{'deleted' if delete else to}"
    return damage


FIELDS = ["params", "train_loss", "seconds", "device", "versions", "commit", "slices", "config"]
SLICE_FIELDS = [
    *("size_a", "size_b", "universe_size", "order", "chance", "seq_len", "examples", "correct"),
    *("answers", "loss", "state_numel", "state_bits", "quantized"),
]
DAMAGES = [
    *(truncate, make_binary, nest_deeply, replace_all),
    edit("schema", to=0),
    edit("config", "seed", to=77),
    edit("slices", to=[]),
    edit("slices", 0, "correct", to=1000),
    edit("slices", 0, "correct", to=1.5),
    edit("slices", 0, "size_a", to=3),
    edit("slices", 0, "state_bits", to=0),
    edit("slices", 0, "answers", to=0),
    edit("slices", 0, "quantized", to=[{"bits": 2, "state_bits": 9, "correct": 101}]),
    edit("slices", 0, "quantized", to=[{"bits": 2, "state_bits": 9}]),
    edit("schema", to=5),
    edit("schema", to="2"),
    edit("slices", 0, "surprise", to=0),
    *(edit(field, to=["x"]) for field in FIELDS),
    *(edit(field, delete=True) for field in FIELDS),
    *(edit("slices", 0, field, to=["x"]) for field in SLICE_FIELDS),
    *(edit("slices", 0, field, delete=True) for field in SLICE_FIELDS),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damage_is_named_skipped_and_kept(
    damage: Callable[[str], bytes],
    store: Store,
    small_run: RunConfig,
    invented_result: Invent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = small_run, replace(small_run, seed=1)
    for config in (good, bad):
        store.write(config, invented_result(config, [90, 60]), device="cpu")
    folder = store.path / run_id(bad)
    left = damage((folder / RECORD).read_text())
    (folder / RECORD).write_bytes(left)

    assert set(load(store.path)["run_id"]) == {run_id(good)}
    assert run_id(bad) in caplog.text
    assert run_id(bad) not in store

    # Done again, the run takes its place; the damaged files are still there, beside it.
    store.write(bad, invented_result(bad, [80, 50]), device="cpu")
    assert set(load(store.path)["run_id"]) == {run_id(good), run_id(bad)}
    (aside,) = store.path.glob(f"{run_id(bad)}.damaged-*")
    assert (aside / RECORD).read_bytes() == left


def test_an_empty_folder_of_a_run_is_no_run(
    store: Store, small_run: RunConfig, invented_result: Invent, caplog: pytest.LogCaptureFixture
) -> None:
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    (store.path / run_id(small_run) / RECORD).unlink()
    assert load(store.path).is_empty()
    assert run_id(small_run) in caplog.text


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
        load_runs(tmp_path)
    with pytest.raises(ValueError, match="at least one folder of runs"):
        load()


def test_tables_have_the_same_columns_and_types_whatever_the_stores_hold(
    store: Store, small_run: RunConfig, invented_result: Invent, tmp_path: Path
) -> None:
    algorithm = AlgorithmConfig("mine", "fingerprint", budget=8)
    run = replace(small_run, model=algorithm)
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    other, empty = Store(tmp_path / "other"), tmp_path / "empty"
    other.write(run, invented_result(run, [90, 60]), device="cpu")
    empty.mkdir()
    schemas = [load(path).schema for path in (store.path, other.path, empty)]
    assert schemas[0] == schemas[1] == schemas[2] == pl.Schema(columns())
    assert pl.Null() not in schemas[0].dtypes()
    assert set(config_columns()) < set(schemas[0])


def test_several_stores_are_one_table_and_a_run_counts_once(
    store: Store, small_run: RunConfig, invented_result: Invent, tmp_path: Path
) -> None:
    again = Store(tmp_path / "again")
    for place, right, seeds in ((store, 90, (0, 1)), (again, 70, (1, 2))):
        for seed in seeds:
            run = replace(small_run, seed=seed)
            place.write(run, invented_result(run, [right, 60]), device="cpu")
    table = load(store.path, again.path).filter(pl.col("size_a") == 2).sort("seed")
    assert table["accuracy"].to_list() == [0.9, 0.9, 0.7]
    assert table["store"].to_list() == [str(store.path)] * 2 + [str(again.path)]


def test_unwritable_places(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for place in (file, file / "store"):
        with pytest.raises(ValueError, match="cannot write in"):
            Store(place).check()
    Store(tmp_path / "a" / "b").check()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


PRELUDE = """
import sys, time
from dataclasses import asdict, replace
from sdsim.config import RunConfig
from sdsim.models import ModelConfig
from sdsim.store.store import Store
from sdsim.training.result import RunResult, SliceResult
from sdsim.training.tasks import eval_tasks

config = RunConfig(ModelConfig(name="gru", mixers=("gru",)))
slices = [
    SliceResult.of(task, examples=10, answers=1, correct=5, loss=0.5, state_numel=8,
                   state_bits=256, quantized=[])
    for task in eval_tasks(config.task)
]
result = RunResult(slices, params=1, train_loss=0.0, steps_done=1, ensemble=1, seconds=0.0)
store = Store(sys.argv[1])

def write(seed):
    store.write(replace(config, seed=seed), result, device="cpu")

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
    if not store.path.exists():
        return []
    return [entry.name for entry in store.path.iterdir() if not entry.name.startswith(".")]


def test_kill_9_while_writing_leaves_whole_runs_only(store: Store) -> None:
    stored = 0
    for attempt in range(3):
        endless = f"for seed in range({attempt} * 10**6, 10**9): write(seed)"
        with start(endless, store.path) as writer:
            while len(runs_in(store)) < stored + 6:
                time.sleep(0.001)
            time.sleep(0.0037 * attempt)
            writer.kill()
        runs = runs_in(store)
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


def test_a_field_that_is_added_leaves_old_runs_what_they_are(
    store: Store, small_run: RunConfig, invented_result: Invent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if `train.beta2` were new: runs stored without it are found, and have its default."""
    config = asdict(small_run)
    del config["train"]["beta2"]
    old = config_id(config)
    assert old != run_id(small_run)
    added = {**ADDED_FIELDS["TrainConfig"], "beta2": small_run.train.beta2}
    monkeypatch.setitem(ADDED_FIELDS, "TrainConfig", added)
    assert config_id(config) == run_id(small_run) == old
    other = replace(small_run, train=replace(small_run.train, beta2=0.5))
    assert run_id(other) != old
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    file = store.path / old / RECORD
    content = json.loads(file.read_text())
    del content["config"]["train"]["beta2"]
    file.write_text(json.dumps(content))
    assert old in store
    assert load(store.path)["beta2"].to_list() == [small_run.train.beta2] * 2


def _validated(run: RunConfig, result: RunResult, correct: list[int | None]) -> RunResult:
    pairs = zip(result.slices, correct, strict=True)
    return replace(
        result, slices=[replace(slice_, validation_correct=right) for slice_, right in pairs]
    )


def test_validation_is_a_column_and_no_part_of_older_ids(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    old = asdict(small_run)
    del old["test"]["validation"]
    assert config_id(old) == run_id(small_run)
    run = replace(small_run, test=EvalConfig(40, validation=50))
    assert run_id(run) != run_id(small_run)
    result = invented_result(run, [90, 60], answers=2)
    store.write(run, _validated(run, result, [80, 30]), device="cpu")
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    table = load(store.path).sort("validation_examples", "size_a", descending=[True, False])
    columns = ("validation_examples", "validation_correct", "validation_accuracy")
    assert table.select(columns).rows() == [
        (50, 40.0, 0.8),
        (50, 15.0, 0.3),
        (0, None, None),
        (0, None, None),
    ]


@pytest.mark.parametrize(
    ("drawn", "correct"), [(0, [1, 1]), (50, [None, None]), (50, [51, 1]), (50, [None, 1])]
)
def test_validation_that_does_not_fit_its_config_is_refused(
    drawn: int,
    correct: list[int | None],
    store: Store,
    small_run: RunConfig,
    invented_result: Invent,
) -> None:
    run = replace(small_run, test=EvalConfig(40, validation=drawn))
    result = _validated(run, invented_result(run, [90, 60]), correct)
    with pytest.raises(ValueError, match="validation"):
        store.write(run, result, device="cpu")


def test_a_store_beside_runs_is_not_a_run(
    store: Store, small_run: RunConfig, invented_result: Invent, caplog: pytest.LogCaptureFixture
) -> None:
    store.write(small_run, invented_result(small_run, [90, 60]), device="cpu")
    other = Store(store.path / "mine")
    other.write(replace(small_run, seed=1), invented_result(small_run, [1, 2]), device="cpu")
    assert load(store.path)["seed"].unique().to_list() == [0]
    assert load(other.path)["seed"].unique().to_list() == [1]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("said", "reader"), [(True, "prefix"), (False, "causal"), (None, "unknown")]
)
def test_a_model_of_ones_own_says_how_it_reads(
    said: bool | None, reader: str, store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    own = replace(small_run, model=replace(small_run.model, mixers=("mine.Mixer",)))
    result = replace(invented_result(own, [1, 2]), bidirectional_prefix=said)
    store.write(own, result, device="cpu")
    assert load(store.path)["reader"].to_list() == [reader] * 2


def test_runs_that_have_begun_say_how_far_they_are(
    store: Store, small_run: RunConfig, invented_result: Invent
) -> None:
    configs = [replace(small_run, seed=seed) for seed in range(4)]
    identities = [run_id(config) for config in configs]
    assert store.begun(identities) == []
    for steps, config in zip((2, 3), configs, strict=False):
        trainer = SequentialTrainer(config, torch.device("cpu"))
        for _ in range(steps):
            trainer.step()
        checkpoint.save(store.checkpoint(config), trainer.snapshot(0, 0.0))
    store.checkpoint(configs[2]).write_bytes(b"half of a")
    store.write(configs[3], invented_result(configs[3], [90, 60]), device="cpu")
    assert sorted(store.begun(identities)) == [2, 3]
    assert store.begun(identities[1:]) == [3]
