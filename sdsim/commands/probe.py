"""`sdsim probe`: how many bits of A the states of stored models hold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console
from sdsim.config import STRICT, Count, ModelConfig

if TYPE_CHECKING:
    from sdsim.models import LanguageModel
    from sdsim.store.held import CodeNumber, Held
    from synthetic import SetDisjointness

logger = logging.getLogger(__name__)

HELP = """\
sdsim probe: measure how many bits of A the states of stored models hold: a lower bound, by a probe
that names A from the state. For runs of set disjointness that were stored with keep=weights. Of
models with a budget of bits, also how much of each number that crosses from A to B is the
membership of a single element.

  sdsim sweep sweep=memory keep=weights store=runs/memory
  sdsim probe store=runs/memory                    at the boundary between A and B
  sdsim probe store=runs/memory positions=all      after every token
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim probe``.

    Attributes:
        store: folder of runs; each gets a held.csv, and with a budget a code.csv.
        runs: their ids; empty: all that have weights.
        positions: boundary, the first one between A and B; or all: after every token.
        examples: that a probe is trained and tested on.
        threads: threads of torch, on the CPU.
    """

    store: str = "runs/default"
    runs: tuple[str, ...] = ()
    positions: Literal["boundary", "all"] = "boundary"
    examples: Annotated[int, Field(ge=50)] = 4096
    threads: Count = 1


def run(config: Config) -> None:
    """Probe the runs that were not probed so before, and print what their states hold."""
    import torch

    from sdsim.store.held import Held, read_rows
    from sdsim.store.weights import runs_with_weights

    store = Path(config.store)
    names = list(config.runs) or runs_with_weights(store)
    if not names:
        raise ValueError(f"store = {store}: no run has weights; `keep=weights` stores them")
    torch.set_num_threads(config.threads)
    shown: list[Held] = []
    with Bar("probing", "runs") as bar:
        for done, name in enumerate(names):
            bar.show(done, len(names))
            before = read_rows(store / name, Held)
            try:
                shown += _probe_run(config, name, before)
            except ValueError as error:
                if config.runs:
                    raise
                logger.warning("skipped: %s: %s", name, error)
        bar.show(len(names), len(names))
    import polars as pl

    console.print(as_table(pl.DataFrame(shown)))


def _probe_run(config: Config, name: str, before: list[Held]) -> list[Held]:
    """Measure and store what a run lacks beside the rows that it has; the rows asked for."""
    from sdsim.store.held import CodeNumber, Held, read_rows, write_rows
    from sdsim.store.record import read_record
    from sdsim.store.weights import config_of, load_model
    from sdsim.training.tasks import eval_tasks
    from synthetic import SetDisjointness

    folder = Path(config.store) / name
    run = config_of(read_record(folder))
    tasks = [task for task in eval_tasks(run.task) if isinstance(task, SetDisjointness)]
    if not tasks:
        raise ValueError(f"it is on {run.task.name}, not on set disjointness")
    positions = [(task, _positions(config, task)) for task in tasks]
    wanted = [
        (task.size_a, task.size_b, position) for task, chosen in positions for position in chosen
    ]
    rows = {row.place: row for row in before}
    known = {place for place, row in rows.items() if row.examples == config.examples}
    counted = {number.examples for number in read_rows(folder, CodeNumber)}
    has_code = (
        isinstance(run.model, ModelConfig)
        and run.model.has_budget
        and run.model.state_quantized_at == "boundaries"
    )
    lacks_held = not known.issuperset(wanted)
    lacks_code = has_code and counted != {config.examples}
    if lacks_held or lacks_code:
        model = load_model(config.store, name)
        if lacks_held:
            rows |= {row.place: row for row in _held(config, model, positions)}
            write_rows(folder, Held, [rows[place] for place in sorted(rows)])
        if lacks_code:
            write_rows(folder, CodeNumber, _code(config, model, tasks))
    return [rows[place] for place in wanted]


def _positions(config: Config, task: SetDisjointness) -> list[int]:
    """The numbers of tokens after which a state is probed."""
    if config.positions == "boundary":
        return [task.segment_boundaries[0]]
    return list(range(1, task.seq_len + 1))


def _held(
    config: Config, model: LanguageModel, positions: list[tuple[SetDisjointness, list[int]]]
) -> list[Held]:
    """What is held at these positions."""
    from sdsim.store.held import Held
    from sdsim.training.probe import held_bits_over_time, reader_within

    rows = []
    for task, chosen in positions:
        found = held_bits_over_time(
            reader_within(model, task), task, chosen, examples=config.examples
        )
        rows += [
            Held(
                task.size_a,
                task.size_b,
                position,
                held.bits,
                held.low,
                held.high,
                held.total_bits,
                config.examples,
            )
            for position, held in found
        ]
    return rows


def _code(config: Config, model: LanguageModel, tasks: list[SetDisjointness]) -> list[CodeNumber]:
    """What each number says that crosses the first boundary."""
    from sdsim.store.held import CodeNumber
    from sdsim.training.code import explained_by_elements
    from sdsim.training.probe import reader_within, states_over_time

    rows = []
    for task in tasks:
        (snapshot,) = states_over_time(
            reader_within(model, task),
            task,
            [task.segment_boundaries[0]],
            examples=config.examples,
            seed=0,
        )
        found = explained_by_elements(snapshot.states, snapshot.sets, task.universe_size)
        rows += [
            CodeNumber(task.size_a, task.size_b, number, *explained, config.examples)
            for number, explained in enumerate(found)
        ]
    return rows


COMMAND = Command.of(
    Config,
    name="probe",
    summary="measure the bits of A that stored models hold",
    help=HELP,
    run=run,
)
