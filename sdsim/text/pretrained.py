"""A language model as a folder of files: its weights, its config, its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sdsim.config import ModelConfig
from sdsim.files import atomic_folder
from sdsim.models.language_model import LanguageModel
from sdsim.models.mixers.base_conv import BaseConv
from sdsim.models.mixers.linear_attention import LinearAttention, PrefixLinearAttention
from sdsim.models.mixers.mixer import Mixer
from sdsim.models.mixers.rotary_attention import RotaryAttention
from sdsim.models.mixers.sliding_window_attention import SlidingWindowAttention
from sdsim.reading import READ_ERRORS, read_object, reason
from sdsim.text.tokenizer import ids_of, read_tokenizer, vocab_size_of, whole

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from typing_extensions import Self

_TOKENIZER = "tokenizer.json"
_FILES = (CONFIG_NAME, SAFETENSORS_SINGLE_FILE, _TOKENIZER)
INVALID_MODEL = (TypeError, KeyError, ValueError, RuntimeError)
"""What `PretrainedModel` raises for arguments that describe no model."""

_NO_EFFECT = {"low_cpu_mem_usage", "resume_download", "trust_remote_code", "use_safetensors"}
"""Keywords of ``from_pretrained`` in other libraries that ask for nothing here."""

Padding: TypeAlias = Literal["excluded", "released"]
"""How a model reads padding, which stands on the left of a prompt.

- ``"excluded"``: not at all; a prompt's outputs are those that it has without padding;
- ``"released"``: as in the paper's released code. A prompt shorter than the prefix is padded to its
  length with the token `PADDING_TOKEN`. Convolutions and attention read these tokens like any
  other. Linear attention alone sets their keys to zero, before the feature map, so that each still
  adds its value with a weight of one.
"""

PADDING_TOKEN = 220
"""The token that ``"released"`` padding consists of: a space in GPT-2's tokenizer."""

# The mixers of the released models.
_SEE_PADDING: tuple[type[Mixer], ...] = (BaseConv, SlidingWindowAttention, RotaryAttention)
_ZERO_KEYS: tuple[type[LinearAttention], ...] = (LinearAttention, PrefixLinearAttention)


