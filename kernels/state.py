"""The recurrent state of prefix linear attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .precision import accumulation_dtype
from .taylor import num_features


@dataclass(frozen=True, eq=False)
class PrefixState:
    """What linear attention keeps of all the keys and values it has read (arXiv:2407.05483).

    Its size does not depend on the number of tokens: F·(E + 1) numbers per head and example, with
    F = (D+1)(D+2)/2 packed features φ of a key.

    Attributes:
        kv: (B, H, F, E), Σⱼ φ(√scale·kⱼ) vⱼᵀ.
        k: (B, H, F), Σⱼ φ(√scale·kⱼ).

    A state belongs to one `scale`: read and extend it with the same.

    >>> state = PrefixState.zeros(1, 2, 16, 64)
    >>> state.k.shape[-1], state.numel, state.nbytes
    (153, 19890, 79560)
    """

    kv: Tensor
    k: Tensor

    @classmethod
    def zeros(
        cls,
        batch: int,
        heads: int,
        feature_dim: int,
        head_dim: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> PrefixState:
        """The state before the first token, for B = `batch`, H, D = `feature_dim`, E = `head_dim`.

        `dtype` is that of q, k and v; the state of half types is float32.

        Raises:
            ValueError: a size is negative, or `dtype` is not a float type.
        """
        sizes = {
            "batch": batch,
            "heads": heads,
            "feature_dim": feature_dim,
            "head_dim": head_dim,
        }
        for name, size in sizes.items():
            if size < 0:
                raise ValueError(f"{name} must be at least 0, got {size}")
        shape, dtype = (batch, heads, num_features(feature_dim)), accumulation_dtype(dtype)
        return cls(
            kv=torch.zeros(*shape, head_dim, dtype=dtype, device=device),
            k=torch.zeros(shape, dtype=dtype, device=device),
        )

    @property
    def numel(self) -> int:
        """Numbers held, over the whole batch."""
        return self.kv.numel() + self.k.numel()

    @property
    def nbytes(self) -> int:
        """Bytes held, over the whole batch."""
        return self.kv.nbytes + self.k.nbytes
