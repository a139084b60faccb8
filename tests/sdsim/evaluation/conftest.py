"""Small models with random weights, one tokenizer, and a model that is made to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from sdsim.evaluation.answerers import Answerer, Output
from sdsim.models import ModelConfig
from sdsim.text.pretrained import PretrainedModel
from sdsim.text.tokenizer import train_tokenizer

TEXT = "the quick brown fox jumps over\nthe lazy dog, alpha beta gamma delta 0 1 2 3 4 5 6 7 8 9 "


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer([f"{TEXT} {n}" for n in range(40)], 290)


@pytest.fixture(scope="session")
def folder_of(
    tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of a small model of `transformers`, by its kind, or of ours."""
    made: dict[str, Path] = {}

    def folder_of(kind: str) -> Path:
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            torch.manual_seed(1)
            _save(kind, tokenizer, made[kind])
        return made[kind]

    return folder_of


def _save(kind: str, tokenizer: Tokenizer, folder: Path) -> None:
    if kind == "jrt":
        config = ModelConfig(
            name="jrt",
            mixers=("prefix_linear_attention", "sliding_window_attention", "base_conv"),
            width=16,
            depth=3,
            feature_dim=4,
            window=6,
        )
        model = PretrainedModel(asdict(config), 296, seq_len=256, prefix_len=12)
        model.save_with(tokenizer, folder / "model")
        return
    import transformers as hf

    vocab = 290
    config = {
        "gpt2": lambda: hf.GPT2Config(
            vocab_size=vocab, n_positions=128, n_embd=16, n_layer=2, n_head=2, bos_token_id=0
        ),
        "mamba": lambda: hf.MambaConfig(
            vocab_size=vocab, hidden_size=16, state_size=4, num_hidden_layers=2
        ),
        "recurrent_gemma": lambda: hf.RecurrentGemmaConfig(
            vocab_size=vocab,
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=32,
            lru_width=16,
            attention_window_size=8,
        ),
        "rwkv": lambda: hf.RwkvConfig(
            vocab_size=vocab, hidden_size=16, num_hidden_layers=2, context_length=128
        ),
    }[kind]()
    model = hf.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # far apart, so that rounding chooses no token
                parameter.mul_(4)
    model.save_pretrained(folder)
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


class Parrot(Answerer):
    """Repeats what stands after the last ``is`` of a prompt, if it has read the text twice.

    Having read it once, it does so for every second item only.
    """

    name, longest = "parrot", 10_000

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails_after: int | None = None

    def tokenizer(self) -> Tokenizer:
        raise NotImplementedError

    def losses(self, tokens: Tensor, first: int) -> Tensor:
        raise NotImplementedError

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(place, place + 1) for place in range(len(text))]

    def encode(self, prompt: str) -> list[int]:
        return list(map(ord, prompt))

    def chat(self, prompt: str) -> str:
        return f"<user>{prompt}<model>"

    def outputs(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, *, whole: bool = False
    ) -> list[Output]:
        made = []
        for prompt in prompts:
            if self.fails_after is not None and len(self.asked) >= self.fails_after:
                raise KeyboardInterrupt
            text = "".join(map(chr, prompt))
            self.asked.append(text)
            words = text.split(" is ")
            knows = len(words) > 2 or int(text.split("key ")[1].split()[0]) % 2
            answer = words[1].split(".")[0] if knows else "nothing"
            made.append(Output(f"\n {answer}\nand", 5, 0.25, 1.0, len(prompts)))
        return made

    def state_bytes(self, prompt: Sequence[int]) -> int | None:
        return 4 * len(prompt)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        yield "w", torch.arange(3)


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()
