"""Prefix linear attention in fused Triton kernels, for NVIDIA GPUs from compute capability 8.0.

`forward`, `backward` and `step` compute what `prefix_linear_attention` and its step define;
`supported` says whether they can for given tensors.  Within a chunk of tokens the quadratic form is
used, between chunks the packed state, which stays in registers; features never reach memory
(arXiv:2407.05483, algorithm 2).

Importing this package imports Triton.  With TRITON_INTERPRET=1 set beforehand, the kernels run on
the CPU, for tests.
"""

from .backward import backward
from .forward import forward
from .launch import supported
from .step import step

__all__ = ["backward", "forward", "step", "supported"]