class PretrainedModel(
    LanguageModel,
    PyTorchModelHubMixin,
    library_name="sdsim",
    tags=["linear-attention", "recurrent", "jrt"],
):
    """A language model that knows how it was trained.

    `from_pretrained` reads it from a folder or the Hugging Face hub; `save_pretrained` and
    `push_to_hub` write it.

    Args:
        model: fields of a `ModelConfig`.
        vocab_size: V, rows of the embedding; the last one is [MASK].
        seq_len: N, tokens of a training sequence.
        prefix_len: M, leading tokens of it that were read non-causally; 0: none.
        padding: how padding is read; ``"released"`` is for models that were trained by the paper's
            released code, and knows their mixers alone.
        token_count: ids below it stand for tokens, the others for padding or [MASK]; None: the
            tokenizer says, see `token_ids`.

    Attributes:
        source: folder or hub name that it was read from.

    Raises:
        ValueError: for another `padding`, or one that the model cannot have.
    """

    source: str | None = None
    _tokenizer: Tokenizer | None = None
    _download: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        model: dict[str, Any],
        vocab_size: int,
        seq_len: int,
        prefix_len: int,
        padding: Padding = "excluded",
        token_count: int | None = None,
    ) -> None:
        config = ModelConfig(**{**model, "mixers": tuple(model["mixers"])})
        _check_size("vocab_size", vocab_size, 1)
        _check_size("seq_len", seq_len, 1)
        _check_size("prefix_len", prefix_len, 0)
        if token_count is not None:
            _check_size("token_count", token_count, 1)
        super().__init__(config, vocab_size)
        self.vocab_size, self.seq_len, self.prefix_len = vocab_size, seq_len, prefix_len
        if padding not in get_args(Padding):
            allowed = " or ".join(map(repr, get_args(Padding)))
            raise ValueError(f"padding = {padding!r}: must be {allowed}")
        self.padding, self.token_count = padding, token_count
        if padding == "released":
            self._pad_as_released()

    def _pad_as_released(self) -> None:
        if self.vocab_size <= PADDING_TOKEN:
            raise ValueError(
                f"padding = 'released': pads with token {PADDING_TOKEN}, which a vocab_size of "
                f"{self.vocab_size} does not have"
            )
        for layer in self._stack():
            if type(layer.mixer) in _ZERO_KEYS:
                cast("LinearAttention", layer.mixer).zeroes_padding = True
            elif type(layer.mixer) in _SEE_PADDING:
                layer.sees_padding = True
            else:
                raise ValueError(
                    f"padding = 'released': no released model has a mixer "
                    f"{type(layer.mixer).__name__}; it must be 'excluded'"
                )

    def _embed(self, tokens: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None and self.padding == "released":
            tokens = tokens.masked_fill(~mask, PADDING_TOKEN)
        return super()._embed(tokens, mask)

    def save_with(self, tokenizer: Tokenizer, folder: Path) -> None:
        """`save_pretrained` with the tokenizer; the folder is complete or not there at all.

        A folder that is there already is given the files that it lacks.

        Raises:
            OSError: if it cannot be written.
        """
        self.use_tokenizer(tokenizer)
        with atomic_folder(folder) as partial:
            self.save_pretrained(partial)
            if folder.exists():
                for name in missing_files(folder):
                    (partial / name).replace(folder / name)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Called by `save_pretrained`: the weights, and the tokenizer if there is one."""
        super()._save_pretrained(save_directory)
        tokenizer = self._known_tokenizer()
        if tokenizer is not None:
            tokenizer.save(str(save_directory / _TOKENIZER))

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Take a tokenizer for the model's own, to be saved with it."""
        self._tokenizer = tokenizer
        self.token_count = min(vocab_size_of(tokenizer), self.vocab_size - 1)
        config = cast("dict[str, Any]", self._hub_mixin_config)  # what config.json will hold
        self._hub_mixin_config = {**config, "token_count": self.token_count}

    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, or the one beside its weights.

        Raises:
            ValueError: if there is none, or it is damaged.
        """
        tokenizer = self._known_tokenizer()
        if tokenizer is not None:
            return tokenizer
        if self.source is None:
            raise ValueError("the model was not read from a folder, so it has no tokenizer")
        raise ValueError(f"{self.source} holds no {_TOKENIZER}")

    def _known_tokenizer(self) -> Tokenizer | None:
        if self._tokenizer is not None or self.source is None:
            return self._tokenizer
        try:
            path = _find(self.source, _TOKENIZER, self._download)
        except (HfHubHTTPError, OSError):
            return None
        return whole(read_tokenizer(path)) if path.exists() else None

    def token_ids(self) -> list[int]:
        """The ids that stand for a token: neither padding of the vocabulary nor [MASK].

        They are those of the tokenizer, if the model has one; else those below `token_count`.

        Raises:
            ValueError: for a tokenizer that is damaged.
        """
        last = self.vocab_size - 1
        tokenizer = self._known_tokenizer()
        if tokenizer is not None:
            return [token for token in ids_of(tokenizer) if token < last]
        return list(range(last if self.token_count is None else min(self.token_count, last)))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: torch.dtype | str | None = None,
        torch_dtype: torch.dtype | str | None = None,
        device_map: torch.device | str | int | Mapping[str, Any] | None = None,
        map_location: torch.device | str = "cpu",
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Read a model from a folder, or from the Hugging Face hub by its name.

        Args:
            pretrained_model_name_or_path: the folder or the name.
            dtype: of the weights, such as torch.bfloat16 or "bfloat16"; "auto": that of the file;
                None: float32.
            torch_dtype: an older name of `dtype`.
            device_map: the device, or {"": device}; "auto": a GPU if there is one.
            map_location: the device, if `device_map` is None.
            force_download, token, cache_dir, local_files_only, revision: see
                `huggingface_hub.hf_hub_download`.
            model_kwargs: arguments of the class that replace those of config.json.

        Raises:
            ValueError: for an unknown keyword, and if the files do not hold a model.
        """
        arguments = set(cls._hub_mixin_init_parameters) - {"self"}
        unknown = sorted(set(model_kwargs) - arguments - _NO_EFFECT)
        if unknown:
            raise ValueError(
                f"from_pretrained: unknown keyword {', '.join(unknown)}; beside the settings of "
                "downloads it takes dtype, torch_dtype, device_map, map_location, "
                f"{', '.join(sorted(arguments))}"
            )
        device = map_location if device_map is None else _device(device_map)
        wanted = dtype if torch_dtype is None else torch_dtype
        name = str(pretrained_model_name_or_path)
        download = {
            "force_download": force_download,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
            "revision": revision,
        }
        path = _find(name, CONFIG_NAME, download)
        values = {**_config(path), **model_kwargs}
        if values.get("zeroes_padding"):  # what `padding` was once called
            values.setdefault("padding", "released")
        values = {key: value for key, value in values.items() if key in arguments}
        try:
            model = cls(**values)
        except INVALID_MODEL as error:
            raise ValueError(
                f"{path} does not describe a model of sdsim: {reason(error)}"
            ) from error
        weights = _find(name, SAFETENSORS_SINGLE_FILE, download)
        tensors = read_tensors(weights)
        load_tensors(model, tensors, str(weights))
        model.source, model._download = name, download
        return model.to(device=device, dtype=_dtype(wanted, tensors))


def _find(source: str, file: str, download: Mapping[str, Any]) -> Path:
    """A file of a model, in its folder or downloaded."""
    if Path(source).is_dir():
        return Path(source, file)
    return Path(hf_hub_download(source, file, **download))


def missing_files(folder: Path) -> list[str]:
    """The files of a model and its tokenizer that a folder lacks."""
    return [name for name in _FILES if not (folder / name).exists()]


def _check_size(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} = {value!r}: must be a whole number, at least {least}")


def _config(path: Path) -> dict[str, Any]:
    """What a config.json holds."""
    try:
        stored = read_object(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"{path.parent} holds no model of sdsim: there is no {CONFIG_NAME} of one"
        ) from error
    except READ_ERRORS as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error
    if "model" not in stored:
        raise ValueError(f"{path.parent} holds no model of sdsim: there is no {CONFIG_NAME} of one")
    return stored


def _device(device_map: torch.device | str | int | Mapping[str, Any]) -> torch.device:
    """The one device of a `device_map`."""
    place = device_map
    if isinstance(device_map, Mapping) and len(device_map) == 1:
        (place,) = device_map.values()
    if place == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(place)  # type: ignore[arg-type]
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device_map = {device_map!r}: must be one device, such as 'cpu', or 'auto'"
        ) from error


