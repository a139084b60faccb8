"""Models that answer: ours, and the causal models of `transformers`, by the same few functions.

A prompt's output does not depend on the other prompts of its batch. Where a model of `transformers`
reads padding after all, which is tried out once, only prompts of one length share a batch.
"""

from __future__ import annotations

import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import CONFIG_NAME
from huggingface_hub.errors import HfHubHTTPError
from tokenizers import Tokenizer
from torch import Tensor

from sdsim.evaluation.answers import Dtype
from sdsim.evaluation.prompts import answer_line
from sdsim.reading import READ_ERRORS, is_failure, read_object, reason
from sdsim.text.config import SamplingConfig, Strategy
from sdsim.text.generate import generate
from sdsim.text.pretrained import PretrainedModel, load_pretrained
from sdsim.text.run_folder import trained_model
from sdsim.text.tokenizer import encode, ids_of

_LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length")
"""Where configs of `transformers` say how many tokens a model can read."""

_GGUF = ".gguf"
_READERS = ("gguf", "accelerate")
"""What `transformers` reads a GGUF file with."""

_TRIAL = (8, 5)
"""Tokens of the prompt by which padding is tried out, and of the padding."""

_ROUNDING = {"float32": 1e-4}
"""How far padding may move logits, over their range, by rounding alone."""
_COARSE_ROUNDING = 3e-2


@dataclass(frozen=True)
class Output:
    """What a model made of a prompt.

    Attributes:
        text: the new tokens as text.
        new_tokens: how many there are.
        first_seconds: until the first new token of its batch was known.
        seconds: that the batch took.
        batch: prompts in it.
    """

    text: str
    new_tokens: int
    first_seconds: float
    seconds: float
    batch: int


class Answerer(ABC):
    """A model and its tokenizer.

    Attributes:
        name: as the user gave it.
        longest: most tokens of a prompt and its answer; None: no limit is known.
        equal_lengths: whether only prompts of one length may share a batch.
        trained_len: tokens of the sequences that it was trained on; None: not known.
        prefix_len: leading tokens of them that it reads non-causally.
    """

    name: str
    longest: int | None
    equal_lengths: bool = False
    trained_len: int | None = None
    prefix_len: int = 0

    @abstractmethod
    def tokenizer(self) -> Tokenizer:
        """Its tokenizer."""

    @abstractmethod
    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token of a text begins and ends."""

    @abstractmethod
    def encode(self, prompt: str) -> list[int]:
        """The tokens of a prompt."""

    @abstractmethod
    def chat(self, prompt: str) -> str:
        """The prompt as a message of a user, in the model's chat template."""

    @abstractmethod
    def outputs(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, *, whole: bool = False
    ) -> list[Output]:
        """Greedy continuations of one batch; unless `whole`, each ends with its answer's line."""

    @abstractmethod
    def losses(self, tokens: Tensor, first: int) -> Tensor:
        """Nats of the tokens from position `first` on: (B, N) to (B, N - first).

        Args:
            tokens: whole sequences, whose first `prefix_len` tokens are a prefix.
            first: at least 1, and after the prefix.
        """

    @abstractmethod
    def state_bytes(self, prompt: Sequence[int]) -> int | None:
        """Bytes that the model carries on from a prompt; None: its class does not expose them."""

    @abstractmethod
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """The parameters and buffers that identify the model, by name."""

    def digest(self) -> str:
        """What identifies the model: of all its weights."""
        found = hashlib.sha256()
        for name, tensor in self.weights():
            found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
            found.update(content.numpy().tobytes())
        return found.hexdigest()[:16]

    def batches(self, lengths: Sequence[int], size: int) -> list[list[int]]:
        """Which prompts share a batch, by their lengths: much alike, so that little is padded."""
        order = sorted(range(len(lengths)), key=lambda place: lengths[place])
        batches: list[list[int]] = []
        for place in order:
            last = batches[-1] if batches else None
            differs = last is not None and lengths[last[0]] != lengths[place]
            if last is None or len(last) == size or (self.equal_lengths and differs):
                batches.append([place])
            else:
                last.append(place)
        return batches


