"""How often each pair of adjacent tokens stands in the text that a model is trained on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sdsim.files import atomic_file, remove_scratch
from sdsim.reading import READ_ERRORS, reason
from sdsim.text.corpus import Corpus, Tokens

logger = logging.getLogger(__name__)

OnTokens: TypeAlias = Callable[[int, int], object]
"""Called with how many tokens are counted, and of how many."""

Unsigned: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]

FILE = "bigrams.safetensors"
"""The file beside the shards that keeps the counts."""

_BLOCK = 2**24
_SECONDS_BETWEEN_SAVES = 120.0


@dataclass(frozen=True)
class BigramCounts:
    """Exact counts of the bigrams that occur at all.

    Attributes:
        vocab_size: V.
        keys: first token · V + second token, ascending.
        counts: of each.
    """

    vocab_size: int
    keys: Unsigned
    counts: Unsigned

    def of(self, first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """The counts of bigrams, 0 where one does not occur; the arguments have one shape."""
        wanted = _keys(np.asarray(first), np.asarray(second), self.vocab_size)
        if not len(self.keys):
            return np.zeros(wanted.shape, np.int64)
        places = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        found = np.where(self.keys[places] == wanted, self.counts[places], 0)
        return found.astype(np.int64)


def count_bigrams(tokens: Tokens, vocab_size: int, block: int = _BLOCK) -> BigramCounts:
    """The counts of a list of tokens, read in blocks.

    Blocks are merged like the runs of a merge sort, so that each count is moved a few times only.
    """
    runs: list[BigramCounts] = []
    for start in range(0, max(1, len(tokens) - 1), block):
        part = np.asarray(tokens[start : start + block + 1])
        keys, counts = np.unique(_keys(part[:-1], part[1:], vocab_size), return_counts=True)
        runs.append(BigramCounts(vocab_size, keys, _compact(counts)))
        while len(runs) > 1 and len(runs[-2].keys) <= 2 * len(runs[-1].keys):
            last = runs.pop()
            runs.append(_merged(runs.pop(), last))
    return reduce(_merged, reversed(runs))


def bigram_counts(corpus: Corpus, on_tokens: OnTokens = lambda done, total: None) -> BigramCounts:
    """The counts of a corpus's training text: of all tokens that are neighbours in a shard.

    They are counted once, and kept beside the shards. Killed at any time, the same call resumes
    after a whole shard; several processes may call at once, of which one counts.

    Args:
        corpus: its tokens.
        on_tokens: called before and after each shard.
    """
    path, identity = corpus.folder / FILE, json.dumps(corpus.identity(), sort_keys=True)
    shards = [tokens for tokens, _ in corpus.shards("train")]
    with FileLock(corpus.folder / ".bigrams.lock"):
        done, counts = _load(path, identity, corpus.vocab_size)
        if done == len(shards):
            return counts
        remove_scratch(corpus.folder, FILE)
        saved = time.monotonic()
        for number in range(done, len(shards)):
            on_tokens(sum(map(len, shards[:number])), corpus.tokens("train"))
            counts = _merged(counts, count_bigrams(shards[number], corpus.vocab_size))
            is_last = number + 1 == len(shards)
            if is_last or time.monotonic() - saved > _SECONDS_BETWEEN_SAVES:
                _save(path, identity, number + 1, counts)
                saved = time.monotonic()
        on_tokens(corpus.tokens("train"), corpus.tokens("train"))
    return counts


def _keys(first: npt.NDArray[Any], second: npt.NDArray[Any], vocab_size: int) -> Unsigned:
    """Bigrams as numbers, of the smallest type that holds all of them."""
    kind = np.min_scalar_type(vocab_size**2 - 1)
    keys: Unsigned = first.astype(kind) * kind.type(vocab_size) + second.astype(kind)
    return keys


def _compact(counts: npt.NDArray[Any]) -> Unsigned:
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


def _merged(one: BigramCounts, other: BigramCounts) -> BigramCounts:
    keys = np.concatenate([one.keys, other.keys])
    counts = np.concatenate([one.counts.astype(np.uint64), other.counts.astype(np.uint64)])
    if not len(keys):
        return one
    order = np.argsort(keys, kind="stable")  # which merges two sorted runs in linear time
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return BigramCounts(one.vocab_size, keys[starts], _compact(np.add.reduceat(counts, starts)))


def _save(path: Path, identity: str, shards: int, counts: BigramCounts) -> None:
    with atomic_file(path) as partial:
        save_file(
            {"keys": counts.keys, "counts": counts.counts},
            partial,
            {"corpus": identity, "shards": str(shards)},
        )


def _load(path: Path, identity: str, vocab_size: int) -> tuple[int, BigramCounts]:
    """How many shards are counted, and their counts; none if those in the file are of other text.

    A damaged file is counted anew, which loses nothing but time.
    """
    nothing = np.zeros(0, np.min_scalar_type(vocab_size**2 - 1))
    none = 0, BigramCounts(vocab_size, nothing, np.zeros(0, np.uint8))
    if not path.exists():
        return none
    try:
        with safe_open(path, framework="numpy") as file:
            stored = file.metadata() or {}
            if stored.get("corpus") != identity:
                return none
            keys, counts = (file.get_tensor(name) for name in ("keys", "counts"))
            if keys.shape != counts.shape or keys.dtype != nothing.dtype:
                raise ValueError("keys and counts do not belong together")
            return int(stored["shards"]), BigramCounts(vocab_size, keys, counts)
    except (*READ_ERRORS, SafetensorError, KeyError) as error:
        logger.warning("%s is damaged (%s): bigrams are counted anew", path, reason(error))
        return none