def _dtype(wanted: torch.dtype | str | None, tensors: Mapping[str, Tensor]) -> torch.dtype | None:
    """The type of the weights that is asked for; None: the model's own."""
    if wanted is None:
        return None
    if wanted == "auto":
        return next(iter(tensors.values())).dtype
    name = str(wanted).removeprefix("torch.")
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ValueError(f"dtype = {name!r}: must be a floating-point type, such as 'bfloat16'")
    return dtype


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        ValueError: if the file is damaged or not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {reason(error)}") from error


def load_tensors(model: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a model, cast to its types; arguments and errors as `check_tensors`."""
    check_tensors(model, tensors, where)
    needed = model.state_dict()
    model.load_state_dict({name: value.to(needed[name].dtype) for name, value in tensors.items()})


def check_tensors(model: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Check that weights are those of a model, by their names and shapes.

    Args:
        model: the model; it may be on the device ``meta``.
        tensors: its weights, by name.
        where: what the error calls their file.

    Raises:
        ValueError: naming the tensors that are missing, not the model's, or of another shape.
    """
    needed = model.state_dict()
    wrong = [f"{name} is missing" for name in needed if name not in tensors]
    wrong += [f"{name} is not the model's" for name in tensors if name not in needed]
    wrong += [
        f"{name} is of shape {tuple(tensors[name].shape)} rather than {tuple(own.shape)}"
        for name, own in needed.items()
        if name in tensors and tensors[name].shape != own.shape
    ]
    if wrong:
        more = f"; {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ValueError(f"{where} does not fit: {'; '.join(wrong[:5])}{more}")


def load_pretrained(checkpoint: str) -> PretrainedModel:
    """A model from a folder or from the Hugging Face hub.

    Raises:
        ValueError: if it is not there, or its files do not fit together.
    """
    if not Path(checkpoint).is_dir() and not re.fullmatch(r"[\w.-]+/[\w.-]+", checkpoint):
        raise ValueError(f"checkpoint = {checkpoint!r}: there is no such folder")
    try:
        return PretrainedModel.from_pretrained(checkpoint)
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(
            f"checkpoint = {checkpoint!r}: not a folder, and not available from the hub "
            f"({reason(error)})"
        ) from error
