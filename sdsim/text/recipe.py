"""A corpus for small models: generated documents with facts, and text of installed packages."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from filelock import FileLock
from pydantic import Field
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT, Count, NonNegative, Seed
from sdsim.files import atomic_file, remove_scratch, write_text
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.text.documents import Document
from sdsim.text.packages import PACKAGES, documents_of
from synthetic.fact_documents import FactDocument, FactDocuments
from synthetic.task import Split

TRAIN, HELD_OUT, TEST = "train", "held_out", "test"
"""The folders of a corpus: to learn from, to stop by, to ask about."""

_MANIFEST = "recipe.json"
_FORMAT = 1
_DOCUMENTS = 10_000  # generated, of a shard
_BLOCK = 500  # generated at once
_READINGS = ((1, False), (2, True), (1, True), (2, False))
"""The forms in which a document is shown in training, in turn: how often, question first."""

OnShards = Callable[[int, int, str], object]
"""Called with how many shards are done, of how many, and the next one's name."""


@dataclass(frozen=True, config=STRICT)
class RecipeConfig:
    """What a corpus consists of.

    Attributes:
        out: folder of the corpus.
        packages: whose text is read: linux, python, gcide, anarchism, perl, wikipedia; or none.
        root: folder in which Debian's packages are installed, or were extracted by dpkg-deb -x; a
            Python package is found where Python finds it, or in this folder.
        package_megabytes: most text of each package.
        held_out_every: one package document of so many is held out.
        documents: generated ones to train on; a hundredth as many are held out.
        facts: numbers of facts in them, in turn.
        distractors: numbers of distractors in them, in turn.
        distance: numbers of sentences after their last statement, in turn.
        test_facts: numbers of facts in the documents that are asked about, a file for each.
        test_distractors: distractors in each of these.
        test_distance: sentences after their last statement.
        test_documents: documents in each file, with one question each.
        seed: of the generated documents.
    """

    out: str = "corpus"
    packages: tuple[str, ...] = tuple(PACKAGES)
    root: str = "/"
    package_megabytes: NonNegative = 4.0
    held_out_every: Annotated[int, Field(ge=2)] = 50
    documents: Count = 100_000
    facts: tuple[Count, ...] = (1, 2, 4, 8)
    distractors: tuple[Annotated[int, Field(ge=0)], ...] = (0, 0, 2)
    distance: tuple[Annotated[int, Field(ge=0)], ...] = (0, 0, 0, 2, 5)
    test_facts: tuple[Count, ...] = (1, 2, 4, 8, 16)
    test_distractors: Annotated[int, Field(ge=0)] = 0
    test_distance: Annotated[int, Field(ge=0)] = 0
    test_documents: Count = 500
    seed: Seed = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.packages if name not in PACKAGES]
        if unknown:
            raise ValueError(f"packages: {unknown[0]!r} is not one of {', '.join(PACKAGES)}")
        for name in ("facts", "distractors", "distance", "test_facts"):
            values = getattr(self, name)
            if not values or len(set(self.test_facts)) < len(self.test_facts):
                raise ValueError(f"{name} = {list(values)}: at least one number, no test twice")
        FactDocuments(max(self.facts), distractors=max(self.distractors))  # checks the sizes
        FactDocuments(max(self.test_facts), distractors=self.test_distractors)


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
    yield (
        out / HELD_OUT / "facts.jsonl.gz",
        _facts(config, "validation", 0, -(-config.documents // 100)),
    )
    for name in config.packages:
        for folder in (TRAIN, HELD_OUT):
            path = out / folder / f"{name}.jsonl.gz"
            yield path, _texts(config, name, held_out=folder == HELD_OUT)
    for facts in config.test_facts:
        yield out / TEST / f"facts_{facts}.jsonl", _questions(config, facts)


def _facts(config: RecipeConfig, split: Split, start: int, count: int) -> Iterator[dict[str, Any]]:
    """Generated documents `start` … of a split, with all their questions and answers."""
    for begin in range(start, start + count, _BLOCK):
        block = range(begin, min(begin + _BLOCK, start + count))
        kinds = {number: _kind(config, number) for number in block}
        made: dict[FactDocuments, list[FactDocument]] = {
            kind: kind.sample(len(block), seed=config.seed, start=begin, split=split)
            for kind in set(kinds.values())
        }
        for number, kind in kinds.items():
            times, question_first = _READINGS[_digit(number, "reading") % len(_READINGS)]
            document = made[kind][number - begin]
            yield {"text": document.read(times, question_first=question_first)}


def _kind(config: RecipeConfig, number: int) -> FactDocuments:
    """The knobs of a generated document, by its number."""
    facts, distractors, distance = (
        values[_digit(number, name) % len(values)]
        for name, values in (
            ("facts", config.facts),
            ("distractors", config.distractors),
            ("distance", config.distance),
        )
    )
    return FactDocuments(facts, facts, distractors, distance)


def _digit(number: int, name: str) -> int:
    """A number that does not show its origin, so that the knobs of a document are independent."""
    return int.from_bytes(hashlib.blake2b(f"{name} {number}".encode(), digest_size=4).digest())


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


def _texts(config: RecipeConfig, name: str, *, held_out: bool) -> Iterator[dict[str, Any]]:
    """The documents of a package that are chosen, to train on or held out."""
    for document in _chosen(config, name):
        if (_place(document) % config.held_out_every == 0) == held_out:
            yield {"text": document.text}


def _chosen(config: RecipeConfig, name: str) -> Iterator[Document]:
    """Documents of a package, in an order that does not depend on their names, up to its limit."""
    left = config.package_megabytes * 1e6
    for document in sorted(documents_of(name, Path(config.root)), key=_place):
        left -= len(document.text)
        if left < 0:
            return
        yield document


def _place(document: Document) -> int:
    digest = hashlib.blake2b(document.text.encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """A JSONL file, compressed where its name says so; the same rows give the same bytes."""
    with atomic_file(path) as partial, partial.open("wb") as file:
        lines = (f"{json.dumps(row, ensure_ascii=False)}\n".encode() for row in rows)
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                packed.writelines(lines)
        else:
            file.writelines(lines)
