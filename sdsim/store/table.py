"""All runs of some stores as one table."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import polars as pl

from sdsim.config import (
    AlgorithmConfig,
    EvalConfig,
    ModelConfig,
    ModuleConfig,
    RunConfig,
    TaskConfig,
    TrainConfig,
    added_fields,
)
from sdsim.store.architecture import architecture, reader
from sdsim.store.curve import read_curve
from sdsim.store.held import CodeNumber, Held, read_rows
from sdsim.store.intervals import wilson
from sdsim.store.record import RECORD, Record, read_record
from sdsim.training.result import CurvePoint, SliceResult

logger = logging.getLogger(__name__)

_OTHER_FILES = {"figures", "README.md", "card.json", "report.html"}
_SORTED = ("model", "state_bits", "width", "feature_dim", "lr", "seed", "size_a", "size_b")


def load(*stores: Path | str) -> pl.DataFrame:
    """All runs of some stores as one table, a row for each run and test slice, in a fixed order.

    Columns and their types are those of `columns`, whatever the stores hold; an empty store is a
    table without rows. A run that several stores have is that of the first.

    Columns: store, as given; run_id; `config_columns` (the run's config, flat; null where a model
    has no such option); reader and architecture of the model, see `sdsim.store.architecture`; the
    fields of `SliceResult`, correct and validation_correct counting right answers over `answers`
    (examples' worth); accuracy with its Wilson 95 % interval (accuracy_low, accuracy_high; the
    answers of an example count as one observation), validation_accuracy, above_chance,
    last_set_chance, state_bytes, state_source (whether the state's size is measured, stated or
    unknown; null sizes where it is unknown); params, train_loss, diverged (a loss of a network is
    not finite), steps_done, converged, ensemble, seconds, device, versions, commit; quantized, a
    list of structs with bits (per number), state_bits (in all) and correct; held, a list of structs
    with position, bits, low and high, and code, one with number, element and share: what
    `sdsim probe` found; curve, a list of structs with step, loss and accuracy, as in `CurvePoint`,
    and slice_accuracy, on the sizes of the slice, null where this is not known.

    What is in the folder but is no run, or cannot be read, is named in a warning and left alone;
    other stores in it are not read. A run whose learning curve is damaged is read without it, and
    a warning says so.

    Args:
        stores: folders of runs, at least one.

    Raises:
        ValueError: for no store, or if there is no such folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as empty:
    ...     table = load(empty)
    >>> len(table), table.schema["accuracy"], table.schema["state_bits"]
    (0, Float64, Int64)
    """
    if not stores:
        raise ValueError("stores: at least one folder of runs")
    rows: dict[str, list[dict[str, Any]]] = {}
    for store in stores:
        for identity, of_run in _runs(Path(store)):
            rows.setdefault(identity, [{"store": str(store), **row} for row in of_run])
    table = pl.DataFrame([row for of_run in rows.values() for row in of_run], columns())
    return table.sort(*_SORTED, "run_id")


def load_runs(*stores: Path | str) -> pl.DataFrame:
    """As `load`, of stores that hold a run.

    Raises:
        ValueError: if none does; also as `load`.
    """
    table = load(*stores)
    if table.is_empty():
        names = ", ".join(map(str, stores))
        raise ValueError(f"store = {names}: it holds no finished run; `sdsim sweep` makes some")
    return table


def _runs(store: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The id of each run of a store, and its rows."""
    if not store.is_dir():
        raise ValueError(f"store = {store}: there is no such folder; `sdsim sweep` makes one")
    for entry in sorted(store.iterdir()):
        if entry.name.startswith(".") or entry.name in _OTHER_FILES or _is_store(entry):
            continue
        try:
            record = read_record(entry)
            held, code = read_rows(entry, Held), read_rows(entry, CodeNumber)
            yield record.run_id, _rows(record, held, code, _curve(entry, record))
        except ValueError as error:
            logger.warning("skipped: %s", error)


