"""A corpus as tokens: made once, then read from memory-mapped files by number."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor

from sdsim.text.config import TRAIN_TOKENIZER, CorpusConfig
from sdsim.text.documents import Document, documents, sources
from sdsim.text.tokenizer import end_of_text, identity_of, load_tokenizer, train_tokenizer

logger = logging.getLogger(__name__)

Split = Literal["train", "validation"]
OnDocuments = Callable[[int], object]
"""Told how many documents are done."""

_MANIFEST, _TOKENIZER = "corpus.json", "tokenizer.json"
_FORMAT = 1
_SHARD_TOKENS = 2**27
_BLOCK_CHARACTERS = 2**20


@dataclass
class _Manifest:
    """What a folder of tokens holds.

    Attributes:
        made_from: what would make the same tokens: the settings, the sources and their sizes, the
            digest of a tokenizer's file.
        vocab_size: of the tokenizer.
        end: the token after each document.
        dtype: of the tokens.
        documents: read so far.
        complete: whether these are all.
        shards: of each split, tokens per file.
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
        partial = folder / f".{_MANIFEST}"
        with partial.open("w") as file:
            file.write(json.dumps(asdict(self), indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / _MANIFEST)

    @classmethod
    def load(cls, folder: Path) -> _Manifest:
        path = folder / _MANIFEST
        try:
            manifest = cls(**json.loads(path.read_text()))
        except (json.JSONDecodeError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        if manifest.format != _FORMAT:
            raise ValueError(f"{path} is of another version of sdsim ({manifest.format})")
        return manifest


def prepare(config: CorpusConfig, on_documents: OnDocuments | None = None) -> Corpus:
    """The corpus of this config; its tokens are made unless they are there.

    Killed at any time, the same call goes on after the last whole shard. Several processes may
    call at once: one does the work.

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
            wrong = [
                name for name, value in made_from.items() if manifest.made_from.get(name) != value
            ]
            raise ValueError(
                f"tokens = {config.tokens!r}: the folder holds tokens of other text "
                f"({', '.join(wrong)} differ); choose another folder"
            )
        if not manifest.complete:
            _Writer(folder, manifest).write(_checked(config), on_documents)
    return Corpus(folder)


def _begin(config: CorpusConfig, folder: Path, made_from: dict[str, Any]) -> None:
    """Have a tokenizer and an empty manifest."""
    if config.tokenizer == TRAIN_TOKENIZER:
        every = config.validation_every
        texts = (one.text for number, one in enumerate(_checked(config), 1) if number % every)
        tokenizer = train_tokenizer(texts, config.vocab_size)
    else:
        tokenizer = load_tokenizer(config.tokenizer)
    partial = folder / f".{_TOKENIZER}"
    tokenizer.save(str(partial))
    partial.replace(folder / _TOKENIZER)
    vocab_size = tokenizer.get_vocab_size()
    dtype = "uint16" if vocab_size <= 2**16 else "uint32"
    _Manifest(made_from, vocab_size, end_of_text(tokenizer), dtype).save(folder)


def _checked(config: CorpusConfig) -> Iterator[Document]:
    """All documents that hold something."""
    skipped = 0
    for document in documents(config.data, config.text_field):
        if document.text.strip():
            yield document
        elif config.skip_empty:
            skipped += 1
        else:
            raise ValueError(
                f"{document.where}: the document is empty; skip_empty=true leaves such out"
            )
    if skipped:
        logger.info("%d empty documents are left out", skipped)


class _Writer:
    """Turns documents into shards, from where a manifest stands."""

    def __init__(self, folder: Path, manifest: _Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.tokenizer = load_tokenizer(str(folder / _TOKENIZER))
        self.every = manifest.made_from["validation_every"]
        self.pending: dict[str, list[npt.NDArray[Any]]] = {"train": [], "validation": []}

    def write(self, everything: Iterator[Document], on_documents: OnDocuments | None) -> None:
        number = self.manifest.documents
        for block in _blocks(islice(everything, number, None)):
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
                with _shard(self.folder, split, len(shards), name).open("wb") as file:
                    np.save(file, array)
                    file.flush()
                    os.fsync(file.fileno())
            shards.append(int(lengths.sum()))
            pending.clear()
        self.manifest.documents = documents_done
        self.manifest.save(self.folder)


def _blocks(everything: Iterator[Document]) -> Iterator[list[str]]:
    block: list[str] = []
    size = 0
    for document in everything:
        block.append(document.text)
        size += len(document.text)
        if size >= _BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _shard(folder: Path, split: str, number: int, what: str) -> Path:
    return folder / f"{split}-{number:05d}.{what}.npy"


class Corpus:
    """Tokens that `prepare` made.

    Args:
        path: the folder.

    Attributes:
        tokenizer: of the tokens.
        vocab_size: its size; tokens lie below.
        end: the token that stands after each document.

    Raises:
        ValueError: for a folder that holds no whole corpus; a shard that is truncated is named.
    """

    def __init__(self, path: Path | str) -> None:
        folder = Path(path)
        if not (folder / _MANIFEST).exists():
            raise ValueError(f"{folder} holds no corpus")
        manifest = _Manifest.load(folder)
        if not manifest.complete:
            raise ValueError(f"{folder} holds a corpus that is not whole yet")
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
        """How many tokens a split has."""
        return sum(map(len, self._shards[split]))

    def documents(self, split: Split) -> Iterator[npt.NDArray[np.unsignedinteger[Any]]]:
        """The documents of a split, as tokens, each with the end of text."""
        for shard, starts in zip(self._shards[split], self._starts[split], strict=True):
            yield from np.split(shard, starts[1:])

    def unigram_entropy(self, split: Split) -> float:
        """Nats per token: the loss, at best, of a model that knows but the tokens' frequencies."""
        counts = np.zeros(self.vocab_size, np.int64)
        for shard in self._shards[split]:
            counts += np.bincount(shard, minlength=self.vocab_size)
        shares = counts[counts > 0] / counts.sum()
        return float(-(shares * np.log(shares)).sum())

    def windows(self, split: Split, seq_len: int) -> Windows:
        """The split as sequences of `seq_len` tokens."""
        return Windows(self._shards[split], seq_len, split)

    def identity(self) -> dict[str, Any]:
        """What a run that goes on must find the same."""
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


class Windows:
    """Sequences of N tokens, end to end; documents run on from one into the next.

    None spans two shards; what is left at the end of a shard is not read.

    Raises:
        ValueError: where no shard has N tokens.
    """

    def __init__(
        self, shards: list[npt.NDArray[np.unsignedinteger[Any]]], seq_len: int, split: Split
    ) -> None:
        self.seq_len = seq_len
        self._shards = shards
        self._ends = np.cumsum([len(shard) // seq_len for shard in shards], dtype=np.int64)
        if not len(self):
            most = max(map(len, shards), default=0)
            hint = "; a smaller validation_every holds out more" * (split == "validation")
            raise ValueError(
                f"the corpus's {split} split has {most} tokens: fewer than a sequence of "
                f"seq_len = {seq_len}{hint}"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Sequences by number, int64 (B, N)."""
        rows = []
        for number in numbers.tolist():
            shard = int(np.searchsorted(self._ends, number, side="right"))
            before = int(self._ends[shard - 1]) if shard else 0
            start = (number - before) * self.seq_len
            rows.append(self._shards[shard][start : start + self.seq_len].astype(np.int64))
        return torch.from_numpy(np.stack(rows))


class Order:
    """In which order a run reads its sequences: all of them, then all again in another order.

    Args:
        count: how many there are.
        seed: of the run.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, examples: Tensor) -> Tensor:
        """Which sequences the examples of these numbers are, int64 of the same shape."""
        epochs = examples // self.count
        chosen = torch.empty_like(examples)
        for epoch in set(epochs.tolist()):
            here = epochs == epoch
            chosen[here] = self._of(epoch)[examples[here] % self.count]
        return chosen

    def _of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            digest = hashlib.blake2b(repr((self.seed, epoch)).encode(), digest_size=7).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little"))
            self._permutation = torch.randperm(self.count, generator=generator)
            self._epoch = epoch
        return self._permutation
