"""Every file of a run that is read back may be damaged: it is named, and what is advised works."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models

from sdsim.reading import is_failure
from sdsim.text.config import CorpusConfig, PretrainConfig
from sdsim.text.generate import generate
from sdsim.text.loop import pretrain
from sdsim.text.pretrained import PretrainedModel
from sdsim.text.run_folder import trained_model
from sdsim.text.tokenizer import read_tokenizer
from tests.sdsim.damage import FUZZ, Damage, byte_damage, edit, reads_or_names

FILES = [
    "run/run.json",
    "run/log.jsonl",
    "run/checkpoints/step-00000004/progress.json",
    "run/checkpoints/step-00000004/*.safetensors",
    "run/model/config.json",
    "run/model/model.safetensors",
    "run/model/tokenizer.json",
    "tokens/corpus.json",
    "tokens/tokenizer.json",
    "tokens/train-00000.tokens.npy",
    "tokens/train-00000.documents.npy",
    "tokens/validation-00000.tokens.npy",
]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda content: content[: len(content) // 2],
    "null": lambda _: b"null\n",
    "list": lambda _: b"[1]\n",
    "object": lambda _: b"{}\n",
    "bytes": lambda _: bytes(range(256)) * 4,
    "zeros": lambda content: bytes(len(content)),
    "deep": lambda _: b"[" * 100_000,
}
UNHARMED = {("run/log.jsonl", "empty"), ("run/log.jsonl", "cut")}
"""A log that a crash may have left so."""


def config_of(folder: Path, text: str) -> PretrainConfig:
    corpus = CorpusConfig(str(folder / "tokens"), (text,), vocab_size=280, validation_every=10)
    return PretrainConfig(
        str(folder / "run"),
        corpus,
        seq_len=32,
        prefix_len=16,
        steps=4,
        batch_size=2,
        threads=1,
        save_every=2,
        log_every=1,
        validation_windows=1,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, corpus: CorpusConfig) -> Path:
    """A finished run and its tokens."""
    folder = tmp_path_factory.mktemp("whole")
    pretrain(config_of(folder, corpus.data[0]))
    return folder


@pytest.fixture
def config(whole: Path, tmp_path: Path, corpus: CorpusConfig) -> PretrainConfig:
    """The same run, to be damaged."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    return config_of(tmp_path, corpus.data[0])


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuses(config: PretrainConfig, file: Path) -> str:
    """The error of the command, in one line; nothing is changed."""
    before = contents(Path(config.out).parent)
    with pytest.raises(ValueError, match=f"{file.name}|{file.parent.name}") as raised:
        pretrain(config)
    message = str(raised.value)
    assert "\n" not in message
    assert str(file) in message or str(file.parent) in message
    assert contents(Path(config.out).parent) == before
    return message


def follow(message: str, config: PretrainConfig, file: Path) -> None:
    """Do what an error advises."""
    if "delete that folder" in message or "delete the folder" in message:
        shutil.rmtree(file.parent)
    elif "delete it" in message or "delete that file" in message or "move" in message:
        file.rename(file.with_name("damaged"))
    else:
        pytest.fail(f"no advice: {message}")
    folder = pretrain(config)
    model = trained_model(folder.parent)
    assert model.tokenizer().get_vocab_size() == 280
    assert len(list(generate(model.eval(), [[1, 2]]))) == 64


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_the_advice_works(
    name: str, damage: str, config: PretrainConfig, tmp_path: Path
) -> None:
    (file,) = tmp_path.glob(name)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    if (name, damage) in UNHARMED:
        pretrain(config)
        return
    follow(refuses(config, file), config, file)


@pytest.mark.parametrize("value", [None, -1, "x", [], {}, 10**12])
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("run/run.json", ("config", "tokens", "corpus", "model")),
        ("run/model/config.json", ("model", "vocab_size", "seq_len", "prefix_len")),
        (
            "tokens/corpus.json",
            ("made_from", "vocab_size", "end", "dtype", "documents", "shards", "format"),
        ),
    ],
)
def test_an_edited_value_is_refused(
    name: str, keys: tuple[str, ...], value: Any, config: PretrainConfig, tmp_path: Path
) -> None:
    """Unless it is one that the file could have had."""
    file = tmp_path / name
    stored = json.loads(file.read_text())
    possible: list[tuple[str, Any]] = [("tokens", "x")]
    possible += [(key, 10**12) for key in ("seq_len", "prefix_len", "documents")]
    for key in keys:
        if name != "run/model/config.json" and (key, value) == ("model", {}):
            continue  # training makes the model by its config
        if (key, value) in possible:
            continue
        file.write_text(json.dumps({**stored, key: value}))
        with pytest.raises(ValueError, match=re.escape(name.split("/")[0])) as raised:
            pretrain(config)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("line", ['{"step": "x"}', '{"loss": 3}', "null", "half a line", "{"])
