"""Rows of a task, from JSONL files or the Hugging Face hub, checked before anything is asked."""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sdsim.evaluation.prompts import OWN, TASKS, Item, Spans, Task, cut, first_match, usable
from sdsim.reading import reason

logger = logging.getLogger(__name__)

HUB = "hub"
"""In place of files: the paper's data sets."""

MissingAnswer: TypeAlias = Literal["error", "skip", "keep"]
"""What becomes of an item without its answer in the text; kept, its text ends where it ends."""

MEAN = "mean"
"""In place of a task: the mean over several."""

_KINDS = (".jsonl", ".jsonl.gz")
_NQ_CONTEXTS = (512, 1024, 2048)
_MOST_NAMED = 3  # damaged lines, one by one


@dataclass(frozen=True)
class Checked:
    """A row that can be asked: the fields of its task, as text.

    Attributes:
        name: its number in the data set, from 1: of a line of a file.
        fields: by the names of the task.
        answers: those that can be looked for.
    """

    name: str
    fields: Mapping[str, str]
    answers: tuple[str, ...]

    def item(self, task: Task, context: int, spans: Spans) -> Item:
        """The item, its document cut to `context` - 50 tokens."""
        return task.item(
            self.fields,
            lambda text: cut(text, self.answers, context, spans),
            self.name,
            self.answers,
        )


def is_own(name: str) -> bool:
    """Whether a task has the fields of a user: `OWN`, and any name that is not the paper's."""
    return name == OWN or name not in TASKS


def names_in(data: str) -> list[str]:
    """The tasks for which a folder has a file, sorted; none if it is no folder."""
    if not Path(data).is_dir():
        return []
    files = [(file.name, kind) for kind in _KINDS for file in Path(data).glob(f"*{kind}")]
    return sorted({name.removesuffix(kind) for name, kind in files})


def check_task(name: str, data: str) -> None:
    """Raise `ValueError` for a task that is neither of `TASKS` nor a file of the folder `data`."""
    if name == MEAN:
        raise ValueError(f"tasks: {MEAN!r} is the mean over tasks; rename that file")
    if name not in TASKS and name not in names_in(data):
        where = f"nor a file of {data}" if Path(data).is_dir() else "and data is no folder of files"
        raise ValueError(f"tasks: {name!r} is not one of {', '.join(TASKS)}, {where}")


def task_of(name: str, renamed: Mapping[str, str] | None = None) -> tuple[Task, Mapping[str, str]]:
    """A task, and where the values of its fields are found in a row.

    Args:
        name: a key of `TASKS`, or another name of a user's own data.
        renamed: the fields of a user's own data, by the names of `TASKS`; ``a.0.b`` is field b of
            the first of the list a.
    """
    task = TASKS.get(name, TASKS[OWN])
    places = {field: field for field in (*task.fields, task.answers)}
    if not is_own(name):
        return task, places
    if renamed and "cloze" in renamed:
        task = replace(task, fields=(*task.fields, "cloze"))
    return task, places | dict(renamed or {})


