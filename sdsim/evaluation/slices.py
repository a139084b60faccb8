"""Perplexity by slices (Figure 3 of *Just read twice*): where a model can recall, and elsewhere.

A token is an **AR hit** (associative recall) if it ends a bigram that stood earlier in the same
context and is rare in the training text: a model that predicts it has most likely looked it up in
the context. All other tokens are the rest. Only tokens of a context's second half are compared, in
front of which there is something to recall from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from sdsim.evaluation.statistics import LEAST_DOCUMENTS, RESAMPLED_SEED
from sdsim.text.bigrams import BigramCounts
from sdsim.text.corpus import Corpus

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

RESAMPLES = 2_000
_AT_ONCE = 100  # resamples, of which each is a weight for every document

_COUNT_BOUNDS = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)


@dataclass(frozen=True)
class Contexts:
    """Held-out text as models read it: in sequences, documents end to end.

    Attributes:
        tokens: (S, N).
        documents: (S, N), the number of the document that each token is of.
    """

    tokens: Ints
    documents: Ints

    @classmethod
    def held_out(cls, corpus: Corpus, seq_len: int, most: int) -> Contexts:
        """The first held-out sequences of a corpus.

        Args:
            corpus: its tokens.
            seq_len: N.
            most: S at most.

        Raises:
            ValueError: if no held-out shard holds a sequence.
        """
        tokens: list[Ints] = []
        documents: list[Ints] = []
        before = 0
        for shard, starts in corpus.shards("validation"):
            count = min(len(shard) // seq_len, most - sum(map(len, tokens)))
            places = np.arange(count * seq_len).reshape(count, seq_len)
            tokens.append(shard[: places.size].astype(np.int64).reshape(places.shape))
            documents.append(before + np.searchsorted(starts, places, side="right") - 1)
            before += len(starts)
        if not sum(map(len, tokens)):
            raise ValueError(
                f"{corpus.folder} holds out {corpus.tokens('validation')} tokens, fewer than a "
                f"sequence of seq_len = {seq_len}: choose shorter sequences, or a corpus with more "
                "documents or a smaller validation_every"
            )
        return cls(np.concatenate(tokens), np.concatenate(documents))


@dataclass(frozen=True)
class ScoredTokens:
    """The tokens that are compared, in the order of their contexts.

    Attributes:
        documents: the document that each is of.
        counts: how often the bigram that it ends occurs in the training text.
        distances: how many tokens before it the same bigram ended last in its context; 0: it is
            there for the first time.
    """

    documents: Ints
    counts: Ints
    distances: Ints

    @classmethod
    def of(cls, contexts: Contexts, counts: BigramCounts, first: int) -> ScoredTokens:
        """The tokens from position `first` on, at least 1, of every context."""
        tokens = contexts.tokens
        return cls(
            contexts.documents[:, first:].ravel(),
            counts.of(tokens[:, first - 1 : -1], tokens[:, first:]).ravel(),
            distances(tokens)[:, first:].ravel(),
        )


def distances(tokens: Ints) -> Ints:
    """How many tokens ago the bigram that ends at each token ended last in its sequence; 0: never.

    Args:
        tokens: (S, N).

    >>> distances(np.array([[1, 2, 3, 1, 2, 1, 2]])).tolist()  # (1, 2) ends at 1, 4 and 6
    [[0, 0, 0, 0, 3, 0, 2]]
    """
    keys = tokens[:, :-1] * (int(tokens.max(initial=0)) + 1) + tokens[:, 1:]
    order = np.argsort(keys, axis=1, kind="stable")  # equal bigrams side by side, the earlier first
    ordered = np.take_along_axis(keys, order, axis=1)
    since = np.where(ordered[:, 1:] == ordered[:, :-1], np.diff(order, axis=1), 0)
    found = np.zeros_like(tokens)
    np.put_along_axis(found, order[:, 1:] + 1, since, axis=1)
    return found


@dataclass(frozen=True)
class Slice:
    """Some of the tokens.

    Attributes:
        panel: all; frequency: by training occurrences of the bigram; distance: to its earlier
            occurrence.
        group: hits, rest or all.
        low, high: bounds of what the panel is by, both included; None: no bound.
        mask: which of the tokens these are.
    """

    panel: str
    group: str
    low: int | None
    high: int | None
    mask: Mask


def slices(scored: ScoredTokens, *, rare: int, far: int) -> Iterator[Slice]:
    """All slices that hold a token.

    Panel ``all``: AR hits, the rest, and both. Panel ``frequency``: the hits, of whatever
    frequency, whose bigram ended at least `far` tokens before, and the tokens whose bigram is in
    its context for the first time. Panel ``distance``: AR hits, and, whatever the distance, the
    rare bigrams that are there for the first time.

    Args:
        scored: the tokens.
        rare: a bigram with fewer training occurrences is rare.
        far: a distance in tokens.
    """
    is_rare, is_repeated = scored.counts < rare, scored.distances > 0
    hits = is_rare & is_repeated
    made = [
        Slice("all", "hits", None, None, hits),
        Slice("all", "rest", None, None, ~hits),
        Slice("all", "all", None, None, np.ones_like(hits)),
    ]
    for group, mask in (("hits", scored.distances >= far), ("rest", ~is_repeated)):
        made += _bins("frequency", group, scored.counts, (0, *_COUNT_BOUNDS), mask)
    powers = [2**power for power in range(int(scored.distances.max(initial=1)).bit_length())]
    made += _bins("distance", "hits", scored.distances, powers, hits)
    made.append(Slice("distance", "rest", None, None, is_rare & ~is_repeated))
    yield from (each for each in made if each.mask.any())


def _bins(
    panel: str, group: str, values: Ints, bounds: Sequence[int], mask: Mask
) -> Iterator[Slice]:
    """Slices of values from each bound to the next one, which is not included."""
    for low, after in zip(bounds, (*bounds[1:], None), strict=True):
        inside = mask & (values >= low)
        if after is not None:
            inside &= values < after
        yield Slice(panel, group, low, None if after is None else after - 1, inside)


def slice_table(
    losses: Sequence[tuple[str, npt.NDArray[np.float32]]],
    scored: ScoredTokens,
    *,
    rare: int,
    far: int,
) -> pl.DataFrame:
    """The perplexity of models on slices, with intervals at 95 %: documents are drawn anew.

    Args:
        losses: of each model, its name and the nats of every token of `scored`, of any shape.
        scored: the tokens.
        rare, far: see `slices`.

    Returns:
        A row for each model and slice: model; panel, group, low and high of the slice; tokens and
        documents in it; perplexity, with perplexity_low and perplexity_high; ratio, the perplexity
        over that of the first model (null for that one), with ratio_low and ratio_high, in which
        the same documents are drawn for both; rare, far.
    """
    found = list(slices(scored, rare=rare, far=far))
    _, documents = np.unique(scored.documents, return_inverse=True)
    counts = np.stack([_by_document(documents, each.mask, None) for each in found])
    sums = np.stack(
        [[_by_document(documents, each.mask, nats.ravel()) for each in found] for _, nats in losses]
    )
    means = sums.sum(-1) / counts.sum(-1)
    drawn = _resampled_means(sums, counts)
    rows = []
    for place, (name, _) in enumerate(losses):
        for number, each in enumerate(found):
            nats, own = means[place, number], drawn[:, place, number]
            of_documents = int((counts[number] > 0).sum())
            ratio: dict[str, float | None] = dict.fromkeys(("ratio", "ratio_low", "ratio_high"))
            if place:
                apart = nats - means[0, number], own - drawn[:, 0, number]
                ratio = _with_interval("ratio", *apart, of_documents)
            rows.append(
                {
                    "model": name,
                    "panel": each.panel,
                    "group": each.group,
                    "low": each.low,
                    "high": each.high,
                    "tokens": int(counts[number].sum()),
                    "documents": of_documents,
                    **_with_interval("perplexity", nats, own, of_documents),
                    **ratio,
                    "rare": rare,
                    "far": far,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _by_document(documents: Ints, mask: Mask, weights: npt.NDArray[np.float32] | None) -> Floats:
    """The tokens of a slice by document, or the sum of their weights."""
    chosen = None if weights is None else weights[mask].astype(np.float64)
    found = np.bincount(documents[mask], chosen, minlength=int(documents.max()) + 1)
    return found.astype(np.float64)


def _resampled_means(sums: Floats, counts: Floats) -> Floats:
    """Mean losses where as many documents are drawn with replacement, (R, models, slices).

    NaN where no document of a slice is drawn.

    Args:
        sums: of losses, (models, slices, documents).
        counts: of tokens, (slices, documents).
    """
    generator = np.random.default_rng(RESAMPLED_SEED)
    documents = counts.shape[-1]
    drawn = []
    for start in range(0, RESAMPLES, _AT_ONCE):
        size = min(_AT_ONCE, RESAMPLES - start)
        weights = generator.multinomial(documents, np.full(documents, 1 / documents), size)
        totals = np.einsum("rd,msd->rms", weights, sums, optimize=True)
        with np.errstate(invalid="ignore"):
            drawn.append(totals / (weights @ counts.T)[:, None])
    return np.concatenate(drawn)


def _with_interval(
    name: str, nats: float, drawn: Floats, documents: int
) -> dict[str, float | None]:
    """The exponential of a mean in nats, and its interval, if there are enough documents."""
    low, high = np.exp(np.nanquantile(drawn, (0.025, 0.975))).tolist()
    ends = (low, high) if documents >= LEAST_DOCUMENTS else (None, None)
    return {name: float(np.exp(nats)), f"{name}_low": ends[0], f"{name}_high": ends[1]}
