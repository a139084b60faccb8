"""Generation: the recurrent view agrees with the parallel one, whatever else is in the batch."""

import json
import math
import resource
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models

from sdsim.conf.compose import validate
from sdsim.text.config import SamplingConfig, Strategy
from sdsim.text.generate import choose, generate, generate_text
from sdsim.text.presets import preset_of
from sdsim.text.pretrained import Padding, PretrainedModel
from sdsim.text.tokenizer import train_tokenizer

KINDS = ["jrt_tiny", "based_tiny", "transformer_tiny"]
PROMPTS = [[5, 6, 7], [9] * 11, list(range(20))]


def made(
    preset: str,
    prefix_len: int = 16,
    seq_len: int = 40,
    *,
    vocab_size: int = 64,
    padding: Padding = "excluded",
) -> PretrainedModel:
    config = asdict(replace(preset_of(preset).config, window=4, width=32))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = PretrainedModel(config, vocab_size, seq_len, prefix_len, padding).double().eval()
        for parameter in model.parameters():  # so that the model does not just repeat its input
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def continued(
    model: PretrainedModel, prompts: Sequence[Sequence[int]], **settings: object
) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in prompts]
    for row, token in generate(model, prompts, **settings):
        rows[row].append(token)
    return rows


@torch.no_grad()
def greedily(model: PretrainedModel, text: list[int], prefix_len: int, count: int) -> list[int]:
    """By the parallel view alone: the whole text again for each token."""
    made = []
    for _ in range(count):
        scores = model(torch.tensor([text + made]), prefix_len)[0, -1, :-1]
        made.append(int(scores.argmax()))
    return made


@pytest.mark.parametrize("preset", KINDS)
def test_decoding_agrees_with_reading(preset: str) -> None:
    """Prompts of different lengths in one batch, shorter and longer than the prefix."""
    model = made(preset)
    found = continued(model, PROMPTS, sampling=SamplingConfig(12))
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        assert tokens == greedily(model, prompt, min(len(prompt), 16), 12)
    assert len({tuple(tokens) for tokens in found}) > 1, "the prompts matter"


def test_read_twice_fills_the_prefix_with_the_prompt() -> None:
    model = made("jrt_tiny")
    prompts = [[1, 2, 3, 4, 5], *PROMPTS[1:]]
    found = continued(model, prompts, sampling=SamplingConfig(8), strategy="read_twice")
    assert found[0] == greedily(model, [5, *([1, 2, 3, 4, 5] * 3)], 16, 8)
    assert found[0] != greedily(model, prompts[0], 5, 8), "reading it once says something else"
    assert found[1] == greedily(model, [9] * 16, 16, 8)
    assert found[2] == greedily(model, list(range(20)), 16, 8)


def test_iterate_reads_all_again_after_each_token() -> None:
    model = made("jrt_tiny")
    found = continued(model, PROMPTS, sampling=SamplingConfig(8), strategy="iterate")
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        text = list(prompt)
        for token in tokens:
            assert token == greedily(model, text, min(len(text), 16), 1)[0]
            text.append(token)
    assert found != continued(model, PROMPTS, sampling=SamplingConfig(8))


@pytest.mark.parametrize("strategy", ["left_pad", "read_twice", "iterate"])
def test_a_row_does_not_depend_on_the_others(strategy: Strategy) -> None:
    model = made("jrt_tiny")
    sampling = SamplingConfig(6, temperature=1.0, seed=3)
    together = continued(model, PROMPTS, sampling=sampling, strategy=strategy)
    alone = continued(model, PROMPTS[:1], sampling=sampling, strategy=strategy)
    assert alone == together[:1]
    assert together == continued(model, PROMPTS, sampling=sampling, strategy=strategy)
    others = replace(sampling, seed=4)
    assert together != continued(model, PROMPTS, sampling=others, strategy=strategy)


def test_each_row_draws_from_a_stream_of_its_own() -> None:
    sampling = SamplingConfig(20, temperature=5.0)
    first, second = continued(made("jrt_tiny"), [[5, 6, 7]] * 2, sampling=sampling)
    assert first != second


def test_the_mask_is_never_generated() -> None:
    """Its row of the embedding is the last; at this temperature all tokens are about as likely."""
    sampling = SamplingConfig(400, temperature=1e6)
    (tokens,) = continued(made("jrt_tiny"), [[5, 6, 7]], sampling=sampling)
    assert max(tokens) == 62
    assert min(tokens) == 0


