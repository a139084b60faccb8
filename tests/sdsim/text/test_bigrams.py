"""Counts of bigrams are exact, made once, and survive whatever happens to their file."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sdsim.text import bigrams
from sdsim.text.bigrams import FILE, bigram_counts, count_bigrams
from sdsim.text.config import CorpusConfig
from sdsim.text.corpus import Corpus, prepare


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Many documents in several shards."""
    monkeypatch.setattr("sdsim.text.corpus._SHARD_TOKENS", 1500)
    monkeypatch.setattr("sdsim.text.corpus._BLOCK_CHARACTERS", 500)
    lines = [f'{{"text": "the {n % 7} cats and the {n % 3} dogs, {n * n}"}}' for n in range(250)]
    (tmp_path / "text.jsonl").write_text("\n".join(lines))
    config = CorpusConfig(str(tmp_path / "tokens"), (str(tmp_path / "text.jsonl"),), vocab_size=280)
    corpus = prepare(config)
    assert sum(1 for _ in corpus.shards("train")) >= 3
    return corpus


def brute_force(corpus: Corpus) -> Counter[tuple[int, int]]:
    found: Counter[tuple[int, int]] = Counter()
    for shard, _ in corpus.shards("train"):
        found.update(pairwise(shard.tolist()))
    return found


def as_counter(counts: bigrams.BigramCounts) -> Counter[tuple[int, int]]:
    size = counts.vocab_size
    pairs = [divmod(int(key), size) for key in counts.keys]
    return Counter(dict(zip(pairs, counts.counts.tolist(), strict=True)))


def test_counts_are_those_of_brute_force(small: Corpus) -> None:
    counts, expected = bigram_counts(small), brute_force(small)
    assert as_counter(counts) == expected
    first, second = np.meshgrid(*2 * [np.arange(counts.vocab_size)], indexing="ij")
    assert counts.of(first, second).sum() == expected.total()
    (pair, most), *_ = expected.most_common()
    assert counts.of(*pair).tolist() == most
    assert counts.of([0, 1], [0, 0]).tolist() == [expected[0, 0], expected[1, 0]]


@pytest.mark.parametrize("block", [1, 7, 64, 10_000])
def test_blocks_do_not_matter(block: int) -> None:
    tokens = np.random.default_rng(0).integers(0, 9, 500).astype(np.uint16)
    found = count_bigrams(tokens, 9, block)
    assert as_counter(found) == Counter(pairwise(tokens.tolist()))


def test_texts_of_one_token_have_no_bigram() -> None:
    none = count_bigrams(np.array([3], np.uint16), 9)
    assert none.of([3], [3]).tolist() == [0]


def test_large_vocabularies_have_room() -> None:
    last = 2**17 - 1
    counts = count_bigrams(np.array([last, last, last, 0], np.uint32), last + 1)
    assert counts.of([last, last, 0], [last, 0, last]).tolist() == [2, 1, 0]


def test_counts_are_made_once(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = as_counter(bigram_counts(small))
    monkeypatch.setattr(bigrams, "count_bigrams", None)
    assert as_counter(bigram_counts(small)) == expected


def test_a_kill_loses_one_shard(small: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigrams, "_SECONDS_BETWEEN_SAVES", -1.0)
    real, calls = bigrams.count_bigrams, []

    def stops(*arguments: object) -> bigrams.BigramCounts:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bigrams, "count_bigrams", stops)
    with pytest.raises(KeyboardInterrupt):
        bigram_counts(small)
    counts = bigram_counts(small)
    shards = sum(1 for _ in small.shards("train"))
    assert len(calls) == 3 + shards - 2
    assert as_counter(counts) == brute_force(small)
    assert [path.name for path in small.folder.iterdir() if FILE in path.name] == [FILE]


def test_a_damaged_file_is_counted_anew(small: Corpus, caplog: pytest.LogCaptureFixture) -> None:
    expected = as_counter(bigram_counts(small))
    path = small.folder / FILE
    path.write_bytes(path.read_bytes()[:100])
    assert as_counter(bigram_counts(small)) == expected
    assert "bigrams are counted anew" in caplog.text


def test_counts_of_other_text_are_not_taken(small: Corpus, tmp_path: Path) -> None:
    bigram_counts(small)
    (tmp_path / "lines.jsonl").write_text(
        "".join('{"text": "' + f"zebra {n} " * 9 + '"}\n' for n in range(120))
    )
    other = prepare(
        CorpusConfig(
            str(tmp_path / "other"),
            (str(tmp_path / "lines.jsonl"),),
            tokenizer=str(small.folder / "tokenizer.json"),
        )
    )
    (other.folder / FILE).write_bytes((small.folder / FILE).read_bytes())
    assert as_counter(bigram_counts(other)) == brute_force(other)
