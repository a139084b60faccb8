"""`sdsim pretrain`, `generate` and `import`, as a user meets them."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdsim.text.config import CorpusConfig, PretrainConfig
from sdsim.text.loop import pretrain
from sdsim.text.presets import build
from sdsim.text.tokenizer import train_tokenizer
from tests.conftest import Run

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"]
TEXTS = [" ".join(WORDS[(n * k) % 8] for k in range(40)) + f" {n}." for n in range(100)]
PRETRAIN = [
    "pretrain",
    "data=text.jsonl",
    "out=run",
    "steps=30",
    "batch_size=4",
    "seq_len=32",
    "prefix_len=16",
    "threads=1",
    "save_every=10",
    "vocab_size=280",
    "validation_every=10",
    "validate_every=30",
    "log_every=10",
]
NO_PROMPT = "prompt is missing: give prompt=…, prompt_file=…, or standard input"


def write_texts(folder: Path) -> Path:
    path = folder / "text.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def test_a_scale_says_what_is_trained_and_a_word_after_it_has_the_last_word(run: Run) -> None:
    for scale, setting in (
        ("paper", "batch_size: 256"),
        ("small", "preset: jrt_1m"),
        ("tiny", "validation_every: 20"),
    ):
        assert f"\n{setting}\n" in f"\n{run('pretrain', f'scale={scale}', '--cfg', 'job')[1]}"
    assert "\nlr: 0.5\n" in run("pretrain", "scale=paper", "lr=0.5", "--cfg", "job")[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model that has learned a little."""
    folder = tmp_path_factory.mktemp("trained")
    source = str(write_texts(folder))
    corpus = CorpusConfig(str(folder / "tokens"), (source,), vocab_size=280, validation_every=10)
    out = str(folder / "run")
    return pretrain(PretrainConfig(out, corpus, seq_len=32, prefix_len=16, steps=10, threads=1))


@pytest.fixture
def generate(model: Path, run: Run) -> Callable[..., str]:
    """The output of ``sdsim generate`` with a model that has learned a little."""

    def generate(*words: str) -> str:
        code, out, err = run("generate", f"checkpoint={model}", "max_new_tokens=8", *words)
        assert code == 0, err
        return out

    return generate


def test_a_model_is_trained_used_and_resumed(run: Run, tmp_path: Path) -> None:
    write_texts(tmp_path)
    code, out, _ = run(*PRETRAIN)
    assert code == 0
    assert "280 in the vocabulary" in out
    assert "step 30 of 30: loss " in out
    assert "tokens per second" in out
    assert "`sdsim generate checkpoint=run/model`" in out
    results = [
        run("generate", f"checkpoint={where}", "prompt=alpha beta gamma", "max_new_tokens=8")
        for where in ("run", "run/model")
    ]
    assert results[0] == results[1]
    code, out, _ = results[0]
    assert code == 0
    assert out.startswith("alpha beta gamma")
    assert len(out.strip()) > len("alpha beta gamma")
    code, out, _ = run(*PRETRAIN)
    assert code == 0
    assert "step" not in out, "nothing is done again"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["batch_size=3", "micro_batch_size=2"], "micro_batch_size = 2: must divide the 3"),
        (["preset=jrt_7b"], "preset = 'jrt_7b': one of jrt_360m"),
        (["preset=jrt_tiny", "prefix_len=32"], "prefix_len = 32: must lie between 0"),
        (["data=gone.txt"], "data = 'gone.txt': there is no such file"),
        (["steps=0"], "steps = 0: must be greater than or equal to 1"),
        (["objective.mask_share=2"], "objective.mask_share = 2: must be less than 1"),
        (["objective.mask_shar=2"], "did you mean objective.mask_share?"),
        (["seq_len=100000"], "fewer than a sequence of seq_len = 100000"),
        (["device=warp"], "device = 'warp' cannot be used"),
        (["vocab_size=5"], "vocab_size = 5: must be greater than or equal to 257"),
        (["data=hf:some/where"], "needs the package datasets: pip install -e '.[hf]'"),
    ],
)
def test_what_cannot_be_trained(
    settings: list[str], expected: str, run: Run, tmp_path: Path
) -> None:
    write_texts(tmp_path)
    code, _, err = run(*PRETRAIN, *settings)
    assert code == 2
    assert expected in " ".join(err.split())
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert not (tmp_path / "run" / "model").exists()


