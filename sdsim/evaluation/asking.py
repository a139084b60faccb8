"""Ask a model: prompts in batches, answers into their store, each item once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sdsim.evaluation.answerers import Answerer
from sdsim.evaluation.answers import Answer, Answers, digest_of
from sdsim.evaluation.prompts import Item, PromptForm, is_right

Progress = Callable[[int, int], object]
"""Called with how many items are answered, and of how many."""


@dataclass(frozen=True)
class Question:
    """An item as it is asked.

    Attributes:
        item: its name.
        prompt: the text, in a chat template if one is used.
        tokens: what the model reads.
        answers: any of them is right.
    """

    item: str
    prompt: str
    tokens: Sequence[int]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Planned:
    """A task in one form, ready to be asked.

    Attributes:
        name: of the harness's task.
        questions: what to ask.
        answers: where answers are kept; open.
    """

    name: str
    questions: Sequence[Question]
    answers: Answers


def questions(
    answerer: Answerer,
    items: Sequence[Item],
    form: PromptForm,
    *,
    new_tokens: int,
    cue: str = "",
    chat: bool = False,
    prompt_tokens: int | None = None,
) -> list[Question]:
    """The prompts of one form.

    Args:
        cue: appended to each.
        chat: whether each becomes a message in the model's chat template.
        prompt_tokens: how many are kept, the last ones; None: all.

    Raises:
        ValueError: for prompts that the model cannot read, naming the longest.
    """
    made = []
    for item in items:
        prompt = form.of(item) + cue
        prompt = answerer.chat(prompt) if chat else prompt
        tokens = answerer.encode(prompt)
        made.append(Question(item.name, prompt, tokens[-(prompt_tokens or 0) :], item.answers))
    longest = max(made, key=lambda question: len(question.tokens))
    needed = len(longest.tokens) + new_tokens
    if answerer.longest is not None and needed > answerer.longest:
        raise ValueError(
            f"prompt {form.name}: item {longest.item} has {len(longest.tokens)} tokens, and "
            f"{new_tokens} for its answer; {answerer.name} reads {answerer.longest} at most: "
            "choose a smaller context, or prompt_tokens, which cuts prompts from the left"
        )
    if not all(question.tokens for question in made):
        raise ValueError(f"prompt {form.name}: a prompt is empty")
    return made


def ask(
    answerer: Answerer,
    asked: Sequence[Question],
    answers: Answers,
    *,
    batch_size: int,
    on_progress: Progress = lambda done, total: None,
) -> list[str]:
    """The outputs, in the order of the questions; those that are stored are not asked again.

    Args:
        answers: open; each batch is stored before the next one is asked.
        on_progress: called before and after each batch.

    Raises:
        ValueError: if other prompts are stored under the names of these items.
    """
    for question in asked:
        answers.check_same(question.item, question.prompt, question.answers)
    left = [question for question in asked if question.item not in answers.by_item]
    done = len(asked) - len(left)
    on_progress(done, len(asked))
    for batch in answerer.batches([len(question.tokens) for question in left], batch_size):
        chosen = [left[place] for place in batch]
        outputs = answerer.outputs(
            [question.tokens for question in chosen], answers.asked.new_tokens
        )
        answers.add(
            [
                Answer(
                    item=question.item,
                    prompt=digest_of(question.prompt),
                    output=output.text,
                    right=is_right(output.text, question.answers),
                    prompt_tokens=len(question.tokens),
                    new_tokens=output.new_tokens,
                    first_seconds=round(output.first_seconds, 6),
                    seconds=round(output.seconds, 6),
                    batch=output.batch,
                )
                for question, output in zip(chosen, outputs, strict=True)
            ]
        )
        done += len(chosen)
        on_progress(done, len(asked))
    return [answers.by_item[question.item].output for question in asked]
