"""Two meters of a call: the seconds it takes, and the most bytes its tensors hold."""

import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def seconds_taken(call: Callable[[], object], device: torch.device) -> float:
    """Seconds from the call until `device` has finished its work; its result is freed later."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    taken = time.perf_counter() - start
    del result
    return taken


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes held at once, while `call` runs, by tensors that it made, its result included.

    Counts every storage from the operation that made it until torch frees it, in the backward
    pass too, on any device.  Unlike the process's resident memory this repeats exactly and does
    not depend on the allocator.  What an operator of torch holds inside is not seen: for the
    chunked backend, some megabytes of buffers, whatever the length.
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
