"""lm-evaluation-harness as the engine: its tasks, by our prompts and scores.

The YAML files of ``harness_tasks`` are external tasks for anyone's ``lm_eval --include_path``; what
they refer to is here. `run_tasks` runs the same tasks on an `Answerer`, whose answers are kept as
they come.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sdsim.evaluation.answerers import Answerer, load_spans
from sdsim.evaluation.asking import Planned, Progress
from sdsim.evaluation.data import HUB, rows_of, task_of
from sdsim.evaluation.prompts import NEW_TOKENS, form_of, is_right

# What the YAML files of the folder refer to.


def documents(
    task: str,
    prompt: str,
    *,
    context: int = 1000,
    data: str = HUB,
    fields: Mapping[str, str] | None = None,
    cutter: str = "gpt2",
    missing_answer: Any = None,
    **_: object,
) -> dict[str, Any]:
    """The items of a task as the harness takes them, with one form of prompt.

    Args:
        task: key of `sdsim.evaluation.prompts.TASKS`.
        prompt: see `form_of`.
        context, data, missing_answer: see `rows_of`.
        fields: of a user's own data, see `rows_of`.
        cutter: the tokenizer that counts the tokens of `context`.
    """
    rows = rows_of(task, data, context=context, missing_answer=missing_answer, renamed=fields)
    made, _places = task_of(task, fields)
    form, spans = form_of(prompt), load_spans(cutter)
    items = [row.item(made, context, spans) for row in rows]
    return _dataset([(item.name, form.of(item), item.answers) for item in items])


def prompt_of(document: Mapping[str, Any]) -> str:
    """The prompt."""
    prompt: str = document["prompt"]
    return prompt


def target_of(document: Mapping[str, Any]) -> str:
    """One of the answers."""
    target: str = document["answers"][0]
    return target


def score(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Whether an answer stands in the output, see `is_right`."""
    return {"contains": float(is_right(results[0], document["answers"]))}


CONFIG: Mapping[str, Any] = {
    "output_type": "generate_until",
    "test_split": "test",
    "doc_to_text": prompt_of,
    "doc_to_target": target_of,
    "process_results": score,
    "generation_kwargs": {"until": [], "max_gen_toks": NEW_TOKENS, "do_sample": False},
    "metric_list": [{"metric": "contains", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1},
}
"""What the tasks of the folder have in common: ``_jrt_yaml``, as Python."""


def _dataset(rows: Sequence[tuple[str, str, Sequence[str]]]) -> dict[str, Any]:
    from datasets import Dataset

    names = ("item", "prompt", "answers")
    listed = [
        dict(zip(names, (name, prompt, list(answers)), strict=True))
        for name, prompt, answers in rows
    ]
    return {"test": Dataset.from_list(listed)}


def run_tasks(
    answerer: Answerer,
    planned: Sequence[Planned],
    batch_size: int,
    on_progress: Progress = lambda done, total: None,
) -> dict[str, float]:
    """Have the harness run these tasks; its scores, by the names of the tasks.

    Answers that are stored already are not asked again. Random generators keep their states.

    Args:
        on_progress: called with how many items are answered, and of how many.
    """
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    from sdsim.evaluation.harness_model import HarnessModel

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of what is meant to be so
    configs = []
    for plan in planned:
        rows = _dataset([(q.item, q.prompt, q.answers) for q in plan.questions])
        configs.append({**CONFIG, "task": plan.name, "custom_dataset": lambda rows=rows, **_: rows})
    found = evaluate(
        HarnessModel(answerer, batch_size, planned, on_progress),
        TaskManager(include_defaults=False).load(configs),
        bootstrap_iters=0,
        log_samples=False,
    )
    return {name: float(scores["contains,none"]) for name, scores in found["results"].items()}
