"""A corpus for small models: generated documents with facts, and text of installed packages."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock

from sdsim.files import atomic_file, remove_scratch, write_text
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.text.config import PackageName, RecipeConfig
from sdsim.text.documents import Document
from sdsim.text.packages import PACKAGES, documents_of
from synthetic.fact_documents import FactDocuments
from synthetic.task import Split

TRAIN, HELD_OUT, TEST = "train", "held_out", "test"
"""The folders of a corpus: to learn from, to stop by, to ask about."""

_MANIFEST = "recipe.json"
_FORMAT = 1
_DOCUMENTS = 10_000  # generated, of a shard
_READINGS = ((1, False), (2, True), (1, True), (2, False))
"""The forms in which a document is shown in training, in turn: how often, question first."""

OnShards = Callable[[int, int, str], object]
"""Called with how many shards are done, of how many, and the next one's name."""


def write_corpus(config: RecipeConfig, on_shards: OnShards | None = None) -> Path:
    """Write the shards of a corpus that are not there yet.

    In the folder are ``train`` and ``held_out`` with JSONL files of documents (``text``), for
    `sdsim pretrain`, and ``test`` with questions (``context``, ``question``, ``cloze``,
    ``answers``), for `sdsim evaluate`. Each file is there whole or not at all: a call that was
    killed is resumed by the same call. ``recipe.json`` says what they were made from.

    Args:
        config: what it consists of.
        on_shards: called before each shard and at the end.

    Returns:
        The folder.

    Raises:
        ValueError: if a package is not installed, or the folder holds another corpus.
    """
    _check_sizes(config)
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out / ".lock"):
        _check_same(out / _MANIFEST, config)
        for name in config.packages:  # before minutes of work
            next(documents_of(name, Path(config.root)))
        write_text(out / _MANIFEST, json.dumps(_described(config), indent=1) + "\n")
        for folder in (TRAIN, HELD_OUT, TEST):
            (out / folder).mkdir(exist_ok=True)
            remove_scratch(out / folder)
        shards = list(_shards(config))
        for number, (path, rows) in enumerate(shards):
            if on_shards is not None:
                on_shards(number, len(shards), f"{path.parent.name}/{path.name}")
            if not path.exists():
                _write(path, rows)
        if on_shards is not None:
            on_shards(len(shards), len(shards), "")
    return out


def _check_sizes(config: RecipeConfig) -> None:
    """That names suffice for the largest documents; see `FactDocuments`."""
    FactDocuments(max(config.facts), distractors=max(config.distractors))
    FactDocuments(max(config.test_facts), distractors=config.test_distractors)


def _check_same(path: Path, config: RecipeConfig) -> None:
    if not path.exists():
        return
    try:
        stored = read_object(path)["config"]
        before = {name: stored[name] for name in _identity(config)}
    except (*READ_ERRORS, KeyError) as error:
        raise ValueError(f"{path} cannot be used: {reason(error)}; choose another out") from error
    for name, value in _identity(config).items():
        if before[name] != value:
            raise ValueError(
                f"out = {config.out!r}: the folder holds another corpus, with {name} = "
                f"{before[name]!r} rather than {value!r}; choose another folder"
            )


def _identity(config: RecipeConfig) -> dict[str, Any]:
    """What the files depend on, as JSON has it."""
    values: dict[str, Any] = json.loads(json.dumps(asdict(config)))
    return {name: value for name, value in values.items() if name not in ("out", "root")}


def _described(config: RecipeConfig) -> dict[str, Any]:
    licences = {
        name: {"install": package.install, "licence": package.licence, "allows": package.allows}
        for name, package in PACKAGES.items()
        if name in config.packages
    }
    return {"format": _FORMAT, "config": _identity(config), "packages": licences}


def _shards(config: RecipeConfig) -> Iterator[tuple[Path, Iterable[dict[str, Any]]]]:
    """All files, and their rows, which are made when they are read."""
    out = Path(config.out)
    for start in range(0, config.documents, _DOCUMENTS):
        path = out / TRAIN / f"facts-{start // _DOCUMENTS:05d}.jsonl.gz"
        yield path, _facts(config, "train", start, min(_DOCUMENTS, config.documents - start))
    for name in config.packages:
        yield out / TRAIN / f"{name}.jsonl.gz", _texts(config, name, held_out=False)
    yield out / HELD_OUT / "documents.jsonl.gz", _held_out(config)
    for facts in config.test_facts:
        yield out / TEST / f"facts_{facts}.jsonl", _questions(config, facts)


def _facts(config: RecipeConfig, split: Split, start: int, count: int) -> Iterator[dict[str, Any]]:
    """Generated documents `start` … of a split, with all their questions and answers.

    The knobs take turns: document n is of kind n mod K, a stream of its own, and number n div K
    there.
    """
    kinds = _kinds(config)
    made: dict[int, str] = {}
    for place, kind in enumerate(kinds):
        numbers = range(start + (place - start) % len(kinds), start + count, len(kinds))
        first = numbers.start // len(kinds)
        seed = config.seed * len(kinds) + place
        documents = kind.sample(len(numbers), seed=seed, start=first, split=split)
        for number, document in zip(numbers, documents, strict=True):
            times, question_first = _READINGS[number // len(kinds) % len(_READINGS)]
            made[number] = document.read(times, question_first=question_first)
    for number in sorted(made):
        yield {"text": made[number]}


def _held_out(config: RecipeConfig) -> list[dict[str, Any]]:
    """Documents of all kinds, mixed, since a validation may read the first ones alone."""
    rows = [*_facts(config, "validation", 0, -(-config.documents // 100))]
    for name in config.packages:
        rows += _texts(config, name, held_out=True)
    return sorted(rows, key=lambda row: _place(row["text"]))


def _kinds(config: RecipeConfig) -> list[FactDocuments]:
    """One for each combination of the knobs of training."""
    knobs = product(config.facts, config.distractors, config.distance)
    return [
        FactDocuments(facts, facts, distractors, distance) for facts, distractors, distance in knobs
    ]


def _questions(config: RecipeConfig, facts: int) -> Iterator[dict[str, Any]]:
    """Documents of the test split, each with one question."""
    kind = FactDocuments(facts, 1, config.test_distractors, config.test_distance)
    for document in kind.sample(config.test_documents, seed=config.seed, split="test"):
        (question,) = document.questions
        yield {
            "context": document.text,
            "question": question.text,
            "cloze": question.cloze,
            "answers": [question.answer],
        }


def _texts(config: RecipeConfig, name: PackageName, *, held_out: bool) -> Iterator[dict[str, Any]]:
    """The documents of a package that are chosen, to train on or held out."""
    for document in _chosen(config, name):
        if (_place(document.text) % config.held_out_every == 0) == held_out:
            yield {"text": document.text}


def _chosen(config: RecipeConfig, name: PackageName) -> Iterator[Document]:
    """Documents of a package, in an order that does not depend on their names, up to its limit."""
    left = config.package_megabytes * 1e6
    found = documents_of(name, Path(config.root))
    for document in sorted(found, key=lambda document: _place(document.text)):
        left -= len(document.text)
        if left < 0:
            return
        yield document


def _place(text: str) -> int:
    """A number that shows nothing of where a text is from."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSONL file, compressed where its name says so; the same rows give the same bytes."""
    with atomic_file(path) as partial, partial.open("wb") as file:
        lines = (f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows)
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                packed.writelines(lines)
        else:
            file.writelines(lines)
