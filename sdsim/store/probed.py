"""Probing stored models: what their states hold of A, kept beside their runs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from sdsim.config import ModelConfig
from sdsim.models import LanguageModel, Network
from sdsim.store.held import CodeNumber, Held, read_rows, write_rows
from sdsim.store.record import read_record
from sdsim.store.weights import config_of, load_model
from sdsim.training.code import explained_by_elements
from sdsim.training.probe import held_bits_over_time, reader_within, states_over_time
from sdsim.training.tasks import eval_tasks
from synthetic import SetDisjointness

Positions: TypeAlias = Literal["boundary", "all"]
"""Where states are probed: at the first boundary between A and B, or after every token."""


def probe_run(store: Path | str, name: str, positions: Positions, examples: int) -> list[Held]:
    """Measure and store what a run lacks beside the rows that it has; the rows asked for.

    Args:
        store: folder of runs.
        name: the run's id; it was stored with its weights.
        positions: see `Positions`.
        examples: that a probe is trained and tested on.

    Raises:
        ValueError: where the run is not on set disjointness, or has no weights, or a state that
            cannot be reached.
    """
    folder = Path(store) / name
    run = config_of(read_record(folder))
    tasks = [task for task in eval_tasks(run.task) if isinstance(task, SetDisjointness)]
    if not tasks:
        raise ValueError(f"it is on {run.task.name}, not on set disjointness")
    chosen = [(task, _positions(positions, task)) for task in tasks]
    wanted = [(task.size_a, task.size_b, position) for task, at in chosen for position in at]
    rows = {row.place: row for row in read_rows(folder, Held)}
    known = {place for place, row in rows.items() if row.examples == examples}
    counted = {number.examples for number in read_rows(folder, CodeNumber)}
    has_code = (
        isinstance(run.model, ModelConfig)
        and run.model.has_budget
        and run.model.state_quantized_at == "boundaries"
    )
    lacks_held = not known.issuperset(wanted)
    lacks_code = has_code and counted != {examples}
    if lacks_held or lacks_code:
        model = _with_state(load_model(store, name))
        if lacks_held:
            rows |= {row.place: row for row in _held(model, chosen, examples)}
            write_rows(folder, Held, [rows[place] for place in sorted(rows)])
        if lacks_code:
            write_rows(folder, CodeNumber, _code(model, tasks, examples))
    return [rows[place] for place in wanted]


def _with_state(model: Network) -> LanguageModel:
    if not isinstance(model, LanguageModel) or not model.measures_state:
        raise ValueError(
            f"the state of {model.config.name} cannot be probed: a module of it has no prefill and "
            "step"
        )
    return model


def _positions(positions: Positions, task: SetDisjointness) -> list[int]:
    """The numbers of tokens after which a state is probed."""
    if positions == "boundary":
        return [task.segment_boundaries[0]]
    return list(range(1, task.seq_len + 1))


def _held(
    model: LanguageModel, chosen: list[tuple[SetDisjointness, list[int]]], examples: int
) -> list[Held]:
    """What is held at these positions."""
    rows = []
    for task, positions in chosen:
        found = held_bits_over_time(reader_within(model, task), task, positions, examples=examples)
        rows += [
            Held(
                task.size_a,
                task.size_b,
                position,
                held.bits,
                held.low,
                held.high,
                held.total_bits,
                examples,
            )
            for position, held in found
        ]
    return rows


def _code(model: LanguageModel, tasks: list[SetDisjointness], examples: int) -> list[CodeNumber]:
    """What each number says that crosses the first boundary."""
    rows = []
    for task in tasks:
        (snapshot,) = states_over_time(
            reader_within(model, task),
            task,
            [task.segment_boundaries[0]],
            examples=examples,
            seed=0,
        )
        found = explained_by_elements(snapshot.states, snapshot.sets, task.universe_size)
        rows += [
            CodeNumber(task.size_a, task.size_b, number, *explained, examples)
            for number, explained in enumerate(found)
        ]
    return rows
