"""The kernels against the definition in float64, on a GPU or in Triton's interpreter."""

# ruff: noqa: N803

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kernels import fused
from kernels.fused import launch
from kernels.fused.plan import feature_edges, plan, segments

# ‖error‖ / ‖exact‖ at inputs of these types, sums in float32.  About twice what was measured.
BARS = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}
TYPES = pytest.mark.parametrize("dtype", BARS, ids=str)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# What has several segments, several feature tiles, several blocks of E and no power of two.
CASES = {
    "plain": {},
    "paper": {"D": 16, "E": 64, "M": 7},
    "encoder": {"M": 9},
    "encoder as long": {"M": 40},
    "empty encoder": {"M": 0},
    "continued": {"continued": True, "N": 5},
    "all": {"B": 2, "N": 67, "H": 2, "D": 5, "E": 20, "M": 35, "masked": True, "continued": True},
    "blocks": {"N": 33, "D": 5, "E": 128, "M": 3, "masked": True, "continued": True},
    "widest": {"N": 3, "D": 32, "E": 40, "M": 2, "continued": True},
    "narrowest": {"N": 66, "D": 1, "E": 1, "M": 66, "masked": True},
}
NAMED = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def check_forward(case, error):
    bar = BARS[case.v.dtype]
    y, denominator, kv, z = case.forward()
    exact = case.exact()
    assert y.dtype == case.v.dtype
    assert y.is_contiguous()
    assert {denominator.dtype, kv.dtype, z.dtype} == {torch.float32}
    for name, value, expected in zip(
        ("y", "denominator", "kv", "z"), (y, denominator, kv, z), exact, strict=True
    ):
        allowed = bar if name in ("y", "kv") else 2e-6
        assert error(value, expected) <= allowed, name


def check_gradients(case, error, *, of_state=True):
    cotangents = case.cotangents(of_state=of_state)
    exact = case.exact_gradients(cotangents)
    for name, value in case.gradients(cotangents).items():
        assert value.dtype == getattr(case, name).dtype, name
        assert error(value, exact[name]) <= BARS[case.v.dtype], name


@TYPES
@NAMED
def test_forward_is_the_definition(problem, error, dtype, case):
    check_forward(problem.random(dtype=dtype, **case), error)


@NAMED
def test_gradients_are_those_of_the_definition(problem, error, case):
    check_gradients(problem.random(**case), error)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_gradients_of_half_types(problem, error, dtype):
    check_gradients(problem.random(dtype=dtype, **CASES["all"]), error)


def test_gradients_without_those_of_the_state(problem, error):
    check_gradients(problem.random(M=3, continued=True), error, of_state=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [(16, 64), (17, 16)], ids=str)
def test_plans_for_other_devices(problem, error, monkeypatch, dtype, sizes):
    monkeypatch.setattr(launch, "has_warpgroups", lambda device: DEVICE == "cpu")
    D, E = sizes
    case = problem.random(N=40, D=D, E=E, M=9, dtype=dtype)
    check_forward(case, error)
    check_gradients(case, error)


