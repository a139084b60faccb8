"""Slices of perplexity against examples that are worked by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer

from sdsim.evaluation.answerers import load_answerer
from sdsim.evaluation.losses import Scored, losses_of
from sdsim.evaluation.slices import Contexts, ScoredTokens, distances, slice_table, slices
from sdsim.text.bigrams import count_bigrams
from sdsim.text.config import CorpusConfig
from sdsim.text.corpus import Corpus, prepare

A, B, C, D = range(4)
TRAINING = [A, B, A, B, A, B, C, D, C]  # AB 3 times, BA twice, BC, CD and DC once
CONTEXT = [A, B, C, D, A, B, D, C, D, A]
#          0  1  2  3  4  5  6  7  8  9


def hand_worked() -> ScoredTokens:
    contexts = Contexts(np.array([CONTEXT]), np.array([[0, 0, 0, 0, 0, 1, 1, 1, 1, 2]]))
    return ScoredTokens.of(contexts, count_bigrams(np.array(TRAINING, np.uint16), 4), 5)


def test_hits_are_those_of_the_example() -> None:
    scored = hand_worked()
    # AB was 4 tokens before; BD and DC are new; CD was 5 before, DA as well.
    assert scored.distances.tolist() == [4, 0, 0, 5, 5]
    assert scored.counts.tolist() == [3, 0, 1, 1, 0]
    assert scored.documents.tolist() == [1, 1, 1, 1, 2]
    found = {
        (each.panel, each.group, each.low, each.high): np.flatnonzero(each.mask).tolist()
        for each in slices(scored, rare=3, far=5)
    }
    assert found == {
        ("all", "hits", None, None): [3, 4],  # AB is not rare
        ("all", "rest", None, None): [0, 1, 2],
        ("all", "all", None, None): [0, 1, 2, 3, 4],
        ("frequency", "hits", 0, 0): [4],
        ("frequency", "hits", 1, 2): [3],  # AB is too near
        ("frequency", "rest", 0, 0): [1],
        ("frequency", "rest", 1, 2): [2],
        ("distance", "hits", 4, None): [3, 4],
        ("distance", "rest", None, None): [1, 2],
    }


def test_distances_are_those_of_brute_force() -> None:
    tokens = np.random.default_rng(0).integers(0, 4, (5, 60))
    found = distances(tokens)
    for row, own in zip(tokens.tolist(), found.tolist(), strict=True):
        for place in range(1, 60):
            before = [
                s for s in range(1, place) if row[s - 1 : s + 1] == row[place - 1 : place + 1]
            ]
            assert own[place] == (place - before[-1] if before else 0)


def rows_of(table: pl.DataFrame, **chosen: str) -> dict[str, object]:
    (row,) = table.filter(**chosen).iter_rows(named=True)
    return row


def test_perplexities_are_those_of_the_example() -> None:
    scored = hand_worked()
    one = np.log([2, 4, 4, 8, 2]).astype(np.float32)
    other = one + np.float32(np.log(3))
    table = slice_table([("one", one), ("other", other)], scored, rare=3, far=5)
    hits = rows_of(table, model="one", panel="all", group="hits")
    assert hits["perplexity"] == pytest.approx(4)
    assert (hits["tokens"], hits["documents"], hits["ratio"]) == (2, 2, None)
    assert hits["perplexity_low"] is None  # of two documents
    rest = rows_of(table, model="other", panel="all", group="rest")
    assert rest["perplexity"] == pytest.approx(3 * 32 ** (1 / 3))
    assert rest["ratio"] == pytest.approx(3)


def test_intervals_are_over_documents() -> None:
    """Tokens of one document alike: the spread is that of documents, not of tokens."""
    generator = np.random.default_rng(1)
    of_document = generator.normal(2, 0.5, 40)
    documents = np.repeat(np.arange(40), 50)
    zeros = np.zeros(2000, np.int64)
    nats = of_document[documents].astype(np.float32)
    losses = [("one", nats), ("other", nats + np.float32(np.log(3)))]
    table = slice_table(losses, ScoredTokens(documents, zeros, zeros), rare=1, far=1)
    row = rows_of(table, model="one", panel="all", group="all")
    low, high = (float(np.log(row[f"perplexity_{end}"])) for end in ("low", "high"))
    expected = 1.96 * of_document.std() / 40**0.5
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)
    # The same documents are drawn for both, so that their ratio does not vary.
    other = rows_of(table, model="other", panel="all", group="all")
    assert [other["ratio_low"], other["ratio_high"]] == pytest.approx([3, 3], rel=1e-5)
    assert other["perplexity_high"] == pytest.approx(3 * row["perplexity_high"])


def test_contexts_know_their_documents(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path)
    contexts = Contexts.held_out(corpus, 16, 5)
    assert contexts.tokens.shape == contexts.documents.shape == (5, 16)
    whole = np.concatenate(list(corpus.documents("validation")))
    assert contexts.tokens.ravel().tolist() == whole[:80].tolist()
    ends = np.flatnonzero(contexts.tokens.ravel() == corpus.end)
    starts = np.flatnonzero(np.diff(contexts.documents.ravel())) + 1
    assert starts.tolist() == [end + 1 for end in ends if end < 79]
    with pytest.raises(ValueError, match="fewer than a sequence of seq_len = 90000"):
        Contexts.held_out(corpus, 90_000, 5)


def _corpus(folder: Path) -> Corpus:
    lines = [f'{{"text": "{n} alpha beta {n * n} gamma"}}\n' for n in range(60)]
    (folder / "text.jsonl").write_text("".join(lines))
    text = str(folder / "text.jsonl")
    return prepare(
        CorpusConfig(str(folder / "tokens"), (text,), vocab_size=260, validation_every=4)
    )


@pytest.mark.parametrize("kind", ["jrt", "gpt2"])
def test_losses_are_those_of_the_models(
    kind: str, folder_of: Callable[[str], Path], tokenizer: Tokenizer
) -> None:
    answerer = load_answerer(str(folder_of(kind)))
    assert answerer.tokenizer().get_vocab() == tokenizer.get_vocab()
    first = answerer.prefix_len + 2
    tokens = torch.randint(0, 290, (2, 24), generator=torch.Generator().manual_seed(0))
    found = answerer.losses(tokens, first)
    assert found.shape == (2, 24 - first)
    model = answerer._model  # type: ignore[attr-defined]
    with torch.inference_mode():
        logits = model(tokens, answerer.prefix_len) if kind == "jrt" else model(tokens).logits
    expected = -logits.log_softmax(-1)[:, :-1].gather(-1, tokens[:, 1:, None])[..., 0]
    torch.testing.assert_close(found, expected[:, first - 1 :])
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 290
    assert answerer.losses(changed, first)[:, :-1].equal(found[:, :-1])  # no look ahead


class Counting:
    """Nats that tell which token they are of; reads as many batches as it is allowed to."""

    name, batches, allowed = "counting", 0, 99

    def losses(self, tokens: torch.Tensor, first: int) -> torch.Tensor:
        if self.batches == self.allowed:
            raise KeyboardInterrupt
        self.batches += 1
        return tokens[:, first:].float()


def test_losses_that_were_read_are_not_read_again(tmp_path: Path) -> None:
    tokens, model = np.arange(60).reshape(10, 6), Counting()
    scored = Scored("counting", "w", "c", 6, 4)

    def read(count: int = 10) -> list[list[float]]:
        return losses_of(
            model,  # type: ignore[arg-type]
            tokens[:count],
            scored,
            tmp_path,
            batch_size=2,
            device="cpu",
        ).tolist()

    model.allowed = 3
    with pytest.raises(KeyboardInterrupt):
        read()
    with (tmp_path / scored.id / "losses.f32").open("ab") as file:
        file.write(b"\1\2\3\4\5")  # what a kill has left of a batch
    model.allowed = 99
    assert read() == tokens[:, 4:].tolist()
    assert model.batches == 5
    assert read(4) == tokens[:4, 4:].tolist()
    assert model.batches == 5
