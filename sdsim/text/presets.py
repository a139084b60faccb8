"""The paper's full-scale models, tiny ones of the same layout (arXiv:2407.05483, Table 15), and six
architectures of 1M parameters side by side.

What the table leaves open is as in the paper's released configs: where the layers of the models of
1.3B parameters stand, and all of the Transformer of that size. `ModelConfig.window` counts the keys
that a token sees, its own included; JRT-RNN's 64 are the table's, Based's 128 its config's. A
released `window_size` counts otherwise, see `sdsim.text.released`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdsim.config import ModelConfig

if TYPE_CHECKING:
    from sdsim.models import LanguageModel

VOCAB_SIZE = 50_264
"""GPT-2's 50,257 tokens and [MASK], padded to a multiple of 8; [MASK] is token 50,263."""

_TRANSFORMER_VOCAB_SIZE = 50_272  # padded to a multiple of 16, as in the released Transformers


@dataclass(frozen=True)
class Preset:
    """A model, and how it is trained.

    Attributes:
        config: the model.
        vocab_size: V, rows of the embedding; the last one is [MASK].
        seq_len: N, tokens of a training sequence.
        prefix_len: M, leading tokens of it that are read non-causally; 0: none.
    """

    config: ModelConfig
    vocab_size: int = VOCAB_SIZE
    seq_len: int = 2048
    prefix_len: int = 0


_CONV, _WINDOW = "base_conv", "sliding_window_attention"


def _hybrid(linear: str, depth: int, places: tuple[int, ...]) -> tuple[str, ...]:
    """BaseConv layers, with linear attention at `places` and a sliding window after each.

    Args:
        linear: the mixer of linear attention.
        depth: number of layers.
        places: of linear attention, counted from 0.
    """
    after = {place + 1 for place in places}
    return tuple(
        linear if layer in places else _WINDOW if layer in after else _CONV
        for layer in range(depth)
    )


def _model(
    name: str,
    mixers: tuple[str, ...],
    width: int,
    *,
    heads: int = 16,
    feature_dim: int = 16,
    window: int = 64,
    mlp_ratio: float = 2,
) -> ModelConfig:
    return ModelConfig(
        name,
        mixers,
        width=width,
        depth=len(mixers),
        heads=heads,
        feature_dim=feature_dim,
        mlp="swiglu",
        mlp_ratio=mlp_ratio,
        window=window,
    )


_PLA, _BASED, _FULL = "prefix_linear_attention", "linear_attention", "rotary_attention"
_TINY, _360M, _1B3 = (1,), (1, 6, 11, 16, 21), (1, 6, 11, 16, 21, 27, 33)

PRESETS: dict[str, Preset] = {
    "jrt_360m": Preset(_model("jrt_360m", _hybrid(_PLA, 26, _360M), 1024), prefix_len=1024),
    "jrt_1b3": Preset(_model("jrt_1b3", _hybrid(_PLA, 36, _1B3), 1792), prefix_len=1024),
    "based_360m": Preset(_model("based_360m", _hybrid(_BASED, 27, _360M), 1024, window=128)),
    "based_1b3": Preset(_model("based_1b3", _hybrid(_BASED, 36, _1B3), 1792, window=128)),
    "transformer_360m": Preset(
        _model("transformer_360m", (_FULL,) * 24, 1024, mlp_ratio=2.75),
        vocab_size=_TRANSFORMER_VOCAB_SIZE,
    ),
    "transformer_1b3": Preset(
        _model("transformer_1b3", (_FULL,) * 36, 1680, heads=24, mlp_ratio=8 / 3),
        vocab_size=_TRANSFORMER_VOCAB_SIZE,
    ),
}
"""The models by name."""

for _kind, _mixers in (
    ("jrt", _hybrid(_PLA, 4, _TINY)),
    ("based", _hybrid(_BASED, 4, _TINY)),
    ("transformer", (_FULL,) * 4),
):
    PRESETS[f"{_kind}_tiny"] = Preset(
        _model(f"{_kind}_tiny", _mixers, 128, heads=4, feature_dim=8, window=32),
        vocab_size=2048,
        seq_len=256,
        prefix_len=128 if _kind == "jrt" else 0,
    )

_1M = (1, 4)
for _kind, _mixers in (
    ("jrt", _hybrid(_PLA, 6, _1M)),
    ("based", _hybrid(_BASED, 6, _1M)),
    ("transformer", (_FULL,) * 6),
    ("mamba2", ("mamba2",) * 5),
    ("gated_deltanet", ("gated_deltanet",) * 5),
    ("gru", ("gru",) * 5),
):
    _linear = _kind in ("jrt", "based")
    PRESETS[f"{_kind}_1m"] = Preset(
        _model(
            f"{_kind}_1m",
            _mixers,
            128,
            heads=4,
            feature_dim=8 if _linear else 32,
            window=32,
        ),
        vocab_size=1024,
        seq_len=512,
        prefix_len=256 if _kind == "jrt" else 0,
    )


def build(name: str, vocab_size: int | None = None) -> LanguageModel:
    """A preset's model on the current device; under ``torch.device("meta")`` without memory.

    Args:
        name: a key of `PRESETS`.
        vocab_size: rows of the embedding, for another tokenizer; None: the preset's.

    Raises:
        ValueError: for an unknown name.
    """
    from sdsim.models import LanguageModel

    preset = preset_of(name)
    return LanguageModel(preset.config, vocab_size or preset.vocab_size)


def preset_of(name: str) -> Preset:
    """The preset of this name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"preset = {name!r}: one of {', '.join(PRESETS)}")
    return PRESETS[name]
