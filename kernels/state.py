"""The recurrent state of prefix linear attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.feature_maps import FeatureMapName
from kernels.precision import accumulation_dtype
from kernels.validation import check_feature_map


@dataclass(frozen=True, eq=False)
class PrefixState:
    """What linear attention keeps of all the keys and values that it has read (arXiv:2407.05483).

    Fixed in size whatever the number of tokens: F·(E + 1) numbers per head and example, where F
    is the packed size of the feature map, (D+1)(D+2)/2 for "taylor".

    Attributes:
        kv: (B, H, F, E), Σⱼ φ(√scale·kⱼ) vⱼᵀ.
        k: (B, H, F), Σⱼ φ(√scale·kⱼ).

    A state belongs to one `scale` and one feature map: read and extend it with the same.

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
        *,
        feature_map: FeatureMapName = "taylor",
    ) -> PrefixState:
        """The state before the first token, for B = `batch`, H, D = `feature_dim`, E = `head_dim`.

        `dtype` is that of q, k and v; the state of half types is float32.

        Raises:
            ValueError: a size is negative, `dtype` is not a float type, or `feature_map` unknown.
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
        features = check_feature_map(feature_map).size(feature_dim)
        dtype = accumulation_dtype(dtype)
        return cls(
            kv=torch.zeros(batch, heads, features, head_dim, dtype=dtype, device=device),
            k=torch.zeros(batch, heads, features, dtype=dtype, device=device),
        )

    @property
    def numel(self) -> int:
        """Numbers held, over the whole batch."""
        return self.kv.numel() + self.k.numel()

    @property
    def nbytes(self) -> int:
        """Bytes held, over the whole batch."""
        return self.kv.nbytes + self.k.nbytes
