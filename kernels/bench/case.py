"""What is timed, and how much work it takes."""

from dataclasses import dataclass
from typing import Literal

import torch

from ..taylor import num_features

What = Literal["prefill", "decode", "train"]


@dataclass(frozen=True)
class Case:
    """What is computed: `length` tokens of `batch` sequences, half of them the prefix.

    Attributes:
        what: "prefill", the whole sequence; "train", the same with its gradients; "decode", one
            token after `length` others.
        batch, length: B, N.
        dtype, device: of all inputs.
        heads, feature_dim, head_dim: H, D, E.
    """

    what: What
    batch: int
    length: int
    dtype: torch.dtype
    device: torch.device
    heads: int = 16
    feature_dim: int = 16
    head_dim: int = 64

    @property
    def prefix(self) -> int:
        """M, tokens of the encoder."""
        return self.length // 2

    @property
    def input_bytes(self) -> int:
        """About what the inputs take: those of softmax attention, which are never the smaller."""
        size = self.feature_dim + self.head_dim
        return 6 * self.batch * self.length * self.heads * size * self.dtype.itemsize

    @property
    def work(self) -> tuple[int, int]:
        """Bytes and operations (a multiplication and an addition are two) that JRT-RNN needs.

        Every input is read once and every output written once.  Operations are those of the
        cheaper of two algorithms, the recurrence and, for short sequences, the quadratic form.

        In the recurrence a token costs 2F(E+1) operations each time that it enters a state or
        reads one, and as many where a gradient is pulled back through that.  Forward: a decoder
        token enters and reads, an encoder token enters.  Backward: the states are recomputed; a
        query's gradient is pulled and enters the gradient's state, a key's is pulled, a value's
        read.  In the quadratic form each pair of a query and a key that it sees costs 2D for the
        score and 2E for the output; backward 2D for the score again, 2E for the gradients of the
        weight and of the value each, 2D for those of the query and of the key each.
        """
        B, N, M, H = self.batch, self.length, self.prefix, self.heads
        D, E = self.feature_dim, self.head_dim
        move = 2 * B * H * num_features(D) * (E + 1)
        if self.what == "decode":
            state = 4 * B * H * num_features(D) * (E + 1)  # float32
            return 2 * state + B * H * (2 * D + 2 * E) * self.dtype.itemsize, 2 * move
        inputs = B * H * (N * (2 * D + E) + M * (D + E))
        output = B * H * N * E
        pairs = 2 * B * H * (N * (N + 1) // 2 + N * M)
        if self.what == "prefill":
            operations = min(move * (2 * N + M), pairs * (D + E))
            return (inputs + output) * self.dtype.itemsize, operations
        operations = min(move * (7 * N + 4 * M), pairs * (4 * D + 3 * E))
        return (3 * inputs + 3 * output) * self.dtype.itemsize, operations
