"""Floating-point operations of a training step, for the model FLOPs utilization (MFU)."""

from __future__ import annotations

import torch

from sdsim.models import LanguageModel, ModelConfig

# Dense bfloat16 without sparsity, in TFLOP/s, from the vendors' data sheets.
_PEAKS = {"A100": 312.0, "H100 PCIe": 756.0, "H100": 989.4, "H200": 989.4, "B200": 2250.0}


def peak_tflops(device: torch.device) -> float | None:
    """A GPU's bfloat16 peak in TFLOP/s, by its name; None if it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)


def training_flops(model: LanguageModel, seq_len: int, prefix_len: int, predicted: int) -> float:
    """Operations of the forward and backward pass over one sequence.

    The usual count: 2 for each weight and token forward, twice that backward; the read-out only
    where a token is predicted; linear attention by the paper's count (section 3), softmax attention
    by its causal half. What activation checkpointing computes again does not count.

    Args:
        model: the model that is trained.
        seq_len: N, tokens of the sequence.
        prefix_len: M, of these, in the prefix.
        predicted: positions of the sequence at which a token is predicted.
    """
    config = model.config
    embedding = model.embedding.weight.numel()
    body = sum(parameter.numel() for parameter in model.parameters()) - embedding
    kinds = [config.mixers[layer % len(config.mixers)] for layer in range(config.depth)]
    encoder = _encoder_weights(config) * sum(kind == "prefix_linear_attention" for kind in kinds)
    weights = 2.0 * ((body - encoder) * seq_len + encoder * prefix_len + embedding * predicted)
    mixing = sum(_mixing(config, kind, seq_len, prefix_len) for kind in kinds)
    return 3 * (weights + mixing)


def _encoder_weights(config: ModelConfig) -> int:
    """Weights of prefix linear attention that only the prefix passes through."""
    return config.width * (config.heads * config.feature_dim + config.width)


def _mixing(config: ModelConfig, kind: str, seq_len: int, prefix_len: int) -> float:
    """Forward operations between the tokens of a sequence, beyond those of the weights."""
    n, m, d = float(seq_len), float(prefix_len), config.width
    if kind in ("rotary_attention", "softmax_attention"):
        return 4 * d * n * n / 2
    if kind == "sliding_window_attention":
        return 4 * d * n * min(config.window, n)
    if "linear_attention" in kind:
        features = 1 + config.feature_dim + config.feature_dim**2
        causal = 2 * n * config.heads * features + 4 * n * d * features
        encoder = m * config.heads * features + 3 * m * d * features
        return causal + (encoder if kind == "prefix_linear_attention" else 0)
    return 0.0
