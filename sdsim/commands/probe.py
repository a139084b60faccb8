"""`sdsim probe`: how many bits of A the states of stored models hold."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console
from sdsim.config import STRICT, Count

if TYPE_CHECKING:
    from sdsim.store.held import Held

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

    from sdsim.store.probed import probe_run
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
            try:
                shown += probe_run(store, name, config.positions, config.examples)
            except ValueError as error:
                if config.runs:
                    raise
                logger.warning("skipped: %s: %s", name, error)
        bar.show(len(names), len(names))
    import polars as pl

    console.print(as_table(pl.DataFrame(shown)))


COMMAND = Command.of(
    Config,
    name="probe",
    summary="measure the bits of A that stored models hold",
    help=HELP,
    run=run,
)
