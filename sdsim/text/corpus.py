"""A corpus as tokens: written once, then memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from sdsim.files import atomic_file, remove_scratch, write_text
from sdsim.text.config import TRAIN_TOKENIZER, CorpusConfig, Split
from sdsim.text.documents import Document, documents, sources
from sdsim.text.sequences import Sequences
from sdsim.text.tokenizer import end_of_text, identity_of, load_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)

OnDocuments = Callable[[int], object]
"""Called with the number of documents done."""

_MANIFEST, _TOKENIZER = "corpus.json", "tokenizer.json"
_FORMAT = 1
_SHARD_TOKENS = 2**27
_BLOCK_CHARACTERS = 2**20


@dataclass
class _Manifest:
    """What a folder of tokens holds.

    Attributes:
        made_from: all that the tokens depend on: the config, the sources and their sizes, the
            digest of the tokenizer's file.
        vocab_size: of the tokenizer.
        end: the token after each document.
        dtype: of the tokens.
        documents: how many have been read.
        complete: whether these are all.
        shards: tokens per shard, by split.
        format: version of this file.
    """

    made_from: dict[str, Any]
    vocab_size: int
    end: int
    dtype: str
    documents: int = 0
    complete: bool = False
    shards: dict[str, list[int]] = field(default_factory=lambda: {"train": [], "validation": []})
    format: int = _FORMAT

    def save(self, folder: Path) -> None:
        write_text(folder / _MANIFEST, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> _Manifest:
        path = folder / _MANIFEST
        try:
            manifest = cls(**json.loads(path.read_text()))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if manifest.format != _FORMAT:
            raise ValueError(
                f"{path} is of another version of sdsim: format {manifest.format}, not {_FORMAT}"
            )
        return manifest


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
    made_from = asdict(config) | {"sources": sources(config.data)}
    del made_from["tokens"], made_from["data"]
    if config.tokenizer != TRAIN_TOKENIZER:
        del made_from["vocab_size"]
        made_from["tokenizer"] = identity_of(config.tokenizer)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / _MANIFEST).exists():
            _begin(config, folder, made_from)
        manifest = _Manifest.load(folder)
        if manifest.made_from != made_from:
            differing = [
                name for name, value in made_from.items() if manifest.made_from.get(name) != value
            ]
            raise ValueError(
                f"tokens = {config.tokens!r}: the folder holds tokens of other text "
                f"({', '.join(differing)} differ); choose another folder"
            )
        if not manifest.complete:
            _Writer(folder, manifest).write(_checked(config), on_documents)
    return Corpus(folder)


def _begin(config: CorpusConfig, folder: Path, made_from: dict[str, Any]) -> None:
    """Write the tokenizer and an empty manifest."""
    if config.tokenizer == TRAIN_TOKENIZER:
        every = config.validation_every
        numbered = enumerate(_checked(config), 1)
        texts = (document.text for number, document in numbered if number % every)
        tokenizer = train_tokenizer(texts, config.vocab_size)
    else:
        tokenizer = load_tokenizer(config.tokenizer)
    with atomic_file(folder / _TOKENIZER) as partial:
        tokenizer.save(str(partial))
    vocab_size = tokenizer.get_vocab_size()
    dtype = "uint16" if vocab_size <= 2**16 else "uint32"
    _Manifest(made_from, vocab_size, end_of_text(tokenizer), dtype).save(folder)


def _checked(config: CorpusConfig) -> Iterator[Document]:
    """All documents that hold text."""
    skipped = 0
    for document in documents(config.data, config.text_field):
        if document.text.strip():
            yield document
        elif config.skip_empty:
            skipped += 1
        else:
            raise ValueError(
                f"{document.where}: the document is empty; skip_empty=true skips such documents"
            )
    if skipped:
        logger.info("%d empty documents were skipped", skipped)


class _Writer:
    """Turns documents into shards, starting where the manifest ends."""

    def __init__(self, folder: Path, manifest: _Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.tokenizer = load_tokenizer(str(folder / _TOKENIZER))
        self.every = manifest.made_from["validation_every"]
        self.pending: dict[str, list[npt.NDArray[Any]]] = {"train": [], "validation": []}

    def write(self, source: Iterator[Document], on_documents: OnDocuments | None) -> None:
        """Write all documents of the source that are not tokens yet."""
        remove_scratch(self.folder, "*.npy")
        number = self.manifest.documents
        for block in _blocks(islice(source, number, None)):
            for encoding in self.tokenizer.encode_batch_fast(block, add_special_tokens=False):
                number += 1
                split = "train" if number % self.every else "validation"
                tokens = np.array([*encoding.ids, self.manifest.end], self.manifest.dtype)
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


def _blocks(source: Iterator[Document]) -> Iterator[list[str]]:
    """Texts in blocks that a tokenizer reads at once."""
    block: list[str] = []
    size = 0
    for document in source:
        block.append(document.text)
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
        tokenizer: of the tokens.
        vocab_size: tokens of the tokenizer.
        end: the token after each document.

    Raises:
        ValueError: if the folder holds no complete corpus, or a shard is missing or truncated.
    """

    def __init__(self, path: Path | str) -> None:
        folder = Path(path)
        if not (folder / _MANIFEST).exists():
            raise ValueError(f"{folder} holds no corpus")
        manifest = _Manifest.load(folder)
        if not manifest.complete:
            raise ValueError(f"{folder} holds a corpus that is not complete yet")
        self.tokenizer = load_tokenizer(str(folder / _TOKENIZER))
        self.vocab_size, self.end = manifest.vocab_size, manifest.end
        self._digest = hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()
        self._shards: dict[str, list[npt.NDArray[np.unsignedinteger[Any]]]] = {}
        self._starts: dict[str, list[npt.NDArray[np.int64]]] = {}
        for split, sizes in manifest.shards.items():
            files = [
                (_shard(folder, split, i, "tokens"), _shard(folder, split, i, "documents"))
                for i in range(len(sizes))
            ]
            self._shards[split] = [_mapped(tokens) for tokens, _ in files]
            self._starts[split] = [_mapped(starts) for _, starts in files]
            for (tokens, _), shard, size in zip(files, self._shards[split], sizes, strict=True):
                if len(shard) != size:
                    raise ValueError(f"{tokens} is truncated: {len(shard)} of {size} tokens")

    def tokens(self, split: Split) -> int:
        """Number of tokens in a split."""
        return sum(map(len, self._shards[split]))

    def documents(self, split: Split) -> Iterator[npt.NDArray[np.unsignedinteger[Any]]]:
        """The documents of a split, as tokens, each with its end-of-text token."""
        for shard, starts in zip(self._shards[split], self._starts[split], strict=True):
            yield from np.split(shard, starts[1:])

    def unigram_entropy(self, split: Split) -> float:
        """Nats per token: the lowest loss of a model that knows the tokens' frequencies alone."""
        counts = np.zeros(self.vocab_size, np.int64)
        for shard in self._shards[split]:
            counts += np.bincount(shard, minlength=self.vocab_size)
        probabilities = counts[counts > 0] / counts.sum()
        return float(-(probabilities * np.log(probabilities)).sum())

    def sequences(self, split: Split, seq_len: int) -> Sequences:
        """The split as sequences of `seq_len` tokens; errors as in `Sequences`."""
        return Sequences(self._shards[split], seq_len, split)

    def identity(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        sizes = {split: self.tokens(split) for split in ("train", "validation")}
        return {"tokenizer": self._digest, **sizes}


def _mapped(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise ValueError(f"{path} is missing") from error
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is truncated or damaged: {error}") from error
    return array
