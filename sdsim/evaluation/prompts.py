"""The prompts of *Just read twice*, and when an output is right (paper, Table 1 and its appendix).

A task turns a row of its data set into an `Item`; a `PromptForm` turns an item into a prompt. The
paper's two forms are `FORMS`. Documents are cut before any prompt is made, by `cut`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

NEW_TOKENS = 48
"""Tokens that a model generates for an answer."""

MARGIN = 50
"""Tokens of the context that are left for the question and the answer."""

Order: TypeAlias = Literal["document_first", "question_first"]
Row: TypeAlias = Mapping[str, str]
Cut: TypeAlias = Callable[[str], str]
Spans: TypeAlias = Callable[[str], Sequence[tuple[int, int]]]
"""From a text to the first and the last character (exclusive) of each of its tokens."""


@dataclass(frozen=True)
class Item:
    """A question about a document.

    Attributes:
        name: of its row in the data set.
        question: what stands before the document, where the question comes first.
        document: the document, as every reading but the last has it.
        ending: the last reading, and the words after it that the model continues.
        answers: any of them is right.
    """

    name: str
    question: str
    document: str
    ending: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class PromptForm:
    r"""How an item is shown: how often the document is read, and whether the question stands first.

    The words that the model continues stand at the end of every form.

    >>> item = Item("1", "Who wrote Emma?", "Emma is by Austen.", "Emma is by Austen. By:", ("A",))
    >>> PromptForm(1, "document_first").of(item)
    'Emma is by Austen. By:'
    >>> PromptForm(2, "question_first").of(item)
    'Who wrote Emma? Emma is by Austen.\nEmma is by Austen. By:'
    """

    repeats: int
    order: Order

    @property
    def name(self) -> str:
        """As settings and tables call it."""
        known = [name for name, form in FORMS.items() if form == self]
        return known[0] if known else f"{self.order}_{self.repeats}"

    def of(self, item: Item) -> str:
        """The prompt."""
        opening = f"{item.question} " if self.order == "question_first" else ""
        return opening + "\n".join([item.document] * (self.repeats - 1) + [item.ending])


FORMS = {
    "default": PromptForm(1, "document_first"),
    "twice": PromptForm(2, "question_first"),
}
"""The forms of the paper: the text once, and JRT-Prompt."""


def form_of(name: str) -> PromptForm:
    """A form of the paper by its name, or another one as ``question_first_3``.

    Raises:
        ValueError: for a name of neither kind.
    """
    match = re.fullmatch(r"(document_first|question_first)_([1-9]\d?)", name)
    if match is not None:
        return PromptForm(
            int(match[2]), "document_first" if match[1][0] == "d" else "question_first"
        )
    if name not in FORMS:
        raise ValueError(
            f"prompt: {name!r} is not one of {', '.join(FORMS)}, nor such as question_first_3"
        )
    return FORMS[name]


def cut(text: str, answers: Sequence[str], context: int, spans: Spans) -> str:
    """The `context` - 50 tokens around the first answer: half of them before it, half from it on.

    Where no answer stands in the text, its last tokens, half as many.
    """
    length = context - MARGIN
    tokens = spans(text)
    place = first_match(text, answers)
    if place is None:
        start = max(0, len(tokens) - length // 2)
    else:
        before = sum(end <= place for _, end in tokens)
        start = max(0, before - length // 2)
    kept = tokens[start : start + length]
    return text[kept[0][0] : kept[-1][1]] if kept else ""


def first_match(text: str, answers: Sequence[str]) -> int | None:
    """Where the first answer begins, ignoring case; None: none stands in the text.

    If none stands there as written, what is between its words may differ: ``1,000`` is ``1000``.

    >>> first_match("On June  5 it ended.", ["may", "june 5"])
    3
    """
    for pattern_of in (re.escape, _loosely):
        found = [re.search(pattern_of(answer), text, re.IGNORECASE) for answer in answers]
        places = [match.start() for match in found if match is not None]
        if places:
            return min(places)
    return None


def _loosely(answer: str) -> str:
    words = re.findall(r"\w+", answer)
    return r"\W*".join(map(re.escape, words)) if words else re.escape(answer)


def usable(answers: Sequence[str]) -> tuple[str, ...]:
    """The answers that can be looked for: those of one character stand in almost any text."""
    stripped = [answer.strip() for answer in answers]
    return tuple(answer for answer in stripped if len(answer) > 1)


def answer_line(output: str) -> str:
    """What counts as the answer: the first line that is not blank.

    >>> answer_line(" Jane Austen\\nShe"), answer_line("\\n\\n Jane"), answer_line(" \\n")
    (' Jane Austen', ' Jane', '')
    """
    return next((line for line in output.split("\n") if line.strip()), "")


def is_right(output: str, answers: Sequence[str]) -> bool:
    """``contains``: whether any answer stands in the answer's line, ignoring case."""
    line = answer_line(output).casefold()
    return any(answer.casefold() in line for answer in answers)


