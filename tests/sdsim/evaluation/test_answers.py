"""Answers survive whatever ends the process that asks for them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sdsim.evaluation.answers import ANSWERS, Answers, Asked, read_store
from sdsim.evaluation.asking import Question, ask, questions
from sdsim.evaluation.prompts import FORMS, Item
from sdsim.evaluation.report import CSV, rows_of_store, table_1, write_tables
from tests.sdsim.evaluation.conftest import Parrot

ITEMS = [
    Item(str(n), f"Of key {n}?", f"The key {n} is v{n}w.", f"The key {n} is v{n}w. It", (f"v{n}w",))
    for n in range(10)
]


def asked_as(form: str, task: str = "qa", **others: object) -> Asked:
    shape = FORMS[form]
    return Asked("parrot", "w", task, "x", shape.repeats, shape.order, 100, **others)  # type: ignore[arg-type]


def ask_all(
    parrot: Parrot,
    store: Path,
    form: str = "default",
    items: Sequence[Item] = ITEMS,
    task: str = "qa",
) -> list[str]:
    answers = Answers(store, asked_as(form, task))
    with answers.open("cpu", {}):
        return ask(
            parrot, questions(parrot, items, FORMS[form], new_tokens=48), answers, batch_size=3
        )


def test_items_are_asked_once(parrot: Parrot, tmp_path: Path) -> None:
    outputs = ask_all(parrot, tmp_path)
    assert len(parrot.asked) == 10
    assert ask_all(parrot, tmp_path) == outputs
    assert len(parrot.asked) == 10
    (folder,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in (folder / ANSWERS).read_text().splitlines()]
    assert {line["item"] for line in lines} == {item.name for item in ITEMS}
    assert all(line["right"] == (int(line["item"]) % 2 == 1) for line in lines)
    assert all(len(line["prompt"]) == 16 for line in lines)
    assert sorted(line["batch"] for line in lines) == [1] + [3] * 9


def test_an_interrupted_evaluation_resumes(parrot: Parrot, tmp_path: Path) -> None:
    expected = ask_all(Parrot(), tmp_path / "whole")
    parrot.fails_after = 7
    with pytest.raises(KeyboardInterrupt):
        ask_all(parrot, tmp_path / "cut")
    (stored,) = (tmp_path / "cut").glob(f"*/{ANSWERS}")
    assert len(stored.read_text().splitlines()) == 6, "two batches of three"
    parrot.fails_after = None
    assert ask_all(parrot, tmp_path / "cut") == expected
    assert len(parrot.asked) == 7 + 4


def test_a_torn_last_line_is_asked_again(parrot: Parrot, tmp_path: Path) -> None:
    expected = ask_all(parrot, tmp_path)
    (stored,) = tmp_path.glob(f"*/{ANSWERS}")
    content = stored.read_bytes()
    for cut in (1, 5, 60):
        stored.write_bytes(content[:-cut])
        parrot.asked.clear()
        assert ask_all(parrot, tmp_path) == expected
        assert ask_all(parrot, tmp_path) == expected, "all lines are whole again"
        assert len(parrot.asked) == 1
        assert len(stored.read_bytes().splitlines()) == 10


def test_a_damaged_line_is_named(parrot: Parrot, tmp_path: Path) -> None:
    ask_all(parrot, tmp_path)
    (stored,) = tmp_path.glob(f"*/{ANSWERS}")
    lines = stored.read_text().splitlines()
    stored.write_text("\n".join(["{}", *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match=r"answers.jsonl, line 1 is damaged"):
        ask_all(parrot, tmp_path)


def test_other_data_under_the_same_name_are_refused(parrot: Parrot, tmp_path: Path) -> None:
    ask_all(parrot, tmp_path)
    for changed in (
        Item("3", "Of key 3?", "The key 3 is other.", "The key 3 is other. It", ("v3w",)),
        Item("3", ITEMS[3].question, ITEMS[3].document, ITEMS[3].ending, ("other",)),
    ):
        with pytest.raises(ValueError, match="item 3 was another one"):
            ask_all(parrot, tmp_path, items=[*ITEMS[:3], changed])
    assert len(ask_all(parrot, tmp_path, items=ITEMS[:5])) == 5


def test_two_processes_do_not_write_at_once(tmp_path: Path) -> None:
    first, second = (Answers(tmp_path, asked_as("default")) for _ in range(2))
    with (
        first.open("cpu", {}),
        pytest.raises(ValueError, match="another process is writing"),
        second.open("cpu", {}),
    ):
        pass


def test_what_was_asked_is_what_identifies_it() -> None:
    known = {
        asked_as("default").id,
        asked_as("twice").id,
        asked_as("default", "nq").id,
        asked_as("default", cue=":").id,
        asked_as("default", chat=True).id,
        asked_as("default", dtype="bfloat16").id,
    }
    assert len(known) == 6
    assert asked_as("default").id in known


def test_a_prompt_that_the_model_cannot_read_is_named(parrot: Parrot) -> None:
    parrot.longest = 80
    asked = {"new_tokens": 48}
    with pytest.raises(ValueError, match="prompt twice: item 0 has 48 tokens, and 48 for its"):
        questions(parrot, ITEMS, FORMS["twice"], **asked)
    short = questions(parrot, ITEMS, FORMS["twice"], prompt_tokens=32, **asked)
    assert all(len(question.tokens) == 32 for question in short)
    assert "".join(map(chr, short[0].tokens)) == short[0].prompt[-32:]
    assert isinstance(short[0], Question)


def test_the_report_compares_forms_item_by_item(parrot: Parrot, tmp_path: Path) -> None:
    for task in ("qa", "nq"):
        ask_all(parrot, tmp_path, "default", task=task)
        ask_all(parrot, tmp_path, "twice", ITEMS[:8], task)
    rows = {(row.task, row.prompt): row for row in rows_of_store(tmp_path)}
    assert len(rows) == 2 * 3
    once, twice = rows["qa", "default"], rows["qa", "twice"]
    assert (once.items, once.accuracy, once.versus) == (10, 50.0, "")
    assert (twice.items, twice.accuracy, twice.gained, twice.lost) == (8, 100.0, 4, 0)
    assert (twice.versus, twice.difference, twice.p_value) == ("default", 50.0, 0.125)
    assert once.tokens_per_second == pytest.approx(50 / 4)
    mean = rows["mean", "twice"]
    assert (mean.accuracy, mean.difference, mean.gained, mean.items) == (100.0, 50.0, 8, 16)
    assert mean.p_value is None
    (line,) = table_1(list(rows.values()))
    assert (line["nq"], line["qa"], line["mean"]) == ("50.0 → 100.0",) * 3
    assert write_tables(tmp_path) == list(rows_of_store(tmp_path))
    assert len((tmp_path / CSV).read_text().splitlines()) == 7


def test_what_a_store_says_of_another_folder_is_refused(parrot: Parrot, tmp_path: Path) -> None:
    ask_all(parrot, tmp_path)
    (folder,) = tmp_path.iterdir()
    folder.rename(tmp_path / "0123456789abcdef")
    with pytest.raises(ValueError, match="does not belong to this folder"):
        read_store(tmp_path)