@pytest.mark.parametrize("strategy", ["left_pad", "read_twice", "iterate"])
@pytest.mark.parametrize("temperature", [0.0, 1e6])
@pytest.mark.parametrize("padding", ["excluded", "released"])
def test_only_ids_of_tokens_are_generated(
    strategy: Strategy, temperature: float, padding: Padding
) -> None:
    """Of 264 rows of the embedding, 260 are tokens; the others are the likeliest here."""

    class Padded(PretrainedModel):
        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            return super().logits(hidden) + 1e3 * (torch.arange(264) >= 260)

    config = asdict(made("jrt_tiny").config)
    model = Padded(config, 264, 40, 16, padding, token_count=260).double().eval()
    sampling = SamplingConfig(30, temperature=temperature)
    found = continued(model, PROMPTS, sampling=sampling, strategy=strategy)
    assert max(map(max, found)) < 260


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_no_token_is_chosen_where_scores_are_not_numbers(temperature: float) -> None:
    model = made("jrt_tiny")
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    with pytest.raises(ValueError, match="not numbers"):
        continued(model, PROMPTS, sampling=SamplingConfig(3, temperature=temperature))


@pytest.mark.parametrize("known_by", ["config", "tokenizer", "import"])
def test_a_saved_model_knows_its_tokens(known_by: str, tmp_path: Path) -> None:
    """By its config.json; those saved before it said so, by the tokenizer beside it."""
    tokenizer = train_tokenizer(["abcdefgh é ü"] * 3, 258)
    config = asdict(replace(preset_of("jrt_tiny").config, width=32))
    padding: Padding = "released" if known_by == "import" else "excluded"
    PretrainedModel(config, 272, 40, 16, padding).save_with(tokenizer, tmp_path / "m")
    described = json.loads((tmp_path / "m/config.json").read_text())
    assert described["token_count"] == 258
    if known_by == "config":
        (tmp_path / "m/tokenizer.json").unlink()
    else:
        del described["token_count"]
        (tmp_path / "m/config.json").write_text(json.dumps(described))
    model = PretrainedModel.from_pretrained(tmp_path / "m").eval()
    sampling = SamplingConfig(400, temperature=1e6)
    (tokens,) = continued(model, [[5, 6, 7]], sampling=sampling)
    assert max(tokens) < 258
    texts = generate_text(model, tokenizer, ["abc"], sampling)
    assert "".join(text for _, text in texts)


def test_ids_that_the_tokenizer_leaves_out_are_not_generated() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 7, "c": 20}, unk_token="a"))
    model = made("jrt_tiny")
    model.use_tokenizer(tokenizer)
    (tokens,) = continued(model, [[0]], sampling=SamplingConfig(200, temperature=1e6))
    assert set(tokens) == {0, 7, 20}


@pytest.mark.parametrize("preset", ["jrt_tiny", "based_tiny"])
def test_a_row_does_not_depend_on_the_others_where_padding_counts(preset: str) -> None:
    prefix_len = 16 if preset == "jrt_tiny" else 0
    imported = made(preset, prefix_len, vocab_size=256, padding="released")
    together = continued(imported, PROMPTS, sampling=SamplingConfig(6))
    alone = [continued(imported, [prompt], sampling=SamplingConfig(6))[0] for prompt in PROMPTS]
    assert together == alone


def test_a_row_that_has_ended_does_not_stop_the_others() -> None:
    model = made("jrt_tiny")
    found = continued(
        model,
        PROMPTS[:2],
        sampling=SamplingConfig(9),
        stop=lambda row, made: row == 0 and len(made) == 4,
    )
    assert [len(tokens) for tokens in found] == [4, 9]
    assert found[1] == continued(model, PROMPTS[1:2], sampling=SamplingConfig(9))[0]


def test_tokens_are_drawn_with_their_probabilities() -> None:
    logits = torch.tensor([3.0, 1.0, 2.0, 0.0]).log1p()  # probabilities 4 : 2 : 3 : 1
    generator = torch.Generator().manual_seed(0)

    def frequencies(sampling: SamplingConfig) -> list[float]:
        drawn = [choose(sampling, logits, generator) for _ in range(4000)]
        return [drawn.count(token) / 4000 for token in range(4)]

    close = {"abs": 0.03}
    assert frequencies(SamplingConfig(temperature=1.0)) == pytest.approx(
        [0.4, 0.2, 0.3, 0.1], **close
    )
    squared = [16 / 30, 4 / 30, 9 / 30, 1 / 30]
    assert frequencies(SamplingConfig(temperature=0.5)) == pytest.approx(squared, **close)
    two = [4 / 7, 0, 3 / 7, 0]
    assert frequencies(SamplingConfig(temperature=1.0, top_k=2)) == pytest.approx(two, **close)
    assert frequencies(SamplingConfig(temperature=1.0, top_p=0.5)) == pytest.approx(two, **close)
    assert frequencies(SamplingConfig(temperature=1.0, top_p=0.3)) == [1, 0, 0, 0]
    assert frequencies(SamplingConfig()) == [1, 0, 0, 0]


