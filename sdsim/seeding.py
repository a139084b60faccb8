"""Random numbers from streams that have names: no global state, nothing drawn by two."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def seeded_generator(*stream: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator of its own for each stream, such as ``("dropout", seed, step)``."""
    import torch

    digest = hashlib.blake2b(repr(stream).encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "little"))
