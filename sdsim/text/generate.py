"""Text from a model: a prompt is read once, then each token costs the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream
from torch import Tensor

from sdsim.models.state import ModelState
from sdsim.text.config import SamplingConfig, Strategy
from sdsim.text.pretrained import PretrainedModel

Stop = Callable[[int, Sequence[int]], bool]
"""Told a row and its new tokens so far: whether it ends there."""


def choose(sampling: SamplingConfig, logits: Tensor, generator: torch.Generator) -> int:
    """The next token by its scores (V,)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    scores = logits.double().cpu() / sampling.temperature
    ranked, tokens = scores.sort(descending=True, stable=True)
    if sampling.top_k is not None:
        ranked = ranked[: sampling.top_k]
    probabilities = ranked.softmax(0)
    probabilities = probabilities[probabilities.cumsum(0) - probabilities < sampling.top_p]
    return int(tokens[torch.multinomial(probabilities, 1, generator=generator)])


@torch.inference_mode()
def generate(
    model: PretrainedModel,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig | None = None,
    *,
    strategy: Strategy = "left_pad",
    stop: Stop | None = None,
    allow_longer: bool = False,
) -> Iterator[tuple[int, int]]:
    """Continue prompts, token by token.

    Prompts that fit into the prefix are read together, whatever their lengths; longer ones with
    those of their own length, since the prefix must end at the same token. A row's tokens do not
    depend on the other rows.

    Args:
        model: in evaluation mode, on its device.
        prompts: tokens, at least one each.
        sampling: how tokens are chosen; None: the defaults.
        strategy: how short prompts are read.
        stop: ends a row early.
        allow_longer: whether prompts may be longer than the sequences of training.

    Yields:
        (row, token), row by row as they come.

    Raises:
        ValueError: for prompts that are empty, too long, or of tokens that the model does not
            have; at the call's first item.
    """
    sampling = sampling or SamplingConfig()
    _check(model, prompts, allow_longer=allow_longer)
    generators = [_generator(sampling.seed, row) for row in range(len(prompts))]
    made: list[list[int]] = [[] for _ in prompts]

    def choose_all(rows: Sequence[int], logits: Tensor) -> list[tuple[int, int]]:
        """A token for each of these rows."""
        chosen = []
        for row, scores in zip(rows, logits, strict=True):
            token = choose(sampling, scores[: model.vocab_size - 1], generators[row])  # no [MASK]
            made[row].append(token)
            chosen.append((row, token))
        return chosen

    def goes_on(row: int) -> bool:
        return len(made[row]) < sampling.max_new_tokens and not (stop and stop(row, made[row]))

    if strategy == "iterate":
        rows = list(range(len(prompts)))
        while rows:
            for group in _groups(model, [[*prompts[row], *made[row]] for row in rows]):
                members = [rows[index] for index in group]
                texts = [[*prompts[row], *made[row]] for row in members]
                yield from choose_all(members, _read(model, texts)[0])
            rows = [row for row in rows if goes_on(row)]
        return
    texts = [
        _repeated(one, model.prefix_len) if strategy == "read_twice" else list(one)
        for one in prompts
    ]
    for rows in _groups(model, texts):
        logits, state = _read(model, [texts[row] for row in rows])
        active = set(rows)
        while True:
            chosen = choose_all(rows, logits)
            yield from ((row, token) for row, token in chosen if row in active)
            active = {row for row in active if goes_on(row)}
            if not active:
                break
            tokens = torch.tensor([token for _, token in chosen], device=logits.device)
            logits, state = model.step(tokens, state)


def _check(model: PretrainedModel, prompts: Sequence[Sequence[int]], *, allow_longer: bool) -> None:
    for row, prompt in enumerate(prompts):
        if not len(prompt):
            raise ValueError(f"prompt {row + 1} is empty: at least one token is needed")
        if len(prompt) > model.seq_len and not allow_longer:
            raise ValueError(
                f"prompt {row + 1} has {len(prompt)} tokens, more than the {model.seq_len} of "
                "training; allow_longer=true reads it all the same"
            )
        if not 0 <= min(prompt) <= max(prompt) < model.vocab_size:
            raise ValueError(
                f"prompt {row + 1} has tokens from {min(prompt)} to {max(prompt)}: the model's "
                f"are 0 to {model.vocab_size - 1}"
            )


def _groups(model: PretrainedModel, texts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of texts that can be read as one batch."""
    if not model.bidirectional_prefix and not model.zeroes_padding:
        return [list(range(len(texts)))]
    groups: dict[int, list[int]] = {}
    for index, text in enumerate(texts):
        beyond = len(text) if len(text) > model.prefix_len else 0
        groups.setdefault(beyond, []).append(index)
    return list(groups.values())


def _read(model: PretrainedModel, texts: Sequence[Sequence[int]]) -> tuple[Tensor, ModelState]:
    """Scores (B, V) of what comes after texts, padded on the left, and the state."""
    device = model.embedding.weight.device
    length = max(map(len, texts))
    if model.zeroes_padding:  # padding counts, so there must be as much of it as in training
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
    """A prompt, with as much of itself before it as makes `length` tokens."""
    if len(prompt) >= length:
        return list(prompt)
    return (list(prompt) * math.ceil(length / len(prompt)))[-length:]


def _generator(seed: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)


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
    """Continue texts, piece by piece; arguments as `generate`.

    Args:
        stop: strings of which the first to appear ends a text, before it.
        end: a token that ends a text.

    Yields:
        (row, new text). What might be the beginning of a stop string is held back until it is told.
    """
    encoded = tokenizer.encode_batch(list(prompts), add_special_tokens=False)
    writers = [_Writer(tokenizer, stop, end) for _ in prompts]
    pairs = generate(
        model,
        [encoding.ids for encoding in encoded],
        sampling,
        strategy=strategy,
        stop=lambda row, tokens: writers[row].ended(tokens),
        allow_longer=allow_longer,
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
        self.tokenizer, self.stop, self.end = tokenizer, [one for one in stop if one], end
        self._stream = DecodeStream(skip_special_tokens=True)
        self._held = ""
        self._done = False

    def add(self, token: int) -> str:
        """What can be shown after one more token."""
        if token == self.end:
            self._done = True
            return ""
        self._held += self._stream.step(self.tokenizer, token) or ""
        found = [place for place in map(self._held.find, self.stop) if place >= 0]
        if found:
            self._done = True
            self._held, shown = "", self._held[: min(found)]
            return shown
        keep = max(map(self._beginning, self.stop), default=0)
        shown, self._held = (
            self._held[: len(self._held) - keep],
            self._held[len(self._held) - keep :],
        )
        return shown

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the row is done; asked after each token."""
        return self._done

    def rest(self) -> str:
        """What was held back at the end."""
        rest, self._held = self._held, ""
        return rest

    def _beginning(self, stop: str) -> int:
        """How much of the end of the text may be the beginning of a stop string."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
