"""What a stored config says of a model's layers: how they read the prompt, and what they are.

Names alone, so that stored runs are read without torch.
"""

from __future__ import annotations

from typing import Any

from sdsim.config import Reader

BIDIRECTIONAL_MIXERS: dict[str, tuple[Reader, str]] = {
    "circular_base_conv": ("noncausal", "base_conv"),
    "noncausal_linear_attention": ("noncausal", "linear_attention"),
    "prefix_linear_attention": ("prefix", "linear_attention"),
    "prefix_mamba2": ("prefix", "mamba2"),
    "prefix_gla": ("prefix", "gla"),
    "prefix_gated_deltanet": ("prefix", "gated_deltanet"),
}
"""The mixers with a bidirectional prefix: how each reads it, and its causal form."""


def reader(model: dict[str, Any], bidirectional_prefix: bool | None = None) -> Reader | None:
    """How a model reads the prompt.

    Args:
        model: of a stored config, as plain data.
        bidirectional_prefix: what the model said itself when it was run; None: not stored.

    Returns:
        ``"prefix"`` where a layer reads the prompt causally and also non-causally, into the same
        state (JRT-RNN); ``"noncausal"`` where a layer reads it non-causally alone; ``"unknown"``
        where a mixer is given by its import path, unless the model said itself whether it reads
        non-causally, which counts as ``"prefix"``; else ``"causal"``. None of a streaming
        algorithm.
    """
    mixers = [model["module"]] if "module" in model else model.get("mixers")
    if mixers is None:
        return None
    readers = {BIDIRECTIONAL_MIXERS[name][0] for name in mixers if name in BIDIRECTIONAL_MIXERS}
    if readers:
        return "prefix" if "prefix" in readers else "noncausal"
    if bidirectional_prefix is not None:
        return "prefix" if bidirectional_prefix else "causal"
    return "unknown" if any("." in name for name in mixers) else "causal"


def architecture(model: dict[str, Any]) -> str | None:
    """The kinds of a model's layers, bidirectional ones by their causal form.

    Models that differ in their reader, depth or sizes alone have the same architecture. None of a
    streaming algorithm.

    >>> architecture({"mixers": ["base_conv", "prefix_linear_attention"]})
    'base_conv+linear_attention'
    """
    mixers = [model["module"]] if "module" in model else model.get("mixers")
    if mixers is None:
        return None
    causal = {name: form for name, (_, form) in BIDIRECTIONAL_MIXERS.items()}
    return "+".join(sorted({causal.get(name, name) for name in mixers}))
