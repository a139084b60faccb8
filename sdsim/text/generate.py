"""Text from a model: a prompt is read at once, then each token takes one recurrent step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

from sdsim.models.state import ModelState
from sdsim.seeding import seeded_generator
from sdsim.text.config import SamplingConfig, Strategy
from sdsim.text.pretrained import PretrainedModel
from sdsim.text.tokenizer import encode, ids_of

Stop = Callable[[int, Sequence[int]], bool]
"""Called with a row and its new tokens so far; true ends the row."""


@torch.inference_mode()
def generate(
    model: PretrainedModel,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig | None = None,
    *,
    strategy: Strategy = "left_pad",
    stop: Stop | None = None,
    allow_longer: bool = False,
    token_ids: Sequence[int] | None = None,
) -> Iterator[tuple[int, int]]:
    """Continue prompts, token by token.

    Prompts that fit into the prefix are read together, whatever their lengths; longer ones with
    those of the same length, since the prefix must end at the same token. The tokens of a row do
    not depend on the other rows.

    Args:
        model: in evaluation mode, on its device.
        prompts: tokens, at least one each.
        sampling: how tokens are chosen; None: the defaults.
        strategy: how prompts shorter than the prefix are read; whether padding is read with them
            is the model's `padding`.
        stop: ends a row early.
        allow_longer: whether prompts may be longer than the sequences of training.
        token_ids: the tokens to choose from; None: all that the model knows.

    Yields:
        (row, token), for all active rows in turn.

    Raises:
        ValueError: for prompts that are empty, too long, or hold tokens that the model does not
            have; when the first item is taken.
    """
    sampling = sampling or SamplingConfig()
    _check(model, prompts, allow_longer=allow_longer)
    choices = torch.tensor(model.token_ids() if token_ids is None else token_ids)
    rows = _Rows(prompts, sampling, stop, choices.to(model.embedding.weight.device))
    if strategy == "iterate":
        yield from _iterate(model, rows)
        return
    texts = [list(prompt) for prompt in prompts]
    if strategy == "read_twice":
        texts = [_repeated(text, model.prefix_len) for text in texts]
    for group in _groups(model, texts):
        logits, state = _read(model, [texts[row] for row in group])
        active = group
        while True:
            tokens = [rows.choose(row, scores) for row, scores in zip(group, logits, strict=True)]
            chosen = dict(zip(group, tokens, strict=True))
            yield from ((row, chosen[row]) for row in active)
            active = [row for row in active if not rows.ended(row)]
            if not active:
                break
            logits, state = model.step(torch.tensor(tokens, device=logits.device), state)


def _iterate(model: PretrainedModel, rows: _Rows) -> Iterator[tuple[int, int]]:
    """Read the whole text again before each new token."""
    active = list(range(len(rows.prompts)))
    while active:
        texts = [[*rows.prompts[row], *rows.generated[row]] for row in active]
        for group in _groups(model, texts):
            logits, _ = _read(model, [texts[index] for index in group])
            for index, scores in zip(group, logits, strict=True):
                yield active[index], rows.choose(active[index], scores)
        active = [row for row in active if not rows.ended(row)]


class _Rows:
    """The prompts, and the tokens generated for each; random numbers are a row's own."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        stop: Stop | None,
        choices: Tensor,
    ) -> None:
        self.prompts, self.sampling, self.stop, self.choices = prompts, sampling, stop, choices
        self.generated: list[list[int]] = [[] for _ in prompts]
        self._generators = [
            seeded_generator("generate", sampling.seed, row) for row in range(len(prompts))
        ]

    def choose(self, row: int, logits: Tensor) -> int:
        """The next token of a row, by its logits (V,)."""
        chosen = choose(self.sampling, logits[self.choices], self._generators[row])
        token = int(self.choices[chosen])
        self.generated[row].append(token)
        return token

    def ended(self, row: int) -> bool:
        """Whether a row gets no more tokens."""
        generated = self.generated[row]
        if len(generated) >= self.sampling.max_new_tokens:
            return True
        return self.stop is not None and self.stop(row, generated)


def choose(sampling: SamplingConfig, logits: Tensor, generator: torch.Generator) -> int:
    """The next token by its logits (V,).

    Raises:
        ValueError: if they hold NaN, as where the scores of attention are too large for float32.
    """
    if logits.isnan().any():
        raise ValueError(
            "the model's scores are not numbers (NaN), so no token can be chosen: its weights may "
            "be damaged, or its attention too sharp for its precision"
        )
    if sampling.temperature == 0:
        return int(logits.argmax())
    scores = logits.double().cpu() / sampling.temperature
    ranked, tokens = scores.sort(descending=True, stable=True)
    if sampling.top_k is not None:
        ranked = ranked[: sampling.top_k]
    probabilities = ranked.softmax(0)
    probabilities = probabilities[probabilities.cumsum(0) - probabilities < sampling.top_p]
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])


