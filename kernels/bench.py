"""How time and memory of the backends grow with the length: numbers only, nothing is printed."""

import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kernels.interface import Backend, prefix_linear_attention

REFERENCE_LIMIT = 8192  # tokens; the definition needs gigabytes and seconds beyond
REFERENCE_REPEATS = 3  # enough for a call that takes seconds


@dataclass(frozen=True)
class Scaling:
    """One length of `scaling`; None where the reference or half the length was not measured.

    Attributes:
        length: N, tokens.
        chunked_seconds, reference_seconds: median time of a call.
        chunked_bytes, reference_bytes: most bytes held by tensors at once beside the inputs.
        speedup: reference_seconds / chunked_seconds.
        growth: chunked_seconds at N over chunked_seconds at N/2.
    """

    length: int
    chunked_seconds: float
    chunked_bytes: int
    reference_seconds: float | None
    reference_bytes: int | None
    speedup: float | None
    growth: float | None


def scaling(
    lengths: Sequence[int] = (2048, 4096, 8192, 16384),
    *,
    heads: int = 2,
    feature_dim: int = 16,
    head_dim: int = 64,
    repeats: int = 9,
    threads: int = 1,
    gradients: bool = False,
) -> list[Scaling]:
    """Time and peak memory of "chunked" and "reference" on the CPU, in float32, B = 1, M = N/2.

    Each round times every length once, so that what else the machine does hits all alike; the
    reference joins the first `REFERENCE_REPEATS` rounds, up to `REFERENCE_LIMIT` tokens.

    Args:
        lengths: N of each row, in tokens.
        heads, feature_dim, head_dim: H, D, E.
        repeats: timed calls per length; the median counts.
        threads: of torch, set for the measurement and then put back.
        gradients: time the forward and the backward pass together instead of the forward pass.

    Raises:
        ValueError: `lengths` is empty, or a number is below 1.
    """
    if not lengths or min(lengths) < 1:
        raise ValueError(f"lengths must be one or more numbers from 1, got {tuple(lengths)}")
    for name, number in (("repeats", repeats), ("threads", threads)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")

    calls: dict[tuple[int, Backend], Callable[[], object]] = {}
    for length in lengths:
        inputs = _inputs(length, heads, feature_dim, head_dim, gradients=gradients)
        calls[length, "chunked"] = _call(inputs, "chunked")
        if length <= REFERENCE_LIMIT:
            calls[length, "reference"] = _call(inputs, "reference")
    with _threads(threads):
        peaks = {case: peak_bytes(call) for case, call in calls.items()}  # and warms up
        seconds = _median_seconds(calls, repeats)
    return [_row(length, seconds, peaks) for length in lengths]


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes held at once, while `call` runs, by tensors that it made, its result included.

    Counts every storage from the operation that made it until torch frees it, in the backward
    pass too, on whatever device.  Unlike the process's resident memory this repeats exactly and
    is not blurred by the allocator; scratch space inside a single operation is not seen.
    """
    meter = _StorageMeter()
    with meter:
        call()
    return meter.peak


class _StorageMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = _storages((args, kwargs))
        result = func(*args, **kwargs)
        for storage in _storages(result):
            if storage not in self._known and storage not in given:
                self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._known.add(storage)
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._held -= size


def _storages(tree: object) -> list[torch.UntypedStorage]:
    return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _inputs(
    length: int, heads: int, feature_dim: int, head_dim: int, *, gradients: bool
) -> tuple[Tensor, ...]:
    """q, k, v, k_enc, v_enc with the first half of the length as the encoder's."""
    generator = torch.Generator().manual_seed(length)
    shapes = [
        (positions, size)
        for positions in (length, length // 2)
        for size in (feature_dim, feature_dim, head_dim)
    ]
    q, k, v, _, k_enc, v_enc = (
        torch.randn(1, positions, heads, size, generator=generator).requires_grad_(gradients)
        for positions, size in shapes
    )
    return q, k, v, k_enc, v_enc


def _call(inputs: tuple[Tensor, ...], backend: Backend) -> Callable[[], object]:
    q, k, v, k_enc, v_enc = inputs

    def call() -> object:
        y = prefix_linear_attention(q, k, v, k_enc, v_enc, backend=backend)
        return torch.autograd.grad(y.sum(), inputs) if y.requires_grad else y

    return call


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _median_seconds(
    calls: dict[tuple[int, Backend], Callable[[], object]], repeats: int
) -> dict[tuple[int, Backend], float]:
    seconds: dict[tuple[int, Backend], list[float]] = {case: [] for case in calls}
    for repeat in range(repeats):
        for case, call in calls.items():
            if case[1] == "reference" and repeat >= REFERENCE_REPEATS:
                continue
            start = time.perf_counter()
            call()
            seconds[case].append(time.perf_counter() - start)
    return {case: median(values) for case, values in seconds.items()}


def _row(
    length: int,
    seconds: dict[tuple[int, Backend], float],
    peaks: dict[tuple[int, Backend], int],
) -> Scaling:
    chunked = seconds[length, "chunked"]
    reference = seconds.get((length, "reference"))
    half = seconds.get((length // 2, "chunked")) if length % 2 == 0 else None
    return Scaling(
        length=length,
        chunked_seconds=chunked,
        chunked_bytes=peaks[length, "chunked"],
        reference_seconds=reference,
        reference_bytes=peaks.get((length, "reference")),
        speedup=None if reference is None else reference / chunked,
        growth=None if half is None else chunked / half,
    )
