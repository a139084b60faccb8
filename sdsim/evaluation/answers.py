"""The answers of one model to one form of one task, kept as they come: a line of a file each.

``<store>/<id>/run.json`` says what was asked of which model, and what made the answers;
``answers.jsonl`` beside it has a line for each item. A line is on the disk before the next batch is
asked, so that a process that is killed loses its last batch at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Literal, TypeAlias

from filelock import FileLock, Timeout
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT
from sdsim.evaluation.prompts import Order, PromptForm, is_right
from sdsim.files import write_text
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.store.provenance import commit, versions
from sdsim.text.config import Strategy

Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]
"""Of a model's weights."""

RUN, ANSWERS = "run.json", "answers.jsonl"
_LOCK_SECONDS = 1


@dataclass(frozen=True, config=STRICT)
class Asked:
    """What was asked of which model: the identity of a file of answers.

    Attributes:
        model: its folder or name, as the user gave it.
        weights: digest of its weights.
        task: key of `sdsim.evaluation.prompts.TASKS`, or a file of the folder `data`.
        data: the paper's data sets, a file or a folder.
        repeats, order: the form of the prompt.
        context: tokens to which a document is cut, and 50.
        tokenizer: whose tokens these are; empty: the model's.
        new_tokens: most tokens of an answer.
        prompt_tokens: tokens to which prompts are cut from the left; None: none is.
        cue: what stands at the end of a prompt.
        chat: whether the model's chat template is used.
        strategy: how prompts shorter than a prefix are read.
        dtype: of the weights.
    """

    model: str
    weights: str
    task: str
    data: str
    repeats: int
    order: Order
    context: int
    tokenizer: str = ""
    new_tokens: int = 48
    prompt_tokens: int | None = None
    cue: str = ""
    chat: bool = False
    strategy: Strategy = "left_pad"
    dtype: Dtype = "float32"

    @property
    def form(self) -> PromptForm:
        """The form of the prompt."""
        return PromptForm(self.repeats, self.order)

    @property
    def id(self) -> str:
        """Of the folder: 16 hexadecimal digits."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, config=STRICT)
class Answer:
    """One item's line.

    Attributes:
        item: name of the item.
        prompt: digest of its prompt.
        output: the new tokens as text.
        right: whether the answer stands in it.
        prompt_tokens, new_tokens: how many there were.
        first_seconds: until the batch's first new token.
        seconds: that the batch took.
        batch: prompts in it.
    """

    item: str
    prompt: str
    output: str
    right: bool
    prompt_tokens: int
    new_tokens: int
    first_seconds: float
    seconds: float
    batch: int


@dataclass(frozen=True, config=STRICT)
class Description:
    """What ``run.json`` holds.

    Attributes:
        asked: what was asked of which model.
        state_bytes: that the model carries on from its longest prompt; None: not known.
        device: name of the torch device.
        versions: of Python and the packages.
        commit: of the checkout, see `sdsim.store.provenance.commit`.
    """

    asked: Asked
    state_bytes: int | None = None
    device: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    commit: str | None = None


_ANSWER = TypeAdapter(Answer)
_DESCRIPTION = TypeAdapter(Description)


def digest_of(prompt: str) -> str:
    """What identifies a prompt."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Answers:
    """The folder of one `Asked`, for one process at a time.

    Args:
        store: the folder that holds it.
        asked: whose it is.

    Attributes:
        by_item: the answers so far.
        lacks_state: whether there are new answers, or no bytes of state are stored.
    """

    lacks_state = True

    def __init__(self, store: Path, asked: Asked) -> None:
        self.asked, self.folder = asked, store / asked.id
        self.by_item: dict[str, Answer] = {}

    @contextlib.contextmanager
    def open(self, device: str, more_versions: Mapping[str, str]) -> Iterator[None]:
        """Read the answers so far, and keep others from writing meanwhile.

        A last line that was cut off is removed, and its item asked again.

        Raises:
            ValueError: if another process is writing, or a line or the description is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock", timeout=_LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(f"store: another process is writing to {self.folder}") from error
        try:
            if not (self.folder / RUN).exists():
                made = versions() | dict(more_versions)
                self._describe(Description(self.asked, None, device, made, commit()))
            self.lacks_state = read_description(self.folder).state_bytes is None
            path = self.folder / ANSWERS
            self.by_item, whole = _read(path)
            if path.exists() and path.stat().st_size > whole:
                os.truncate(path, whole)
            yield
        finally:
            lock.release()

    def check_same(self, item: str, prompt: str, answers: Sequence[str]) -> None:
        """Raise `ValueError` if another prompt was answered under this item's name.

        Also if its output counts otherwise by these right answers than by those of then.
        """
        known = self.by_item.get(item)
        if known is None:
            return
        if known.prompt != digest_of(prompt) or known.right != is_right(known.output, answers):
            raise ValueError(
                f"{self.folder / ANSWERS}: item {item} was another one when it was asked: the data "
                "have changed; choose another store"
            )

    def add(self, answers: Sequence[Answer]) -> None:
        """Append a batch; on return it is on the disk."""
        lines = [json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers]
        with (self.folder / ANSWERS).open("ab") as file:
            file.write("".join(lines).encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        self.lacks_state = True
        self.by_item |= {answer.item: answer for answer in answers}

    def add_state(self, state_bytes: int | None) -> None:
        """Store how many bytes the model carries on from its longest prompt."""
        stored = read_description(self.folder)
        self._describe(
            Description(stored.asked, state_bytes, stored.device, stored.versions, stored.commit)
        )

    def _describe(self, description: Description) -> None:
        write_text(self.folder / RUN, json.dumps(asdict(description), indent=1) + "\n")


def read_description(folder: Path) -> Description:
    """What ``run.json`` holds.

    Raises:
        ValueError: if it is damaged or belongs elsewhere.
    """
    path = folder / RUN
    try:
        found: Description = _DESCRIPTION.validate_python(read_object(path))
    except READ_ERRORS as error:
        raise ValueError(f"{path} is damaged ({reason(error)})") from error
    if found.asked.id != folder.name:
        raise ValueError(f"{path} does not belong to this folder: it is {found.asked.id}")
    return found


def read_store(store: Path) -> list[tuple[Description, dict[str, Answer]]]:
    """All that a store holds: what was asked, and the answers.

    Raises:
        ValueError: naming a file that is damaged.
    """
    folders = sorted(file.parent for file in store.glob(f"*/{RUN}") if "." not in file.parent.name)
    return [(read_description(folder), _read(folder / ANSWERS)[0]) for folder in folders]


def _read(path: Path) -> tuple[dict[str, Answer], int]:
    """The answers in a file, by item, and how many bytes of it are whole lines."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error
    whole = content.rfind(b"\n") + 1
    found: dict[str, Answer] = {}
    for number, line in enumerate(content[:whole].splitlines(), 1):
        try:
            answer: Answer = _ANSWER.validate_json(line)
        except READ_ERRORS as error:
            raise ValueError(
                f"{path}, line {number} is damaged ({reason(error)}); delete it, and its item is "
                "asked again"
            ) from error
        found[answer.item] = answer
    return found, whole