def load_answerer(
    name: str,
    *,
    device: str = "cpu",
    dtype: Dtype = "float32",
    chat: bool = False,
    strategy: Strategy = "left_pad",
    allow_longer: bool = False,
) -> Answerer:
    """A model by its folder, or by its name on the hub: of `sdsim`, or of `transformers`.

    Args:
        name: a folder of `sdsim pretrain` (finished or not) or `sdsim import`, or of
            `transformers`; a GGUF file; else a name on the Hugging Face hub.
        device: of torch.
        dtype: of the weights.
        chat: whether prompts will be given to `Answerer.chat`; a text then ends with the model's
            end of text.
        strategy: how a model of ours reads prompts shorter than its prefix.
        allow_longer: whether a model of ours reads more tokens than the sequences of training.

    Raises:
        ValueError: if there is no such model, or it is damaged or of another kind.
    """
    path = Path(name)
    if path.suffix == _GGUF:
        return Transformers(name, device, dtype, chat=chat)
    if path.is_dir() and not (path / CONFIG_NAME).exists():
        ours: PretrainedModel | None = trained_model(path)
    else:
        ours = load_pretrained(name) if _is_ours(name) else None
    if ours is not None:
        model = ours.eval().to(device=device, dtype=getattr(torch, dtype))
        return Ours(name, model, strategy, allow_longer=allow_longer)
    return Transformers(name, device, dtype, chat=chat)


def quieten_transformers() -> None:
    """Have `transformers`, if it is there, show no progress bars, and errors alone."""
    if find_spec("transformers") is not None:
        logging: Any = import_module("transformers.utils.logging")
        logging.disable_progress_bar()
        logging.set_verbosity_error()


def _is_ours(name: str) -> bool:
    """Whether the config of a folder, or of a name on the hub, is one of `PretrainedModel`."""
    path = Path(name, CONFIG_NAME)
    if not Path(name).is_dir():
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
            raise ValueError(f"model = {name!r}: there is no such folder")
        try:
            path = Path(hf_hub_download(name, CONFIG_NAME))
        except (HfHubHTTPError, OSError, ValueError) as error:
            raise ValueError(
                f"model = {name!r}: not a folder, and not available from the hub ({reason(error)})"
            ) from error
    try:
        described = read_object(path).get("model")
    except READ_ERRORS as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error
    return isinstance(described, dict) and "mixers" in described


class Ours(Answerer):
    """A model of `sdsim pretrain` or `sdsim import`."""

    def __init__(
        self, name: str, model: PretrainedModel, strategy: Strategy, *, allow_longer: bool = False
    ) -> None:
        self.name, self._model, self._strategy = name, model, strategy
        self._allow_longer = allow_longer
        self.longest = None if allow_longer else model.seq_len
        self.trained_len = model.seq_len
        self.prefix_len = model.prefix_len if model.bidirectional_prefix else 0
        self._tokenizer = model.tokenizer()
        self._tokens = [token for token in ids_of(self._tokenizer) if token < model.vocab_size - 1]

    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def spans(self, text: str) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = self._tokenizer.encode(
            text, add_special_tokens=False
        ).offsets
        return spans

    def encode(self, prompt: str) -> list[int]:
        return encode(self._tokenizer, [prompt])[0]

    def chat(self, prompt: str) -> str:
        raise ValueError(f"chat = True: {self.name} is a model of sdsim, without a chat template")

    def outputs(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, *, whole: bool = False
    ) -> list[Output]:
        begun = time.perf_counter()
        first = None
        rows: list[list[int]] = [[] for _ in prompts]
        sampling = SamplingConfig(max_new_tokens=new_tokens)
        for row, token in generate(
            self._model,
            prompts,
            sampling,
            strategy=self._strategy,
            stop=None if whole else lambda _, tokens: _is_whole(self._decode(tokens)),
            allow_longer=True,  # whoever asks has compared with `longest`
            token_ids=self._tokens,
        ):
            first = time.perf_counter() - begun if first is None else first
            rows[row].append(token)
        seconds = time.perf_counter() - begun
        return [
            Output(self._decode(row), len(row), first or seconds, seconds, len(rows))
            for row in rows
        ]

    @torch.inference_mode()
    def losses(self, tokens: Tensor, first: int) -> Tensor:
        tokens = tokens.to(self._model.embedding.weight.device)
        hidden = self._model.hidden(tokens, self.prefix_len)[:, first - 1 : -1]
        return _nats(self._model.logits(hidden), tokens[:, first:])

    @torch.inference_mode()
    def state_bytes(self, prompt: Sequence[int]) -> int | None:
        tokens = torch.tensor([list(prompt)], device=self._model.embedding.weight.device)
        prefix = min(len(prompt), self._model.prefix_len)
        return self._model.read(tokens, prefix)[1].nbytes

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._model.state_dict().items()

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text