def test_a_damaged_line_of_the_log_is_named(line: str, config: PretrainConfig) -> None:
    path = Path(config.out) / "log.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], line, *lines[1:]]) + "\n")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"log.jsonl, line 2 is damaged: .*; delete that line"):
        pretrain(config)
    assert path.read_bytes() == before
    path.write_text("\n".join(lines))  # an editor may leave out the last line break
    pretrain(config)
    assert path.read_text().splitlines() == lines


def test_a_run_is_known_without_its_description(config: PretrainConfig, tmp_path: Path) -> None:
    """By the one beside the checkpoints; where that is gone too, nothing is trained on."""
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(ValueError, match="another run, with lr = "):
        pretrain(replace(config, lr=0.5))
    pretrain(config)
    assert (tmp_path / "run/run.json").exists()
    (tmp_path / "run/run.json").unlink()
    (tmp_path / "run/checkpoints/run.json").unlink()
    before = contents(tmp_path)
    for other in (config, replace(config, lr=0.5)):
        with pytest.raises(
            ValueError, match=r"run.json is missing, .* which run checkpoints is of"
        ):
            pretrain(other)
    assert contents(tmp_path) == before


def test_a_step_that_is_no_number_is_named(config: PretrainConfig, tmp_path: Path) -> None:
    file = tmp_path / "run/checkpoints/step-00000004/progress.json"
    for step in ("Infinity", "NaN", "1e400", "-4", "[]"):
        file.write_text(f'{{"step": {step}}}')
        assert "delete that folder" in refuses(config, file)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_token_that_does_not_exist_is_found_when_it_is_read(
    split: str, config: PretrainConfig, tmp_path: Path
) -> None:
    file = tmp_path / f"tokens/{split}-00000.tokens.npy"
    tokens = np.load(file)
    np.save(file, np.full_like(tokens, 60_000))
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(ValueError, match=f"{split}-00000.* a token 60000 where there are 280; del"):
        pretrain(config)
    shutil.rmtree(file.parent)
    pretrain(config)


def test_what_is_unfinished_is_read_from_good_files_alone(
    config: PretrainConfig, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "run/model")
    for name, content in (
        ("run.json", "{}"),
        ("checkpoints/step-00000004/progress.json", '{"step": 2}'),
    ):
        file = tmp_path / "run" / name
        good = file.read_text()
        file.write_text(content)
        with pytest.raises(ValueError, match=re.escape(str(file.parent))):
            trained_model(tmp_path / "run")
        file.write_text(good)
    trained_model(tmp_path / "run")
    stored = json.loads((tmp_path / "run/run.json").read_text())
    stored["model"]["vocab_size"] = "many"
    (tmp_path / "run/run.json").write_text(json.dumps(stored))
    with pytest.raises(
        ValueError, match=r"run.json does not describe a model: vocab_size = 'many'"
    ):
        trained_model(tmp_path / "run")


def test_folders_and_files_are_not_taken_for_each_other(
    config: PretrainConfig, tmp_path: Path
) -> None:
    for name in (*FILES, "run/checkpoints"):
        (path,) = tmp_path.glob(name)
        kept = path.rename(tmp_path / "kept")
        if kept.is_dir():
            path.write_text("")
        else:
            path.mkdir()
        with pytest.raises(ValueError, match=f"{path.name}|{path.parent.name}"):
            pretrain(config)
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        kept.rename(path)
    pretrain(config)


@FUZZ
@given(
    damaged=st.tuples(st.sampled_from([name for name in FILES if name.endswith(".json")]), edit())
    | st.tuples(st.sampled_from(FILES), byte_damage())
)
def test_a_file_of_pretraining(
    damaged: tuple[str, Damage], whole: Path, corpus: CorpusConfig, tmp_path: Path
) -> None:
    """The finished run goes on, its model is read and writes; or the file is named."""
    shutil.rmtree(tmp_path)
    shutil.copytree(whole, tmp_path)
    name, damage = damaged
    (file,) = tmp_path.glob(name)
    file.write_bytes(damage(file.read_bytes()))
    reads_or_names(lambda: pretrain(config_of(tmp_path, corpus.data[0])), file)
    reads_or_names(lambda: trained_model(tmp_path / "run"), file)
    reads_or_names(lambda: PretrainedModel.from_pretrained(tmp_path / "run/model"), file)


def test_a_panic_of_the_tokenizers_is_an_error_like_others(tmp_path: Path) -> None:
    """It is raised of a library in Rust, and is no Exception."""
    merged = models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")])
    described = json.loads(Tokenizer(merged).to_str())
    described["model"]["continuing_subword_prefix"] = "#####"  # longer than any token
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(described))
    with pytest.raises(ValueError, match=r"tokenizer\.json is damaged"):
        read_tokenizer(file)
    assert is_failure(ValueError())
    assert not is_failure(KeyboardInterrupt())