def test_one_small_text_is_enough(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(map(str.encode, TEXTS[:3])))
    code, out, _ = run(*PRETRAIN, "data=one.txt")
    assert code == 0
    assert "32 held out" in out
    assert run("generate", "checkpoint=run", "prompt=alpha", "max_new_tokens=8")[0] == 0


def test_the_size_of_the_vocabulary_that_is_advised_works(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("ab " * 400)
    code, _, err = run(*PRETRAIN, "data=one.txt")
    assert code == 2
    size = " ".join(err.split()).split("gives a BPE of ")[1].split()[0]
    assert run(*PRETRAIN, "data=one.txt", f"vocab_size={size}")[0] == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run.json", "run.json cannot be used: Expecting value"),
        ("log.jsonl", "log.jsonl, line 1 is damaged: Expecting value"),
        ("model/config.json", "config.json cannot be read: Expecting value"),
        ("model/model.safetensors", "model.safetensors cannot be read"),
        ("tokens/corpus.json", "corpus.json cannot be used: Expecting value"),
    ],
)
def test_a_damaged_file_is_one_line(name: str, expected: str, run: Run, tmp_path: Path) -> None:
    write_texts(tmp_path)
    assert run(*PRETRAIN, "steps=2")[0] == 0
    (tmp_path / "run" / name).write_text("not this\n")
    code, _, err = run(*PRETRAIN, "steps=2")
    assert code == 2
    assert expected in err
    assert len(err.strip().splitlines()[-1]) == len(err.strip()), "one line"
    assert (tmp_path / "run" / name).read_text() == "not this\n"
    if name.startswith("model/"):
        code, _, err = run("generate", "checkpoint=run", "prompt=alpha")
        assert code == 2
        assert expected in err


@pytest.mark.parametrize(
    "prompt",
    [
        "alpha, beta, gamma",
        "alpha,beta",
        "alpha\nbeta\n\ngamma",
        "alpha \"beta\" 'gamma'",
        "it's alpha",
        "{alpha: beta}, (gamma",
        "alpha = beta = gamma",
        "3",
        "alpha: null",
    ],
)
def test_a_prompt_needs_no_quotes(prompt: str, generate: Callable[..., str]) -> None:
    out = generate(f"prompt={prompt}")
    assert out.startswith(prompt)
    assert len(out) > len(f"{prompt}\n"), "the model has added something"


def test_several_prompts_stand_in_a_list(generate: Callable[..., str]) -> None:
    """As written: a line break is one, and a backslash is a backslash."""
    prompts = 'prompt=["alpha, beta","gamma\ndelta","gamma\\ndelta"]'
    out = generate(prompts, "temperature=1.0")
    assert out.startswith("[1] alpha, beta")
    assert "\n[2] gamma\ndelta" in out
    assert "\n[3] gamma\\ndelta" in out