def test_float32_where_tf32_is_allowed(problem, error):
    case = problem.random(M=9, masked=True, continued=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        y, denominator, kv, _ = case.forward()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    exact = case.exact()
    assert 1e-5 < error(y, exact[0]) < 2e-3
    assert error(kv, exact[2]) < 2e-3
    assert error(denominator, exact[1]) < 2e-3


@pytest.mark.usefixtures("many_segments")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", ["plain", "all"])
def test_segments(problem, error, dtype, case):
    case = problem.random(dtype=dtype, **(CASES[case] | {"B": 1, "N": 130, "M": 35}))
    assert launch.Call.of(case.q, case.v, 1.0).cut(130)[0] > 1
    check_forward(case, error)
    check_gradients(case, error)


def test_segments_change_next_to_nothing(problem, error, request):
    case = problem.random(N=130, M=70, masked=True, continued=True)
    whole = case.forward()
    request.getfixturevalue("many_segments")
    for expected, segmented in zip(whole, case.forward(), strict=True):
        assert error(segmented, expected.double()) <= 1e-6


@settings(max_examples=5, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.fixed_dictionaries(
        {
            "B": st.integers(0, 2),
            "N": st.integers(1, 50),
            "H": st.integers(1, 2),
            "D": st.integers(1, 20),
            "E": st.integers(1, 70),
        }
    ),
    encoder=st.none() | st.floats(0, 1),
    masked=st.booleans(),
    continued=st.booleans(),
    strided=st.booleans(),
)
@example(
    sizes={"B": 2, "N": 33, "H": 2, "D": 3, "E": 17},
    encoder=0.5,
    masked=True,
    continued=True,
    strided=True,
)
def test_any_shape(problem, error, sizes, encoder, masked, continued, strided):
    M = None if encoder is None else round(encoder * sizes["N"])
    case = problem.random(**sizes, M=M, masked=masked, continued=continued)
    if strided:  # every second element of a last dimension that is not the last in memory
        case = case.map(lambda x: x.repeat_interleave(2, -1).mT.contiguous().mT[..., ::2])
    check_forward(case, error)
    if sizes["N"] > 1 or M or continued:  # else y = v, and what y gives dq and dk is rounding
        check_gradients(case, error)


def test_expanded_gradients_and_inputs(problem, error):
    case = problem.random(B=2, N=66, D=3, E=5, M=4)
    case = replace(
        case,
        k_enc=case.k_enc[:1].expand(2, -1, -1, -1),
        v=case.v[:, :, :, :1].expand(-1, -1, -1, 5),
    )
    cotangents = torch.ones(()).expand(case.v.shape), None, None
    exact = case.exact_gradients(cotangents)
    for name, value in case.gradients(cotangents).items():
        # The gradient of a mean's constant shift is 0: rounding is all there is.
        assert (value.double() - exact[name]).abs().max() <= 1e-6, name


@pytest.mark.parametrize("fill", [float("nan"), float("inf")])
def test_what_stands_at_masked_positions_changes_nothing(problem, fill):
    case = problem.random(B=2, N=40, M=37, D=4, E=8, masked=True)
    dy, dkv, dz = case.cotangents()

    def spoil(x, mask=case.mask):
        return x.masked_fill(~mask[:, : x.shape[1], None, None], fill)

    spoiled = replace(case, **{name: spoil(x) for name, x in case.tensors().items()})
    for clean, other in zip(case.forward(), spoiled.forward(), strict=True):
        assert torch.equal(clean, other)
    assert (case.forward()[0][~case.mask] == 0).all()
    clean = case.gradients((dy, dkv, dz))
    other = spoiled.gradients((spoil(dy), dkv, dz))
    for name in clean:
        assert torch.equal(clean[name], other[name]), name
    assert (clean["q"][~case.mask] == 0).all()
    for name in ("k", "v", "k_enc", "v_enc"):
        mask = case.mask[:, : clean[name].shape[1]]
        assert (clean[name][~mask] == 0).all(), name


def test_a_row_without_any_token(problem, error):
    case = problem.random(B=2, N=66, M=5, D=2, E=3)
    mask = torch.ones(2, 66, dtype=torch.bool, device=case.q.device)
    mask[0] = False
    case = replace(case, mask=mask)
    y, denominator, kv, z = case.forward()
    assert (y[0] == 0).all()
    assert (denominator[0] == 1).all()
    assert (kv[0] == 0).all()
    assert (z[0] == 0).all()
    check_forward(case, error)
    check_gradients(case, error)


@TYPES
def test_large_scores(problem, error, dtype):
    """Scores up to 10³, as the float16 range of the weights would not allow."""
    case = problem.random(N=70, D=4, E=8, M=9, dtype=dtype)
    scores = case.scale * torch.einsum("bnhd,bmhd->bhnm", case.q.float(), case.k.float())
    case = replace(case, scale=case.scale * 1e3 / scores.abs().max().item())
    y, denominator, kv, z = case.forward()
    for output in (y, denominator, kv, z, *case.gradients(case.cotangents()).values()):
        assert output.isfinite().all()
    assert (denominator >= 0.5).all()
    assert y.abs().max() <= case.v.abs().max() * 1.05
    assert error(denominator, case.exact()[1]) <= 1e-5


@TYPES
def test_step_by_step_is_forward(problem, error, dtype):
    case = problem.random(B=2, N=4, H=2, D=7, E=24, dtype=dtype)
    exact, _, exact_kv, exact_z = case.exact()
    _, _, kv, z = replace(case.map(lambda x: x[:, :1])).forward()
    for n in range(1, 4):
        after = torch.full_like(kv, float("nan")), torch.full_like(z, float("nan"))
        y = fused.step(case.q[:, n], case.k[:, n], case.v[:, n], kv, z, *after, case.scale)
        kv, z = after
        assert y.dtype == dtype
        assert error(y, exact[:, n]) <= BARS[dtype]
    assert error(kv, exact_kv) <= BARS[dtype]
    assert error(z, exact_z) <= 2e-6


@pytest.mark.parametrize("sizes", [(1, 1), (16, 64), (9, 72), (32, 128)], ids=str)
def test_step_in_place(problem, sizes):
    D, E = sizes
    case = problem.random(N=1, H=2, D=D, E=E, continued=True)
    q, k, v = case.q[:, 0], case.k[:, 0], case.v[:, 0]
    kv, z = torch.empty_like(case.kv), torch.empty_like(case.z)
    apart = fused.step(q, k, v, case.kv, case.z, kv, z, case.scale)
    within = fused.step(q, k, v, case.kv, case.z, case.kv, case.z, case.scale)
    assert torch.equal(apart, within)
    assert torch.equal(kv, case.kv)
    assert torch.equal(z, case.z)


def test_step_with_strides(problem, error):
    case = problem.random(B=2, N=1, H=2, D=3, E=5, continued=True)
    exact = case.exact()
    case = case.map(lambda x: x.repeat_interleave(2, -1).mT.contiguous().mT[..., ::2])
    after = torch.empty(2, 5, 2, 10).permute(0, 2, 3, 1).to(case.q.device), torch.empty_like(case.z)
    y = fused.step(case.q[:, 0], case.k[:, 0], case.v[:, 0], case.kv, case.z, *after, case.scale)
    assert error(y, exact[0][:, 0]) <= 2e-6
    assert error(after[0], exact[2]) <= 2e-6


def test_same_inputs_same_bits(problem):
    case = problem.random(M=30, E=40, masked=True)
    for first, second in zip(case.forward(), case.forward(), strict=True):
        assert torch.equal(first, second)
    first, second = (case.gradients(case.cotangents()) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_supported(problem, monkeypatch):
    case = problem.random()
    assert fused.supported(case.q, case.v) is None
    assert fused.supported(case.q[:, 0], case.v[:, 0]) is None
    assert "float64" in fused.supported(case.q.double(), case.v.double())
    assert "not 33" in fused.supported(torch.empty(1, 1, 1, 33), case.v)
    assert "not 129" in fused.supported(case.q, torch.empty(1, 1, 1, 129))
    assert "meta" in fused.supported(case.q.to("meta"), case.v.to("meta"))
    monkeypatch.setattr(launch, "_INTERPRETED", False)
    assert "not on cpu" in fused.supported(case.q.cpu(), case.v.cpu())


@given(
    D=st.integers(1, 32),
    E=st.integers(1, 128),
    dtype=st.sampled_from(list(BARS)),
    warpgroups=st.booleans(),
)
def test_plans(D, E, dtype, warpgroups):
    size = (D + 1) * (D + 2) // 2
    chosen = plan(D, E, dtype, warpgroups=warpgroups)
    assert chosen.block * (chosen.blocks - 1) < E <= chosen.block * chosen.blocks
    assert chosen.padded_dim >= D
    widths = [b - a for a, b in zip(chosen.edges, chosen.edges[1:], strict=False)]
    assert chosen.edges[0] == 0
    assert all(width & (width - 1) == 0 and width >= 16 for width in widths)
    assert chosen.edges[-2] < size <= chosen.edges[-1]
    assert chosen.edges == feature_edges(size, max(widths))


@given(programs=st.integers(1, 10**6), chunks=st.integers(1, 10**5), processors=st.integers(1, 200))
def test_segment_counts(programs, chunks, processors):
    count = segments(programs, chunks, processors)
    length = -(-chunks // count)
    assert (count - 1) * length < chunks <= count * length
    if 2 * programs > processors:
        assert count == 1
    if count > 1:
        assert length >= 8
        assert programs * count <= 2 * processors


@pytest.mark.parametrize("sizes", [(0, 40, 2), (2, 40, 0), (2, 0, 2), (0, 0, 0)], ids=str)
@pytest.mark.parametrize("M", [None, 0])
def test_nothing_to_read(problem, sizes, M):
    B, N, H = sizes
    case = problem.random(B=B, N=N, H=H, M=M, masked=True, continued=True)
    y, _, kv, z = case.forward()
    assert y.shape == (*sizes, 20)
    if N == 0:
        torch.testing.assert_close(kv, case.kv)
        torch.testing.assert_close(z, case.z)
    for name, gradient in case.gradients(case.cotangents()).items():
        assert gradient.shape == getattr(case, name).shape
    q, k, v = (torch.zeros(B, H, size, device=DEVICE) for size in (6, 6, 20))
    assert fused.step(q, k, v, kv, z, kv, z, 1.0).shape == v.shape


@TYPES
@pytest.mark.parametrize("size", [3, 100, 1000])
def test_outputs_are_within_the_hull_of_the_values_or_not_numbers(problem, dtype, size):
    case = problem.random(N=150, D=8, E=16)
    basis = torch.linalg.qr(case.q[0, :8, 0].double())[0].float()
    case = replace(
        case,
        q=case.q[..., :4] @ basis[:4] * size,
        k=case.k[..., :4] @ basis[4:] * size,
    ).map(lambda x: x.to(dtype))
    y, denominator, kv, z = case.forward()
    step = fused.step(*(x[:, -1] for x in (case.q, case.k, case.v)), kv, z, kv, z, case.scale)
    slack = (1e-3 if dtype == torch.float32 else 0.2) * case.v.abs().max()
    for output in (y, step[:, None]):
        near = (output <= case.v.amax(1) + slack) & (output >= case.v.amin(1) - slack)
        assert (near | output.isnan()).all()
    assert y[:, :30].isfinite().all()  # the first chunk reads no state
    assert torch.equal(y[..., 0].isnan(), denominator.isnan())
    if size == 3 and dtype == torch.float32:
        assert y.isfinite().all()
    elif dtype == torch.float32:
        assert y[:, -1].isnan().all()
        assert step.isnan().all()
