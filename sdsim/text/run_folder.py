"""The folder of a pretraining run: which run it holds, its log, its model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT
from sdsim.files import write_text
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.text.config import PretrainConfig, with_added_fields
from sdsim.text.pretrained import INVALID_MODEL, PretrainedModel, missing_files
from sdsim.text.tokenizer import padded_vocab_size, vocab_size_of

if TYPE_CHECKING:
    from sdsim.text.corpus import Corpus

Numbers = Mapping[str, float]
OnNumbers = Callable[[int, Numbers], object]
"""Called with a step and the numbers that the log has of it."""

RUN, LOG, MODEL, CHECKPOINTS = "run.json", "log.jsonl", "model", "checkpoints"
"""The files and folders of a run."""

VALIDATION_LOSS = "validation_loss"
"""What the log calls the loss on held-out text."""

_LINE = '{"step": '
"""How a line of the log begins."""

_LOCK_SECONDS = 5
"""How long a process that was killed may hold its lock."""


@dataclass(frozen=True, config=STRICT)
class _Description:
    """What ``run.json`` holds.

    Attributes:
        config: see `PretrainConfig.identity`.
        tokens: folder of the tokens, where the tokenizer is.
        corpus: see `Corpus.identity`.
        model: see `model_arguments`.
    """

    config: dict[str, Any]
    tokens: str
    corpus: dict[str, Any]
    model: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> _Description:
        try:
            return TypeAdapter(cls).validate_python(read_object(path))
        except READ_ERRORS as error:
            raise ValueError(
                f"{path} cannot be used: {reason(error)}; restore it, or delete it and give "
                "`sdsim pretrain` with the settings of this run, which writes it again"
            ) from error


def check_same_run(config: PretrainConfig, corpus: Corpus | None = None) -> None:
    """Check that the folder is empty or holds this run.

    The description stands beside the checkpoints too, so that a damaged one can be written again.

    Raises:
        ValueError: naming a field in which the run of the folder differs; with `corpus`, also if
            that run was trained on another one; for a ``run.json`` that is damaged.
    """
    out = Path(config.out)
    # Looked for in this order: another process of the same run may be writing the description now,
    # and writes what it describes only afterwards.
    traces = {CHECKPOINTS: f"{CHECKPOINTS}/step-*", LOG: LOG, MODEL: MODEL}
    left = [name for name, trace in traces.items() if any(out.glob(trace))]
    path = next((path for path in (out / RUN, out / CHECKPOINTS / RUN) if path.exists()), None)
    if path is None:
        if left:
            raise ValueError(
                f"{out / RUN} is missing, so that nothing says which run {left[0]} is of; restore "
                "it, or choose another folder"
            )
        return
    stored = _Description.load(path)
    stored_config = with_added_fields(stored.config)
    identity = with_added_fields(json.loads(json.dumps(config.identity())))
    for name, value in identity.items():
        before = stored_config.get(name)
        if before != value:
            raise ValueError(
                f"out = {config.out!r}: the folder holds another run, with {name} = {before!r} "
                f"rather than {value!r}; choose another folder"
            )
    differing = [
        name
        for name, value in (corpus.identity() if corpus is not None else {}).items()
        if stored.corpus.get(name) != value
        and (name in stored.corpus or name != "text")  # which earlier versions did not store
    ]
    if differing:
        raise ValueError(
            f"out = {config.out!r}: the folder holds a run on another corpus than the one in "
            f"{config.corpus.tokens}, which differs in {', '.join(differing)}; choose another "
            "folder, or restore those tokens"
        )


def describe_run(config: PretrainConfig, corpus: Corpus) -> None:
    """Write ``run.json``, unless it is there; all processes may call this at once.

    Raises:
        ValueError: see `check_same_run`.
    """
    check_same_run(config, corpus)
    out = Path(config.out)
    missing = [path for path in (out / CHECKPOINTS / RUN, out / RUN) if not path.exists()]
    if not missing or (out / CHECKPOINTS).is_file():  # which reading checkpoints refuses
        return
    (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    description = _Description(
        config.identity(),
        str(Path(config.corpus.tokens).absolute()),
        corpus.identity(),
        model_arguments(config, corpus),
    )
    for path in missing:
        write_text(path, json.dumps(asdict(description), indent=1) + "\n")


def model_arguments(config: PretrainConfig, corpus: Corpus) -> dict[str, Any]:
    """The arguments of `PretrainedModel` for the model of this run, as plain data."""
    return {
        "model": asdict(config.model.config),
        "vocab_size": padded_vocab_size(corpus.vocab_size),
        "seq_len": config.length,
        "prefix_len": config.prefix,
        "token_count": vocab_size_of(corpus.tokenizer),
    }


def corpus_of(path: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the tokens that a run was trained on, and the identity of its corpus then.

    Raises:
        ValueError: if the folder holds no run, or its description is damaged.
    """
    if not (path / RUN).exists():
        raise ValueError(f"{path} holds no run of `sdsim pretrain`: there is no {RUN}")
    description = _Description.load(path / RUN)
    return Path(description.tokens), description.corpus