def test_a_prompt_can_come_from_a_file_or_standard_input(
    generate: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "alpha, beta\ngamma"
    expected = generate(f"prompt={prompt}")
    (tmp_path / "prompt.txt").write_text(f"{prompt}\n")
    assert generate("prompt_file=prompt.txt") == expected
    for words in ([], ["prompt_file=-"]):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{prompt}\n"))
        assert generate(*words) == expected


def test_a_prompt_can_come_through_a_pipe(model: Path) -> None:
    command = [sys.executable, "-m", "sdsim", "generate", f"checkpoint={model}", "threads=1"]
    prompt = "alpha, beta\ngamma\n"
    done = subprocess.run(command, input=prompt, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(prompt.strip())
    assert len(done.stdout) > len(prompt)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["checkpoint=gone", "prompt=a"], "checkpoint = 'gone': there is no such folder"),
        (["checkpoint=empty", "prompt=a"], "empty holds neither a model nor a checkpoint"),
        (["checkpoint=gone"], NO_PROMPT),
        (["checkpoint=gone", "prompt_file=-"], NO_PROMPT),
        (["checkpoint=gone", "prompt_file=empty.txt"], NO_PROMPT),
        (["checkpoint=gone", "prompt_file=gone.txt"], "prompt_file = 'gone.txt': cannot be read"),
        (["checkpoint=gone", "prompt_file=a.txt", "prompt=a"], "prompt_file = 'a.txt'"),
        (["checkpoint=gone", "prompt=a", "temperature=-1"], "temperature = -1: must be"),
        (["checkpoint=gone", "prompt=a", "strategy=twice"], "strategy = 'twice': must be"),
    ],
)
def test_what_cannot_be_generated(
    settings: list[str],
    expected: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    code, _, err = run("generate", *settings)
    assert code == 2
    assert expected in " ".join(err.split())


def test_a_terminal_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def read(self, size: int | None = -1) -> str:
            pytest.fail("it would wait for the user to type")

    monkeypatch.setattr(sys, "stdin", Terminal())
    code, _, err = run("generate", "checkpoint=gone")
    assert code == 2
    assert NO_PROMPT in " ".join(err.split())


def test_a_released_checkpoint_is_imported(run: Run, tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 280).save(str(tmp_path / "tokenizer.json"))
    names = {
        "embedding.weight": "transformer.embeddings.word_embeddings.weight",
        "norm.weight": "transformer.ln_f.weight",
    }
    tensors = {
        names.get(name, f"transformer.{name}".replace("in_proj", "Wqkv")): tensor
        for name, tensor in build("transformer_tiny").state_dict().items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    command = ["import", "checkpoint=model.safetensors", "tokenizer=tokenizer.json"]
    code, out, _ = run(*command, "preset=transformer_tiny", "out=mine")
    assert code == 0
    assert "parameters are in mine" in out
    assert run("generate", "checkpoint=mine", "prompt=a b", "max_new_tokens=2")[0] == 0
    code, _, err = run(*command, "preset=transformer_tiny", "out=mine")
    assert code == 2
    assert "the folder is not empty" in err
    code, _, err = run(*command, "preset=transformer_tiny", "window=65", "out=other")
    assert code == 2
    assert "window = 65: transformer_tiny has no sliding-window layers" in " ".join(err.split())
    code, _, err = run(*command, "preset=based_tiny", "out=other")
    assert code == 2
    assert "is missing" in err
    assert not (tmp_path / "other").exists()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    pickled = [*command, "checkpoint=pytorch_model.bin"]
    code, _, err = run(*pickled, "preset=transformer_tiny", "out=x")
    assert code == 2
    assert "allow_pickle=true" in err


def test_the_window_of_an_import_is_said_in_keys(run: Run, tmp_path: Path) -> None:
    train_tokenizer(TEXTS, 280).save(str(tmp_path / "tokenizer.json"))
    names = {
        "embedding.weight": "transformer.embeddings.word_embeddings.weight",
        "norm.weight": "transformer.ln_f.weight",
    }
    state = build("based_tiny").state_dict()
    tensors = {
        names.get(name, f"transformer.{name}"): tensor
        for name, tensor in state.items()
        if not name.startswith("layers.2.mixer.in_proj")
    }
    tensors["transformer.layers.2.mixer.Wqkv.weight"] = state["layers.2.mixer.in_proj.weight"]
    tensors = {name.replace(".conv.", ".conv.conv."): value for name, value in tensors.items()}
    (tmp_path / "file").mkdir()
    save_file(tensors, tmp_path / "file" / "model.safetensors")
    command = ["import", "checkpoint=file", "tokenizer=tokenizer.json", "preset=based_tiny"]
    code, _, err = run(*command, "out=mine")
    assert code == 2
    assert "window: say how many keys a token of based_tiny sees" in " ".join(err.split())
    assert not (tmp_path / "mine").exists()
    code, out, _ = run(*command, "window=20", "out=said")
    assert code == 0
    assert "sliding windows: 20 keys" in out
    (tmp_path / "file" / "config.json").write_text('{"alt_mixer_2": {"window_size": 128}}')
    code, out, _ = run(*command, "out=read")
    assert code == 0
    assert "sliding windows: 65 keys, a token's own included" in " ".join(out.split())
    assert run("generate", "checkpoint=read", "prompt=a b", "max_new_tokens=2")[0] == 0
