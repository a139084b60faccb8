"""The paper's released checkpoints, read by the names of their tensors (paper, section 4).

Two counts of a sliding window: the released ``window_size`` w is cut in half, and a token sees
itself and the w // 2 tokens before it. Everywhere else `window` counts all keys that a token sees,
so that w is a `window` of w // 2 + 1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from sdsim.config import ModelConfig
from sdsim.reading import READ_ERRORS, reason
from sdsim.text.presets import Preset, preset_of
from sdsim.text.pretrained import PretrainedModel, check_tensors, load_tensors, read_tensors

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_NAMES = {
    "transformer.embeddings.word_embeddings.weight": "embedding.weight",
    "transformer.ln_f.weight": "norm.weight",
}
_MIXER = {"Wqkv": "in_proj", "conv.conv": "conv", "conv1.conv": "conv"}
_DECAY = re.compile(r"transformer\.decay\..+|.+\.mixer\.decay_proj\..+")
_CONFIG, _WINDOWS, _WINDOW_SIZE = "config.json", "alt_mixer_2", "window_size"
_LAYER = re.compile(r"transformer\.layers\.(\d+)\.(norm[12]|mlp|mixer)\.(.+)")


def import_released(
    path: Path | str, preset: str, *, window: int | None = None, allow_pickle: bool = False
) -> PretrainedModel:
    """Read a released checkpoint.

    The rows of the embedding and the hidden width of the MLP are those of the tensors.

    Args:
        path: its folder, or its file of weights.
        preset: which model it is, a key of `sdsim.text.presets.PRESETS`.
        window: keys that a token sees in the sliding-window layers, its own included, where no
            config.json beside the weights says it.
        allow_pickle: whether a ``pytorch_model.bin`` may be read, with ``weights_only=True``.

    Returns:
        The model, which reads padding as released.

    Raises:
        ValueError: for a file that cannot be read; naming the tensors that are missing, not the
            model's, or of another shape; for a model with sliding windows whose window nobody says,
            or one that config.json contradicts.
    """
    chosen = preset_of(preset)
    file = _weights(Path(path))
    tensors = _read(file, allow_pickle=allow_pickle)
    renamed = rename(tensors, str(file))
    config = _with_mlp(chosen.config, renamed)
    # Tensors first: an error of theirs, such as another preset, says more than one of the window,
    # on which no tensor depends.
    with torch.device("meta"):
        layout = _model(chosen, config, renamed)
    # Some released models have no bias in the convolution.
    zeros = {
        name: torch.zeros(value.shape)
        for name, value in layout.state_dict().items()
        if name.endswith("mixer.conv.bias") and name not in renamed
    }
    check_tensors(layout, {**renamed, **zeros}, str(file))
    model = _model(chosen, _with_window(config, preset, file.parent / _CONFIG, window), renamed)
    load_tensors(model, {**renamed, **zeros}, str(file))
    return model


def _model(preset: Preset, config: ModelConfig, tensors: Mapping[str, Tensor]) -> PretrainedModel:
    vocab_size = len(tensors["embedding.weight"])
    return PretrainedModel(
        asdict(config), vocab_size, preset.seq_len, preset.prefix_len, "released"
    )


def _with_window(config: ModelConfig, preset: str, file: Path, window: int | None) -> ModelConfig:
    """The config with the window of the checkpoint: that of its config.json, else the user's."""
    if "sliding_window_attention" not in config.mixers:
        if window is not None:
            raise ValueError(f"window = {window}: {preset} has no sliding-window layers")
        return config
    window_size = _window_size(file)
    if window_size is None:
        if window is None:
            raise ValueError(
                f"window: say how many keys a token of {preset} sees in the sliding-window layers, "
                "its own included; no tensor has a size that depends on it, and "
                f"{_WINDOWS}.{_WINDOW_SIZE} does not stand in {file} (w there is window = "
                "w // 2 + 1: 65 for 128, 129 for 256)"
            )
        return replace(config, window=window)
    keys = window_size // 2 + 1
    if window not in (None, keys):
        raise ValueError(
            f"window = {window}: {file} has {_WINDOWS}.{_WINDOW_SIZE} = {window_size}, which is a "
            f"window of {keys} keys; leave window out"
        )
    return replace(config, window=keys)