def _check(model: PretrainedModel, prompts: Sequence[Sequence[int]], *, allow_longer: bool) -> None:
    """Raise `ValueError` for prompts that the model cannot read."""
    for row, prompt in enumerate(prompts):
        if not len(prompt):
            raise ValueError(f"prompt {row + 1} is empty: at least one token is needed")
        if len(prompt) > model.seq_len and not allow_longer:
            raise ValueError(
                f"prompt {row + 1} has {len(prompt)} tokens, more than the {model.seq_len} of "
                "training; allow_longer=true reads it anyway"
            )
        if not 0 <= min(prompt) <= max(prompt) < model.vocab_size:
            raise ValueError(
                f"prompt {row + 1} has tokens from {min(prompt)} to {max(prompt)}: the model's "
                f"are 0 to {model.vocab_size - 1}"
            )


def _groups(model: PretrainedModel, texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of texts that can be read as one batch."""
    if not model.bidirectional_prefix and model.padding == "excluded":
        return [list(range(len(texts)))]
    groups: dict[int, list[int]] = {}
    for index, text in enumerate(texts):
        length = len(text) if len(text) > model.prefix_len else 0
        groups.setdefault(length, []).append(index)
    return list(groups.values())


def _read(model: PretrainedModel, texts: Sequence[Sequence[int]]) -> tuple[Tensor, ModelState]:
    """Logits (B, V) of the token after each text, and the state; texts are padded on the left."""
    device = model.embedding.weight.device
    length = max(map(len, texts))
    if model.padding == "released":  # padding is read: there must be as much as in training
        length = max(length, model.prefix_len)
    tokens = torch.zeros(len(texts), length, dtype=torch.int64)
    mask = torch.zeros(len(texts), length, dtype=torch.bool)
    for row, text in enumerate(texts):
        tokens[row, length - len(text) :] = torch.tensor(text)
        mask[row, length - len(text) :] = True
    hidden, state = model.read(
        tokens.to(device),
        min(length, model.prefix_len),
        None if bool(mask.all()) else mask.to(device),
    )
    return model.logits(hidden[:, -1]), state


def _repeated(prompt: Sequence[int], length: int) -> list[int]:
    """A prompt, repeated on its left until it has `length` tokens."""
    if len(prompt) >= length:
        return list(prompt)
    return (list(prompt) * math.ceil(length / len(prompt)))[-length:]


def generate_text(
    model: PretrainedModel,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingConfig | None = None,
    *,
    strategy: Strategy = "left_pad",
    stop: Sequence[str] = (),
    end: int | None = None,
    allow_longer: bool = False,
) -> Iterator[tuple[int, str]]:
    """Continue texts, piece by piece; arguments and errors as in `generate`.

    Args:
        stop: strings that end a text, which is cut before the first of them.
        end: the token that ends a text.

    Yields:
        (row, new text). What may be the beginning of a stop string is held back until it is known
        not to be.
    """
    writers = [_Writer(tokenizer, stop, end) for _ in prompts]
    pairs = generate(
        model,
        encode(tokenizer, list(prompts)),
        sampling,
        strategy=strategy,
        stop=lambda row, _: writers[row].ended(),
        allow_longer=allow_longer,
        token_ids=[token for token in ids_of(tokenizer) if token < model.vocab_size - 1],
    )
    for row, token in pairs:
        text = writers[row].add(token)
        if text:
            yield row, text
    for row, writer in enumerate(writers):
        rest = writer.rest()
        if rest:
            yield row, rest


class _Writer:
    """One row's tokens as text, up to a stop string."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str], end: int | None) -> None:
        self.tokenizer, self.end = tokenizer, end
        self.stop = [text for text in stop if text]
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self._done = False

    def add(self, token: int) -> str:
        """One more token; returns the text that it completes."""
        if token == self.end:
            self._done = True
            return ""
        self._held += self._stream.step(self.tokenizer, token) or ""
        found = [place for place in map(self._held.find, self.stop) if place >= 0]
        if found:
            self._done = True
            text, self._held = self._held[: min(found)], ""
            return text
        shown = len(self._held) - max(map(self._beginning, self.stop), default=0)
        text, self._held = self._held[:shown], self._held[shown:]
        return text

    def ended(self) -> bool:
        """Whether the row has met a stop string or the token that ends a text."""
        return self._done

    def rest(self) -> str:
        """The text that is still held back at the end."""
        rest, self._held = self._held, ""
        return rest

    def _beginning(self, stop: str) -> int:
        """How many of the last characters may be the beginning of a stop string."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
