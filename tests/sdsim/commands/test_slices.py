"""`sdsim slices`, as a user meets it."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from sdsim.commands.slices import _shared_length
from sdsim.text.config import CorpusConfig, PretrainConfig
from sdsim.text.loop import pretrain
from tests.conftest import Run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small models of one corpus."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
    texts = [" ".join(words[(n * k) % 8] for k in range(20)) + f" {n * n}." for n in range(200)]
    text = folder / "text.jsonl"
    text.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    corpus = CorpusConfig(str(folder / "tokens"), (str(text),), vocab_size=280, validation_every=5)
    for name, prefix in (("jrt", 16), ("based", 0)):
        out = str(folder / name)
        settings = {"seq_len": 32, "prefix_len": prefix, "steps": 2, "threads": 1}
        pretrain(PretrainConfig(out, corpus, preset=f"{name}_tiny", **settings))
    return folder


@pytest.fixture
def slices(
    trained: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """``sdsim slices`` of models of that folder."""
    monkeypatch.setenv("TQDM_DISABLE", "1")

    def slices(*words: str, models: tuple[str, ...] = ("jrt", "based")) -> tuple[int, str, str]:
        names = ",".join(str(trained / name) for name in models)
        return run("slices", f"model=[{names}]", "sequences=30", "rare=100", "threads=1", *words)

    return slices


def test_two_models_are_compared(
    slices: Callable[..., tuple[int, str, str]], trained: Path, run: Run
) -> None:
    code, out, err = slices()
    assert code == 0
    assert (trained / "tokens" / "bigrams.safetensors").exists()
    assert "reading with" in err
    table = pl.read_csv("runs/slices/perplexity.csv")
    assert table["model"].unique().sort().to_list() == [
        str(trained / name) for name in ("based", "jrt")
    ]
    for column in ("perplexity", "ratio"):
        known = table.drop_nulls(f"{column}_low")
        assert (known[f"{column}_low"] <= known[column]).all()
        assert (known[column] <= known[f"{column}_high"]).all()
        assert len(known)
    everything = table.filter(panel="all", group="all")
    assert everything["tokens"].to_list() == [30 * (32 - 17)] * 2
    parts = table.filter(pl.col("panel") == "all", pl.col("group") != "all")
    assert parts["tokens"].sum() == everything["tokens"].sum()
    drawn = [Path(line) for line in out.split() if line.startswith("runs/")]
    assert [path.suffix for path in drawn] == [".pdf", ".png", ".csv"]
    before = [path.read_bytes() for path in drawn]
    code, out, err = slices()
    assert (code, "reading" in err) == (0, False)  # nothing is read again
    run("figures", "text=runs/slices")
    assert [path.read_bytes() for path in drawn] == before


@pytest.mark.parametrize(
    ("words", "models", "expected"),
    [
        (["seq_len=16"], ("jrt",), "reads 16 tokens as a prefix"),
        (["seq_len=64"], ("based",), "reads 32 at most"),
        (["tokens=nowhere"], ("jrt",), "nowhere holds no corpus"),
        (["data=text.jsonl"], ("jrt",), "tokens is missing: the folder for the tokens of data"),
        ([], ("jrt", "jrt"), "one stands there twice"),
        (["far=0"], ("jrt",), "far = 0: must be"),
        (["seqences=3"], ("jrt",), "did you mean sequences?"),
        ([], ("tokens",), "holds neither a model nor a checkpoint"),
    ],
)
def test_what_cannot_be_sliced(
    words: list[str],
    models: tuple[str, ...],
    expected: str,
    slices: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, err = slices(*words, models=models)
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert expected in err
    assert not Path("runs").exists()


def test_contexts_are_as_long_as_every_model_can_read() -> None:
    def model(trained: int | None, longest: int | None) -> Any:
        return SimpleNamespace(trained_len=trained, longest=longest)

    assert _shared_length([model(None, None)]) == 2048
    assert _shared_length([model(None, 1024), model(None, None)]) == 1024
    assert _shared_length([model(256, None), model(None, 1024)]) == 256


def test_models_of_others_take_tokens_of_their_own(
    slices: Callable[..., tuple[int, str, str]], trained: Path, tmp_path: Path
) -> None:
    """Their tokenizer makes the tokens; a corpus of another tokenizer is refused."""
    words = [f"tokens={tmp_path / 'own'}", f"data={trained / 'text.jsonl'}", "validation_every=5"]
    code, out, err = slices(*words, models=("jrt/model",))
    assert code == 0, err
    assert slices(f"tokens={tmp_path / 'own'}", models=("jrt/model",))[1] == out
    (code, _, err) = slices(models=("jrt/model",))
    assert code == 2
    assert "holds no run of `sdsim pretrain`" in err
