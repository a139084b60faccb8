"""Text to tokens: what is read, how it is stored, what is refused."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from sdsim.conf.compose import validate
from sdsim.text import corpus as module
from sdsim.text.config import CorpusConfig
from sdsim.text.corpus import Corpus, prepare
from sdsim.text.documents import documents
from sdsim.text.sequences import Order
from sdsim.text.tokenizer import load_tokenizer, padded_vocab_size

TEXTS = [f"Document {n} says: " + "the quick brown fox jumps. " * (n % 7 + 1) for n in range(60)]


@pytest.fixture
def config(tmp_path: Path) -> CorpusConfig:
    source = tmp_path / "text.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return CorpusConfig(
        str(tmp_path / "tokens"), (str(source),), vocab_size=280, validation_every=10
    )


def test_every_document_is_kept_in_order_with_its_bounds(config: CorpusConfig) -> None:
    corpus = prepare(config)
    held_out = [text for number, text in enumerate(TEXTS, 1) if number % 10 == 0]
    trained_on = [text for number, text in enumerate(TEXTS, 1) if number % 10]
    for split, texts in (("train", trained_on), ("validation", held_out)):
        read = list(corpus.documents(split))
        assert [int(tokens[-1]) for tokens in read] == [corpus.end] * len(texts)
        assert [corpus.tokenizer.decode(tokens[:-1].tolist()) for tokens in read] == texts
        assert sum(map(len, read)) == corpus.tokens(split)
    counts = Counter(token for tokens in corpus.documents("train") for token in tokens.tolist())
    total = sum(counts.values())
    entropy = -sum(n / total * log(n / total) for n in counts.values())
    assert corpus.unigram_entropy("train") == pytest.approx(entropy)


def test_all_kinds_of_files_give_the_same_documents(tmp_path: Path) -> None:
    texts = TEXTS[:5]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": t}) + "\n" for t in texts))
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"body": text}) + "\n" for text in texts)
    pl.DataFrame({"body": texts, "n": range(5)}).write_parquet(tmp_path / "c.parquet")
    folder = tmp_path / "d"
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_text(text)
    (folder / "image.png").write_bytes(b"\x89")
    for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d"):
        read = documents([str(tmp_path / name)], "body")
        assert [document.text for document in read] == texts, name
    everything = list(documents([str(tmp_path)], "body"))
    assert [document.text for document in everything] == texts * 4


def test_pythons_own_text_is_there() -> None:
    texts = [document.text for document in documents(["python"], "text")]
    assert any("for_stmt" in text or 'The "for" statement' in text for text in texts)
    assert sum(map(len, texts)) > 1e6


def test_making_tokens_is_resumed_after_the_last_shard(
    config: CorpusConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SHARD_TOKENS", 100)
    monkeypatch.setattr(module, "_BLOCK_CHARACTERS", 200)
    whole = prepare(replace(config, tokens=config.tokens + "-whole"))
    done: list[int] = []

    def stop(documents_done: int) -> None:
        done.append(documents_done)
        if len(done) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(config, stop)
    with pytest.raises(ValueError, match="not complete yet"):
        Corpus(config.tokens)
    left = Path(config.tokens) / f".train-00001.tokens.npy-{'0a' * 16}"
    left.write_bytes(b"half a shard")
    again: list[int] = []
    corpus = prepare(config, again.append)
    assert again[0] > 3, "the first documents are not read again"
    assert not left.exists(), "nothing is left of a process that was killed"
    for split in ("train", "validation"):
        pairs = zip(corpus.documents(split), whole.documents(split), strict=True)
        assert all(np.array_equal(tokens, expected) for tokens, expected in pairs)
    prepare(config, lambda _: pytest.fail("all is there"))


def test_sequences_cover_the_shards(config: CorpusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARD_TOKENS", 300)
    monkeypatch.setattr(module, "_BLOCK_CHARACTERS", 200)
    corpus = prepare(config)
    sequences = corpus.sequences("train", 16)
    assert len(list(Path(config.tokens).glob("train-*.tokens.npy"))) > 2
    read = sequences[torch.arange(len(sequences))]
    assert read.shape == (len(sequences), 16)
    assert read.dtype == torch.int64
    stream = np.concatenate(list(corpus.documents("train")))
    ends = [len(shard) for shard in corpus._shards["train"]]
    starts = np.concatenate([[0], np.cumsum(ends)[:-1]])
    expected = [
        stream[start + 16 * k : start + 16 * (k + 1)]
        for start, length in zip(starts, ends, strict=True)
        for k in range(length // 16)
    ]
    assert np.array_equal(read.numpy(), np.stack(expected))
    with pytest.raises(ValueError, match="fewer than a sequence of seq_len = 100000"):
        corpus.sequences("train", 100_000)


def test_each_epoch_reads_everything_in_another_order() -> None:
    order = Order(10, seed=3)
    read = order[torch.arange(30)]
    epochs = read.view(3, 10).tolist()
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert torch.equal(Order(10, seed=3)[torch.arange(7, 23)], read[7:23])
    assert not torch.equal(Order(10, seed=4)[torch.arange(30)], read)


def test_the_order_is_that_of_runs_before() -> None:
    """A run that was begun earlier must resume with the sequences that it has not read."""
    expected = [0, 6, 1, 3, 9, 4, 5, 8, 2, 7, 6, 7, 0, 8, 9, 2, 1, 4, 5, 3]
    assert Order(10, seed=3)[torch.arange(20)].tolist() == expected


def test_the_padded_vocabulary_of_gpt2_is_the_papers() -> None:
    assert padded_vocab_size(50_257) == 50_264
    assert padded_vocab_size(2047) == 2048
    assert padded_vocab_size(2048) == 2056, "there is room for [MASK]"


def test_a_tokenizer_can_be_a_file(config: CorpusConfig) -> None:
    first = prepare(config)
    second = prepare(
        replace(config, tokens=config.tokens + "-2", tokenizer=f"{config.tokens}/tokenizer.json")
    )
    assert second.identity() == first.identity()
    other = Path(f"{config.tokens}-2/tokenizer.json")
    using = replace(config, tokens=config.tokens + "-4", tokenizer=str(other))
    prepare(using)
    other.write_text(other.read_text().replace("<|endoftext|>", "<|end_of_text|>"))
    with pytest.raises(ValueError, match=r"tokenizer differ"):
        prepare(using)
    assert load_tokenizer(config.tokens).to_str() == first.tokenizer.to_str()


def test_a_truncated_shard_is_named(config: CorpusConfig) -> None:
    prepare(config)
    shard = Path(config.tokens) / "train-00000.tokens.npy"
    whole = shard.read_bytes()
    for damaged in (whole[:-10], whole[:20], b""):
        shard.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"train-00000.tokens.npy is truncated"):
            Corpus(config.tokens)
    np.save(shard, np.zeros(5, np.uint16))
    with pytest.raises(ValueError, match=r"train-00000.tokens.npy is truncated: 5 of"):
        Corpus(config.tokens)
    shard.unlink()
    with pytest.raises(ValueError, match=r"train-00000.tokens.npy is missing"):
        Corpus(config.tokens)


def test_an_empty_document_is_named_or_skipped(config: CorpusConfig, tmp_path: Path) -> None:
    source = tmp_path / "gaps.jsonl"
    source.write_text(json.dumps({"text": TEXTS[0]}) + "\n" + json.dumps({"text": " \n"}) + "\n")
    gaps = replace(config, data=(*config.data, str(source)), tokens=config.tokens + "-gaps")
    with pytest.raises(ValueError, match=r"gaps.jsonl, line 2: the document is empty"):
        prepare(gaps)
    corpus = prepare(replace(gaps, skip_empty=True))
    assert sum(1 for split in ("train", "validation") for _ in corpus.documents(split)) == 61


def test_what_cannot_be_read_is_named(config: CorpusConfig, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text": \n')
    other = tmp_path / "other.jsonl"
    other.write_text('{"body": "a"}\n')
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    table = tmp_path / "table.parquet"
    pl.DataFrame({"body": ["a"]}).write_parquet(table)
    (tmp_path / "empty").mkdir()
    program = tmp_path / "program.exe"
    program.write_bytes(b"MZ")
    for name, message in (
        (broken, "line 2: not JSON"),
        (other, "line 1: no text under 'text'"),
        (binary, "cannot be read"),
        (table, "no column 'text' .*; its columns are body"),
        (tmp_path / "empty", "the folder holds no file that ends with .txt"),
        (tmp_path / "gone.txt", "there is no such file"),
        (tmp_path / "empty.exe", "no such file"),
        (program, "must end with .txt, .md, .rst, .jsonl, .jsonl.gz or .parquet"),
    ):
        with pytest.raises(ValueError, match=message):
            list(documents([str(name)], "text"))
    with pytest.raises(ValueError, match="data is empty"):
        prepare(replace(config, data=()))
    with pytest.raises(ValueError, match=r"tokenizer = 'gone.json': there is no such file"):
        load_tokenizer("gone.json")


def test_a_folder_holds_one_text(config: CorpusConfig, tmp_path: Path) -> None:
    prepare(config)
    with pytest.raises(ValueError, match=r"holds tokens of other text \(validation_every differ"):
        prepare(replace(config, validation_every=5))
    Path(config.data[0]).write_text(json.dumps({"text": "another"}) + "\n")
    with pytest.raises(ValueError, match=r"holds tokens of other text \(sources differ"):
        prepare(config)
    with pytest.raises(ValueError, match="gives a BPE of"):
        prepare(replace(config, tokens=config.tokens + "-3", vocab_size=50_000))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_every": 1}, "^validation_every = 1: must be greater than or equal to 2$"),
        ({"vocab_size": 5}, "^vocab_size = 5: must be greater than or equal to 257$"),
    ],
)
def test_errors(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(CorpusConfig, {"tokens": "tokens", **settings})
