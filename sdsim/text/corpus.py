"""A corpus as tokens: written once, then memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass
from tokenizers import Tokenizer

from sdsim.config import STRICT
from sdsim.files import atomic_file, remove_scratch, write_text
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.text.config import TRAIN_TOKENIZER, CorpusConfig, Split
from sdsim.text.documents import Document, Source, documents, sources
from sdsim.text.sequences import TOKENS_REMEDY, Sequences, held_out
from sdsim.text.tokenizer import (
    encode,
    end_of_text,
    identity_of,
    load_tokenizer,
    read_tokenizer,
    train_tokenizer,
    vocab_size_of,
    whole,
)

logger = logging.getLogger(__name__)

OnDocuments = Callable[[int], object]
"""Called with the number of documents done."""

Tokens: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

_MANIFEST, _TOKENIZER = "corpus.json", "tokenizer.json"
_FORMAT = 1
_SHARD_TOKENS = 2**27
_BLOCK_CHARACTERS = 2**20
_NonNegative = Annotated[int, Field(ge=0)]


@dataclass(config=STRICT)
class _StoredSource:
    """A source of the tokens, as it was when they were made; see `Source`."""

    name: str
    bytes: int | None
    modified: int | None
    digest: str

    @classmethod
    def of(cls, source: Source) -> _StoredSource:
        return cls(**source._asdict(), digest=source.digest())

    def is_same(self, source: Source) -> bool:
        """Whether a source still holds this text, under whatever name.

        A file of the same name, size and time is not read again.
        """
        if tuple(source) == (self.name, self.bytes, self.modified):
            return True
        return source.bytes == self.bytes and source.digest() == self.digest


@dataclass(config=STRICT)
class _Manifest:
    """What a folder of tokens holds.

    Attributes:
        made_from: what the tokens depend on beside the sources: the config, the digest of the
            tokenizer's file. Earlier versions have the sources here, with their sizes alone.
        vocab_size: of the tokenizer.
        end: the token after each document.
        dtype: of the tokens.
        documents: how many have been read.
        complete: whether these are all.
        shards: tokens per shard, by split.
        format: version of this file.
        sources: of the text; None: see `made_from`.
    """

    made_from: dict[str, Any]
    vocab_size: Annotated[int, Field(ge=1)]
    end: _NonNegative
    dtype: Literal["uint16", "uint32"]
    documents: _NonNegative = 0
    complete: bool = False
    shards: dict[Split, list[_NonNegative]] = field(
        default_factory=lambda: {"train": [], "validation": []}
    )
    format: int = _FORMAT
    sources: list[_StoredSource] | None = None

    def __post_init__(self) -> None:
        every = self.made_from.get("validation_every")
        if not isinstance(every, int) or every < 2:
            raise ValueError(f"made_from.validation_every = {every!r}: must be at least 2")
        if not isinstance(self.made_from.get("sources", []), list):
            raise ValueError("made_from.sources: must be a list")
        if self.end >= self.vocab_size:
            raise ValueError(f"end = {self.end}: must be less than vocab_size = {self.vocab_size}")
        if self.shards.keys() != set(get_args(Split)):
            raise ValueError("shards: must be those of train and validation")

    def save(self, folder: Path) -> None:
        write_text(folder / _MANIFEST, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> _Manifest:
        path = folder / _MANIFEST
        try:
            stored = read_object(path)
            if stored.get("format", _FORMAT) != _FORMAT:
                raise ValueError(
                    f"it is of another version of sdsim, with format {stored['format']!r} rather "
                    f"than {_FORMAT}"
                )
            return TypeAdapter(cls).validate_python(stored)
        except READ_ERRORS as error:
            raise ValueError(
                f"{path} cannot be used: {reason(error)}; delete it to have the tokens made again"
            ) from error

    def differences(self, made_from: dict[str, Any], found: list[Source]) -> list[str]:
        """In what the text that the tokens are of differs from another."""
        own = dict(self.made_from)
        before = own.pop("sources", [])
        names = sorted(made_from.keys() | own.keys())
        differing = [name for name in names if own.get(name) != made_from.get(name)]
        if self.sources is not None:
            same = len(self.sources) == len(found) and all(
                stored.is_same(source) for stored, source in zip(self.sources, found, strict=True)
            )
        else:
            same = _sizes(before) == _sizes(map(_as_before, found))
        return differing if same else [*differing, "sources"]


def _as_before(source: Source) -> str:
    """A source as earlier versions stored it."""
    return source.name if source.bytes is None else f"{source.name} ({source.bytes} bytes)"


def _sizes(sources: Iterable[object]) -> list[str]:
    """Sources of earlier versions, files by their sizes alone."""
    return [str(source).rpartition(" (")[2] for source in sources]


def prepare(config: CorpusConfig, on_documents: OnDocuments | None = None) -> Corpus:
    """The corpus of this config; its tokens are written unless they are there.

    Killed at any time, the same call resumes after the last whole shard. Several processes may call
    at once: one does the work, the others wait.

    Args:
        config: the text, and the folder for its tokens.
        on_documents: called now and then with the number of documents done.

    Raises:
        ValueError: for text that cannot be read, and for a folder that holds other tokens.
    """
    folder = Path(config.tokens)
    found = sources((*config.data, *config.held_out))
    made_from = asdict(config)
    del made_from["tokens"], made_from["data"], made_from["held_out"]
    if config.held_out:  # only then, so that tokens made before stay what they are
        made_from["held_out_sources"] = len(sources(config.held_out))
    if config.tokenizer != TRAIN_TOKENIZER:
        del made_from["vocab_size"]
        made_from["tokenizer"] = identity_of(config.tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / _MANIFEST).exists():
            _begin(config, folder, made_from, found)
        manifest = _Manifest.load(folder)
        differing = manifest.differences(made_from, found)
        if differing:
            raise ValueError(
                f"tokens = {config.tokens!r}: the folder holds tokens of other text "
                f"({', '.join(differing)} differ); choose another folder"
            )
        if manifest.sources is None:
            logger.warning(
                "%s was made by an earlier version, which kept the sizes of files alone: that "
                "the text is still the same is not checked",
                folder,
            )
        if not manifest.complete:
            _Writer(folder, manifest).write(_assigned(config, warn=True), on_documents)
    return Corpus(folder)


def _begin(
    config: CorpusConfig, folder: Path, made_from: dict[str, Any], found: list[Source]
) -> None:
    """Write the tokenizer and an empty manifest."""
    stored = [_StoredSource.of(source) for source in found]
    if config.tokenizer == TRAIN_TOKENIZER:
        texts = (document.text for split, document in _assigned(config) if split == "train")
        tokenizer = train_tokenizer(texts, config.vocab_size)
    else:
        tokenizer = load_tokenizer(config.tokenizer)
    with atomic_file(folder / _TOKENIZER) as partial:
        tokenizer.save(str(partial))
    vocab_size = vocab_size_of(tokenizer)
    _Manifest(
        made_from,
        vocab_size,
        end_of_text(tokenizer),
        "uint16" if vocab_size <= 2**16 else "uint32",
        sources=stored,
    ).save(folder)


def _assigned(config: CorpusConfig, *, warn: bool = False) -> Iterator[tuple[Split, Document]]:
    """All documents that hold text, each with its split: one of so many, or those named, held out.

    With `warn`, documents that are skipped are counted and named.
    """
    every = None if config.held_out else config.validation_every
    for number, document in enumerate(_checked(config, config.data, warn=warn), 1):
        yield "validation" if every and number % every == 0 else "train", document
    for document in _checked(config, config.held_out, warn=warn):
        yield "validation", document


def _checked(config: CorpusConfig, data: Sequence[str], *, warn: bool) -> Iterator[Document]:
    """The documents of `data` that hold text."""
    count, first = 0, ""
    for document in documents(data, config.text_field):
        if document.text.strip():
            yield document
        elif config.skip_empty:
            count += 1
            first = first or document.where
        else:
            raise ValueError(
                f"{document.where}: the document is empty; skip_empty=true skips such documents"
            )
    if warn and count:
        logger.warning("%d empty documents were skipped, the first is %s", count, first)


class _Writer:
    """Turns documents into shards, starting where the manifest ends."""

    def __init__(self, folder: Path, manifest: _Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.tokenizer = whole(_stored_tokenizer(folder, manifest))
        self.pending: dict[Split, list[npt.NDArray[Any]]] = {"train": [], "validation": []}

    def write(
        self, source: Iterator[tuple[Split, Document]], on_documents: OnDocuments | None
    ) -> None:
        """Write all documents of the source that are not tokens yet."""
        remove_scratch(self.folder, "*.npy")
        number = self.manifest.documents
        for block in _blocks(islice(source, number, None)):
            texts = [document.text for _, document in block]
            for (split, _), ids in zip(block, encode(self.tokenizer, texts), strict=True):
                number += 1
                tokens = np.array([*ids, self.manifest.end], self.manifest.dtype)
                self.pending[split].append(tokens)
            if sum(map(len, self.pending["train"])) >= _SHARD_TOKENS:
                self._flush(number)
            if on_documents is not None:
                on_documents(number)
        self.manifest.complete = True
        self._flush(number)

    def _flush(self, documents_done: int) -> None:
        for split, pending in self.pending.items():
            if not pending:
                continue
            shards = self.manifest.shards[split]
            lengths = np.fromiter(map(len, pending), np.int64, len(pending))
            starts = np.concatenate([[0], lengths.cumsum()[:-1]])
            for name, array in (("tokens", np.concatenate(pending)), ("documents", starts)):
                path = _shard(self.folder, split, len(shards), name)
                with atomic_file(path) as partial, partial.open("wb") as file:
                    np.save(file, array)
            shards.append(int(lengths.sum()))
            pending.clear()
        self.manifest.documents = documents_done
        self.manifest.save(self.folder)


def _blocks(
    source: Iterator[tuple[Split, Document]],
) -> Iterator[list[tuple[Split, Document]]]:
    """Documents in blocks that a tokenizer reads at once."""
    block: list[tuple[Split, Document]] = []
    size = 0
    for split, document in source:
        block.append((split, document))
        size += len(document.text)
        if size >= _BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _shard(folder: Path, split: str, number: int, name: str) -> Path:
    return folder / f"{split}-{number:05d}.{name}.npy"


class Corpus:
    """The tokens that `prepare` wrote.

    Args:
        path: the folder.

    Attributes:
        folder: where it is.
        tokenizer: of the tokens.
        vocab_size: tokens of the tokenizer.
        end: the token after each document.

    Raises:
        ValueError: if the folder holds no complete corpus, or a shard is missing or truncated.
    """

    def __init__(self, path: Path | str) -> None:
        self.folder = folder = Path(path)
        if not (folder / _MANIFEST).exists():
            raise ValueError(f"{folder} holds no corpus")
        manifest = _Manifest.load(folder)
        if not manifest.complete:
            raise ValueError(f"{folder} holds a corpus that is not complete yet")
        stored = _stored_tokenizer(folder, manifest)
        if stored.truncation or stored.padding:
            logger.warning(
                "%s was made by an earlier version, with a tokenizer that truncates or pads: its "
                "tokens are not those of the whole text; delete it to have them made again",
                folder,
            )
        self._digest = hashlib.sha256(stored.to_str().encode()).hexdigest()
        self._text = _digest_of(manifest.sources)
        self.tokenizer = whole(stored)
        self.vocab_size, self.end = manifest.vocab_size, manifest.end
        self.validation_every = manifest.made_from["validation_every"]
        self._shards: dict[Split, list[Tokens]] = {}
        self._starts: dict[Split, list[npt.NDArray[np.int64]]] = {}
        for split, sizes in manifest.shards.items():
            names = [
                [_shard(folder, split, i, kind) for i in range(len(sizes))]
                for kind in ("tokens", "documents")
            ]
            self._shards[split] = [_mapped(path, manifest.dtype) for path in names[0]]
            self._starts[split] = [_mapped(path, "int64") for path in names[1]]
            for path, shard, size in zip(names[0], self._shards[split], sizes, strict=True):
                if len(shard) != size:
                    raise ValueError(
                        f"{path} is truncated: {len(shard)} of {size} tokens; {TOKENS_REMEDY}"
                    )

    def tokens(self, split: Split) -> int:
        """Number of tokens in a split."""
        return sum(map(len, self._shards[split]))

    def shards(self, split: Split) -> Iterator[tuple[Tokens, npt.NDArray[np.int64]]]:
        """The tokens of each shard of a split, and where its documents begin."""
        yield from zip(self._shards[split], self._starts[split], strict=True)

    def documents(self, split: Split) -> Iterator[Tokens]:
        """The documents of a split, as tokens, each with its end-of-text token."""
        for shard, starts in self.shards(split):
            yield from np.split(shard, starts[1:])

    def unigram_entropy(self, split: Split) -> float:
        """Nats per token: the lowest loss of a model that knows the tokens' frequencies alone."""
        counts = np.zeros(self.vocab_size, np.int64)
        for shard in self._shards[split]:
            counts += np.bincount(shard, minlength=self.vocab_size)
        probabilities = counts[counts > 0] / counts.sum()
        return float(-(probabilities * np.log(probabilities)).sum())

    def sequences(self, split: Split, seq_len: int) -> Sequences:
        """The split as sequences of `seq_len` tokens.

        Where a split has no sequence, since there are too few documents, held-out text is the end
        of the whole text instead.

        Raises:
            ValueError: if the text has fewer than two sequences.
        """
        train, validation = self._shards["train"], self._shards["validation"]
        if all(any(len(shard) >= seq_len for shard in shards) for shards in (train, validation)):
            return Sequences(self._shards[split], seq_len, self.vocab_size)
        learned, kept = held_out(
            [*train, *validation], seq_len, self.vocab_size, self.validation_every
        )
        return learned if split == "train" else kept

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed.

        Corpora of earlier versions do not know their text.
        """
        identity: dict[str, Any] = {"tokenizer": self._digest}
        identity |= {split: self.tokens(split) for split in get_args(Split)}
        return identity if self._text is None else identity | {"text": self._text}


def _digest_of(sources: list[_StoredSource] | None) -> str | None:
    """What identifies a text, wherever its files are."""
    if sources is None:
        return None
    return hashlib.sha256("\n".join(source.digest for source in sources).encode()).hexdigest()


def _stored_tokenizer(folder: Path, manifest: _Manifest) -> Tokenizer:
    """The tokenizer of a corpus as its file describes it."""
    path = folder / _TOKENIZER
    try:
        tokenizer = read_tokenizer(path)
        found = vocab_size_of(tokenizer)
        if found != manifest.vocab_size:
            raise ValueError(f"{path} has {found} tokens rather than {manifest.vocab_size}")
    except ValueError as error:
        raise ValueError(f"{error}; {TOKENS_REMEDY}") from error
    return tokenizer


def _mapped(path: Path, dtype: str) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing; {TOKENS_REMEDY}") from error
    except Exception as error:  # NumPy parses the header with Python's own parser
        raise ValueError(
            f"{path} is truncated or damaged: {reason(error)}; {TOKENS_REMEDY}"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != dtype:
        raise ValueError(f"{path} is damaged: it holds no list of {dtype}; {TOKENS_REMEDY}")
    return array