def test_memory_stays_as_it_is_for_thousands_of_tokens() -> None:
    preset = preset_of("jrt_tiny")
    model = PretrainedModel(asdict(preset.config), 64, preset.seq_len, preset.prefix_len).eval()
    with torch.inference_mode():
        _, state = model.prefill(torch.zeros(1, 100, dtype=torch.int64), 100)
        before, sizes, used = state.nbytes, set(), []
        token = torch.zeros(1, dtype=torch.int64)
        for step in range(3000):
            logits, state = model.step(token, state)
            token = logits.argmax(-1)
            sizes.add(state.nbytes)
            if step in (1000, 2999):
                used.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sizes == {before}
    assert used[1] - used[0] < 2048, "kilobytes of the whole process, over 2,000 tokens"


def test_a_growing_state_is_seen_to_grow() -> None:
    model = made("transformer_tiny")
    _, state = model.prefill(torch.zeros(1, 8, dtype=torch.int64))
    before = state.nbytes
    _, state = model.step(torch.zeros(1, dtype=torch.int64), state)
    assert state.nbytes > before


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([[1], []], "prompt 2 is empty"),
        ([[1] * 41], "prompt 1 has 41 tokens, more than the 40 of training; allow_longer=true"),
        ([[1, 64]], "prompt 1 has tokens from 1 to 64: the model's are 0 to 63"),
        ([[-1]], "prompt 1 has tokens from -1"),
    ],
)
def test_prompts_that_cannot_be_read(prompts: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        continued(made("jrt_tiny"), prompts)


def test_longer_prompts_on_request() -> None:
    model = made("jrt_tiny")
    text = [n % 60 for n in range(50)]
    (found,) = continued(model, [text], sampling=SamplingConfig(3), allow_longer=True)
    assert found == greedily(model, text, 16, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "^max_new_tokens = 0: must be greater than or equal to 1$"),
        ({"temperature": -1}, "^temperature = -1: must be greater than or equal to 0$"),
        ({"top_k": 0}, "^top_k = 0: must be greater than or equal to 1$"),
        ({"top_p": 0}, "^top_p = 0: must be greater than 0$"),
        ({"top_p": 1.5}, "^top_p = 1.5: must be less than or equal to 1$"),
        ({"seed": -1}, "^seed = -1: must be greater than or equal to 0$"),
        ({"seed": 2**63}, "^seed = 9223372036854775808: must be less than 9223372036854775808$"),
    ],
)
def test_sampling_errors(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(SamplingConfig, settings)


def test_text_ends_before_a_stop_string_and_at_the_end() -> None:
    tokenizer = train_tokenizer(["abcdefgh é ü"] * 3, 260)
    script = tokenizer.encode("xy\nAnswer: é end").ids

    class Scripted(PretrainedModel):
        """Predicts the tokens of the script, one after the other."""

        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            scores = torch.zeros(len(hidden), self.vocab_size, dtype=hidden.dtype)
            self.position = getattr(self, "position", -1) + 1
            scores[:, script[self.position] if self.position < len(script) else 0] = 1
            return scores

    def text(stop: Sequence[str] = (), end: int | None = 0, count: int = 60) -> list[str]:
        preset = preset_of("jrt_tiny")
        model = Scripted(asdict(preset.config), 272, 64, 16).eval()
        sampling = SamplingConfig(count)
        return [
            piece
            for _, piece in generate_text(model, tokenizer, ["go"], sampling, stop=stop, end=end)
        ]

    assert "".join(text()) == "xy\nAnswer: é end"
    assert len(text()) > 5, "piece by piece"
    assert "�" not in "".join(text()), "a character of two tokens comes whole"
    assert "".join(text(["\n"])) == "xy"
    assert "".join(text(["Answer: é"])) == "xy\n"
    assert "".join(text(["Answer:!", "end"])) == "xy\nAnswer: é "
    assert "".join(text(["xyz"], count=2)) == "xy", "what was held back comes at the end"