def trained_model(path: Path) -> PretrainedModel:
    """The model in a run's folder: the finished one if it is whole, else the newest checkpoint's.

    Raises:
        ValueError: if there is neither, or it is damaged.
    """
    finished = path / MODEL
    if finished.exists() and not missing_files(finished):
        return PretrainedModel.from_pretrained(finished)
    from sdsim.text.checkpoint import checkpoints, load_model  # these import FSDP

    found = checkpoints(path / CHECKPOINTS)
    if not found and finished.exists():
        return PretrainedModel.from_pretrained(finished)
    if not found:
        raise ValueError(f"{path} holds neither a model nor a checkpoint")
    description = _Description.load(path / RUN)
    try:
        model = PretrainedModel(**description.model)
    except INVALID_MODEL as error:
        raise ValueError(f"{path / RUN} does not describe a model: {reason(error)}") from error
    load_model(found[-1][1], model)
    model.source = description.tokens
    return model


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other runs from training in the folder meanwhile.

    Raises:
        ValueError: if one does already.
    """
    try:
        with FileLock(out / ".lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ValueError(f"out = {str(out)!r}: another process is training there") from error


class Log(AbstractContextManager["Log"]):
    """A file of numbers by step, one JSON object a line.

    Args:
        path: of the file.
        step: the step that training resumes from; lines of later steps are deleted.
        on_numbers: called with each new line.

    Raises:
        ValueError: naming a line that is damaged; the file stays as it is then.
    """

    def __init__(self, path: Path, step: int, on_numbers: OnNumbers | None) -> None:
        self._on_numbers = on_numbers
        kept = [line for line in _lines(path) if line["step"] <= step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, numbers: Numbers) -> None:
        """Append a line."""
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()
        if self._on_numbers is not None:
            self._on_numbers(step, numbers)

    def __exit__(self, *error: object) -> None:
        self._file.close()


def validation_losses(path: Path, step: int) -> list[float]:
    """The held-out losses that a log has, up to a step.

    Raises:
        ValueError: naming a line that is damaged.
    """
    lines = [line for line in _lines(path) if line["step"] <= step]
    return [line[VALIDATION_LOSS] for line in lines if VALIDATION_LOSS in line]


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; the last one may have been cut off by a crash, and then is left out."""
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except (UnicodeDecodeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read: {reason(error)}; move it away to begin another"
        ) from error
    read = []
    for number, line in enumerate(lines, 1):
        try:
            numbers = json.loads(line)
            if not isinstance(numbers, dict) or not isinstance(numbers.get("step"), int):
                raise ValueError("it holds no step")
        except (ValueError, RecursionError) as error:
            torn = line[: len(_LINE)] == _LINE[: len(line)] and not line.endswith("\n")
            if torn and number == len(lines):
                break
            raise ValueError(
                f"{path}, line {number} is damaged: {reason(error)}; delete that line, or move "
                "the file away to begin another"
            ) from error
        read.append(numbers)
    return read
