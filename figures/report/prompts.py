"""Prompts of a store's tasks, token by token, and what the stored models answer to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from figures.palette import model_label
from figures.runs import chosen_runs
from figures.style import printable
from sdsim.config import Selection, TaskConfig
from sdsim.display import shown
from sdsim.store.weights import load_model, runs_with_weights
from sdsim.training.data import Questions, answer_logits, segment_boundaries
from sdsim.training.tasks import eval_tasks

logger = logging.getLogger(__name__)

_TASK = ("task", "kind", "vocab_size", "options", "passes", "train_sizes", "test_sizes")
_MOST_TASKS, _EXAMPLES, _MOST_MODELS, _MOST_TOKENS = 8, 2, 12, 400


@dataclass(frozen=True)
class Token:
    """A token of a prompt.

    Attributes:
        text: its number, or the name that its task gives it.
        side: ``"a"`` or ``"b"``, of which side of the input it is; ``"mark"``, a special token.
        is_answer: whether it is the token that is asked for somewhere.
        target: what is to be named here; None where nothing is asked.
    """

    text: str
    side: str
    is_answer: bool
    target: str | None


@dataclass(frozen=True)
class Answer:
    """What a stored model says: the answers in order, and whether each is right."""

    model: str
    run_id: str
    tokens: list[tuple[str, bool]]


@dataclass(frozen=True)
class Prompt:
    """An example of the test stream of a seed, and what models answer.

    Attributes:
        tokens: of the prompt; of a long one, the first ones.
        left_out: how many are not shown.
        answers: of stored models.
    """

    tokens: list[Token]
    left_out: int
    answers: list[Answer]


@dataclass(frozen=True)
class Prompts:
    """Examples of a task at one pair of sizes."""

    title: str
    prompts: list[Prompt]


@dataclass(frozen=True)
class PromptSection:
    """All that a page shows of prompts; notes say what it cannot show."""

    seed: int
    groups: list[Prompts]
    notes: list[str]


def prompt_section(store: Path, table: pl.DataFrame, select: Selection) -> PromptSection:
    """The first test examples of a store's tasks, and the answers of the models that were kept.

    Args:
        store: folder of the runs.
        table: from `sdsim.store.table.load`.
        select: which runs answer, see `figures.runs.chosen_runs`.
    """
    kept = set(runs_with_weights(store)) & set(table["run_id"])
    notes = [] if kept else ["Weights were not kept (keep=weights), so no model answers here."]
    seed = int(table["seed"].min())  # type: ignore[arg-type]  # there is a run, and it has one
    found, failed = _tasks(table)
    notes += failed
    chosen = _spread(found, _MOST_TASKS)
    if len(found) > len(chosen):
        notes.append(f"Of {len(found)} tasks and pairs of sizes, {len(chosen)} are shown.")
    answerers = _answerers(table, kept, seed, select) if kept else table.clear()
    groups = []
    for task, row in chosen:
        here = answerers.filter(
            *(pl.col(name) == row[name] for name in _TASK),
            size_a=task.size_a,
            size_b=task.size_b,
        ).unique("run_id", maintain_order=True)
        if len(here) > _MOST_MODELS:
            notes.append(f"{_title(task, row)}: {_MOST_MODELS} of {len(here)} models answer.")
        models = _spread(here.to_dicts(), _MOST_MODELS)
        groups.append(Prompts(_title(task, row), _prompts(store, task, seed, models)))
    return PromptSection(seed, groups, notes)


def _tasks(table: pl.DataFrame) -> tuple[list[tuple[Any, dict[str, Any]]], list[str]]:
    """The tasks of all runs, each with a row of the table; and why some cannot be built."""
    found: dict[str, tuple[Any, dict[str, Any]]] = {}
    failed = []
    for row in table.unique(_TASK, maintain_order=True).sort(*_TASK).iter_rows(named=True):
        config = TaskConfig(
            name=row["task"],
            kind=row["kind"],
            vocab_size=row["vocab_size"],
            train_sizes=_sizes(row["train_sizes"]),
            test_sizes=_sizes(row["test_sizes"]),
            passes=row["passes"],
            options=json.loads(row["options"]),
        )
        try:
            for task in eval_tasks(config):
                found.setdefault(repr(task), (task, row))
        except ValueError as error:
            failed.append(f"No prompts of {shown(row['task'])}: {shown(str(error))}")
    return list(found.values()), failed


def _sizes(text: str) -> tuple[tuple[int, int], ...]:
    """Pairs of sizes, which the table has as text."""
    return tuple((a, b) for a, b in json.loads(text))


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many, at even distances, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[place * (len(items) - 1) // (most - 1)] for place in range(most)]


def _title(task: Any, row: dict[str, Any]) -> str:
    name = shown(row["task"]).replace("_", " ")
    sizes = f"|A| = {task.size_a}, |B| = {task.size_b}"
    read = f", shown {task.passes} times" if task.passes > 1 else ""
    return f"{name}, {sizes}, {task.order.replace('_', ' ')}{read}"


def _answerers(table: pl.DataFrame, kept: set[str], seed: int, select: Selection) -> pl.DataFrame:
    """The chosen runs of a seed that have weights, small states first."""
    runs = chosen_runs(table, axes=("passes", "train_sizes", "test_sizes"), select=select)
    of_seed = table.filter(pl.col("seed") == seed)["run_id"].unique().to_list()
    here = pl.col("run_id").is_in(sorted(kept)) & pl.col("run_id").is_in(of_seed)
    return runs.filter(here).sort("model", "variant", "state_bits", "run_id")


def _prompts(store: Path, task: Any, seed: int, models: list[dict[str, Any]]) -> list[Prompt]:
    batch = task.sample(_EXAMPLES, seed=seed, split="test")
    asked = Questions.of(batch)
    answers = [
        (row, predicted)
        for row in models
        if (predicted := _predicted(store, row["run_id"], task, batch)) is not None
    ]
    names = _names(task)
    prompts = []
    for number in range(_EXAMPLES):
        wanted = dict(
            zip(asked.positions[number].tolist(), asked.targets[number].tolist(), strict=True)
        )
        right = [target for target in wanted.values() if target >= 0]
        prompts.append(
            Prompt(
                _tokens(task, batch.inputs[number].tolist(), wanted, names),
                max(0, batch.inputs.shape[1] - _MOST_TOKENS),
                [
                    Answer(
                        _model_name(row),
                        row["run_id"],
                        [
                            (names.get(said, str(said)), said == target)
                            for said, target in zip(predicted[number], right, strict=False)
                        ],
                    )
                    for row, predicted in answers
                ],
            )
        )
    return prompts


def _model_name(row: dict[str, Any]) -> str:
    name = f"{model_label(row['model'])} {printable(row['variant'])}".rstrip()
    return f"{name}, {row['state_bits']:,} bits"


def _predicted(store: Path, run_id: str, task: Any, batch: Any) -> list[list[int]] | None:
    """The answers of a stored model to each example; None where its weights are damaged."""
    import torch

    try:
        model = load_model(store, run_id)
    except ValueError as error:
        logger.warning("%s", error)
        return None
    asked = Questions.of(batch, segment_boundaries(model.config, task))
    with torch.no_grad():
        answers: list[list[int]] = answer_logits(model, asked).argmax(-1).tolist()
    return answers


def _names(task: Any) -> dict[int, str]:
    """What a task calls its special tokens: its class constants, such as ``SEP_ANSWER = 2``."""
    special = task.vocab_size - task.universe_size  # at most; the others are elements
    constants = {
        name: value
        for name in dir(type(task))
        if name.isupper() and isinstance(value := getattr(type(task), name), int)
        if value < special
    }
    # Of two names for one token, the shorter.
    names = sorted(constants, key=lambda name: (-len(name), name))
    return {constants[name]: f"[{name.lower()}]" for name in names}


def _tokens(
    task: Any, inputs: list[int], wanted: dict[int, int], names: dict[int, str]
) -> list[Token]:
    """The tokens of a prompt, and their sides: the input changes side at each boundary."""
    boundaries = [*task.segment_boundaries, len(inputs)]
    answers = set(wanted.values())
    tokens = []
    for position, token in enumerate(inputs[:_MOST_TOKENS]):
        segment = next(place for place, end in enumerate(boundaries) if position < end)
        target = wanted.get(position, -1)
        tokens.append(
            Token(
                names.get(token, str(token)),
                "mark" if token in names else "ab"[segment % 2],
                token in answers,
                names.get(target, str(target)) if target >= 0 else None,
            )
        )
    return tokens
