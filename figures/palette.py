"""Every colour of the figures, and the colour, marker and line of each model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from matplotlib import colormaps
from matplotlib.colors import to_hex

from figures.style import printable

# Okabe and Ito's colours, which colour-blind readers can tell apart; their yellow is too pale.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#000000"
GREY, BROWN, VIOLET = "#777777", "#7A4A12", "#6A3D9A"  # not theirs; each with markers of its own

ORDINAL_COLOURS = (BLUE, GREEN, ORANGE, VERMILION, PURPLE, BLACK)
"""Of the values of a number, such as passes, in order."""


def ordinal_colours(count: int) -> list[str]:
    """Colours of so many values of a number that show their order, from dark to light."""
    return [to_hex(colormaps["plasma"](0.85 * place / max(1, count - 1))) for place in range(count)]


@dataclass(frozen=True)
class SeriesStyle:
    """How a series (a model, or one variant of it) is drawn; no two share colour and marker."""

    label: str
    colour: str
    marker: str
    line: str


_MODELS = {
    "based": SeriesStyle("Based (causal)", BLUE, "o", "-"),
    "based_noncausal": SeriesStyle("Based (non-causal)", ORANGE, "s", "--"),
    "jrt_rnn": SeriesStyle("JRT-RNN", GREEN, "D", "-."),
    "gru": SeriesStyle("GRU", VERMILION, "P", ":"),
    "lstm": SeriesStyle("LSTM", PURPLE, "*", "-."),
    "attention": SeriesStyle("Attention", BLACK, "X", "--"),
    "base_conv": SeriesStyle("BaseConv alone", GREY, "x", "-"),
    "mamba2": SeriesStyle("Mamba-2", SKY, "^", "-"),
    "prefix_mamba2": SeriesStyle("Mamba-2, prefix", SKY, "v", "--"),
    "gla": SeriesStyle("GLA", BROWN, "h", "-"),
    "prefix_gla": SeriesStyle("GLA, prefix", BROWN, "H", "--"),
    "gated_deltanet": SeriesStyle("Gated DeltaNet", VIOLET, "<", "-"),
    "prefix_gated_deltanet": SeriesStyle("Gated DeltaNet, prefix", VIOLET, ">", "--"),
    "one_pass": SeriesStyle("Exact, one pass", BLACK, "*", ""),
    "just_read_twice": SeriesStyle("Just read twice (Alg. 3)", BLACK, "p", ""),
    "multi_pass": SeriesStyle("Exact, several passes", BLACK, "d", ""),
    "fingerprint": SeriesStyle("Fingerprints", BLACK, ".", "-"),
    "random_kernel": SeriesStyle("Random-feature attention", GREY, "+", "-"),
    **{
        f"{kind}_{size}": SeriesStyle(f"{label} ({size})", colour, marker, "-")
        for size, marker in (("tiny", "8"), ("360m", "h"), ("1b3", "d"))
        for kind, label, colour in (
            ("based", "Based", BLUE),
            ("jrt", "JRT-RNN", GREEN),
            ("transformer", "Transformer", ORANGE),
        )
    },
}
"""The project's models and streaming algorithms by name, in the order of the legend."""

READERS = {
    "causal": SeriesStyle("Causal", BLUE, "o", ""),
    "prefix": SeriesStyle("With a prefix (JRT)", GREEN, "D", ""),
    "noncausal": SeriesStyle("Non-causal", ORANGE, "s", ""),
}
"""The readers of a prompt, see `sdsim.store.architecture`."""

_METHODS = {
    "jrt-rnn": SeriesStyle("JRT-RNN (prefix N/2)", GREEN, "D", "-"),
    "jrt-rnn, quadratic": SeriesStyle("JRT-RNN, quadratic", GREEN, "D", ":"),
    "based": SeriesStyle("Based (no prefix)", BLUE, "o", "-"),
    "jrt-prompt": SeriesStyle("JRT-Prompt (2N tokens)", ORANGE, "^", "-"),
    "sdpa, flash": SeriesStyle("Softmax, flash", BLACK, "X", "-"),
    "sdpa, cudnn": SeriesStyle("Softmax, cuDNN", BLACK, "s", "--"),
    "sdpa, efficient": SeriesStyle("Softmax, memory-efficient", BLACK, "v", ":"),
    "fla parallel_based": SeriesStyle("Based, FLA parallel", SKY, "h", "--"),
    "fla fused_chunk_based": SeriesStyle("Based, FLA fused", SKY, "p", ":"),
}

TIMED: dict[str, SeriesStyle] = _METHODS | {
    f"{kind}_{size}": replace(_METHODS[alike], label=f"{kind}_{size}")
    for size in ("tiny", "360m", "1b3")
    for kind, alike in (("jrt", "jrt-rnn"), ("based", "based"), ("transformer", "sdpa, flash"))
}
"""The methods of attention and the whole models that `sdsim bench` times, by name."""

_OTHER_COLOURS = (SKY, PURPLE, BLACK, BLUE, VERMILION, GREEN, ORANGE)
_OTHER_MARKERS = "hp<>8d^v"


def series_styles(series: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SeriesStyle]:
    """A style for each (model, variant), in the order of the legend.

    The project's models look the same in every figure; their variants differ in the marker. Other
    models take the remaining styles, in alphabetical order.
    """
    ranks = {model: rank for rank, model in enumerate(_MODELS)}
    styles: dict[tuple[str, str], SeriesStyle] = {}
    taken: set[tuple[str, str]] = set()
    for model, variant in sorted(set(series), key=lambda key: (ranks.get(key[0], len(ranks)), key)):
        if model in _MODELS:
            usual = _MODELS[model]
            choices = [usual] + [replace(usual, marker=marker) for marker in _OTHER_MARKERS]
        else:
            choices = [
                SeriesStyle(model, colour, marker, "-")
                for marker in _OTHER_MARKERS
                for colour in _OTHER_COLOURS
            ]
        free = (style for style in choices if (style.colour, style.marker) not in taken)
        style = next(free, choices[0])
        taken.add((style.colour, style.marker))
        label = printable(f"{style.label} {variant}".rstrip())
        styles[model, variant] = replace(style, label=label)
    return styles


def model_label(model: str) -> str:
    """What the figures call a model."""
    return _MODELS[model].label if model in _MODELS else printable(model)