def rows_of(
    name: str,
    data: str,
    *,
    context: int,
    limit: int | None = None,
    missing_answer: MissingAnswer | None = None,
    renamed: Mapping[str, str] | None = None,
) -> list[Checked]:
    """The first `limit` rows of a task that can be asked.

    Rows whose answers have one character are skipped, and counted in a warning.

    Args:
        name: see `task_of`.
        data: `HUB`, a file, or a folder that holds ``<name>.jsonl`` or ``<name>.jsonl.gz``.
        context: tokens, which choose between the sizes in which a data set is published.
        limit: None: all of them.
        missing_answer: None: "keep" for the paper's data, as there, and "error" for a user's own.
        renamed: see `task_of`.

    Raises:
        ValueError: in one line, for what cannot be read or asked.
    """
    check_task(name, data)
    task, places = task_of(name, renamed)
    where = _dataset(task, context) if data == HUB else str(_file(name, data))
    policy = missing_answer or ("keep" if data == HUB else "error")
    rows = _published(name, where) if data == HUB else read_jsonl(Path(where))
    checked: list[Checked] = []
    short = absent = 0
    for number, row in rows:
        at = f"{where}, {'row' if data == HUB else 'line'} {number}"
        fields = {field: _text(row, places[field], at) for field in task.fields}
        answers = usable(_answers(row, places[task.answers], at))
        if not answers:
            short += 1
            continue
        if policy != "keep" and first_match(fields[task.document], answers) is None:
            if policy == "error":
                raise ValueError(
                    f"{at}: the answer {answers[0]!r} does not stand in the text; "
                    "missing_answer=skip leaves such items out, missing_answer=keep asks them"
                )
            absent += 1
            continue
        checked.append(Checked(str(number), fields, answers))
        if len(checked) == limit:
            break
    for count, why in ((short, "answers of one character"), (absent, "no answer in the text")):
        if count:
            logger.warning("%s: skipped, %s: %d of the items", where, why, count)
    if not checked:
        raise ValueError(f"{where}: it holds no item that can be asked")
    return checked


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, with the numbers of their lines; damaged lines are skipped.

    They are named and counted in warnings; empty lines are no lines.

    Raises:
        ValueError: if the file cannot be read, or holds no object at all.
    """
    damaged, whole = 0, 0
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                    if not isinstance(row, dict):
                        raise ValueError("it holds no JSON object")
                except (ValueError, RecursionError) as error:
                    damaged += 1
                    if damaged <= _MOST_NAMED:
                        logger.warning(
                            "%s, line %d is damaged and skipped: %s", path, number, reason(error)
                        )
                    continue
                whole += 1
                yield number, row
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error
    if not whole:
        raise ValueError(f"{path}: it holds no JSON object")
    if damaged:
        logger.warning("%s: %d of %d lines are damaged", path, damaged, damaged + whole)


def _file(name: str, data: str) -> Path:
    path = Path(data)
    if path.is_dir():
        found = [path / f"{name}{kind}" for kind in _KINDS if (path / f"{name}{kind}").exists()]
        if not found:
            raise ValueError(f"data = {data!r}: the folder holds no {name}{_KINDS[0]}")
        return found[0]
    if not path.exists():
        raise ValueError(f"data = {data!r}: there is no such file; {HUB} takes the paper's data")
    if not path.name.endswith(_KINDS):
        raise ValueError(f"data = {data!r}: must end with {' or '.join(_KINDS)}")
    return path


def _dataset(task: Task, context: int) -> str:
    if not task.dataset:
        raise ValueError(f"tasks: {OWN} takes data of your own: data=file.jsonl")
    enough = [size for size in _NQ_CONTEXTS if size >= context]
    return task.dataset.format(context=min(enough, default=_NQ_CONTEXTS[-1]))


def _published(name: str, dataset: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if find_spec("datasets") is None:
        raise ValueError(
            f"tasks: {name} needs the package datasets: pip install -e '.[eval]'; or give data=…"
        )
    from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]

    try:
        rows = load_dataset(dataset, split="validation")
    except Exception as error:  # the library raises many kinds
        raise ValueError(
            f"tasks: {name} needs {dataset} of the Hugging Face hub, which is neither here nor "
            f"reachable ({reason(error)}); data=… takes a file instead"
        ) from error
    yield from enumerate(rows, 1)


def _text(row: Mapping[str, Any], place: str, at: str) -> str:
    value = _value(row, place, at)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{at}: {place} = {_shown(value)}: must be a text")
    return value


def _answers(row: Mapping[str, Any], place: str, at: str) -> list[str]:
    value = _value(row, place, at)
    listed = value if isinstance(value, list) else [value]
    texts = [str(answer) for answer in listed if isinstance(answer, (str, int, float))]
    if not texts or len(texts) != len(listed):
        raise ValueError(f"{at}: {place} = {_shown(value)}: must be a text, or a list of texts")
    return texts


def _value(row: Mapping[str, Any], place: str, at: str) -> Any:
    """What stands in a row at ``a.0.b``, or at a field of that very name."""
    if place in row:
        return row[place]
    value: Any = row
    for part in place.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(
                f"{at}: the field {place!r} is missing; there are {', '.join(map(str, row))}"
            ) from None
    return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
