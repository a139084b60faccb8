"""What only a GPU can show: sizes, memory, graphs, and the compiled arithmetic."""

from dataclasses import replace

import pytest
import torch

from kernels import fused

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: the kernels ran in the interpreter only"
)

BARS = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
TYPES = pytest.mark.parametrize("dtype", BARS, ids=str)


@TYPES
@pytest.mark.parametrize("sizes", [(16, 64), (8, 64), (32, 128), (4, 8), (24, 96), (1, 1)], ids=str)
def test_forward_and_gradients(problem, error, dtype, sizes):
    D, E = sizes
    case = problem.random(2, 1000, 3, D, E, 700, masked=True, continued=True, dtype=dtype)
    if (dtype, D > 16) == (torch.float32, True):
        assert "float32" in fused.supported(case.q, case.v)
        return
    for value, exact in zip(case.forward(), case.exact(), strict=True):
        assert error(value, exact) <= BARS[dtype]
    cotangents = case.cotangents()
    exact = case.exact_gradients(cotangents)
    for name, value in case.gradients(cotangents).items():
        assert error(value, exact[name]) <= BARS[dtype], name


@TYPES
def test_long_sequences_agree_with_their_pieces(problem, error, dtype):
    N, half = 2**17, 2**16
    case = problem.random(N=N, dtype=dtype)  # one head: cut into segments
    y, _, kv, z = case.forward()
    first = case.map(lambda x: x[:, :half])
    _, _, kv_half, z_half = first.forward()
    second = replace(case.map(lambda x: x[:, half:]), kv=kv_half, z=z_half)
    y_half, _, kv_all, z_all = second.forward()
    assert error(y[:, half:], y_half.double()) <= BARS[dtype]
    assert error(kv, kv_all.double()) <= 1e-5
    assert error(z, z_all.double()) <= 1e-5
    assert all(x.isfinite().all() for x in case.gradients(case.cotangents()).values())


def test_more_heads_than_a_second_grid_axis_takes(problem, error):
    case = problem.random(B=70_000, N=3, H=1, D=2, E=4)
    for value, exact in zip(case.forward(), case.exact(), strict=True):
        assert error(value, exact) <= BARS[torch.float32]
    cotangents = case.cotangents()
    exact = case.exact_gradients(cotangents)
    for name, value in case.gradients(cotangents).items():
        assert error(value, exact[name]) <= BARS[torch.float32], name


def test_offsets_beyond_int32(problem):
    """q and k lie 2³¹ elements and more into their memory, and a chunk spans 2³¹ elements."""
    if torch.cuda.mem_get_info()[0] < 24 * 2**30:
        pytest.skip("needs 24 GiB of GPU memory")
    case = problem.random(N=40, H=2, D=4, E=8, dtype=torch.bfloat16)
    memory = torch.zeros(2**32 + 2**27, dtype=torch.bfloat16, device="cuda")

    def apart(x, start):
        """x (1, 40, H, W) with its tokens 2²⁶ elements from each other, at `start` in memory."""
        view = memory.as_strided(x.shape, (0, 2**26, x.shape[3], 1), start)
        return view.copy_(x)

    far = replace(case, q=apart(case.q, 0), k=apart(case.k, 64), v=apart(case.v, 128))
    for near, other in zip(case.forward(), far.forward(), strict=True):
        assert torch.equal(near, other)
    near, other = (x.gradients(case.cotangents()) for x in (case, far))
    assert all(torch.equal(near[name], other[name]) for name in near)


def test_a_large_tensor(problem, error):
    """2³¹ elements of v and more: the last sequences are those of their own."""
    B, N, H, D, E = 2**11 + 1, 2**11, 8, 4, 64
    if torch.cuda.mem_get_info()[0] < 16 * 2**30:
        pytest.skip("needs 16 GiB of GPU memory")
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.bfloat16, device="cuda")

    q, k, v = normal(B, N, H, D), normal(B, N, H, D), normal(B, N, H, E)
    y, _, _, _ = fused.forward(q, k, v, None, None, None, None, None, 0.5)
    last, _, _, _ = fused.forward(q[-1:], k[-1:], v[-1:], None, None, None, None, None, 0.5)
    assert error(y[-1:], last.double()) <= BARS[torch.bfloat16]


@TYPES
def test_captured_in_a_graph(problem, dtype):
    case = problem.random(2, 500, 4, 16, 64, 300, masked=True, continued=True, dtype=dtype)
    other = problem.random(2, 500, 4, 16, 64, 300, masked=True, continued=True, dtype=dtype, seed=2)
    other = replace(other, mask=case.mask)
    cotangents = case.cotangents()

    def run(arguments):
        return [
            *arguments.forward(),
            *arguments.gradients(cotangents).values(),
            fused.step(
                arguments.q[:, 0],
                arguments.k[:, 0],
                arguments.v[:, 0],
                arguments.kv,
                arguments.z,
                torch.empty_like(arguments.kv),
                torch.empty_like(arguments.z),
                arguments.scale,
            ),
        ]

    run(case)  # compiles
    expected = [run(case), run(other)]
    place = case.map(torch.clone)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run(place)
    for inputs, results in zip((case, other), expected, strict=True):
        for name, x in inputs.tensors().items():
            getattr(place, name).copy_(x)
        graph.replay()
        assert all(map(torch.equal, outputs, results))


@TYPES
def test_same_inputs_same_bits(problem, dtype):
    case = problem.random(2, 3000, 2, 16, 128, 2000, masked=True, dtype=dtype)
    cotangents = case.cotangents()
    first, second = ([*case.forward(), *case.gradients(cotangents).values()] for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_many_steps_in_place_are_forward(problem, error):
    case = problem.random(B=4, N=300, H=8, D=16, E=64)
    y, _, exact_kv, exact_z = case.exact()
    kv = torch.zeros_like(exact_kv, dtype=torch.float32)
    z = torch.zeros_like(exact_z, dtype=torch.float32)
    for n in range(300):
        y_n = fused.step(case.q[:, n], case.k[:, n], case.v[:, n], kv, z, kv, z, case.scale)
        assert error(y_n, y[:, n]) <= BARS[torch.float32]
    assert error(kv, exact_kv) <= BARS[torch.float32]
    assert error(z, exact_z) <= BARS[torch.float32]


def test_memory_of_a_call(problem):
    """Forward and backward take what their results take, and no features."""
    case = problem.random(B=4, N=8192, H=16, D=16, E=64, dtype=torch.bfloat16)
    case.gradients(case.cotangents(of_state=False))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    cotangents = case.cotangents(of_state=False)
    results = case.gradients(cotangents)
    peak = torch.cuda.max_memory_allocated() - before
    kept = sum(x.nbytes for x in results.values()) + 2 * case.v.nbytes  # y and dy
    assert peak <= 2 * kept