@cache
def columns() -> dict[str, pl.DataType]:
    """The columns of `load`, and their types."""
    text, number, whole, yes_no = pl.String(), pl.Float64(), pl.Int64(), pl.Boolean()
    slices = {name: _type(hint) for name, hint in get_type_hints(SliceResult).items()}
    record = {name: _type(hint) for name, hint in get_type_hints(Record).items()}
    return {
        "store": text,
        "run_id": text,
        **_config_types(),
        "reader": text,
        "architecture": text,
        "state_source": text,
        **{name: record[name] for name in ("params", "train_loss")},
        "diverged": yes_no,
        **{name: record[name] for name in ("steps_done", "converged", "ensemble", "seconds")},
        **dict.fromkeys(("device", "versions", "commit"), text),
        **slices,
        "correct": number,
        "validation_correct": number,
        "validation_accuracy": number,
        "quantized": _structs(bits=whole, state_bits=whole, correct=number),
        "state_bytes": whole,
        **dict.fromkeys(("accuracy", "accuracy_low", "accuracy_high", "above_chance"), number),
        "last_set_chance": number,
        "held": _structs(position=whole, bits=number, low=number, high=number),
        "code": _structs(number=whole, element=whole, share=number),
        "curve": _structs(step=whole, loss=number, accuracy=number, slice_accuracy=number),
    }


def _structs(**fields: pl.DataType) -> pl.DataType:
    return pl.List(pl.Struct(fields))


