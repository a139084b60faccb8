"""The backends, the steps and the state against the paper's formula, summed token by token."""

from dataclasses import dataclass, replace
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kernels import (
    Backend,
    PrefixState,
    chunked,
    prefix_linear_attention,
    prefix_linear_attention_step,
    prefix_state,
    read_state,
)

BACKENDS: tuple[Backend, ...] = ("reference", "chunked")


@dataclass(frozen=True)
class Case:
    """Inputs of one call; the initial state is kept as the tokens it was made of."""

    q: Tensor
    k: Tensor
    v: Tensor
    k_enc: Tensor | None
    v_enc: Tensor | None
    mask: Tensor | None
    scale: float | None
    k_before: Tensor | None
    v_before: Tensor | None
    chunk: int

    @property
    def initial_state(self) -> PrefixState | None:
        if self.k_before is None:
            return None
        return prefix_state(self.k_before, self.v_before, scale=self.scale)

    def run(self, backend: Backend) -> tuple[Tensor, PrefixState]:
        with mock.patch.object(chunked, "CHUNK", self.chunk):
            return prefix_linear_attention(
                self.q,
                self.k,
                self.v,
                self.k_enc,
                self.v_enc,
                mask=self.mask,
                scale=self.scale,
                initial_state=self.initial_state,
                return_state=True,
                backend=backend,
            )


def make_case(
    seed: int,
    *,
    batch: int = 2,
    length: int = 7,
    prefix: int | None = 3,
    heads: int = 2,
    feature_dim: int = 3,
    head_dim: int = 2,
    mask: str = "none",
    scale: float | None = None,
    before: int | None = None,
    chunk: int = 3,
) -> Case:
    """`prefix` None is a call without encoder, `before` None one without initial state."""
    generator = torch.Generator().manual_seed(seed)

    def normal(positions: int | None, size: int) -> Tensor | None:
        if positions is None:
            return None
        return torch.randn(batch, positions, heads, size, generator=generator, dtype=torch.float64)

    position = torch.arange(length).expand(batch, length)
    real = torch.randint(0, length + 1, (batch, 1), generator=generator)
    masks = {
        "none": None,
        "left": position >= length - real,
        "right": position < real,
        "any": torch.rand(batch, length, generator=generator) < 0.6,
    }
    return Case(
        q=normal(length, feature_dim),
        k=normal(length, feature_dim),
        v=normal(length, head_dim),
        k_enc=normal(prefix, feature_dim),
        v_enc=normal(prefix, head_dim),
        mask=masks[mask],
        scale=scale,
        k_before=normal(before, feature_dim),
        v_before=normal(before, head_dim),
        chunk=chunk,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    length = draw(st.integers(1, 11))
    return make_case(
        draw(st.integers(0, 2**31)),
        batch=draw(st.integers(1, 2)),
        length=length,
        prefix=draw(st.none() | st.integers(0, length)),
        heads=draw(st.integers(1, 2)),
        feature_dim=draw(st.integers(1, 4)),
        head_dim=draw(st.integers(1, 3)),
        mask=draw(st.sampled_from(["none", "left", "right", "any"])),
        scale=draw(st.none() | st.floats(0.1, 2.0)),
        before=draw(st.none() | st.integers(1, 4)),
        chunk=draw(st.integers(1, 6)),
    )


def unpacked_taylor(x: Tensor, scale: float) -> Tensor:
    """1 + D + D² features of a vector (D,), the paper's map."""
    x = x * scale**0.5
    return torch.cat([torch.ones(1, dtype=x.dtype), x, torch.outer(x, x).flatten() / 2**0.5])


def weighted_mean(
    query: Tensor, read: list[tuple[Tensor, Tensor]], head_dim: int, scale: float
) -> Tensor:
    numerator = torch.zeros(head_dim, dtype=query.dtype)
    denominator = torch.zeros((), dtype=query.dtype)
    for key, value in read:
        weight = unpacked_taylor(query, scale) @ unpacked_taylor(key, scale)
        numerator, denominator = numerator + weight * value, denominator + weight
    return numerator / denominator if read else numerator


def by_loops(case: Case) -> tuple[Tensor, list[list[list[tuple[Tensor, Tensor]]]]]:
    """y, and for each example and head all the (key, value) pairs that the state must hold."""
    B, N, H, D = case.q.shape
    E = case.v.shape[-1]
    scale = D**-0.5 if case.scale is None else case.scale
    real = torch.ones(B, N, dtype=torch.bool) if case.mask is None else case.mask
    M = 0 if case.k_enc is None else case.k_enc.shape[1]
    y = torch.zeros_like(case.v)
    read: list[list[list[tuple[Tensor, Tensor]]]] = [[[] for _ in range(H)] for _ in range(B)]
    for b in range(B):
        for h in range(H):
            pairs = read[b][h]
            if case.k_before is not None:
                pairs += zip(case.k_before[b, :, h], case.v_before[b, :, h], strict=True)
            pairs += [(case.k_enc[b, j, h], case.v_enc[b, j, h]) for j in range(M) if real[b, j]]
            for i in range(N):
                if real[b, i]:
                    pairs.append((case.k[b, i, h], case.v[b, i, h]))
                    y[b, i, h] = weighted_mean(case.q[b, i, h], pairs, E, scale)
    return y, read


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=0)