# The tasks. Each takes a row, its fields as text, and what cuts a document.


def _extraction(row: Row, cut: Cut, name: str, answers: tuple[str, ...]) -> Item:
    """FDA and SWDE: the value of a key."""
    key = row["key"].strip()
    text = cut(row["text"].partition("Summary of information above")[0])
    text = re.sub(rf"{re.escape(key)}\s*:\s*\Z", "", text, flags=re.IGNORECASE).strip(" \n.") + "."
    key = key[:1].upper() + key[1:]
    return Item(name, f"Information about {key}.", text, f"{text} {key}:", answers)


def _completion(row: Row, cut: Cut, name: str, answers: tuple[str, ...]) -> Item:
    """SQuAD: the text ends in a cloze; only the first of two readings has no cloze."""
    return Item(name, row["question"], row["context"], cut(row["text"]).strip(), answers)


def _cloze(row: Row, cut: Cut, name: str, answers: tuple[str, ...]) -> Item:
    """NQ, TriviaQA, DROP: a passage, the question, and the same as a cloze."""
    context = re.sub(r"\[(?:PAR|DOC|TLE)\]", " ", row["context"])
    context = context.rstrip().removesuffix(row["question"].strip())
    text = cut(context).strip().rstrip(" \n.") + "."
    return Item(name, row["orig_question"], text, f"{text} {row['question']}".rstrip(), answers)


def _own(row: Row, cut: Cut, name: str, answers: tuple[str, ...]) -> Item:
    """A user's own: a context, a question, and perhaps other words for the model to continue."""
    text = cut(row["context"]).strip()
    last = row.get("cloze", row["question"]).strip()
    return Item(name, row["question"].strip(), text, f"{text} {last}", answers)


@dataclass(frozen=True)
class Task:
    """A task of the paper, or a user's own.

    Attributes:
        dataset: on the Hugging Face hub.
        fields: of a row, but for that of the answers.
        answers: the field that holds one or several.
        document: the field that is cut.
        item: makes an item of a row, by what cuts its document.
    """

    dataset: str
    fields: tuple[str, ...]
    answers: str
    document: str
    item: Callable[[Row, Cut, str, tuple[str, ...]], Item]


_QA = ("context", "question", "orig_question")
OWN = "qa"
"""The task of a user's own data."""

TASKS = {
    "fda": Task("hazyresearch/based-fda", ("text", "key"), "value", "text", _extraction),
    "swde": Task("hazyresearch/based-swde-v2", ("text", "key"), "value", "text", _extraction),
    "squad": Task(
        "hazyresearch/based-squad", ("text", "context", "question"), "value", "text", _completion
    ),
    "nq": Task("hazyresearch/based_nq_{context}", _QA, "answers", "context", _cloze),
    "triviaqa": Task("hazyresearch/based_triviaqa", _QA, "answers", "context", _cloze),
    "drop": Task("hazyresearch/based_drop", _QA, "answers", "context", _cloze),
    OWN: Task("", ("context", "question"), "answers", "context", _own),
}
