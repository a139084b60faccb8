"""The paper's released checkpoints, read by the names of their tensors (paper, section 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from sdsim.text.presets import Preset, preset_of
from sdsim.text.pretrained import PretrainedModel, load_tensors, read_tensors

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_NAMES = {
    "transformer.embeddings.word_embeddings.weight": "embedding.weight",
    "transformer.ln_f.weight": "norm.weight",
}
_MIXER = {"Wqkv": "in_proj", "conv.conv": "conv"}
_LAYER = re.compile(r"transformer\.layers\.(\d+)\.(norm[12]|mlp|mixer)\.(.+)")


def import_released(
    path: Path | str, preset: str, *, window: int | None = None, allow_pickle: bool = False
) -> PretrainedModel:
    """Read a released checkpoint.

    Args:
        path: its folder, or its file of weights.
        preset: which model it is, a key of `sdsim.text.presets.PRESETS`.
        window: tokens that its sliding-window layers see, which the tensors do not say; None: the
            preset's. The paper's table, text and released config say 64, 128 and 256.
        allow_pickle: whether a ``pytorch_model.bin`` may be read, with ``weights_only=True``.

    Raises:
        ValueError: for a file that cannot be read, and naming the tensors that are missing, not the
            model's, or of another shape.
    """
    chosen = preset_of(preset)
    file = _weights(Path(path))
    tensors = _read(file, allow_pickle=allow_pickle)
    renamed = rename(tensors, str(file))
    config = chosen.config if window is None else replace(chosen.config, window=window)
    model = _build(chosen, config.window, len(renamed["embedding.weight"]))
    # Some released models have no bias in the convolution.
    zeros = {
        name: torch.zeros_like(value)
        for name, value in model.state_dict().items()
        if name.endswith("mixer.conv.bias") and name not in renamed
    }
    load_tensors(model, {**renamed, **zeros}, str(file))
    return model


def _build(preset: Preset, window: int, vocab_size: int) -> PretrainedModel:
    model = asdict(replace(preset.config, window=window))
    return PretrainedModel(model, vocab_size, preset.seq_len, preset.prefix_len, True)


def rename(tensors: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors of a released checkpoint by the names of `PretrainedModel`.

    Args:
        tensors: by their released names; metrics among them are left out.
        where: what errors call their file.

    Raises:
        ValueError: naming the tensors that no released model has; if there is no embedding, or the
            read-out differs from it.
    """
    renamed, unknown = {}, []
    read_out = None
    for released, tensor in tensors.items():
        name = released.removeprefix("model.")
        if "metrics" in name:
            continue
        if name == "lm_head.weight":
            read_out = tensor
        elif name in _NAMES:
            renamed[_NAMES[name]] = tensor
        elif match := _LAYER.fullmatch(name):
            layer, part, rest = match.groups()
            if part == "mixer":
                module, _, kind = rest.rpartition(".")
                rest = f"{_MIXER.get(module, module)}.{kind}"
            renamed[f"layers.{layer}.{part}.{rest}"] = tensor
        else:
            unknown.append(released)
    if unknown:
        raise ValueError(f"{where}: no released model has a tensor {', '.join(unknown[:5])}")
    embedding = renamed.get("embedding.weight")
    if embedding is None:
        raise ValueError(f"{where}: transformer.embeddings.word_embeddings.weight is missing")
    if read_out is not None and not torch.equal(read_out, embedding):
        raise ValueError(f"{where}: lm_head.weight differs from the embedding, to which it is tied")
    return renamed


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