class Transformers(Answerer):
    """A causal language model of `transformers`, greedy, without sampling or beams."""

    def __init__(self, name: str, device: str, dtype: Dtype, *, chat: bool = False) -> None:
        if find_spec("transformers") is None:
            raise ValueError(
                f"model = {name!r} needs the package transformers: pip install -e '.[eval]'"
            )
        hf: Any = import_module("transformers")

        self.name = name
        folder, format_ = _place(name)
        try:
            self._tokenizer: Any = hf.AutoTokenizer.from_pretrained(folder, **format_)
            model, loaded = hf.AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                use_safetensors=True,
                output_loading_info=True,
                **format_,
            )
        except BaseException as error:  # the library raises many kinds
            if not is_failure(error):
                raise
            raise ValueError(f"model = {name!r} cannot be read: {reason(error)}") from error
        if loaded["missing_keys"]:  # which would be random numbers
            missing = ", ".join(sorted(loaded["missing_keys"])[:3])
            raise ValueError(f"model = {name!r}: its file of weights lacks {missing}")
        self._model: Any = model.eval().to(device)
        self._device = torch.device(device)
        if chat and not self._tokenizer.chat_template:
            raise ValueError(f"chat = True: {name} has no chat template")
        self._chat = chat
        if not getattr(self._tokenizer, "is_fast", False):
            raise ValueError(
                f"model = {name!r}: its tokenizer does not say where in a text its tokens are, "
                "which cutting needs"
            )
        lengths = [getattr(model.config.get_text_config(), name, None) for name in _LENGTHS]
        self.longest = next((n for n in lengths if isinstance(n, int) and n > 0), None)
        ends = model.generation_config.eos_token_id if chat else None
        listed = ends if isinstance(ends, list) else [ends]
        self._ends = {end for end in listed if isinstance(end, int)}
        # In place of the model's own, which may have a penalty for repetition or the like.
        self._model.generation_config = hf.GenerationConfig(
            do_sample=False,
            use_cache=True,
            return_dict_in_generate=True,
            eos_token_id=ends,
            pad_token_id=self._padding(),
        )
        self.equal_lengths = self._reads_padding(_ROUNDING.get(dtype, _COARSE_ROUNDING))

    def tokenizer(self) -> Tokenizer:
        tokenizer: Tokenizer = self._tokenizer.backend_tokenizer
        return tokenizer

    def spans(self, text: str) -> list[tuple[int, int]]:
        encoded = self._tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return [tuple(span) for span in encoded["offset_mapping"]]

    def encode(self, prompt: str) -> list[int]:
        encoded = self._tokenizer(prompt, add_special_tokens=not self._chat, verbose=False)
        tokens: list[int] = encoded["input_ids"]
        return tokens

    def chat(self, prompt: str) -> str:
        text: str = self._tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
        )
        return text

    def outputs(
        self, prompts: Sequence[Sequence[int]], new_tokens: int, *, whole: bool = False
    ) -> list[Output]:
        begun = time.perf_counter()
        length = max(map(len, prompts))
        watch = _Watch(length, self._ends, None if whole else self._decode)
        made = self._generate(prompts, length, max_new_tokens=new_tokens, stopping_criteria=[watch])
        seconds = time.perf_counter() - begun
        rows = made.sequences[:, length:].tolist()
        ends = [watch.lengths.get(row, len(tokens)) for row, tokens in enumerate(rows)]
        return [
            Output(
                self._decode(tokens[:end]),
                end,
                (watch.first or begun + seconds) - begun,
                seconds,
                len(rows),
            )
            for tokens, end in zip(rows, ends, strict=True)
        ]

    @torch.inference_mode()
    def losses(self, tokens: Tensor, first: int) -> Tensor:
        tokens = tokens.to(self._device)
        logits = self._model(tokens, use_cache=False).logits[:, first - 1 : -1]
        return _nats(logits, tokens[:, first:])

    def state_bytes(self, prompt: Sequence[int]) -> int | None:
        before = self._kept()  # held meanwhile, so that no new tensor takes the place of one
        made = self._generate([prompt], len(prompt), max_new_tokens=1)
        new = [tensor for tensor in self._kept() if all(tensor is not old for old in before)]
        caches = (made.get("past_key_values"), made.get("cache_params"), new)
        found = {tensor.data_ptr(): tensor for cache in caches for tensor in _tensors(cache)}
        sizes = [tensor.numel() * tensor.element_size() for tensor in found.values()]
        return sum(sizes) or None

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        yield from self._model.state_dict().items()

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text

    def _kept(self) -> list[Tensor]:
        """Tensors that modules hold beside parameters and buffers: states, of some classes."""
        modules: Iterator[torch.nn.Module] = self._model.modules()
        values = (value for module in modules for value in vars(module).values())
        return [value for value in values if isinstance(value, Tensor)]

    def _padding(self) -> int:
        """Any token will do: it is masked."""
        token = self._tokenizer.pad_token_id
        return 0 if token is None else int(token)

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[Sequence[int]], length: int, **settings: Any) -> Any:
        """Read prompts as one batch, padded on the left to `length`, and go on."""
        tokens = torch.full((len(prompts), length), self._padding())
        mask = torch.zeros_like(tokens)
        for row, prompt in enumerate(prompts):
            tokens[row, length - len(prompt) :] = torch.tensor(list(prompt))
            mask[row, length - len(prompt) :] = 1
        return self._model.generate(
            tokens.to(self._device),
            attention_mask=mask.to(self._device),
            **settings,
        )

    def _reads_padding(self, rounding: float) -> bool:
        """Whether a prompt's logits change if it is padded, by more than rounding."""
        length, padding = _TRIAL
        vocab = len(self._model.get_input_embeddings().weight)
        prompt = [(7 * place + 1) % vocab for place in range(length)]
        logits = [
            torch.stack(
                self._generate([prompt], length + more, max_new_tokens=2, output_logits=True).logits
            ).double()
            for more in (0, padding)
        ]
        spread = float(logits[0].max() - logits[0].min())
        return not float((logits[0] - logits[1]).abs().max()) <= rounding * max(spread, 1e-6)


