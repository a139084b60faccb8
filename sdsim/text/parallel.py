"""A module trained by several processes: DDP, or FSDP2."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel

from sdsim.text.distributed import DistributedContext


def parallelize(
    module: nn.Module,
    layers: Iterable[nn.Module],
    context: DistributedContext,
    *,
    parallel: Literal["ddp", "fsdp"],
    dtype: torch.dtype,
) -> nn.Module:
    """The module, ready to be trained by all processes of the context.

    Args:
        module: on the context's device.
        layers: parts of it that FSDP gathers one at a time.
        context: the processes; with one alone, the module stays as it is.
        parallel: ddp: a whole copy in every process; fsdp: parameters are sharded.
        dtype: of the parameters that FSDP gathers; gradients are reduced in float32.
    """
    if context.world_size == 1:
        return module
    if parallel == "ddp":
        return DistributedDataParallel(module)
    mesh = init_device_mesh(context.device.type, (context.world_size,))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh, mp_policy=policy)
    return module


def gradient_sync(module: nn.Module, *, enabled: bool) -> AbstractContextManager[object]:
    """Whether a backward pass inside reduces gradients over the processes.

    Gradient accumulation needs that in its last step alone.
    """
    if isinstance(module, DistributedDataParallel) and not enabled:
        return cast("AbstractContextManager[object]", module.no_sync())
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(enabled)
    return nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor whole, where FSDP has sharded it; all processes must call this."""
    whole: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach()
