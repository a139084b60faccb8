"""`sdsim evaluate`: ask a model questions about texts, shown once and twice."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from omegaconf import DictConfig
from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.commands.command import Command
from sdsim.commands.console import Bar, as_table, console, print_paths
from sdsim.conf import defaults_of
from sdsim.conf.compose import plain, validate
from sdsim.config import STRICT, Count
from sdsim.evaluation import HARNESS_TASKS
from sdsim.evaluation.answers import Asked, Dtype
from sdsim.evaluation.data import (
    HUB,
    MissingAnswer,
    check_task,
    is_own,
    names_in,
    rows_of,
    task_of,
)
from sdsim.evaluation.prompts import (
    FORMS,
    MARGIN,
    NEW_TOKENS,
    OWN,
    TASKS,
    Order,
    PromptForm,
    form_of,
)
from sdsim.files import check_writable
from sdsim.text.config import Strategy

if TYPE_CHECKING:
    from sdsim.evaluation.answerers import Answerer
    from sdsim.evaluation.data import Checked
    from sdsim.evaluation.report import Row

HELP = """\
sdsim evaluate: ask a model questions about texts, with the text shown once (default) and with the
question and the text shown twice (twice, the paper's JRT-Prompt), on the same items. The engine is
lm-evaluation-harness; prompts, cutting and scores are the paper's.

  sdsim evaluate model=state-spaces/mamba-130m-hf 'tasks=[fda,swde]' limit=200
  sdsim evaluate model=runs/jrt_tiny data=mine.jsonl context=400 allow_longer=true
  sdsim evaluate model=runs/jrt_tiny data=mine.jsonl context_field=passage answers_field=labels.0
  sdsim evaluate model=SmolLM2-135M-Instruct.Q4_1.gguf data=folder missing_answer=skip chat=true
  sdsim evaluate model=gpt2 tasks=[squad] repeats=3 order=document_first prompt_tokens=970
  lm_eval run --include_path "$(sdsim evaluate --tasks)" --tasks jrt_fda_twice --model hf …

A model is a folder of `sdsim pretrain` or `sdsim import`, a folder of transformers, a GGUF file, or
a name on the Hugging Face hub. Data of your own are JSONL, a question a line: context, question,
answers, and if you like cloze, the words that the model continues in place of the question. Answers
are stored as they come: the same command resumes, another limit continues, and each item is asked
once.
"""


@dataclass(frozen=True, config=STRICT)
class Config:
    """Settings of ``sdsim evaluate``.

    Attributes:
        checkpoint: folder of a model, a GGUF file, or a name on the Hugging Face hub; also model=….
        tasks: fda, swde, squad, nq, triviaqa, drop, or qa for data of your own, or the names of
            files in the folder `data`; empty: the six, or all that `data` holds.
        prompt: forms of the prompt, which are compared with the first: default (the text, then the
            question), twice (both twice, the question first), or such as question_first_3.
        repeats: one more form: how often the text is read.
        order: of that form: document_first or question_first; the words to continue stand last.
        context: tokens to which a text is cut, and 50 for the question and the answer.
        limit: most items of each task, the first ones; null: all.
        data: hub, a JSONL file (also .jsonl.gz), or a folder with a file <task>.jsonl each; other
            names than the paper's tasks are questions of your own.
        context_field: of your own data; a.0.b is field b of the first of the list a.
        question_field: likewise.
        answers_field: likewise; one text, or a list of which any is right.
        cloze_field: likewise; null: the question is what the model continues.
        cue: what is put at the end of every prompt, such as \\nAnswer: where \\n is a line break.
        missing_answer: an item whose answer is not in its text: error, skip or keep; null: keep for
            the paper's data, as there, error for your own.
        tokenizer: whose tokens `context` counts: a tokenizer.json or a name on the hub; null: the
            model's.
        prompt_tokens: prompts are cut to so many tokens, from the left; null: a prompt that the
            model cannot read is an error.
        new_tokens: most tokens of an answer.
        chat: whether prompts are put into the model's chat template.
        strategy: how a prompt shorter than the prefix is read: left_pad, read_twice or iterate.
        allow_longer: whether prompts may be longer than the sequences of training.
        batch_size: most prompts in a batch; answers do not depend on it.
        store: folder of the answers and of the tables made from them.
        device: name of the torch device, such as cpu or cuda.
        dtype: of the weights: float32, bfloat16 or float16.
        threads: threads of torch, on the CPU.
        tasks_folder: print the folder of the harness's tasks, and do nothing else; also --tasks.
    """

    checkpoint: str | None = None
    tasks: tuple[str, ...] = ()
    prompt: tuple[str, ...] = tuple(FORMS)
    repeats: Annotated[int, Field(ge=1, le=99)] | None = None
    order: Order | None = None
    context: Annotated[int, Field(ge=MARGIN + 2)] = 1000
    limit: Count | None = None
    data: str = HUB
    context_field: str = "context"
    question_field: str = "question"
    answers_field: str = "answers"
    cloze_field: str | None = None
    cue: str = ""
    missing_answer: MissingAnswer | None = None
    tokenizer: str | None = None
    prompt_tokens: Count | None = None
    new_tokens: Count = NEW_TOKENS
    chat: bool = False
    strategy: Strategy = "left_pad"
    allow_longer: bool = False
    batch_size: Count = 8
    store: str = "runs/evaluate"
    device: str = "cpu"
    dtype: Dtype = "float32"
    threads: Count = 2
    tasks_folder: bool = False

    def __post_init__(self) -> None:
        if self.tasks_folder:
            return
        if self.checkpoint is None:
            raise ValueError("model is missing: give it as model=…")
        for name in self.task_names:
            check_task(name, self.data)
        forms = self.forms
        if not forms:
            raise ValueError("prompt = []: name a form, or give repeats or order")
        if self.chat and self.prompt_tokens is not None:
            raise ValueError(
                f"prompt_tokens = {self.prompt_tokens}: cutting from the left would cut the chat "
                "template; choose a smaller context"
            )

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks, each once."""
        paper = tuple(task for task in TASKS if task != OWN)
        standard = paper if self.data == HUB else names_in(self.data) or (OWN,)
        return tuple(dict.fromkeys(self.tasks or standard))

    @property
    def forms(self) -> tuple[PromptForm, ...]:
        """The forms of the prompt, each once."""
        named = [form_of(name) for name in self.prompt]
        if self.repeats is not None or self.order is not None:
            named.append(PromptForm(self.repeats or 1, self.order or "document_first"))
        return tuple(dict.fromkeys(named))

    @property
    def fields(self) -> dict[str, str]:
        """Where the fields of a user's own data are."""
        own = {
            "context": self.context_field,
            "question": self.question_field,
            "answers": self.answers_field,
        }
        return own if self.cloze_field is None else {**own, "cloze": self.cloze_field}


def parse_evaluate(config: DictConfig) -> Config:
    """The settings that a composed config describes.

    Raises:
        ValueError: in one line that names each field that is wrong.
    """
    values = plain(config)
    for name in ("tasks", "prompt"):
        if isinstance(values[name], str):
            values[name] = [values[name]]
    if isinstance(values["cue"], str):
        values["cue"] = values["cue"].replace("\\n", "\n")
    return validate(Config, values)


def run(config: Config) -> None:
    """Ask what was not asked before, store the answers, print what all of them say."""
    os.environ.setdefault("TQDM_DISABLE", "1")  # the harness's bars; there is one of ours
    if config.tasks_folder:
        print_paths([HARNESS_TASKS])
        return
    if find_spec("lm_eval") is None:
        raise ValueError(
            "lm-evaluation-harness is not installed: pip install -e '.[eval]' (lm-eval 0.4.13 or "
            "later)"
        )
    check_writable(Path(config.store), "store")
    rows = {name: _rows(config, name) for name in config.task_names}
    import torch

    from sdsim.evaluation.report import write_tables
    from sdsim.training.device import check_device

    check_device(config.device)
    torch.set_num_threads(config.threads)
    ids = _ask(config, _load(config), rows)
    write_tables(Path(config.store))
    _show(Path(config.store), ids)


def _rows(config: Config, name: str) -> list[Checked]:
    return rows_of(
        name,
        config.data,
        context=config.context,
        limit=config.limit,
        missing_answer=config.missing_answer,
        renamed=config.fields if is_own(name) else None,
    )


def _load(config: Config) -> Answerer:
    from sdsim.evaluation.answerers import load_answerer, quieten_transformers

    quieten_transformers()
    return load_answerer(
        str(config.checkpoint),
        device=config.device,
        dtype=config.dtype,
        chat=config.chat,
        strategy=config.strategy,
        allow_longer=config.allow_longer,
    )


def _ask(config: Config, answerer: Answerer, rows: dict[str, list[Checked]]) -> list[str]:
    """Have the harness run every task in every form; the ids of these runs in the store."""
    from sdsim.evaluation.answerers import load_spans
    from sdsim.evaluation.answers import Answers
    from sdsim.evaluation.asking import Planned, questions
    from sdsim.evaluation.harness import run_tasks

    spans = answerer.spans if config.tokenizer is None else load_spans(config.tokenizer)
    weights = answerer.digest()
    planned = []
    for name, checked in rows.items():
        task, _ = task_of(name, config.fields if is_own(name) else None)
        items = [row.item(task, config.context, spans) for row in checked]
        for form in config.forms:
            asked = questions(
                answerer,
                items,
                form,
                new_tokens=config.new_tokens,
                cue=config.cue,
                chat=config.chat,
                prompt_tokens=config.prompt_tokens,
            )
            answers = Answers(Path(config.store), _asked(config, name, form, weights))
            planned.append(Planned(f"jrt_{name}_{form.name}", asked, answers))
    with ExitStack() as stack:
        for plan in planned:
            stack.enter_context(plan.answers.open(config.device, _versions()))
        with Bar("asking", "items") as bar:
            run_tasks(answerer, planned, config.batch_size, bar.show)
        for plan in planned:
            if plan.answers.lacks_state:
                longest = max(plan.questions, key=lambda question: len(question.tokens))
                plan.answers.add_state(answerer.state_bytes(longest.tokens))
    return [plan.answers.asked.id for plan in planned]


def _asked(config: Config, task: str, form: PromptForm, weights: str) -> Asked:
    return Asked(
        model=str(config.checkpoint),
        weights=weights,
        task=task,
        data=config.data,
        repeats=form.repeats,
        order=form.order,
        context=config.context,
        tokenizer=config.tokenizer or "",
        new_tokens=config.new_tokens,
        prompt_tokens=config.prompt_tokens,
        cue=config.cue,
        chat=config.chat,
        strategy=config.strategy,
        dtype=config.dtype,
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in ("lm_eval", "transformers", "tokenizers", "gguf", "accelerate"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _show(store: Path, ids: list[str]) -> None:
    """Print Table 1 of these runs, and each form with what it gains."""
    import polars as pl

    from sdsim.evaluation.report import CHANGED, CSV, TABLE, rows_of_store, table_1

    rows = rows_of_store(store, ids)
    console.print(as_table(pl.DataFrame(table_1(rows)), "right answers, in percent"))
    console.print(as_table(pl.DataFrame([_line(row) for row in rows]), "each form"))
    kept = f"answers, {CSV}, {TABLE} and {CHANGED} are in {store}"
    console.print(f"{kept}; `sdsim figures text={store}` draws them", soft_wrap=True)


def _line(row: Row) -> dict[str, Any]:
    gains: dict[str, str | None] = dict.fromkeys(("versus", "gain", "95 %", "gained", "lost", "p"))
    if row.difference is not None:
        gains = {
            "versus": row.versus,
            "gain": f"{row.difference:+.1f} ± {row.difference_error:.1f}",
            "95 %": f"{row.difference_low:+.1f} to {row.difference_high:+.1f}",
            "gained": str(row.gained),
            "lost": str(row.lost),
            "p": None if row.p_value is None else f"{row.p_value:.2g}",
        }
    return {
        "task": row.task,
        "prompt": row.prompt,
        "items": row.items,
        "right": f"{row.accuracy:.1f} ± {row.standard_error:.1f}",
        **gains,
        "state bytes": row.state_bytes,
        "first token ms": None if row.first_token_ms is None else f"{row.first_token_ms:.0f}",
        "tokens per s": None if row.tokens_per_second is None else f"{row.tokens_per_second:.0f}",
    }


def _renamed(words: list[str]) -> list[str]:
    """The words by the names of the settings; ``model`` is a group of Hydra's configs here."""
    known = {"--tasks": "tasks_folder=true"}
    return [known.get(word, re.sub(r"\Amodel=", "checkpoint=", word)) for word in words]


COMMAND = Command(
    name="evaluate",
    summary="ask a model questions about texts, once and twice (JRT-Prompt)",
    help=HELP,
    settings=defaults_of(Config),
    parse=parse_evaluate,
    run=run,
    meanings={"": (Config,)},
    shorthand=_renamed,
    interrupted=": the answers so far are stored; the same command resumes",
)
