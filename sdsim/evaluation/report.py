"""What stored answers say: accuracy by task and prompt, each form against the first one, paired."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from statistics import fmean, median
from typing import Literal

from sdsim.evaluation.answers import Answer, Asked, Description, read_store
from sdsim.evaluation.data import HUB, MEAN
from sdsim.evaluation.prompts import FORMS, TASKS, answer_line
from sdsim.evaluation.statistics import Accuracy, Paired, mean_difference, paired
from sdsim.files import write_text

CSV, TABLE, CHANGED = "table.csv", "table.md", "changed.csv"
"""The files that hold what a store says.

One row a form; the form of the paper's Table 1; one row an item that a form gains or loses.
"""


@dataclass(frozen=True)
class Row:
    """One form of one task, of one model; accuracies and differences in percent.

    Attributes:
        model, weights, task, prompt, context: what was asked; see `Asked`.
        options: those of `Asked` that are not the defaults.
        items: how many were answered.
        accuracy, standard_error: of the right answers.
        versus: the form that it is compared with, on the items that both have; empty: none.
        difference, difference_error, difference_low, difference_high: how many more are right, its
            standard error, and its bootstrap interval at 95 %.
        gained, lost: items that are right in this form alone, and in the other alone.
        p_value: of McNemar's exact test.
        state_bytes: that the model carries on from its longest prompt.
        first_token_ms: until a batch has its first new token; the median item's.
        tokens_per_second: new tokens, reading included.
    """

    model: str
    weights: str
    options: str
    task: str
    prompt: str
    context: int
    items: int
    accuracy: float
    standard_error: float
    versus: str = ""
    difference: float | None = None
    difference_error: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    gained: int | None = None
    lost: int | None = None
    p_value: float | None = None
    state_bytes: int | None = None
    first_token_ms: float | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True)
class Changed:
    """An item that a form gains or loses against the form that it is compared with.

    Attributes:
        model, weights, options, task, prompt, context, versus: see `Row`.
        item: its name.
        change: gained or lost.
        before, after: the answers of the other form and of this one.
    """

    model: str
    weights: str
    options: str
    task: str
    prompt: str
    context: int
    versus: str
    item: str
    change: Literal["gained", "lost"]
    before: str
    after: str


Stored = tuple[Description, Mapping[str, Answer]]


def rows_of_store(store: Path, only: Sequence[str] | None = None) -> list[Row]:
    """All that a store says, by model, task and form; over several tasks, their mean too.

    Args:
        store: the folder.
        only: ids of the runs to take; None: all.

    Raises:
        ValueError: naming a file that is damaged.
    """
    return [row for runs in _by_setup(store, only) for row in _rows(runs)]


def changed_items(store: Path) -> list[Changed]:
    """The items that forms gain or lose, in the order of `rows_of_store`.

    Raises:
        ValueError: naming a file that is damaged.
    """
    return [
        _changed(run, first, item)
        for runs in _by_setup(store)
        for run, first in _against_first(runs)
        if first is not None
        for item, answer in run[1].items()
        if item in first[1] and first[1][item].right != answer.right
    ]


def _by_setup(store: Path, only: Sequence[str] | None = None) -> list[list[Stored]]:
    """The runs of each line of the table."""
    found: dict[Asked, list[Stored]] = {}
    for description, answers in read_store(store):
        if answers and (only is None or description.asked.id in only):
            found.setdefault(_setup(description.asked), []).append((description, answers))
    setups = sorted(found, key=lambda setup: (setup.model, setup.context, setup.id))
    return [found[setup] for setup in setups]


def _setup(asked: Asked) -> Asked:
    """What forms and tasks have in common that stand in one line of the table."""
    return replace(asked, task="", repeats=1, order="document_first")


def _against_first(runs: Sequence[Stored]) -> Iterator[tuple[Stored, Stored | None]]:
    """Runs by task and form, each with that of its task's first form; None: it is that one."""
    first: Stored | None = None
    for run in sorted(runs, key=lambda run: (_task_rank(run[0].asked.task), _rank(run[0]))):
        if first is None or first[0].asked.task != run[0].asked.task:
            first = run
            yield run, None
        else:
            yield run, first


def _changed(run: Stored, first: Stored, item: str) -> Changed:
    asked, answer, before = run[0].asked, run[1][item], first[1][item]
    return Changed(
        asked.model,
        asked.weights,
        _options(asked),
        asked.task,
        asked.form.name,
        asked.context,
        first[0].asked.form.name,
        item,
        "gained" if answer.right else "lost",
        answer_line(before.output).strip(),
        answer_line(answer.output).strip(),
    )


def _rows(runs: Sequence[Stored]) -> list[Row]:
    rows: list[Row] = []
    compared: dict[str, list[Paired]] = {}
    for (description, answers), first in _against_first(runs):
        row = _row(description, answers)
        common = [item for item in first[1] if item in answers] if first is not None else []
        if first is not None and common:
            found = paired(
                [first[1][item].right for item in common], [answers[item].right for item in common]
            )
            row = _compared(row, first[0].asked.form.name, found)
            compared.setdefault(row.prompt, []).append(found)
        rows.append(row)
    return rows + _means(rows, compared)


