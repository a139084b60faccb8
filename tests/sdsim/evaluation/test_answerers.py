"""Models answer alone as they do in a batch, and say what they carry."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from sdsim.evaluation import answerers
from sdsim.evaluation.answerers import Answerer, _is_whole, load_answerer
from sdsim.evaluation.answers import Answers, Asked
from sdsim.evaluation.asking import Question, ask

PROMPTS = ["the quick", "alpha beta gamma the lazy dog 1 2 3 4 5 6 7", "fox over the lazy", "dog a"]
Load = Callable[..., Answerer]


@pytest.fixture
def load(folder_of: Callable[[str], Path]) -> Load:
    return lambda kind, **settings: load_answerer(str(folder_of(kind)), **settings)


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "rwkv", "jrt"])
def test_batches_of_unequal_prompts_answer_as_each_alone(
    kind: str, load: Load, tmp_path: Path
) -> None:
    answerer = load(kind)
    asked = [
        Question(str(n), text, answerer.encode(text), ("x",)) for n, text in enumerate(PROMPTS)
    ]
    assert len({len(question.tokens) for question in asked}) > 2
    outputs = []
    for size in (1, 4):
        answers = Answers(tmp_path / str(size), Asked(kind, "", "qa", "", 1, "document_first", 100))
        with answers.open("cpu", {}):
            outputs.append(ask(answerer, asked, answers, batch_size=size))
        batches = {answer.batch for answer in answers.by_item.values()}
        assert (max(batches) == size) or answerer.equal_lengths
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0])) > 1


def test_padding_is_left_to_models_that_do_not_read_it(load: Load) -> None:
    assert load("rwkv").equal_lengths
    assert not load("mamba").equal_lengths
    lengths = [3, 5, 3, 4, 5, 5]
    assert load("rwkv").batches(lengths, 2) == [[0, 2], [3], [1, 4], [5]]
    assert load("gpt2").batches(lengths, 4) == [[0, 2, 3, 1], [4, 5]]


def test_bytes_of_state(load: Load) -> None:
    for kind, expected in {
        "gpt2": lambda tokens: 2 * 2 * 16 * tokens * 4,  # layers, keys and values, width
        "mamba": lambda tokens: 2 * 32 * (4 + 4) * 4,  # layers, inner width, taps and states
        "rwkv": lambda tokens: 2 * 16 * 5 * 4,  # layers, width, states
        # Two layers with a state and three taps in their modules; a window less one, a counter.
        "recurrent_gemma": lambda tokens: 2 * 16 * 4 * 4 + 2 * 2 * 8 * min(tokens, 7) * 4 + 8,
    }.items():
        answerer = load(kind)
        for prompt in PROMPTS[:2]:
            tokens = answerer.encode(prompt)
            assert answerer.state_bytes(tokens) == expected(len(tokens))
    jrt = load("jrt")
    assert jrt.state_bytes(jrt.encode(PROMPTS[1])) == jrt.state_bytes(jrt.encode(PROMPTS[2]))


def test_a_gguf_file_needs_its_readers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    with pytest.raises(ValueError, match="there is no such file"):
        load_answerer(str(path))
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(answerers, "find_spec", {"transformers": True}.get)
    with pytest.raises(ValueError, match=r"gguf and accelerate: pip install -e '.\[eval,gguf\]'"):
        load_answerer(str(path))


def test_an_answer_ends_with_its_line(load: Load) -> None:
    assert [_is_whole(text) for text in ("a", "a\n", "\n \na", "\n\na\nb", "\n", "")] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]
    answerer = load("gpt2")
    tokens = [answerer.encode(prompt) for prompt in PROMPTS]
    short = answerer.outputs(tokens, 40)
    long = answerer.outputs(tokens, 40, whole=True)
    assert all(output.new_tokens == 40 for output in long)
    for cut, full in zip(short, long, strict=True):
        assert full.text.startswith(cut.text)
        assert cut.new_tokens == 40 or _is_whole(cut.text)
        assert 0 < cut.first_seconds <= cut.seconds


def test_spans_are_those_of_the_tokens(load: Load) -> None:
    text = "the quick älpha\n dog"
    for kind in ("gpt2", "jrt"):
        spans = load(kind).spans(text)
        assert len(spans) == len(load(kind).encode(text))
        assert (spans[0][0], spans[-1][1]) == (0, len(text))


def test_a_model_is_known_by_its_weights(load: Load, folder_of: Callable[[str], Path]) -> None:
    assert load("gpt2").digest() == load("gpt2").digest()
    assert load("gpt2").digest() != load("gpt2", dtype="bfloat16").digest()
    assert load("jrt").longest == 256
    assert load("jrt", allow_longer=True).longest is None
    assert load("gpt2").longest == 128
    assert load("mamba").longest is None


def test_a_chat_template_is_used_where_there_is_one(
    load: Load, folder_of: Callable[[str], Path], tmp_path: Path
) -> None:
    for kind in ("gpt2", "jrt"):
        with pytest.raises(ValueError, match="chat template"):
            load(kind, chat=True).chat("hi")
    folder = shutil.copytree(folder_of("gpt2"), tmp_path / "chat")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %} >"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    plain = load_answerer(str(folder)).outputs([[5, 6, 7]], 12, whole=True)[0]
    assert plain.new_tokens == 12
    generation = json.loads((folder / "generation_config.json").read_text())
    generation |= {"eos_token_id": list(range(290)), "repetition_penalty": 9.0}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    assert load_answerer(str(folder)).outputs([[5, 6, 7]], 12, whole=True)[0].text == plain.text
    answerer = load_answerer(str(folder), chat=True)
    assert answerer.chat("hi") == "[user] hi >"
    assert answerer.outputs([[5, 6, 7], [8, 9]], 12, whole=True)[0].new_tokens == 1


def test_models_that_cannot_be_read(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    damaged = shutil.copytree(folder_of("gpt2"), tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"no")
    (tmp_path / "empty").mkdir()
    lacking = shutil.copytree(folder_of("gpt2"), tmp_path / "lacking")
    tensors = load_file(lacking / "model.safetensors")
    save_file(dict(list(tensors.items())[1:]), lacking / "model.safetensors", {"format": "pt"})
    for name, said in (
        (str(lacking), "its file of weights lacks transformer"),
        (str(damaged), "cannot be read"),
        (str(tmp_path / "empty"), "holds neither a model nor a checkpoint"),
        (str(tmp_path / "gone"), "there is no such folder"),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            load_answerer(name)
        assert "\n" not in str(caught.value)
