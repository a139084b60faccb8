"""Prefix linear attention in fused Triton kernels, for NVIDIA GPUs from compute capability 8.0.

`forward`, `backward` and `step` compute what `kernels.prefix_linear_attention` and its step
define, for the feature map "taylor"; `supported` says whether they can for given tensors.  Inside
a chunk of tokens the quadratic form is used, between chunks the packed state, which stays in
registers; features never reach memory (arXiv:2407.05483, algorithm 2).

Importing this package imports Triton.  With TRITON_INTERPRET=1 set before, the kernels run on the
CPU, for tests.
"""

from kernels.fused.backward import backward
from kernels.fused.forward import forward
from kernels.fused.launch import supported
from kernels.fused.step import step

__all__ = ["backward", "forward", "step", "supported"]