def _window_size(file: Path) -> int | None:
    """``alt_mixer_2.window_size`` of a released config.json; None if it does not say it."""
    if not file.exists():
        return None
    try:
        config = json.loads(file.read_bytes())
    except READ_ERRORS as error:
        raise ValueError(f"{file} cannot be read: {reason(error)}") from error
    mixer = config.get(_WINDOWS) if isinstance(config, dict) else None
    size = mixer.get(_WINDOW_SIZE) if isinstance(mixer, dict) else None
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(
            f"{file}: {_WINDOWS}.{_WINDOW_SIZE} = {size!r}: must be a whole number of at least 0"
        )
    return size


def _with_mlp(config: ModelConfig, tensors: Mapping[str, Tensor]) -> ModelConfig:
    """The config with the MLP's hidden width of the tensors, which hold a value and a gate."""
    fc1 = tensors.get("layers.0.mlp.fc1.weight")
    hidden = len(fc1) // 2 if fc1 is not None and fc1.ndim else 0
    if hidden < config.width or hidden == round(config.mlp_ratio * config.width):
        return config  # what is missing or of a wrong shape is named where tensors are loaded
    return replace(config, mlp_ratio=hidden / config.width)


def rename(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors of a released checkpoint by the names of `PretrainedModel`.

    Args:
        tensors: by their released names; metrics among them are left out.
        where: what errors call their file.

    Raises:
        ValueError: naming the tensors that no released model has, or those of a decay, which is
            not computed here; for two tensors of the same meaning; if there is no embedding, or the
            read-out differs from it.
    """
    _refuse_decay(tensors, where)
    renamed, unknown = {}, []
    read_out = None
    for released, tensor in tensors.items():
        name = released.removeprefix("model.")
        if "metrics" in name:
            continue
        if name == "lm_head.weight":
            read_out = tensor
            continue
        ours = _ours(name)
        if ours is None:
            unknown.append(released)
        elif ours in renamed:
            raise ValueError(f"{where}: {released} is there under another name too")
        else:
            renamed[ours] = tensor
    if unknown:
        raise ValueError(f"{where}: no released model has a tensor {', '.join(unknown[:5])}")
    embedding = renamed.get("embedding.weight")
    if embedding is None:
        raise ValueError(f"{where}: transformer.embeddings.word_embeddings.weight is missing")
    if embedding.ndim != 2:
        raise ValueError(
            f"{where}: transformer.embeddings.word_embeddings.weight is of shape "
            f"{tuple(embedding.shape)} rather than (tokens, width)"
        )
    if read_out is not None and not torch.equal(read_out, embedding):
        raise ValueError(f"{where}: lm_head.weight differs from the embedding, to which it is tied")
    return renamed


def _ours(name: str) -> str | None:
    """A released name, without ``model.``, as one of `PretrainedModel`; None if it is neither."""
    match = _LAYER.fullmatch(name)
    if match is None:
        return _NAMES.get(name)
    layer, part, rest = match.groups()
    if part == "mixer":
        module, _, kind = rest.rpartition(".")
        rest = f"{_MIXER.get(module, module)}.{kind}"
    return f"layers.{layer}.{part}.{rest}"


def _refuse_decay(names: Iterable[str], where: str) -> None:
    decay = [name for name in names if _DECAY.fullmatch(name) and "metrics" not in name]
    if decay:
        raise ValueError(
            f"{where}: {', '.join(decay[:5])}: the linear attention of this model decays with "
            "distance, by factors (W x_i)_h gamma_h^(i-j) in the numerator alone, which no mixer "
            "here computes; only models without these tensors can be imported"
        )


def _weights(path: Path) -> Path:
    if not path.exists():
        raise ValueError(f"checkpoint = {str(path)!r}: there is no such folder or file")
    if path.is_file():
        return path
    found = [path / name for name in _WEIGHTS if (path / name).exists()]
    if not found:
        raise ValueError(f"{path} holds neither {' nor '.join(_WEIGHTS)}")
    return found[0]


def _read(file: Path, *, allow_pickle: bool) -> dict[str, Tensor]:
    if file.suffix == ".safetensors":
        return read_tensors(file)
    if not allow_pickle:
        raise ValueError(
            f"{file} is a pickle, which can hold more than tensors; allow_pickle=true reads its "
            "tensors, and nothing else"
        )
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise ValueError(f"{file} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(loaded, dict) or not all(
        isinstance(value, Tensor) for value in loaded.values()
    ):
        raise ValueError(f"{file} does not hold named tensors alone")
    return loaded
