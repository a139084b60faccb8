"""The engine: lm-evaluation-harness runs our tasks, and gives the scores that the store holds."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsim.evaluation import HARNESS_TASKS
from sdsim.evaluation.answers import Answers
from sdsim.evaluation.asking import Planned, questions
from sdsim.evaluation.prompts import FORMS, TASKS, is_right
from tests.conftest import Run
from tests.sdsim.evaluation.conftest import Parrot
from tests.sdsim.evaluation.test_answers import ITEMS, asked_as

REASON = "lm-evaluation-harness is not installed: pip install -e '.[eval]'"


def test_the_folder_has_a_task_for_each_form() -> None:
    names = {path.stem for path in HARNESS_TASKS.glob("*.yaml")}
    assert names == {f"jrt_{task}_{form}" for task in TASKS for form in FORMS}


def test_the_folder_is_printed_without_the_harness(run: Run) -> None:
    assert run("evaluate", "--tasks") == (0, f"{HARNESS_TASKS}\n", "")


@pytest.mark.filterwarnings("default")
def test_the_harness_scores_as_the_store_does(parrot: Parrot, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason=REASON)
    from sdsim.evaluation.harness import run_tasks

    planned = []
    for form in FORMS:
        answers = Answers(tmp_path, asked_as(form))
        asked = questions(parrot, ITEMS, FORMS[form], new_tokens=48)
        planned.append(Planned(f"jrt_qa_{form}", asked, answers))
    progress: list[int] = []
    with planned[0].answers.open("cpu", {}), planned[1].answers.open("cpu", {}):
        scores = run_tasks(parrot, planned, 4, lambda done, total: progress.append(done))
        assert scores == {"jrt_qa_default": 0.5, "jrt_qa_twice": 1.0}
        assert progress[-1] == 20
        assert len(parrot.asked) == 20
        assert run_tasks(parrot, planned, 4) == scores
    assert len(parrot.asked) == 20, "what is stored is not asked again"


@pytest.mark.filterwarnings("default")
def test_the_folder_serves_people_without_our_command(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason=REASON)
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    from sdsim.evaluation.harness import CONFIG
    from sdsim.evaluation.harness_model import HarnessModel
    from sdsim.text.tokenizer import train_tokenizer

    rows = [
        {
            "context": f"Nothing. The key {n} is v{n}w. Nothing.",
            "question": f"Of key {n}? What",
            "answers": [f"v{n}w"],
        }
        for n in range(6)
    ]
    data, cutter = tmp_path / "mine.jsonl", tmp_path / "tokenizer.json"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer([str(rows)], 280).save(str(cutter))
    manager = TaskManager(
        include_path=str(HARNESS_TASKS),
        include_defaults=False,
        metadata={"data": str(data), "cutter": str(cutter), "context": 100},
    )
    loaded = manager.load(["jrt_qa_default", "jrt_qa_twice"])
    for task in loaded["tasks"].values():
        for name in ("output_type", "test_split", "doc_to_text", "process_results"):
            assert task.config.to_dict(keep_callable=True)[name] == CONFIG[name]
        kept = {name: task.config.generation_kwargs[name] for name in CONFIG["generation_kwargs"]}
        assert kept == CONFIG["generation_kwargs"]
    found = evaluate(HarnessModel(Parrot()), loaded, bootstrap_iters=0, log_samples=True)
    scores = {name: result["contains,none"] for name, result in found["results"].items()}
    assert scores == {"jrt_qa_default": 0.5, "jrt_qa_twice": 1.0}
    for sample in found["samples"]["jrt_qa_twice"]:
        output = sample["resps"][0][0]
        assert sample["contains"] == is_right(output, sample["doc"]["answers"])


@pytest.mark.filterwarnings("default")
def test_a_user_evaluates_a_model(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason=REASON)
    row = {"context": "the fox 1 jumps over the dog", "question": "who", "answers": ["fox"]}
    (tmp_path / "mine.jsonl").write_text(f"{json.dumps(row)}\n" * 5)
    words = [f"model={folder_of('jrt')}", "data=mine.jsonl", "context=60", "threads=1"]
    command = [sys.executable, "-m", "sdsim", "evaluate", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "twice" in done.stdout
    assert done.stderr.strip() == "asking: 10 of 10 items"
    assert len(list(tmp_path.glob("runs/evaluate/*/answers.jsonl"))) == 2