def _type(hint: Any) -> pl.DataType:
    """The type of a column of such values; lists and dictionaries are text."""
    if get_origin(hint) is Annotated:
        return _type(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        kinds = {_type(kind) for kind in get_args(hint) if kind is not type(None)}
        return kinds.pop() if len(kinds) == 1 else pl.Float64()  # of int | float
    return {int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean()}.get(hint, pl.String())


def _config_types() -> dict[str, pl.DataType]:
    """The type of each column that is a setting of a run."""
    hints: dict[str, Any] = {"seed": int}
    for kind in (ModelConfig, ModuleConfig, AlgorithmConfig, TaskConfig, TrainConfig, EvalConfig):
        hints = {**get_type_hints(kind), **hints}
    hints |= {"model": str, "task": str, "test_examples": int, "validation_examples": int}
    return {name: _type(hints[name]) for name in config_columns()}


def _curve(folder: Path, record: Record) -> list[CurvePoint]:
    """A run's curve; what the run measured stands without it."""
    try:
        return read_curve(folder, record.config["task"]["train_sizes"])
    except ValueError as error:
        logger.warning("read without its learning curve: %s", error)
        return []


def _is_store(entry: Path) -> bool:
    """Whether a folder is itself a store; one beside runs is read by itself."""
    return (entry / ".locks").is_dir() or any(entry.glob(f"*/{RECORD}"))


def config_columns() -> tuple[str, ...]:
    """The columns of `load` that are settings of a run, as opposed to what it measured."""
    network = RunConfig(ModelConfig("", ("gru",)))
    module = RunConfig(ModuleConfig("", ""))
    algorithm = RunConfig(AlgorithmConfig("", "one_pass"))
    configs = (_config_columns(asdict(run)) for run in (network, module, algorithm))
    return tuple(dict.fromkeys(name for columns in configs for name in columns))


def above_chance(accuracy: float, chance: float) -> float | None:
    """Accuracy on a scale from 0, guessing, to 1, no error; None where guessing makes no error.

    >>> above_chance(0.75, 0.5)
    0.5
    """
    return (accuracy - chance) / (1 - chance) if chance < 1 else None


def last_set_chance(task: dict[str, Any], size_b: int) -> float | None:
    """Accuracy of naming any token of B, the set that stands last, where a shared one is asked for.

    It asks for no memory across the separator, and differs between the orders; `chance` is that of
    the best guess of this kind, any token of the smaller set.

    Args:
        task: a stored `sdsim.config.TaskConfig`.
        size_b: |B|.

    Returns:
        1/|B|; None for other tasks, and for decisions.

    >>> last_set_chance({"name": "set_disjointness", "options": {}}, 4)
    0.25
    >>> last_set_chance({"name": "set_disjointness", "options": {"answer": "decision"}}, 4)
    """
    asks_for_tokens = task["options"].get("answer", "token") != "decision"
    return 1 / size_b if task["name"] == "set_disjointness" and asks_for_tokens else None


def _rows(
    record: Record, held: list[Held], code: list[CodeNumber], curve: Sequence[CurvePoint]
) -> list[dict[str, Any]]:
    """A row of the table for each slice of a run."""
    losses = [record.train_loss, *(measured.loss for measured in record.slices)]
    is_network = "machine" not in record.config["model"]
    shared = {
        "run_id": record.run_id,
        **_config_columns(record.config),
        "reader": record.reader or reader(record.config["model"], record.bidirectional_prefix),
        "architecture": architecture(record.config["model"]),
        "state_source": record.state_source,
        "params": record.params,
        "train_loss": record.train_loss,
        "diverged": is_network and None in losses,
        "steps_done": record.steps_done,
        "converged": record.converged,
        "ensemble": record.ensemble,
        "seconds": record.seconds,
        "device": record.device,
        "versions": json.dumps(record.versions, sort_keys=True),
        "commit": record.commit,
    }
    return [
        shared
        | _slice_columns(measured, record.config["test"].get("validation", 0))
        | {
            "last_set_chance": last_set_chance(record.config["task"], measured.size_b),
            "held": _of_slice(measured, held, ("position", "bits", "low", "high")),
            "code": _of_slice(measured, code, ("number", "element", "share")),
            "curve": _curve_on(curve, record.config["task"]["train_sizes"], sizes),
        }
        for measured, sizes in zip(
            record.slices,
            record.config["task"]["test_sizes"] or record.config["task"]["train_sizes"],
            strict=True,
        )
    ]


def _curve_on(
    curve: Sequence[CurvePoint], train_sizes: list[list[int]], sizes: list[int]
) -> list[dict[str, Any]]:
    """The points of a run, with the accuracy on one pair of its sizes."""
    place = train_sizes.index(sizes) if sizes in train_sizes else None
    alone = len(train_sizes) == 1

    def on_sizes(point: CurvePoint) -> float | None:
        if place is None:
            return None
        return point.accuracy if alone else dict(enumerate(point.by_task)).get(place)

    return [
        {
            "step": point.step,
            "loss": point.loss,
            "accuracy": point.accuracy,
            "slice_accuracy": on_sizes(point),
        }
        for point in curve
    ]


def _of_slice(
    measured: SliceResult, rows: Sequence[Held | CodeNumber], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Some fields of the rows of a slice."""
    return [
        {name: getattr(row, name) for name in names}
        for row in rows
        if (row.size_a, row.size_b) == (measured.size_a, measured.size_b)
    ]


def _config_columns(config: dict[str, Any]) -> dict[str, Any]:
    """A config, flat: every setting a column, lists as text."""
    model, task, train, test = (
        added_fields(name, config[name]) | config[name]
        for name in ("model", "task", "train", "test")
    )
    test["test_examples"] = test.pop("examples")  # the table's are those of a slice
    test["validation_examples"] = test.pop("validation")
    columns = {"model": model.pop("name"), **model, "task": task.pop("name"), **task}
    columns |= {**train, **test, "seed": config["seed"]}
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, (list, tuple, dict)) else value
        for name, value in columns.items()
    }


def _slice_columns(measured: SliceResult, validation_examples: int) -> dict[str, Any]:
    """The fields of a slice's result, and what follows from them."""
    correct = measured.correct / measured.answers
    validation = measured.validation_correct
    validation_correct = None if validation is None else validation / measured.answers
    low, high = wilson(correct, measured.examples)
    accuracy = correct / measured.examples
    return asdict(measured) | {
        "correct": correct,
        "validation_correct": validation_correct,
        "validation_accuracy": (
            None if validation_correct is None else validation_correct / validation_examples
        ),
        "quantized": [
            asdict(less) | {"correct": less.correct / measured.answers}
            for less in measured.quantized
        ],
        "state_bytes": None if measured.state_bits is None else math.ceil(measured.state_bits / 8),
        "accuracy": accuracy,
        "accuracy_low": low,
        "accuracy_high": high,
        "above_chance": above_chance(accuracy, measured.chance),
    }
