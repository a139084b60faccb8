"""The sizes a launch runs with, from the shapes, the type and the device: plain arithmetic.

Fixed rules rather than a search at run time: the same call runs the same code every time, inside
CUDA graph capture too, and all of it can be compiled and inspected without a GPU
(`tests/kernels/fused/test_compile.py` reads registers and spills).
"""

from dataclasses import dataclass
from typing import Literal

import torch

from ..taylor import num_features

Matrix = Literal["bfloat16", "tf32", "ieee"]

MAX_FEATURE_DIM = 32
MAX_HEAD_DIM = 128
# Without matrix unit the products with selectors, of D numbers for each factor, are too many: at
# D = 32 the compiler runs out of registers, and Ampere out of shared memory.
MAX_FEATURE_DIM_FLOAT32 = 16
DTYPES = (torch.bfloat16, torch.float16, torch.float32)

# The matrix unit's smallest tile, for every type.
_SMALLEST_TILE = 16

# Fewer chunks than this do not pay for a segment: its state is read and written once (as many
# bytes as about 500 tokens at D = 16, E = 64), and its keys are read a second time.
_CHUNKS_PER_SEGMENT = 8


@dataclass(frozen=True)
class Plan:
    """How one operator call is divided into Triton programs.

    Attributes:
        chunk: tokens that a program handles at a time, C.
        edges: of the tiles of the F features, from 0 to at least F; between two, a power of two.
        padded_dim: D, rounded up to what the matrix unit takes.
        block: head dimensions per program; a power of two.
        blocks: programs that share a head, each with `block` of its E.
        warps: of 32 threads, per program.
        stages: chunks whose loads are in flight at a time.
    """

    chunk: int
    edges: tuple[int, ...]
    padded_dim: int
    block: int
    blocks: int
    warps: int
    stages: int


def plan(feature_dim: int, head_dim: int, dtype: torch.dtype, *, warpgroups: bool) -> Plan:
    """The plan for D = `feature_dim` in 1..32 and E = `head_dim` in 1..128.

    What must fit in the registers, 64k numbers of them per multiprocessor, is the state, F × block,
    beside a chunk's outputs and the two factors of one feature tile.  The sizes are those with the
    least spilling among what was compiled (`tests/kernels/fused/compile_kernels.py`), on:

    - matrix units that work for four warps at once (`warpgroups`, Hopper), which take tiles of 64
      rows.  In bfloat16 eight warps share 128 tokens, or 64 from D = 17 on, where the indices and
      selectors of the features are many; TF32 operands are twice as large: 64 tokens, and from
      D = 17 on the selectors do not fit shared memory;
    - those of single warps (Ampere), and float32 as it is, without matrix unit: 32 tokens.
    """
    size = num_features(feature_dim)
    matrix = matrix_type(dtype)
    wide = size > 160  # more than D = 16 has
    chunk, widest, warps = 32, 32, 8 if wide else 4
    if warpgroups and matrix == "bfloat16":
        chunk, widest, warps = 64 if wide else 128, 64, 8
    elif warpgroups and matrix == "tf32" and not wide:
        chunk, widest, warps = 64, 64, 4
    most = 32 if wide or (chunk == 32 and matrix != "bfloat16") else 64
    block = min(most, max(_SMALLEST_TILE, _power_of_two(head_dim)))
    return Plan(
        chunk=chunk,
        edges=feature_edges(size, widest),
        padded_dim=max(_SMALLEST_TILE, _power_of_two(feature_dim)),
        block=block,
        blocks=-(-head_dim // block),
        warps=warps,
        stages=1 if matrix == "ieee" else 2,
    )


def feature_edges(size: int, widest: int) -> tuple[int, ...]:
    """Where the tiles begin that cover `size` features, and where the last one ends.

    Their widths are powers of two, falling from `widest` to 16.  What remains after the full
    tiles is one tile if no more than a quarter of it stays empty, else it is split.

    >>> feature_edges(153, 64)  # where one tile would take 256
    (0, 64, 128, 160)
    >>> feature_edges(45, 64)
    (0, 32, 48)
    """
    edges = [0]
    while edges[-1] < size:
        rest = size - edges[-1]
        width = min(widest, max(_SMALLEST_TILE, _power_of_two(rest)))
        if width > _SMALLEST_TILE and width - rest > width // 4:
            width //= 2
        edges.append(edges[-1] + width)
    return tuple(edges)


def segments(programs: int, chunks: int, multiprocessors: int) -> int:
    """Into how many segments (runs of chunks) a sequence is cut, so that the device is busy.

    One program that walks a head's sequence from end to end is cheapest, as long as the heads fill
    the device.  Where less than half of it would be busy, the sequence is cut: the
    segments' sums first (half of a walk's work again, and the keys are read twice), then all
    segments at once from the state before each.  Two programs per multiprocessor, so that one
    computes while the other waits for memory.

    Args:
        programs: batch · heads · blocks.
        chunks: of one sequence.
        multiprocessors: of the device.

    Returns:
        1 or more; every segment but the last then has ⌈chunks / segments⌉ chunks, none is empty.

    >>> segments(256, 512, 132), segments(16, 512, 132), segments(16, 8, 132)
    (1, 16, 1)
    """
    if 2 * programs > multiprocessors:
        return 1
    wanted = min(2 * multiprocessors // max(programs, 1), chunks // _CHUNKS_PER_SEGMENT)
    length = -(-chunks // max(wanted, 1))
    return -(-chunks // length)


def multiprocessors(device: torch.device) -> int:
    """How many multiprocessors `device` has; 1 for the interpreter's CPU."""
    if device.type != "cuda":
        return 1
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


def has_warpgroups(device: torch.device) -> bool:
    """Whether four warps of `device` can share a matrix product: Hopper."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device)[0] == 9


def matrix_type(dtype: torch.dtype) -> Matrix:
    """The format in which matrices are multiplied for inputs of `dtype`; all sums are float32.

    float16 runs as TF32: as many mantissa bits, and float32's range, which weights up to (10³)²/2
    need.  float32 runs as it is, without matrix unit, or as TF32 where torch allows that.  (Three
    TF32 products in place of one, as exact, spill more than they save.)
    """
    if dtype == torch.bfloat16:
        return "bfloat16"
    matmul = torch.backends.cuda.matmul
    # torch before 2.9 has only the older of the two switches.
    newer = getattr(matmul, "fp32_precision", None)
    allowed = matmul.allow_tf32 if newer is None else newer == "tf32"
    return "tf32" if dtype == torch.float16 or allowed else "ieee"


def _power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`."""
    return 1 << (size - 1).bit_length()
