"""Text to tokens: what is read, what is kept of it, what is refused."""

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

from sdsim.text import corpus as module
from sdsim.text.corpus import Corpus, CorpusConfig, Order, prepare
from sdsim.text.documents import documents
from sdsim.text.tokenizer import load_tokenizer, rows

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
        read = list(corpus.documents(split))  # type: ignore[arg-type]
        assert [int(one[-1]) for one in read] == [corpus.end] * len(texts)
        assert [corpus.tokenizer.decode(one[:-1].tolist()) for one in read] == texts
        assert sum(map(len, read)) == corpus.tokens(split)  # type: ignore[arg-type]
    counts = Counter(token for one in corpus.documents("train") for token in one.tolist())
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
        assert [one.text for one in documents([str(tmp_path / name)], "body")] == texts, name
    everything = list(documents([str(tmp_path)], "body"))
    assert [one.text for one in everything] == texts * 4


def test_pythons_own_text_is_there() -> None:
    read = list(documents(["python"], "text"))
    assert any("for_stmt" in one.text or 'The "for" statement' in one.text for one in read)
    assert sum(len(one.text) for one in read) > 1e6


def test_killed_while_writing_it_goes_on(
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
    with pytest.raises(ValueError, match="not whole yet"):
        Corpus(config.tokens)
    again: list[int] = []
    corpus = prepare(config, again.append)
    assert again[0] > 3, "the first documents are not read again"
    for split in ("train", "validation"):
        pairs = zip(corpus.documents(split), whole.documents(split), strict=True)  # type: ignore[arg-type]
        assert all(np.array_equal(one, other) for one, other in pairs)
    prepare(config, lambda _: pytest.fail("all is there"))


def test_windows_cover_the_shards(config: CorpusConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARD_TOKENS", 300)
    monkeypatch.setattr(module, "_BLOCK_CHARACTERS", 200)
    corpus = prepare(config)
    windows = corpus.windows("train", 16)
    assert len(list(Path(config.tokens).glob("train-*.tokens.npy"))) > 2
    read = windows[torch.arange(len(windows))]
    assert read.shape == (len(windows), 16)
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
        corpus.windows("train", 100_000)


def test_each_epoch_reads_everything_in_another_order() -> None:
    order = Order(10, seed=3)
    read = order[torch.arange(30)]
    epochs = read.view(3, 10).tolist()
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert torch.equal(Order(10, seed=3)[torch.arange(7, 23)], read[7:23])
    assert not torch.equal(Order(10, seed=4)[torch.arange(30)], read)


def test_rows_are_the_papers_for_gpt2() -> None:
    assert rows(50_257) == 50_264
    assert rows(2047) == 2048


def test_a_file_of_a_tokenizer_serves(config: CorpusConfig) -> None:
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


def test_an_empty_document_is_named_or_left_out(config: CorpusConfig, tmp_path: Path) -> None:
    source = tmp_path / "gaps.jsonl"
    source.write_text(json.dumps({"text": TEXTS[0]}) + "\n" + json.dumps({"text": " \n"}) + "\n")
    gaps = replace(config, data=(*config.data, str(source)), tokens=config.tokens + "-gaps")
    with pytest.raises(ValueError, match=r"gaps.jsonl, line 2: the document is empty"):
        prepare(gaps)
    corpus = prepare(replace(gaps, skip_empty=True))
    assert sum(1 for split in ("train", "validation") for _ in corpus.documents(split)) == 61  # type: ignore[arg-type]


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
    for name, message in (
        (broken, "line 2: no JSON"),
        (other, "line 1: no text under 'text'"),
        (binary, "cannot be read"),
        (table, "no column 'text' .*, but body"),
        (tmp_path / "empty", "the folder holds a file of .txt"),
        (tmp_path / "gone.txt", "there is no such file"),
        (tmp_path / "empty.exe", "no such file"),
    ):
        with pytest.raises(ValueError, match=message):
            list(documents([str(name)], "text"))
    with pytest.raises(ValueError, match="data is empty"):
        prepare(replace(config, data=()))
    with pytest.raises(ValueError, match=r"tokenizer = 'gone.json': there is no such file"):
        load_tokenizer("gone.json")


def test_a_folder_keeps_to_its_text(config: CorpusConfig, tmp_path: Path) -> None:
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
    [({"validation_every": 1}, "validation_every = 1"), ({"vocab_size": 5}, "vocab_size = 5")],
)
def test_errors(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorpusConfig("tokens", **settings)  # type: ignore[arg-type]
