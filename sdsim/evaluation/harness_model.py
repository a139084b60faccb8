"""An `Answerer` as the harness's `LM`; imports the harness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lm_eval.api.model import LM

from sdsim.evaluation.answerers import Answerer, load_answerer
from sdsim.evaluation.asking import Planned, Progress, ask

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance


class HarnessModel(LM):  # type: ignore[misc, unused-ignore]
    """A model of `sdsim` or of `transformers`, for `lm_eval.simple_evaluate(model=…)`.

    It generates; it gives no likelihoods, which the tasks of recall do not ask for.

    Args:
        model: an `Answerer`, or what `load_answerer` takes.
        batch_size: most prompts in a batch.
        planned: tasks whose answers are kept; those of other tasks are not.
        on_progress: called with how many of the planned items are answered, and of how many.
    """

    def __init__(
        self,
        model: Answerer | str,
        batch_size: int = 8,
        planned: Sequence[Planned] = (),
        on_progress: Progress = lambda done, total: None,
    ) -> None:
        super().__init__()
        self._answerer = load_answerer(model) if isinstance(model, str) else model
        self._size, self._on_progress = int(batch_size), on_progress
        self._planned = {plan.name: plan for plan in planned}
        self._done, self._total = 0, sum(len(plan.questions) for plan in planned)

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Greedy continuations, cut at the first of the strings that end them."""
        by_task: dict[str | None, list[int]] = {}
        for place, request in enumerate(requests):
            by_task.setdefault(request.task_name, []).append(place)
        outputs = [""] * len(requests)
        for name, places in by_task.items():
            asked = [requests[place] for place in places]
            plan = self._planned.get(name or "")
            found = self._generate(asked) if plan is None else self._ask(plan, asked)
            for place, output in zip(places, found, strict=True):
                outputs[place] = output
        return outputs

    def _ask(self, plan: Planned, requests: Sequence[Instance]) -> list[str]:
        by_item = {question.item: question for question in plan.questions}
        asked = [by_item[request.doc["item"]] for request in requests]
        before = self._done

        def show(done: int, _: int) -> None:
            self._done = before + done
            self._on_progress(self._done, self._total)

        return ask(self._answerer, asked, plan.answers, batch_size=self._size, on_progress=show)

    def _generate(self, requests: Sequence[Instance]) -> list[str]:
        prompts = [self._answerer.encode(request.args[0]) for request in requests]
        settings: list[dict[str, Any]] = [request.args[1] for request in requests]
        most = max(int(setting.get("max_gen_toks", 256)) for setting in settings)
        outputs = [""] * len(requests)
        for batch in self._answerer.batches([len(prompt) for prompt in prompts], self._size):
            made = self._answerer.outputs([prompts[place] for place in batch], most, whole=True)
            for place, output in zip(batch, made, strict=True):
                text = output.text
                for end in _ends(settings[place]):
                    text = text.split(end)[0]
                outputs[place] = text
        return outputs

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        """Not given."""
        raise NotImplementedError("sdsim's models generate here, and give no likelihoods")

    def loglikelihood_rolling(self, requests: Sequence[Instance]) -> list[float]:
        """Not given."""
        raise NotImplementedError("sdsim's models generate here, and give no likelihoods")


def _ends(settings: Mapping[str, Any]) -> list[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else list(until)
