"""A language model as a folder of files: its weights, its config, its tokenizer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast, get_args

import torch
from huggingface_hub import PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.constants import SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HfHubHTTPError
from pydantic import ValidationError
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

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from typing_extensions import Self

_TOKENIZER = "tokenizer.json"

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

    Attributes:
        source: folder or hub name that it was read from.

    Raises:
        ValueError: for another `padding`, or one that the model cannot have.
    """

    source: str | None = None

    def __init__(
        self,
        model: dict[str, Any],
        vocab_size: int,
        seq_len: int,
        prefix_len: int,
        padding: Padding = "excluded",
    ) -> None:
        config = ModelConfig(**{**model, "mixers": tuple(model["mixers"])})
        super().__init__(config, vocab_size)
        self.vocab_size, self.seq_len, self.prefix_len = vocab_size, seq_len, prefix_len
        if padding not in get_args(Padding):
            allowed = " or ".join(map(repr, get_args(Padding)))
            raise ValueError(f"padding = {padding!r}: must be {allowed}")
        self.padding = padding
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

        Raises:
            OSError: if it cannot be written.
        """
        with atomic_folder(folder) as partial:
            self.save_pretrained(partial)
            tokenizer.save(str(partial / _TOKENIZER))

    def tokenizer(self) -> Tokenizer:
        """The tokenizer beside the weights.

        Raises:
            ValueError: if there is none, or it is damaged.
        """
        from tokenizers import Tokenizer

        if self.source is None:
            raise ValueError("the model was not read from a folder, so it has no tokenizer")
        path = Path(self.source, _TOKENIZER)
        if not Path(self.source).is_dir():
            path = Path(hf_hub_download(self.source, _TOKENIZER))
        elif not path.exists():
            raise ValueError(f"{self.source} holds no {_TOKENIZER}")
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise ValueError(f"{path} is damaged: {error}") from error

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        map_location: str = "cpu",
        strict: bool = True,
        config: dict[str, Any] | None = None,
        **model_kwargs: Any,
    ) -> Self:
        """Called by `from_pretrained`, with the fields of config.json, and all of it as `config`.

        Raises:
            ValueError: if the files do not hold a model.
        """
        if "model" not in model_kwargs:
            raise ValueError(f"{model_id} holds no model of sdsim: there is no config.json of one")
        if Path(model_id).is_dir():
            path = Path(model_id, SAFETENSORS_SINGLE_FILE)
        else:
            path = Path(
                hf_hub_download(
                    model_id,
                    SAFETENSORS_SINGLE_FILE,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    token=token,
                    local_files_only=local_files_only,
                )
            )
        if config and config.get("zeroes_padding"):  # what `padding` was once called
            model_kwargs.setdefault("padding", "released")
        try:
            model = cls(**model_kwargs)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(
                f"{model_id}: its config.json does not describe a model of sdsim: {_reason(error)}"
            ) from error
        load_tensors(model, read_tensors(path), str(path))
        model.source = model_id
        return model.to(map_location)


def _reason(error: Exception) -> str:
    """What is wrong with a config, in one line."""
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong)
    return str(error)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        ValueError: if the file is damaged or not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


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
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"checkpoint = {checkpoint!r}: not a folder, and not available from the hub ({reason})"
        ) from error
