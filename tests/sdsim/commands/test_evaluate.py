"""`sdsim evaluate`, as a user meets it; a loop stands in for the harness, which need not be there.

`tests/sdsim/evaluation/test_harness.py` runs the harness itself.
"""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sdsim.evaluation.answerers import Answerer
from sdsim.evaluation.asking import Planned, ask
from tests.conftest import Run
from tests.sdsim.evaluation.conftest import Parrot

Evaluate = Callable[..., tuple[int, str, str]]


def looped(
    answerer: Answerer, planned: Sequence[Planned], size: int, show: Callable[[int, int], object]
) -> dict[str, float]:
    for plan in planned:
        ask(answerer, plan.questions, plan.answers, batch_size=size, on_progress=show)
    return {}


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def evaluate(parrot: Parrot, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    """``sdsim evaluate`` of a model that answers, on twenty questions of a user's own."""
    monkeypatch.setattr("sdsim.commands.evaluate.find_spec", lambda name: True)
    monkeypatch.setattr("sdsim.evaluation.harness.run_tasks", looped)
    monkeypatch.setattr("sdsim.evaluation.answerers.load_answerer", lambda *_, **__: parrot)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    rows = [
        {
            "context": f"The key {n} is v{n}w.",
            "question": f"Of key {n}? What",
            "answers": [f"v{n}w"],
        }
        for n in range(20)
    ]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda *words: run("evaluate", "model=parrot", "data=mine.jsonl", *words)


def test_two_prompts_are_compared(evaluate: Evaluate, parrot: Parrot, tmp_path: Path) -> None:
    code, out, err = evaluate()
    assert (code, err) == (0, "asking: 20 of 20 items\n")
    assert "50.0 → 100.0" in out
    for text in ("+50.0 ± 11.2", "│ 10     │ 0    │ 0.002", "50.0 ± 11.2", "100.0 ± 0.0"):
        assert text in out
    assert parrot.asked[0] == "The key 0 is v0w. Of key 0? What"
    assert "Of key 0? What The key 0 is v0w.\nThe key 0 is v0w. Of key 0? What" in parrot.asked
    with (tmp_path / "runs" / "evaluate" / "table.csv").open() as file:
        once, twice = csv.DictReader(file)
    assert (once["prompt"], once["accuracy"], once["first_token_ms"]) == ("default", "50", "250")
    assert (twice["gained"], twice["lost"], twice["versus"]) == ("10", "0", "default")
    store = tmp_path / "runs" / "evaluate"
    assert "50.0 → 100.0" in (store / "table.md").read_text()
    with (store / "changed.csv").open() as file:
        changed = list(csv.DictReader(file))
    assert [row["item"] for row in changed] == [str(n) for n in range(1, 20, 2)]
    assert {row["change"] for row in changed} == {"gained"}
    assert (changed[0]["before"], changed[0]["after"]) == ("nothing", "v0w")


def test_what_was_answered_is_drawn_from_its_table(evaluate: Evaluate, run: Run) -> None:
    evaluate()
    code, out, err = run("figures", "text=runs/evaluate", "out=drawn")
    assert (code, err) == (0, "")
    assert sorted(Path(line).name for line in out.split()) == [
        "answers.csv",
        "answers.pdf",
        "answers.png",
    ]
    before = Path("drawn/answers.pdf").read_bytes()
    run("figures", "text=runs/evaluate", "out=drawn")
    assert Path("drawn/answers.pdf").read_bytes() == before
    code, _, err = run("figures", "text=drawn")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no table.csv or perplexity.csv" in err


def test_files_of_a_folder_are_tasks(evaluate: Evaluate, parrot: Parrot, tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    lines = (tmp_path / "mine.jsonl").read_text().splitlines(keepends=True)
    (folder / "second.jsonl").write_text("".join(lines[4:9]))
    (folder / "a first.jsonl").write_text("".join(lines[:4]))
    code, out, _ = evaluate("data=sets")
    assert code == 0
    assert len(parrot.asked) == 2 * (4 + 5)
    assert out.index("a first") < out.index("second") < out.index("mean")
    assert "50.0 → 100.0" in out
    evaluate("data=sets", "tasks=second", "limit=2")
    assert len(parrot.asked) == 2 * (4 + 5)
    code, out, err = evaluate("data=sets", "tasks=[second,third]")
    assert (code, out) == (2, "")
    assert "'third' is not one of fda, swde, squad" in err
    assert "nor a file of sets" in err
    (folder / "mean.jsonl").write_text(lines[0])
    assert "rename that file" in evaluate("data=sets")[2]


def test_what_was_asked_is_not_asked_again(evaluate: Evaluate, parrot: Parrot) -> None:
    evaluate("limit=5")
    assert len(parrot.asked) == 10
    evaluate("limit=8", "prompt=default", "repeats=3", "order=question_first", "cue=\\nAnswer:")
    assert len(parrot.asked) == 10 + 16
    assert parrot.asked[-1].count("The key 7 is") == 3
    assert parrot.asked[-1].endswith("What\nAnswer:")
    out = evaluate("limit=8")[1]
    assert len(parrot.asked) == 10 + 16 + 6
    assert "50.0 → 100.0" in out


def test_an_interrupted_command_says_that_it_resumes(evaluate: Evaluate, parrot: Parrot) -> None:
    parrot.fails_after = 16
    code, _, err = evaluate("batch_size=4")
    assert code == 130
    assert "interrupted: the answers so far are stored; the same command resumes" in err
    parrot.fails_after = None
    assert "50.0 → 100.0" in evaluate("batch_size=4")[1]
    assert len(parrot.asked) == 40


def test_without_the_harness_its_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdsim.commands.evaluate.find_spec", lambda name: None)
    code, out, err = run("evaluate", "model=gpt2")
    assert (code, out) == (2, "")
    assert "pip install -e '.[eval]'" in err


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["data=gone.jsonl"], "data = 'gone.jsonl': there is no such file"),
        (["tasks=[foo]"], "tasks: 'foo' is not one of fda, swde, squad"),
        (["tasks=squad"], "mine.jsonl, line 1: the field 'text' is missing; there are context,"),
        (["prompt=[thrice]"], "prompt: 'thrice' is not one of default, twice"),
        (["prompt=[]"], "prompt = []: name a form"),
        (["order=backwards"], "order = 'backwards': must be 'document_first' or 'question_first'"),
        (["context=51"], "context = 51: must be greater than or equal to 52"),
        (["repeats=400"], "repeats = 400: must be less than or equal to 99"),
        (["repeats=99", "new_tokens=9000"], "item 11 has 1995 tokens, and 9000 for its answer"),
        (["context_field=text"], "line 1: the field 'text' is missing"),
        (["answers_field=question"], "line 1: the answer 'Of key 0? What' does not stand in the"),
        (["chat=true", "prompt_tokens=100"], "would cut the chat template"),
        (["device=warp"], "device = 'warp' cannot be used"),
        (["dtype=int8"], "dtype = 'int8': must be 'float32', 'bfloat16' or 'float16'"),
        (["bach_size=3"], "did you mean batch_size?"),
        (["model=null"], "model is missing: give it as model=…"),
    ],
)
def test_what_cannot_be_evaluated(
    settings: list[str], expected: str, evaluate: Evaluate, parrot: Parrot, tmp_path: Path
) -> None:
    code, out, err = evaluate(*settings)
    assert (code, out) == (2, "")
    assert expected in " ".join(err.split())
    assert err.count("\n") == 1
    assert not parrot.asked
    assert not (tmp_path / "runs").exists()
