"""The losses of one model on held-out text, kept as they come.

``<store>/<id>/run.json`` says of which model on which text they are, and what made them;
``losses.f32`` beside it holds them, a float32 for each token, in the order of the contexts. A batch
is on the disk before the next one is read, so that a process that is killed loses one at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock, Timeout
from pydantic.dataclasses import dataclass

from sdsim.config import STRICT
from sdsim.evaluation.answerers import Answerer
from sdsim.evaluation.answers import Dtype
from sdsim.files import write_text
from sdsim.store.provenance import commit, versions

Losses: TypeAlias = npt.NDArray[np.float32]
OnSequences: TypeAlias = Callable[[int, int], object]
"""Called with how many sequences are read, and of how many."""

_RUN, _LOSSES = "run.json", "losses.f32"
_KIND = np.dtype("<f4")
_LOCK_SECONDS = 1


@dataclass(frozen=True, config=STRICT)
class Scored:
    """Which model read which text: the identity of a file of losses.

    Attributes:
        model: its folder or name, as the user gave it.
        weights: digest of its weights.
        corpus: digest of the identity of the corpus.
        seq_len: N, tokens of a context.
        first: the first token of a context whose loss is kept.
        dtype: of the weights.
    """

    model: str
    weights: str
    corpus: str
    seq_len: int
    first: int
    dtype: Dtype = "float32"

    @property
    def id(self) -> str:
        """Of the folder: 16 hexadecimal digits."""
        return identity_digest(asdict(self))


def losses_of(
    answerer: Answerer,
    tokens: npt.NDArray[np.int64],
    scored: Scored,
    store: Path,
    *,
    batch_size: int,
    device: str,
    on_sequences: OnSequences = lambda done, total: None,
) -> Losses:
    """The nats of the tokens of every context from `scored.first` on, (S, N - first).

    Sequences that were read before are not read again.

    Args:
        answerer: the model.
        tokens: the contexts, (S, N).
        scored: whose losses these are.
        store: the folder that keeps them.
        batch_size: sequences in a batch.
        device: to be stored with them.
        on_sequences: called before and after each batch.

    Raises:
        ValueError: if another process is writing.
    """
    folder, total = store / scored.id, len(tokens)
    columns = scored.seq_len - scored.first
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not (folder / _RUN).exists():
            described = {
                "scored": asdict(scored),
                "device": device,
                "versions": versions(),
                "commit": commit(),
            }
            write_text(folder / _RUN, json.dumps(described, indent=1) + "\n")
        with (folder / _LOSSES).open("a+b") as file:
            done = file.seek(0, os.SEEK_END) // (columns * _KIND.itemsize)
            file.truncate(done * columns * _KIND.itemsize)  # what a kill has left of a batch
            on_sequences(min(done, total), total)
            for start in range(done, total, batch_size):
                batch = torch.from_numpy(tokens[start : start + batch_size])
                nats = answerer.losses(batch, scored.first).cpu().numpy().astype(_KIND)
                file.write(nats.tobytes())
                file.flush()
                os.fsync(file.fileno())
                on_sequences(min(start + batch_size, total), total)
        kept = np.fromfile(folder / _LOSSES, _KIND, total * columns)
    return kept.reshape(total, columns)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        with FileLock(folder / ".lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout as error:
        raise ValueError(f"store: another process is writing to {folder}") from error


def identity_digest(value: dict[str, Any]) -> str:
    """Of what identifies a corpus (`Corpus.identity`) or losses: 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
