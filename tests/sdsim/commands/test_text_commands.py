"""The commands of full scale, as a user meets them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdsim.text import CorpusConfig
from sdsim.text.presets import build

Run = Callable[..., tuple[int, str, str]]

SMALL = [
    *("steps=30", "batch_size=4", "seq_len=32", "prefix_len=16", "threads=1", "save_every=10"),
    *("vocab_size=280", "validation_every=10", "validate_every=30", "log_every=10"),
]


def words(corpus: CorpusConfig) -> list[str]:
    return [*SMALL, f"data={corpus.data[0]}", f"tokens={corpus.tokens}", "out=run"]


def test_trained_asked_and_gone_on_with(run: Run, corpus: CorpusConfig) -> None:
    code, out, _ = run("pretrain", *words(corpus))
    assert code == 0
    assert "280 in the vocabulary" in out
    assert "step 30 of 30: loss " in out
    assert "tokens per second" in out
    assert "`sdsim generate checkpoint=run/model` asks it" in out
    answers = [
        run("generate", f"checkpoint={where}", "prompt=alpha beta gamma", "max_new_tokens=8")
        for where in ("run", "run/model")
    ]
    assert answers[0] == answers[1]
    assert answers[0][0] == 0
    assert answers[0][1].startswith("alpha beta gamma")
    assert len(answers[0][1].strip()) > len("alpha beta gamma")
    code, out, _ = run("generate", "checkpoint=run", 'prompt=["alpha","beta"]', "temperature=1.0")
    assert code == 0
    assert "[1] alpha" in out
    assert "[2] beta" in out
    lines = ["generate", "checkpoint=run", 'prompt=["one\\ntwo"]', "max_new_tokens=1"]
    assert run(*lines)[1].startswith("one\ntwo")
    code, out, _ = run("pretrain", *words(corpus))
    assert code == 0
    assert "step" not in out, "nothing is done again"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["batch_size=3", "micro_batch_size=2"], "micro_batch_size = 2: must divide the 3"),
        (["preset=jrt_7b"], "preset = 'jrt_7b': one of jrt_360m"),
        (["preset=jrt_tiny", "prefix_len=32"], "prefix_len = 32: must lie between 0"),
        (["data=gone.txt"], "data = 'gone.txt': there is no such file"),
        (["steps=0"], "steps = 0"),
        (["objective.mask_share=2"], "objective.mask_share = 2.0"),
        (["objective.mask_shar=2"], "did you mean objective.mask_share?"),
        (["seq_len=100000"], "fewer than a sequence of seq_len = 100000"),
        (["device=warp"], "device = 'warp' cannot be used"),
        (["vocab_size=5"], "vocab_size = 5"),
        (["data=hf:some/where"], "pip install 'sdsim[hf]'"),
    ],
)
def test_a_run_that_cannot_be(
    settings: list[str], expected: str, run: Run, corpus: CorpusConfig, tmp_path: Path
) -> None:
    code, _, err = run("pretrain", *words(corpus), *settings)
    assert code == 2
    assert expected in " ".join(err.split())
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["checkpoint=gone", "prompt=a"], "checkpoint = 'gone': there is no such folder"),
        (["checkpoint=empty", "prompt=a"], "empty holds neither a model nor a checkpoint"),
        (["checkpoint=gone"], "prompt"),
        (["checkpoint=gone", "prompt=a", "temperature=-1"], "temperature = -1"),
        (["checkpoint=gone", "prompt=a", "strategy=twice"], "strategy = 'twice'"),
    ],
)
def test_a_question_that_cannot_be(
    settings: list[str], expected: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("generate", *settings)
    assert code == 2
    assert expected in " ".join(err.split())


def test_a_released_checkpoint_is_read(run: Run, corpus: CorpusConfig, tmp_path: Path) -> None:
    model = build("transformer_tiny")
    names = {"embedding.weight": "transformer.embeddings.word_embeddings.weight"}
    names["norm.weight"] = "transformer.ln_f.weight"
    tensors = {
        names.get(name, f"transformer.{name}".replace("in_proj", "Wqkv")): one
        for name, one in model.state_dict().items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    command = ["import", "checkpoint=model.safetensors", f"tokenizer={corpus.tokens}"]
    code, out, _ = run(*command, "preset=transformer_tiny", "out=mine")
    assert code == 0
    assert "parameters are in mine" in out
    assert run("generate", "checkpoint=mine", "prompt=a b", "max_new_tokens=2")[0] == 0
    code, _, err = run(*command, "preset=transformer_tiny", "out=mine")
    assert code == 2
    assert "the folder is not empty" in err
    code, _, err = run(*command, "preset=based_tiny", "out=other")
    assert code == 2
    assert "is missing" in err
    assert not (tmp_path / "other").exists()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    code, _, err = run(
        *[*command, "preset=transformer_tiny", "checkpoint=pytorch_model.bin"], "out=x"
    )
    assert code == 2
    assert "allow_pickle=true" in err
