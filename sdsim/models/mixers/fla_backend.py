"""flash-linear-attention's fused kernels for the linear recurrences, where they can run.

They run if the package is installed (``pip install flash-linear-attention``), the tensors are on a
CUDA device and not float64, and no transform of `torch.func`, such as vmap, is acting, which the
kernels do not support. Everywhere else plain torch computes the same. In float32 the kernels may
multiply in TF32, which keeps about three digits.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from sdsim.models.mixers.chunked_recurrence import Tokens
from sdsim.models.mixers.mixer import is_transformed


def applies_to(tokens: Tokens) -> bool:
    """Whether a kernel can work on these tokens."""
    v = tokens.v
    return (
        v.is_cuda
        and v.dtype != torch.float64
        and (tokens.beta is None or tokens.log_decay.shape[-1] == 1)
        and not is_transformed(v)
        and find_spec("fla") is not None
    )


def fused_recurrence(tokens: Tokens, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """As `chunked_recurrence`, gradients included."""
    q, k, v, log_decay, beta = tokens
    shape = (*v.shape[:3], k.shape[-1])
    arguments = {"q": q.to(v.dtype).expand(shape), "k": k.to(v.dtype).expand(shape), "v": v}
    if log_decay.shape[-1] > 1:
        operator, arguments["g"] = "gla.chunk_gla", log_decay
    else:
        operator, arguments["g"] = "simple_gla.chunk_simple_gla", log_decay[..., 0]
    if beta is not None:
        operator, arguments["beta"] = "gated_delta_rule.chunk_gated_delta_rule", beta[..., 0]
    module, name = operator.split(".")
    kernel = getattr(import_module(f"fla.ops.{module}"), name)
    y, state = kernel(**arguments, scale=1.0, initial_state=state, output_final_state=True)
    return y, state