def _task_rank(task: str) -> tuple[int, str]:
    """The paper's tasks in its order, then those of a user by name, then the mean."""
    known = list(TASKS)
    return (len(known) + (task == MEAN) if task not in TASKS else known.index(task), task)


def _rank(description: Description) -> tuple[int, int, str]:
    asked = description.asked
    names = list(FORMS)
    name = asked.form.name
    return (names.index(name) if name in names else len(names), asked.repeats, asked.order)


def _row(description: Description, answers: Mapping[str, Answer]) -> Row:
    asked, given = description.asked, list(answers.values())
    accuracy = Accuracy(len(given), sum(answer.right for answer in given))
    seconds = sum(answer.seconds / answer.batch for answer in given)
    return Row(
        asked.model,
        asked.weights,
        _options(asked),
        asked.task,
        asked.form.name,
        asked.context,
        accuracy.items,
        100 * accuracy.value,
        100 * accuracy.standard_error,
        state_bytes=description.state_bytes,
        first_token_ms=1000 * median(answer.first_seconds for answer in given),
        tokens_per_second=sum(answer.new_tokens for answer in given) / seconds if seconds else None,
    )


def _compared(row: Row, versus: str, found: Paired) -> Row:
    return replace(
        row,
        versus=versus,
        difference=100 * found.difference,
        difference_error=100 * found.standard_error,
        difference_low=100 * found.low,
        difference_high=100 * found.high,
        gained=found.gained,
        lost=found.lost,
        p_value=found.p_value,
    )


def _means(rows: Sequence[Row], compared: Mapping[str, Sequence[Paired]]) -> list[Row]:
    """The means over tasks of the forms in which every task was asked, if there are several."""
    tasks = {row.task for row in rows}
    means = []
    for prompt in dict.fromkeys(row.prompt for row in rows):
        own = [row for row in rows if row.prompt == prompt]
        if len(tasks) < 2 or len(own) != len(tasks):
            continue
        mean = replace(
            own[0],
            task=MEAN,
            items=sum(row.items for row in own),
            accuracy=fmean(row.accuracy for row in own),
            standard_error=sum(row.standard_error**2 for row in own) ** 0.5 / len(own),
            versus="",
            difference=None,
            difference_error=None,
            difference_low=None,
            difference_high=None,
            gained=None,
            lost=None,
            p_value=None,
            state_bytes=None,
            first_token_ms=None,
            tokens_per_second=None,
        )
        found = compared.get(prompt, ())
        if len(found) == len(tasks):
            difference, low, high = (100 * value for value in mean_difference(found))
            error = 100 * sum(task.standard_error**2 for task in found) ** 0.5 / len(found)
            mean = replace(
                mean,
                versus=own[0].versus,
                difference=difference,
                difference_error=error,
                difference_low=low,
                difference_high=high,
                gained=sum(task.gained for task in found),
                lost=sum(task.lost for task in found),
            )
        means.append(mean)
    return means


def table_1(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The paper's Table 1: a line a model, a column a task; ``default → twice`` in percent."""
    known = {name: place for place, name in enumerate(FORMS)}
    forms = sorted({row.prompt for row in rows}, key=lambda name: (known.get(name, 99), name))
    tasks = sorted({row.task for row in rows}, key=_task_rank)
    lines = []
    for line in dict.fromkeys(map(_line, rows)):
        own = {(row.task, row.prompt): f"{row.accuracy:.1f}" for row in rows if _line(row) == line}
        model, context, options, _ = line
        cells = {task: " → ".join(own.get((task, form), "-") for form in forms) for task in tasks}
        lines.append({"model": model, "context": str(context), "options": options or "-", **cells})
    return lines


def _line(row: Row) -> tuple[str, int, str, str]:
    return row.model, row.context, row.options, row.weights


def _options(asked: Asked) -> str:
    chosen = {field.name: getattr(asked, field.name) for field in fields(Asked)}
    defaults = {field.name: field.default for field in fields(Asked)}
    shown = {"data": asked.data} if asked.data != HUB else {}
    shown |= {
        name: value
        for name, value in chosen.items()
        if defaults[name] is not MISSING and value != defaults[name]
    }
    return " ".join(f"{name}={value}" for name, value in shown.items())


def write_tables(store: Path) -> list[Row]:
    """Write the tables of a store; what they say.

    Raises:
        ValueError: naming a file that is damaged.
    """
    rows = rows_of_store(store)
    _write_csv(store / CSV, Row, rows)
    _write_csv(store / CHANGED, Changed, changed_items(store))
    lines = table_1(rows)
    if lines:
        names = list(lines[0])
        written = [names, ["---"] * len(names), *([line[name] for name in names] for line in lines)]
        write_text(
            store / TABLE,
            "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in written),
        )
    return rows


def _write_csv(path: Path, kind: type[Row | Changed], rows: Sequence[Row | Changed]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(kind)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _written(value) for name, value in asdict(row).items()})
    write_text(path, text.getvalue())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _written(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
