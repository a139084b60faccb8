"""What a model is made of, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

MLPKind = Literal["gelu", "swiglu", "none"]

STRICT = {"extra": "forbid", "allow_inf_nan": False}
"""How pydantic, where it is used, turns plain values into a config: no unknown fields."""


@dataclass(frozen=True)
class ModelConfig:
    """A residual stack of `depth` layers whose mixers cycle through `mixers`.

    Attributes:
        name: what the runs and figures call it.
        mixers: names of `sdsim.models.MIXERS`, or import paths of other mixers
            (``"package.module.ClassName"``); layer i uses ``mixers[i % len(mixers)]``.
        width: d, numbers per token between the layers; also the state of a GRU or LSTM layer.
        depth: number of layers.
        heads: attention heads; must divide `width` where a mixer has heads.
        feature_dim: D, numbers per head in a query or key of a linear recurrence, in linear
            attention before its feature map.
        filter_size: taps of a short convolution.
        window: tokens that sliding-window attention sees, the current one included.
        mlp: what follows each mixer.
        mlp_ratio: hidden width of the MLP over `width`; their product is rounded.
        embedding_dropout: probability with which training zeroes a number of an embedding.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    __pydantic_config__: ClassVar[Any] = STRICT

    name: str
    mixers: tuple[str, ...]
    width: int = 32
    depth: int = 4
    heads: int = 2
    feature_dim: int = 4
    filter_size: int = 3
    mlp: MLPKind = "gelu"
    mlp_ratio: int | float = 2
    embedding_dropout: float = 0.0
    window: int = 64

    def __post_init__(self) -> None:
        positive = ("width", "depth", "heads", "feature_dim", "filter_size", "mlp_ratio", "window")
        for field in positive:
            value = getattr(self, field)
            if value < 1:
                raise ValueError(f"model.{field} = {value}: must be at least 1")
        if not 0 <= self.embedding_dropout < 1:
            raise ValueError(
                f"model.embedding_dropout = {self.embedding_dropout}: must lie in [0, 1)"
            )
        if self.mlp not in get_args(MLPKind):
            raise ValueError(f"model.mlp = {self.mlp!r}: one of {', '.join(get_args(MLPKind))}")
        if not self.mixers:
            raise ValueError("model.mixers is empty: name at least one mixer")