def _place(name: str) -> tuple[str, dict[str, str]]:
    """Where `transformers` finds a model, and what it must be told of the files there.

    Raises:
        ValueError: for a GGUF file that is missing, or cannot be read without more packages.
    """
    path = Path(name)
    if path.suffix != _GGUF:
        return name, {}
    if not path.is_file():
        raise ValueError(f"model = {name!r}: there is no such file")
    lacking = [package for package in _READERS if find_spec(package) is None]
    if lacking:
        raise ValueError(
            f"model = {name!r} needs the packages {' and '.join(lacking)}: "
            "pip install -e '.[eval,gguf]'"
        )
    return str(path.parent), {"gguf_file": path.name}


class _Watch:
    """Called after each new token: notes when the first one came, and ends rows that are whole.

    Args:
        length: of the prompts.
        ends: tokens that end a text.
        decode: tells whether an answer's line has ended; None: that ends no text.
    """

    def __init__(
        self, length: int, ends: set[int], decode: Callable[[Sequence[int]], str] | None
    ) -> None:
        self._length, self._ends, self._decode = length, ends, decode
        self.first: float | None = None
        self.lengths: dict[int, int] = {}

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:
        new = input_ids[:, self._length :].tolist()
        if self.first is None:
            self.first = time.perf_counter()
        for row, tokens in enumerate(new):
            if row not in self.lengths and (tokens[-1] in self._ends or self._has_answer(tokens)):
                self.lengths[row] = len(tokens)
        done = [row in self.lengths for row in range(len(new))]
        return torch.tensor(done, device=input_ids.device)

    def _has_answer(self, tokens: Sequence[int]) -> bool:
        return self._decode is not None and _is_whole(self._decode(tokens))


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Logits (B, K, V) and the tokens that came (B, K) to the loss of each, float32 (B, K)."""
    flat = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


def _is_whole(text: str) -> bool:
    """Whether the answer's line has ended, so that more tokens change nothing."""
    return "\n" in text and bool(line := answer_line(text)) and f"{line}\n" in text


def _tensors(value: object, depth: int = 0) -> Iterator[Tensor]:
    """The tensors that a cache holds, wherever in its attributes, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
        return
    inner: Sequence[object] = ()
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, (list, tuple)):
        inner = value
    elif hasattr(value, "__dict__"):
        inner = list(vars(value).values())
    for part in inner if depth < 6 else ():
        yield from _tensors(part, depth + 1)


def load_spans(name: str) -> Any:
    """How a tokenizer cuts a text, by its name or the path of its tokenizer.json."""
    from sdsim.text.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(name)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).offsets
