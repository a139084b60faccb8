"""Text to tokens: what is read, how it is stored, what is refused."""

import gzip
import json
import logging
import os
from collections import Counter
from dataclasses import replace
from math import log
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from sdsim.conf.compose import validate
from sdsim.text import corpus as module
from sdsim.text.config import CorpusConfig
from sdsim.text.corpus import Corpus, prepare
from sdsim.text.documents import documents, sources
from sdsim.text.sequences import Order
from sdsim.text.tokenizer import (
    END_OF_TEXT,
    encode,
    load_tokenizer,
    padded_vocab_size,
    train_tokenizer,
    whole,
)

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


@pytest.mark.parametrize("packed", [False, True])
def test_lines_are_read_as_a_person_would(packed: bool, tmp_path: Path) -> None:
    """Byte-order marks, also where files were joined; CR LF; blank lines; no last line break."""
    mark = b"\xef\xbb\xbf"
    lines = b'{"text": "a"}\r\n\r\n' + mark + b'{"text": "b\\r\\nc"}\r\n \n{"text": "d"}\n\n'
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    for content in (mark + lines, mark + lines.rstrip()):
        path.write_bytes(gzip.compress(content) if packed else content)
        read = list(documents([str(path)], "text"))
        assert [document.text for document in read] == ["a", "b\r\nc", "d"]
        assert [document.where[-6:] for document in read] == ["line 1", "line 3", "line 5"]


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert [document.text for document in documents([str(path)], "text")] == ["one\ntwo\n"]


def test_null_is_an_empty_text_and_is_counted(
    config: CorpusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "null.jsonl"
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in (TEXTS[0], None, " ")))
    table = tmp_path / "null.parquet"
    pl.DataFrame({"text": [TEXTS[1], None]}).write_parquet(table)
    data = (*config.data, str(source), str(table))
    gaps = replace(config, data=data, tokens=config.tokens + "-null")
    with pytest.raises(ValueError, match=r"null.jsonl, line 2: the document is empty; skip_empty"):
        prepare(gaps)
    corpus = prepare(replace(gaps, skip_empty=True))
    assert sum(1 for split in ("train", "validation") for _ in corpus.documents(split)) == 62
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == (f"3 empty documents were skipped, the first is {source}, line 2")


@pytest.mark.parametrize("setting", ["truncation", "padding", "dropout"])
def test_a_tokenizers_own_settings_lose_and_add_nothing(
    setting: str, config: CorpusConfig, tmp_path: Path
) -> None:
    expected = prepare(config)
    tokenizer = load_tokenizer(config.tokens)
    if setting == "truncation":
        tokenizer.enable_truncation(5)
    elif setting == "padding":
        tokenizer.enable_padding(length=500)
    else:
        tokenizer.model.dropout = 0.5
    tokenizer.save(str(tmp_path / "own.json"))
    own = replace(config, tokens=config.tokens + "-own", tokenizer=str(tmp_path / "own.json"))
    corpus = prepare(own)
    assert corpus.identity() == expected.identity()
    for split in ("train", "validation"):
        pairs = zip(corpus.documents(split), expected.documents(split), strict=True)
        assert all(np.array_equal(found, tokens) for found, tokens in pairs)


def test_the_name_of_a_special_token_is_text(config: CorpusConfig, tmp_path: Path) -> None:
    text = "It ends with <|endoftext|> and goes on."
    tokenizer = train_tokenizer(TEXTS, 280)
    tokenizer.save(str(tmp_path / "own.json"))
    (ids,) = encode(load_tokenizer(str(tmp_path / "own.json")), [text])
    assert tokenizer.token_to_id(END_OF_TEXT) not in ids
    assert tokenizer.decode(ids) == text


def test_characters_are_not_left_out_in_silence(tmp_path: Path) -> None:
    plain = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    assert encode(whole(plain), ["abba", ""]) == [[2, 1, 0], []]
    with pytest.raises(ValueError, match=r"has no token for 'é', nor for what .*; choose another"):
        encode(whole(plain), ["ab", "abé"])
    lower = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
    lower.normalizer = normalizers.Lowercase()
    lower.pre_tokenizer = pre_tokenizers.Whitespace()
    assert encode(lower, ["A b"]) == [[0, 1]]
    unknown = Tokenizer(models.BPE({"a": 0, "?": 1}, [], unk_token="?"))
    assert encode(unknown, ["aé"]) == [[0, 1]]
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="?"))
    with pytest.raises(ValueError, match="the tokenizer cannot read a text: WordLevel error"):
        encode(words, ["b"])