def assert_same_state(actual: PrefixState, expected: PrefixState) -> None:
    torch.testing.assert_close(actual.kv, expected.kv, atol=1e-10, rtol=1e-12)
    torch.testing.assert_close(actual.k, expected.k, atol=1e-10, rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_backends_equal_the_formula(case: Case) -> None:
    expected, read = by_loops(case)
    scale = case.q.shape[-1] ** -0.5 if case.scale is None else case.scale
    probe = case.q[:, :1]
    for backend in BACKENDS:
        y, state = case.run(backend)
        assert_same(y, expected)
        seen = read_state(probe, state, scale=case.scale)
        for b, heads in enumerate(read):
            for h, pairs in enumerate(heads):
                assert_same(
                    seen[b, 0, h],
                    weighted_mean(probe[b, 0, h], pairs, case.v.shape[-1], scale),
                )


@settings(deadline=None, max_examples=60)
@given(cases())
def test_chunked_equals_reference(case: Case) -> None:
    (y, state), (expected, expected_state) = case.run("chunked"), case.run("reference")
    assert_same(y, expected)
    assert_same_state(state, expected_state)


@pytest.mark.parametrize("length", [1, 127, 128, 129, 300])
@pytest.mark.parametrize("part", [None, 0.0, 0.5, 1.0])
def test_chunked_equals_reference_at_the_real_chunk_size(length: int, part: float | None) -> None:
    prefix = None if part is None else int(part * length)
    for mask, before in (("none", None), ("left", None), ("any", 2)):
        case = make_case(
            length,
            length=length,
            prefix=prefix,
            feature_dim=16,
            head_dim=8,
            mask=mask,
            before=before,
            chunk=chunked.CHUNK,
        )
        (y, state), (expected, expected_state) = case.run("chunked"), case.run("reference")
        assert_same(y, expected)
        assert_same_state(state, expected_state)


@settings(deadline=None, max_examples=40)
@given(cases())
def test_steps_equal_the_whole(case: Case) -> None:
    """From the first token on: the encoder is read into the state, then token by token."""
    case = replace(case, mask=None)
    batch, length, heads, feature_dim = case.q.shape
    state = case.initial_state or PrefixState.zeros(
        batch, heads, feature_dim, case.v.shape[-1], dtype=torch.float64
    )
    if case.k_enc is not None and case.k_enc.shape[1] > 0:
        state = prefix_state(case.k_enc, case.v_enc, scale=case.scale, initial_state=state)
    outputs = []
    for i in range(length):
        y, state = prefix_linear_attention_step(
            case.q[:, i], case.k[:, i], case.v[:, i], state, scale=case.scale
        )
        outputs.append(y)
    for backend in BACKENDS:
        whole, final = case.run(backend)
        assert_same(torch.stack(outputs, dim=1), whole)
        assert_same_state(state, final)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mask", ["none", "left", "any"])
def test_prefill_and_steps_equal_a_longer_forward(backend: Backend, mask: str) -> None:
    case = make_case(3, length=9, prefix=4, mask=mask)
    prompt = 6
    if case.mask is not None:
        case.mask[:, prompt:] = True
    whole, _ = case.run(backend)
    start = replace(
        case,
        q=case.q[:, :prompt],
        k=case.k[:, :prompt],
        v=case.v[:, :prompt],
        mask=None if case.mask is None else case.mask[:, :prompt],
    )
    y, state = start.run(backend)
    assert_same(y, whole[:, :prompt])
    for i in range(prompt, 9):
        y, state = prefix_linear_attention_step(case.q[:, i], case.k[:, i], case.v[:, i], state)
        assert_same(y, whole[:, i])


@settings(deadline=None, max_examples=40)
@given(cases())
def test_masked_equals_the_compacted_input(case: Case) -> None:
    if case.mask is None:
        return
    M = 0 if case.k_enc is None else case.k_enc.shape[1]
    for backend in BACKENDS:
        y, _ = case.run(backend)
        assert torch.equal(y[~case.mask], torch.zeros_like(y[~case.mask]))
        for b, real in enumerate(case.mask):
            if not real.any():
                continue

            def pick(x: Tensor | None, positions: Tensor, b: int = b) -> Tensor | None:
                return None if x is None else x[b : b + 1, : len(positions)][:, positions]

            compact = Case(
                q=pick(case.q, real),
                k=pick(case.k, real),
                v=pick(case.v, real),
                k_enc=pick(case.k_enc, real[:M]),
                v_enc=pick(case.v_enc, real[:M]),
                mask=None,
                scale=case.scale,
                k_before=None if case.k_before is None else case.k_before[b : b + 1],
                v_before=None if case.v_before is None else case.v_before[b : b + 1],
                chunk=case.chunk,
            )
            assert_same(y[b, real], compact.run(backend)[0][0])


@settings(deadline=None, max_examples=40)
@given(cases())
def test_reading_without_order(case: Case) -> None:
    """Every query reads all keys; and the keys' sum is the state that a forward leaves."""
    with mock.patch.object(chunked, "CHUNK", case.chunk):
        state = prefix_state(
            case.k, case.v, mask=case.mask, scale=case.scale, initial_state=case.initial_state
        )
        y = read_state(case.q, state, scale=case.scale)
    causal = replace(case, k_enc=None, v_enc=None)
    assert_same_state(state, causal.run("reference")[1])
    _, read = by_loops(causal)
    B, N, H, D = case.q.shape
    scale = D**-0.5 if case.scale is None else case.scale
    for b in range(B):
        for h in range(H):
            for i in range(N):
                expected = weighted_mean(case.q[b, i, h], read[b][h], case.v.shape[-1], scale)
                assert_same(y[b, i, h], expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunk", [2, 100])
def test_what_stands_at_masked_positions_does_not_matter(backend: Backend, chunk: int) -> None:
    case = make_case(5, length=7, prefix=4, mask="any", before=2, chunk=chunk)
    dirty = {}
    for name in ("q", "k", "v", "k_enc", "v_enc"):
        x = vars(case)[name].clone()
        x[~case.mask[:, : x.shape[1]]] = float("nan")
        dirty[name] = x
    y, state = replace(case, **dirty).run(backend)
    expected, expected_state = case.run(backend)
    assert torch.equal(y, expected)
    assert torch.equal(state.kv, expected_state.kv)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunk", [2, 100])
def test_a_query_without_any_key_gives_zero(backend: Backend, chunk: int) -> None:
    case = make_case(7, length=5, prefix=2, chunk=chunk)
    nothing = replace(case, mask=torch.zeros(2, 5, dtype=torch.bool))
    y, state = nothing.run(backend)
    assert torch.equal(y, torch.zeros_like(y))
    assert not state.kv.any()
    assert not state.k.any()
    assert not read_state(case.q, state).any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("chunk", [4, 100])
def test_half_types_are_summed_in_float32(backend: Backend, dtype: torch.dtype, chunk: int) -> None:
    case = make_case(11, length=13, prefix=5, feature_dim=8, head_dim=4, mask="left", chunk=chunk)
    names = ("q", "k", "v", "k_enc", "v_enc")
    half = {name: vars(case)[name].to(dtype) for name in names}
    rounded = {name: x.double() for name, x in half.items()}
    y, state = replace(case, **half).run(backend)
    expected, expected_state = replace(case, **rounded).run("reference")
    assert y.dtype == dtype
    assert state.kv.dtype == state.k.dtype == torch.float32
    torch.testing.assert_close(y.double(), expected, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(state.kv.double(), expected_state.kv, atol=1e-4, rtol=1e-5)

    token = tuple(half[name][:, 0] for name in ("q", "k", "v"))
    y, state = prefix_linear_attention_step(*token, state)
    assert y.dtype == dtype
    assert state.kv.dtype == torch.float32


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("chunk", [4, 100])
def test_autocast_does_not_change_the_sums(backend: Backend, chunk: int) -> None:
    case = make_case(13, length=13, prefix=5, chunk=chunk)
    names = ("q", "k", "v", "k_enc", "v_enc")
    case = replace(case, **{name: vars(case)[name].float() for name in names})
    expected, _ = case.run(backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = case.run(backend)
    assert torch.equal(y, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mask", ["none", "any"])
@pytest.mark.parametrize("chunk", [4, 100])
def test_memory_layout_does_not_matter(backend: Backend, chunk: int, mask: str) -> None:
    case = make_case(17, length=9, prefix=5, mask=mask, chunk=chunk)

    def strided(x: Tensor) -> Tensor:
        return x.permute(3, 2, 0, 1).contiguous().permute(2, 3, 1, 0)

    names = ("q", "k", "v", "k_enc", "v_enc")
    other = {name: strided(vars(case)[name]) for name in names}
    assert not other["q"].is_contiguous()
    y, _ = replace(case, **other).run(backend)
    assert_same(y, case.run(backend)[0])
    assert y.is_contiguous()
    assert read_state(case.q, case.run(backend)[1]).is_contiguous()


@pytest.mark.parametrize("backend", [*BACKENDS, "auto"])
def test_an_empty_batch(backend: Backend) -> None:
    for chunk in (4, 100):
        case = make_case(19, batch=0, length=9, prefix=5, mask="any", before=1, chunk=chunk)
        y, state = case.run(backend)
        assert y.shape == (0, 9, 2, 2)
        assert state.kv.shape == (0, 2, 10, 2)
        assert read_state(case.q, state).shape == y.shape


@pytest.mark.parametrize("backend", BACKENDS)
def test_shapes_can_be_followed_on_the_meta_device(backend: Backend) -> None:
    x, v = torch.empty(2, 300, 2, 4, device="meta"), torch.empty(2, 300, 2, 3, device="meta")
    y, state = prefix_linear_attention(x, x, v, x, v, return_state=True, backend=backend)
    assert y.shape == v.shape
    assert state.kv.shape == (2, 2, 15, 3)
