"""The processes of one run: which one this is, and what they say to each other."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Processes:
    """This process among the others, as torchrun counts them; alone without it.

    Attributes:
        rank: of this one.
        count: of all.
        device: of this one.
    """

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def mean(self, numbers: Tensor) -> Tensor:
        """The mean over all processes."""
        if self.count > 1:
            dist.all_reduce(numbers)
        return numbers / self.count

    def wait(self) -> None:
        """For all others to come here."""
        if self.count > 1:
            dist.barrier()


def world_size() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the process that speaks, before they have met."""
    return int(os.environ.get("RANK", "0")) == 0


@contextlib.contextmanager
def processes(device: str) -> Iterator[Processes]:
    """Meet the other processes, and part from them."""
    count = world_size()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    here = torch.device(device)
    if count > 1 and here.type == "cuda":
        here = torch.device("cuda", local)
    if here.type == "cuda":
        torch.cuda.set_device(here)
    if count == 1:
        yield Processes(0, 1, here)
        return
    # Checkpoints that are written while training goes on need a CPU backend too.
    dist.init_process_group("cpu:gloo,cuda:nccl" if here.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), count, here)
    finally:
        dist.destroy_process_group()
