"""Prompts, cutting and scores: on texts small enough to write out what the paper says of them."""

import re

import pytest

from sdsim.evaluation.prompts import (
    FORMS,
    TASKS,
    Item,
    PromptForm,
    cut,
    form_of,
    is_right,
    usable,
)


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\S+", text)]


def whole(text: str) -> str:
    return text


def prompts_of(task: str, row: dict[str, str]) -> tuple[str, str]:
    item = TASKS[task].item(row, whole, "1", ("x",))
    return FORMS["default"].of(item), FORMS["twice"].of(item)


def test_extraction_names_the_key() -> None:
    row = {"text": "Form A.\nIt is red..\n colour:", "key": "colour"}
    once, twice = prompts_of("fda", row)
    assert once == "Form A.\nIt is red. Colour:"
    assert twice == ("Information about Colour. Form A.\nIt is red.\nForm A.\nIt is red. Colour:")
    row = {"text": "A film.\nSummary of information above\ncolour: red", "key": "colour"}
    assert prompts_of("swde", row)[0] == "A film. Colour:"


def test_a_completion_repeats_the_context_before_the_text() -> None:
    row = {"text": "Ann wrote it. It is by ", "context": "Ann wrote it.", "question": "Who?"}
    once, twice = prompts_of("squad", row)
    assert once == "Ann wrote it. It is by"
    assert twice == "Who? Ann wrote it.\nAnn wrote it. It is by"


@pytest.mark.parametrize("task", ["nq", "triviaqa", "drop"])
def test_a_question_stands_first_and_its_cloze_last(task: str) -> None:
    row = {
        "context": "[DOC] Ann wrote it. The author is",
        "question": "The author is",
        "orig_question": "Who is the author?",
    }
    once, twice = prompts_of(task, row)
    assert once == "Ann wrote it. The author is"
    assert twice == "Who is the author? Ann wrote it.\nAnn wrote it. The author is"


def test_ones_own_data_may_have_a_cloze() -> None:
    row = {"context": " Ann wrote it! ", "question": "Who did?"}
    assert prompts_of("qa", row) == (
        "Ann wrote it! Who did?",
        "Who did? Ann wrote it!\nAnn wrote it! Who did?",
    )
    assert prompts_of("qa", {**row, "cloze": "It is by"})[0] == "Ann wrote it! It is by"


@pytest.mark.parametrize("repeats", [1, 2, 4])
def test_a_text_is_read_as_often_as_it_is_said(repeats: int) -> None:
    item = Item("1", "Q?", "D.", "D. Q", ("x",))
    first = PromptForm(repeats, "question_first").of(item)
    last = PromptForm(repeats, "document_first").of(item)
    assert first == f"Q? {last}"
    assert last.count("D.") == repeats
    assert last.endswith("D. Q")
    assert last.count("\n") == repeats - 1


def test_forms_have_names() -> None:
    assert form_of("twice") == PromptForm(2, "question_first")
    assert form_of("document_first_3") == PromptForm(3, "document_first")
    for name in ("default", "twice", "question_first_1", "document_first_12"):
        assert form_of(name).name == name
    for name in ("thrice", "question_first_0", "question_first", ""):
        with pytest.raises(ValueError, match="prompt: "):
            form_of(name)


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        (0, range(20)),  # the beginning stays
        (9, range(20)),
        (10, range(20)),  # half of 20 before it
        (40, range(30, 50)),
        (99, range(89, 100)),  # the end is not filled up
    ],
)
def test_a_text_is_cut_around_its_first_answer(place: int, kept: range) -> None:
    text = [f"w{n}" for n in range(100)]
    text[place] = "Paris"
    shown = cut(" ".join(text), ["paris"], 70, words)
    assert shown.split() == [text[n] for n in kept]


def test_the_earliest_answer_counts_whatever_its_case() -> None:
    text = [f"w{n}" for n in range(100)]
    text[30], text[60] = "ROME", "Paris"
    assert cut(" ".join(text), ["Paris", "rome"], 70, words).split()[0] == "w20"


def test_other_spellings_are_tried() -> None:
    text = [f"w{n}" for n in range(100)]
    text[40] = "1000"
    assert "1000" in cut(" ".join(text), ["1,000"], 70, words)
    assert cut(" ".join(text), ["?!"], 70, words).split() == text[-10:]


def test_without_its_answer_a_text_keeps_its_end() -> None:
    text = " ".join(f"w{n}" for n in range(100))
    assert cut(text, ["nowhere"], 70, words).split() == text.split()[-10:]
    assert cut("short text", ["nowhere"], 70, words) == "short text"
    assert cut("", ["nowhere"], 70, words) == ""


@pytest.mark.parametrize(
    ("output", "right"),
    [
        (" it is jane AUSTEN, I think", True),
        ("nobody\nJane Austen", False),  # cut at the first newline
        ("\n \nJane Austen", True),  # an empty line is no answer
        ("", False),
        ("Jane\nAusten", False),
    ],
)
def test_an_answer_counts_where_its_line_contains_it(output: str, right: bool) -> None:
    assert is_right(output, ["Miss A", "Jane Austen"]) is right


def test_answers_of_one_character_are_not_looked_for() -> None:
    assert usable(["5", " x ", "42", ""]) == ("42",)
