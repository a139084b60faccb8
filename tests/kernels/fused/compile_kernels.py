"""Compiles the kernels as they would be launched, without a GPU, and tells what they take.

    python tests/kernels/fused/compile_kernels.py 90 bfloat16 16 64

For compute capability 9.0, bfloat16, D = 16 and E = 64, one line of JSON for each kernel: bytes of
shared memory, registers and bytes of spilled ones per thread, matrix instructions.  The launchers
run on small CPU tensors; their launches are compiled, for exactly their arguments, and not made.
"""

# ruff: noqa: N803, T201

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from kernels import fused
from kernels.fused import launch

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


class Target:
    """As much of Triton's driver as compiling needs."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)

    def get_current_target(self) -> GPUTarget:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def describe(kernel, name: str) -> dict:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage = subprocess.run(
            [TOOLS / "cuobjdump", "-res-usage", file.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", usage).groups()
    return {
        "kernel": name,
        "warps": kernel.metadata.num_warps,
        "registers": int(registers),
        "spilled": int(stack),  # the kernels have no arrays of their own
        "shared": kernel.metadata.shared,
        "wgmma": len(re.findall(r"\bwgmma\.mma_async", kernel.asm["ptx"])),
        "mma": len(re.findall(r"\bmma\.sync", kernel.asm["ptx"])),
    }


def main(capability: int, dtype: torch.dtype, D: int, E: int) -> None:
    driver.set_active(Target(capability))
    launch.has_warpgroups = lambda device: capability == 90
    compile_only = JITFunction.run
    seen = set()

    def run(self, *args, grid, warmup, **options):
        kernel = compile_only(self, *args, grid=grid, warmup=True, **options)
        name = self.__name__
        if name == "differentiate":
            _, other, *_ = args
            name += " queries" if not options["REVERSE"] else " keys" if other else " encoder"
        if name not in seen:
            seen.add(name)
            print(json.dumps(describe(kernel, name)), flush=True)

    JITFunction.run = run
    B, N, H = 1, 4096, 1

    def new(*shape: int) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype)

    q, k, v = new(B, N, H, D), new(B, N, H, D), new(B, N, H, E)
    encoder = new(B, N // 2, H, D), new(B, N // 2, H, E)
    y, denominator, kv, z = fused.forward(q, k, v, *encoder, None, None, None, 0.5)
    inputs = (q, k, v, *encoder, None, kv, z)
    fused.backward(new(B, N, H, E), kv, z, *inputs, y, denominator, 0.5)
    fused.step(q[:, 0], k[:, 0], v[:, 0], kv, z, kv, z, 0.5)


if __name__ == "__main__":
    os.environ.pop("TRITON_INTERPRET", None)
    main(int(sys.argv[1]), getattr(torch, sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
