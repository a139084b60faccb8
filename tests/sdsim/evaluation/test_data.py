"""Rows of a user's own: whatever is wrong with them is said in one line."""

import gzip
import json
from pathlib import Path

import pytest

from sdsim.evaluation.data import HUB, rows_of

ROW = {"context": "Ann wrote it in 1810.", "question": "When?", "answers": ["1810"]}


def write(path: Path, *rows: object) -> str:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz"])
def test_rows_are_read_with_their_lines(name: str, tmp_path: Path) -> None:
    data = write(tmp_path / name, ROW, "", {**ROW, "answers": "in 1810"})
    rows = rows_of("qa", data, context=100)
    assert [(row.name, row.answers) for row in rows] == [("1", ("1810",)), ("3", ("in 1810",))]
    assert len(rows_of("qa", data, context=100, limit=1)) == 1


def test_fields_are_found_by_the_names_that_are_told(tmp_path: Path) -> None:
    row = {"doc": [{"text": "Ann wrote it."}], "q": "Who?", "gold": {"text": ["Ann"]}, "a.b": "By"}
    data = write(tmp_path / "mine.jsonl", row)
    places = {"context": "doc.0.text", "question": "q", "answers": "gold.text", "cloze": "a.b"}
    (found,) = rows_of("qa", data, context=100, renamed=places)
    assert found.fields == {"context": "Ann wrote it.", "question": "Who?", "cloze": "By"}
    assert found.answers == ("Ann",)


def test_damaged_lines_are_named_counted_and_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write(tmp_path / "mine.jsonl", ROW, "{torn", "[1]", ROW, "\ufffe", "nan ")
    assert [row.name for row in rows_of("qa", data, context=100)] == ["1", "4"]
    assert "mine.jsonl, line 2 is damaged and skipped" in caplog.text
    assert "line 3" in caplog.text
    assert "4 of 6 lines are damaged" in caplog.text


def test_answers_of_one_character_skip_their_item(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = write(tmp_path / "mine.jsonl", {**ROW, "answers": ["5"]}, ROW)
    assert [row.name for row in rows_of("qa", data, context=100)] == ["2"]
    assert "answers of one character: 1" in caplog.text


def test_an_item_without_its_answer(tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", ROW, {**ROW, "answers": ["1999"]})
    with pytest.raises(ValueError, match=r"line 2: the answer '1999' does not stand in the text"):
        rows_of("qa", data, context=100)
    assert len(rows_of("qa", data, context=100, missing_answer="skip")) == 1
    assert len(rows_of("qa", data, context=100, missing_answer="keep")) == 2
    assert len(rows_of("qa", data, context=100, limit=1)) == 1, "what is not asked is no error"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"context": "a"}, "line 1: the field 'question' is missing; there are context"),
        ({**ROW, "context": 5}, "line 1: context = 5: must be a text"),
        ({**ROW, "context": " "}, "line 1: context = ' ': must be a text"),
        ({**ROW, "answers": []}, r"line 1: answers = \[\]: must be a text, or a list"),
        ({**ROW, "answers": [None]}, r"answers = \[None\]: must be"),
        ("{", "holds no JSON object"),
    ],
)
def test_rows_that_cannot_be_asked(row: object, said: str, tmp_path: Path) -> None:
    data = write(tmp_path / "mine.jsonl", row)
    with pytest.raises(ValueError, match=said) as caught:
        rows_of("qa", data, context=100)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    write(tmp_path / "squad.jsonl", {**ROW, "text": "Ann wrote it in", "value": "Ann"})
    assert len(rows_of("squad", str(tmp_path), context=100)) == 1
    (tmp_path / "mine.csv").touch()
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 100)[:-9])
    for task, data, said in (
        ("nq", str(tmp_path), "the folder holds no nq.jsonl"),
        ("qa", "gone.jsonl", "there is no such file"),
        ("qa", str(tmp_path / "mine.csv"), r"must end with \.jsonl"),
        ("qa", str(tmp_path / "cut.jsonl.gz"), "cut.jsonl.gz"),
        ("qa", HUB, "takes data of your own"),
        ("qqa", HUB, "'qqa' is not one of fda"),
    ):
        with pytest.raises(ValueError, match=said):
            rows_of(task, data, context=100)
