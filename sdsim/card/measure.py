"""Measuring a card: its runs, probes of some of them, its speeds, and the record of all that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import polars as pl
import torch

from kernels.bench import device_name, threads
from sdsim.card.carried import state_bits, state_numbers, takes_budget
from sdsim.card.protocol import (
    BITS,
    LONG_FIRST,
    PROTOCOLS,
    VERSION,
    VOCAB_SIZE,
    Block,
    Protocol,
    Size,
)
from sdsim.card.record import CardRecord, Speed
from sdsim.card.speed import speeds
from sdsim.config import ModelConfig, ModuleConfig, RunConfig, TaskConfig
from sdsim.store.probed import probe_run
from sdsim.store.provenance import commit, versions
from sdsim.store.selection import with_chosen_rate
from sdsim.store.table import load
from sdsim.store.weights import runs_with_weights
from sdsim.sweep.grid import Grid
from sdsim.sweep.launch import sweep

_TOKENS = sum(LONG_FIRST) + 2
"""Of an input of the protocol: the sets and the separators after them."""

Progress: TypeAlias = Callable[[str, int, int, str], None]
"""Takes what is being done, how much of it is done, how much there is, and a word more."""


def measure(
    model: ModelConfig | ModuleConfig,
    store: Path,
    size: Size,
    words: list[str],
    on_progress: Progress = lambda doing, done, total, note: None,
    *,
    protocol: Protocol | None = None,
) -> CardRecord:
    """Do what the store of a card lacks; its speeds are measured anew.

    Args:
        model: the architecture, without a budget.
        store: folder of the card's runs.
        size: of the protocol.
        words: overrides that ask for the model, and say how to run.
        on_progress: see `Progress`; called from another thread.
        protocol: in place of that of `size`.

    Returns:
        The card's record, which is in the store by then.

    Raises:
        ValueError: for a model that cannot be built; nothing has been written then.
        RuntimeError: if a run failed; the others are stored.
    """
    card = _Card(words, store, protocol or PROTOCOLS[size], on_progress)
    numbers = None
    if isinstance(model, ModelConfig) and takes_budget(model):
        numbers = partial(state_numbers, model)
    rated = card.sweep("choosing the learning rate", card.protocol.rate_blocks(numbers))
    lr = _chosen_rate(rated)
    table = card.sweep("measuring", card.protocol.memory_blocks(numbers, lr))
    if numbers is not None:
        card.probe(table)
    with threads(1):
        speed, reference = _speeds(model)
        device = device_name(torch.device("cpu"))
    record = CardRecord(
        protocol=VERSION,
        size=size,
        model=model,
        state_bits=state_bits(model, _TOKENS),
        has_budget=numbers is not None,
        lr=lr,
        speed=speed,
        reference_speed=reference,
        device=device,
        versions=versions(),
        commit=commit(),
    )
    record.write(store)
    return record


def _chosen_rate(rated: pl.DataFrame) -> float:
    """The best of the rates with which the first runs were done."""
    several = pl.col("lr").n_unique().over("size_a", "size_b", "passes", "state_bits") > 1
    first = rated.filter(pl.col("task") == "set_disjointness", several)
    chosen = with_chosen_rate(first.with_columns(setting=pl.lit("")))
    return float(chosen["chosen_lr"][0])


def _speeds(model: ModelConfig | ModuleConfig) -> list[Speed]:
    """Of a model, and of a GRU of its width (of 32, where it has none)."""
    sizes = TaskConfig(vocab_size=VOCAB_SIZE, train_sizes=(LONG_FIRST,))
    reference = ModelConfig("gru", ("gru",), width=getattr(model, "width", 32), depth=2)
    return speeds([RunConfig(each, sizes) for each in (model, reference)])


@dataclass(frozen=True)
class _Card:
    """A card to be measured: the words that ask for its model, and where its runs are."""

    words: list[str]
    store: Path
    protocol: Protocol
    on_progress: Progress

    def sweep(self, verb: str, blocks: list[Block]) -> pl.DataFrame:
        """Do what the store lacks of some blocks of runs; all its runs then."""
        sweep(
            "sweep",
            [*self.words, f"store={self.store}", "keep=weights"],
            partial(self.on_progress, verb),
            grid=Grid(common=self.protocol.common(), grid=blocks),
        )
        return load(self.store)

    def probe(self, table: pl.DataFrame) -> None:
        """Probe the runs of the budget at which cards compare, one reading."""
        at = table.filter(pl.col("task") == "set_disjointness", state_bits=BITS, passes=1)["run_id"]
        runs = sorted(set(at) & set(runs_with_weights(self.store)))
        for done, run in enumerate(runs):
            self.on_progress("probing", done, len(runs), "")
            probe_run(self.store, run, "boundary", self.protocol.probe_examples)
        self.on_progress("probing", len(runs), len(runs), "")
