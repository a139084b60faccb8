"""The processes of one training run, as torchrun starts them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

_LAUNCHER = os.getppid()
_TORCHRUN = "TORCHELASTIC_RUN_ID"
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10

_GROUPS: list[dist.ProcessGroup] = []
"""All process groups that there were, kept because freeing one can hang.

Its destructor waits for its thread while it holds Python's lock, and that thread may need the lock
to free the tensors of the last collective.
"""


@dataclass(frozen=True)
class DistributedContext:
    """This process among those of its run; without torchrun it is the only one.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
        device: that this process computes on.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and logs."""
        return self.rank == 0

    def mean(self, numbers: Tensor) -> Tensor:
        """The mean of `numbers` over all processes; all of them must call it."""
        if self.world_size > 1:
            dist.all_reduce(numbers)
        return numbers / self.world_size

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if self.world_size > 1:
            dist.barrier()

    def new_group(self, backend: str) -> dist.ProcessGroup:
        """A group of all processes beside the default one; all of them must call it."""
        return _kept(dist.new_group(backend=backend))


def world_size() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """As `DistributedContext.is_first`, before there is one."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def distributed_context(device: str) -> Iterator[DistributedContext]:
    """Join the other processes; leave them at the end.

    Args:
        device: name of a torch device; with several processes on CUDA, each takes the GPU of its
            local rank.

    Raises:
        RuntimeError: if torchrun has ended meanwhile.
    """
    count = world_size()
    own = torch.device(device)
    if count > 1 and own.type == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if count == 1:
        yield DistributedContext(0, 1, own)
        return
    if _TORCHRUN in os.environ:
        _end_with_launcher()
    # Checkpoints that are written in the background need a CPU backend too.
    dist.init_process_group("cpu:gloo,cuda:nccl" if own.type == "cuda" else "gloo")
    _kept(dist.group.WORLD)
    try:
        yield DistributedContext(dist.get_rank(), count, own)
    finally:
        dist.destroy_process_group()


def _kept(group: dist.ProcessGroup | None) -> dist.ProcessGroup:
    if group is None:
        raise RuntimeError("torch.distributed has no process group")
    _GROUPS.append(group)
    return group


def _end_with_launcher() -> None:
    """End this process soon after torchrun does, which may be killed before it can end us.

    A process that has lost its parent gets another.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # else it serves nothing
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:  # it may have ended before this module was imported
            socket.create_connection(address, timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise RuntimeError(
                f"torchrun, which started this process, has ended: {error}"
            ) from error

    def watch() -> None:
        while os.getppid() == _LAUNCHER:
            time.sleep(_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="launcher", daemon=True).start()