def test_an_earlier_corpus_of_a_tokenizer_that_truncates_is_named(
    config: CorpusConfig, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(config)
    tokenizer = load_tokenizer(config.tokens)
    tokenizer.enable_truncation(5)
    tokenizer.save(f"{config.tokens}/tokenizer.json")
    Corpus(config.tokens)
    assert "its tokens are not those of the whole text" in caplog.text


def test_a_tokenizer_may_leave_ids_out(config: CorpusConfig, tmp_path: Path) -> None:
    described = json.loads(train_tokenizer(TEXTS, 280).to_str())
    described["added_tokens"].append(
        {**described["added_tokens"][0], "id": 70_000, "content": "<far>"}
    )
    described["model"]["vocab"]["<far>"] = 70_000
    described["added_tokens"].sort(key=lambda token: token["id"])
    (tmp_path / "gaps.json").write_text(json.dumps(described))
    corpus = prepare(replace(config, tokenizer=str(tmp_path / "gaps.json")))
    assert corpus.vocab_size == 70_001
    assert next(corpus.documents("train")).dtype == np.uint32


def test_held_out_text_is_cut_from_few_documents(config: CorpusConfig, tmp_path: Path) -> None:
    source = tmp_path / "one.txt"
    source.write_text(" ".join(TEXTS))
    one = replace(config, data=(str(source),), tokens=config.tokens + "-one", validation_every=4)
    corpus = prepare(one)
    assert corpus.tokens("validation") == 0
    (document,) = corpus.documents("train")
    for seq_len in (16, 100, len(document) // 2):
        train, held_out = (corpus.sequences(split, seq_len) for split in ("train", "validation"))
        count = len(document) // seq_len
        assert len(held_out) == max(1, count // 4)
        assert len(train) + len(held_out) == count
        read = [split[torch.arange(len(split))].flatten() for split in (train, held_out)]
        assert torch.cat(read).tolist() == document[: count * seq_len].tolist()
    with pytest.raises(ValueError, match="fewer than a sequence of seq_len"):
        corpus.sequences("train", len(document) // 2 + 1)
    # Two documents, of which either may be too short, and both together are not.
    for texts in ((TEXTS[0], " ".join(TEXTS)), (" ".join(TEXTS), TEXTS[0]), TEXTS[6:8]):
        two = tmp_path / f"{len(texts[0])}.jsonl"
        two.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        small = replace(
            config,
            tokenizer=str(config.tokens + "-one/tokenizer.json"),
            data=(str(two),),
            tokens=f"{config.tokens}-{two.name}",
            validation_every=2,
        )
        corpus = prepare(small)
        total = corpus.tokens("train") + corpus.tokens("validation")
        for split in ("train", "validation"):
            assert len(corpus.sequences(split, total // 2))


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
    damaged = tmp_path / "damaged.jsonl"
    damaged.write_bytes(b'{"text": "a"}\n{"text": "b\xff"}\n')
    lone = tmp_path / "lone.jsonl"
    lone.write_text('{"text": "\\ud800"}\n')
    deep = tmp_path / "deep.jsonl"
    deep.write_text("[" * 100_000)
    listed = tmp_path / "listed.jsonl"
    listed.write_text('["a"]\n')
    cut, turned = tmp_path / "cut.jsonl.gz", tmp_path / "turned.jsonl.gz"
    packed = gzip.compress(b"".join(b'{"text": "%d"}\n' % n**9 for n in range(3000)))
    cut.write_bytes(packed[:-100])
    turned.write_bytes(packed[:-8] + bytes(8))  # another checksum
    short = tmp_path / "short.parquet"
    pl.DataFrame({"text": ["a"]}).write_parquet(short)
    short.write_bytes(short.read_bytes()[:-9])
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
        (damaged, "line 2: the text is not UTF-8 at its character 2"),
        (lone, "line 1: the text is not UTF-8 at its character 1"),
        (deep, "line 1: not JSON"),
        (listed, "line 1: not a JSON object"),
        (cut, r"cut.jsonl.gz: cannot be read after line \d+: Compressed file ended"),
        (turned, r"turned.jsonl.gz: cannot be read after line \d+"),
        (short, r"short.parquet: cannot be read"),
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


def test_an_edit_that_keeps_the_size_is_seen(config: CorpusConfig) -> None:
    prepare(config)
    source = Path(config.data[0])
    source.write_text(source.read_text().replace("brown", "green"))
    with pytest.raises(ValueError, match=r"holds tokens of other text \(sources differ"):
        prepare(config)
    source.write_text(source.read_text().replace("green", "brown"))
    prepare(config)


def test_a_text_is_the_same_by_another_path(
    config: CorpusConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(config).identity()
    copy = tmp_path / "elsewhere" / "copy.jsonl"
    copy.parent.mkdir()
    copy.write_bytes(Path(config.data[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    for path in ("text.jsonl", str(copy), "elsewhere/../text.jsonl", "elsewhere"):
        assert prepare(replace(config, data=(path,))).identity() == made
    assert prepare(replace(config, tokens="again", data=(str(copy),))).identity() == made


def test_a_corpus_of_an_earlier_version_is_found(
    config: CorpusConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their manifests hold the paths and sizes of files."""
    made = prepare(config)
    path = Path(config.tokens) / "corpus.json"
    manifest = json.loads(path.read_text())
    del manifest["sources"]
    source = Path(config.data[0])
    manifest["made_from"]["sources"] = [f"{source} ({source.stat().st_size} bytes)"]
    path.write_text(json.dumps(manifest))
    before = path.read_bytes()
    moved = source.rename(tmp_path / "moved.jsonl")
    again = prepare(replace(config, data=(str(moved),)))
    assert again.identity() == {k: v for k, v in made.identity().items() if k != "text"}
    assert path.read_bytes() == before
    assert "that the text is still the same is not checked" in caplog.text
    with moved.open("a") as file:
        file.write(json.dumps({"text": "more"}) + "\n")
    with pytest.raises(ValueError, match=r"\(sources differ"):
        prepare(replace(config, data=(str(moved),)))


def test_files_that_were_not_touched_are_not_read_again(config: CorpusConfig) -> None:
    prepare(config)
    source = Path(config.data[0])
    times = source.stat()
    source.write_bytes(source.read_bytes()[::-1])
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepare(config)


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


def test_a_folder_is_read_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Endings in capitals and linked folders are read, once each; what is left out is counted."""
    inside, elsewhere = tmp_path / "data" / "inside", tmp_path / "elsewhere"
    for folder in (inside, elsewhere):
        folder.mkdir(parents=True)
    (inside / "A.TXT").write_text("first")
    (elsewhere / "b.JSONL").write_text('{"text": "second"}\n')
    with gzip.open(elsewhere / "c.Jsonl.GZ", "wt") as file:
        file.write('{"text": "third"}\n')
    (inside / "page.html").write_text("left out")
    (inside / ".hidden").write_text("not counted")
    (inside / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(tmp_path / "data")
    (inside / "gone.txt").symlink_to(tmp_path / "nowhere")
    data = [str(tmp_path / "data")]
    assert [document.text for document in documents(data, "text")] == ["first", "second", "third"]
    assert not caplog.records
    assert len(sources(data)) == 3
    (record,) = caplog.records
    assert record.getMessage().endswith(f": 1, the first is {inside / 'page.html'}")


def test_errors_of_files_advise_what_their_readers_can_do(tmp_path: Path) -> None:
    number = tmp_path / "long.jsonl"
    number.write_text('{"text": ' + "1" * 5000 + "}\n")
    with pytest.raises(ValueError, match=r"long.jsonl, line 1: .*") as raised:
        list(documents([str(number)], "text"))
    assert "sys." not in str(raised.value)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps({"text": "x" * 99}).encode())[:30])
    with pytest.raises(ValueError, match=r"cut.jsonl.gz: cannot be read: "):
        list(documents([str(cut)], "text"))
