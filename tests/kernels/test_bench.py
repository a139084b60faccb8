"""What is measured, and the meters: memory, time, the work needed and the roofline."""

import time
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from kernels import PrefixState, chunked, prefix_linear_attention, prefix_state, read_state
from kernels.bench import (
    METHODS,
    Case,
    Foresight,
    Roofline,
    What,
    measure,
    measure_roofline,
    peak_bytes,
)
from kernels.bench import device as bench_device
from kernels.bench import methods as bench_methods

H, D, E = 1, 16, 8
CPU = torch.device("cpu")


def test_the_meter_counts_what_is_held_at_once() -> None:
    kilobyte = 256  # float32 numbers

    def call() -> torch.Tensor:
        x = torch.zeros(kilobyte)
        y = x + 1  # x and y
        view = y[1:]  # a view holds nothing more
        del x, y
        return view * 2  # what the view holds, and the result

    given = torch.zeros(kilobyte)
    assert peak_bytes(call) == 2 * 1024
    assert peak_bytes(lambda: given.view(16, 16)) == 0
    assert peak_bytes(lambda: [torch.zeros(kilobyte) for _ in range(5)]) == 5 * 1024


def test_the_meter_sees_what_autograd_keeps() -> None:
    x = torch.zeros(256, requires_grad=True)

    def call() -> None:
        y = x.exp().exp().exp()  # each result is kept for the backward pass
        y.sum().backward()

    assert peak_bytes(call) >= 3 * 1024


def held(call: Callable[..., object], *tensors: Tensor) -> int:
    """Bytes that `call` holds beside its result."""
    results = [x for x in tree_leaves(call(*tensors)) if isinstance(x, Tensor)]
    return peak_bytes(lambda: call(*tensors)) - sum(x.nbytes for x in results)


def tensors(length: int) -> list[Tensor]:
    q, v = torch.zeros(1, length, H, D), torch.zeros(1, length, H, E)
    return [q, q, v, q[:, ::2], v[:, ::2]]


def test_the_chunks_take_the_same_memory_whatever_the_length() -> None:
    """Beside what goes in and comes out: so features exist for one chunk only."""

    def forward(*x: Tensor) -> object:
        return chunked.forward(*x, None, None, None, 1.0)

    def backward(*x: Tensor) -> object:
        y, denominators, kv, z = chunked.forward(*x, None, None, None, 1.0)
        gradients = chunked.backward(y, kv, z, *x, None, None, None, y, denominators, 1.0)
        return [y, denominators, kv, z, *gradients]

    for call in (forward, backward):
        short, long = (held(call, *tensors(length)) for length in (1024, 4096))
        assert short > 0
        assert long < 1.05 * short + 4 * (4096 - 1024) * D * 4  # dq is summed in a second tensor


def test_the_quadratic_form_takes_memory_that_grows_with_its_square() -> None:
    def reference(*x: Tensor) -> object:
        return prefix_linear_attention(*x, backend="reference")

    short, long = (held(reference, *tensors(length)) for length in (512, 1024))
    assert long > 3.5 * short


def test_non_causal_reading_takes_the_same_memory_whatever_the_length() -> None:
    q, _, v, _, _ = tensors(4096)
    features = 4 * 4096 * H * 153
    assert peak_bytes(lambda: read_state(q, prefix_state(q, v))) < features / 2


def case(what: What, length: int, *, batch: int = 1) -> Case:
    return Case(what, batch, length, torch.float32, torch.device("cpu"), 2, 4, 8)


ROOFLINE = Roofline(bytes_per_second=1e9, operations_per_second=1e9)
F = 15  # of D = 4


def test_the_work_of_prefill_by_hand() -> None:
    needed_bytes, operations = case("prefill", 600, batch=3).work
    tokens = 600 * (4 + 4 + 8 + 8) + 300 * (4 + 8)  # q, k, v, y; k_enc, v_enc
    assert needed_bytes == 4 * 3 * 2 * tokens
    assert operations == 3 * 2 * (2 * 600 + 300) * 2 * F * 9


@pytest.mark.parametrize(
    ("what", "length", "per_pair"), [("prefill", 6, 2 * (4 + 8)), ("train", 6, 8 * 4 + 6 * 8)]
)
def test_the_work_of_few_tokens_is_that_of_their_pairs(
    what: What, length: int, per_pair: int
) -> None:
    pairs = 6 * 7 // 2 + 6 * 3  # causal, and with the encoder's three keys
    assert case(what, length, batch=3).work[1] == 3 * 2 * pairs * per_pair


def test_the_work_of_training_by_hand() -> None:
    needed_bytes, operations = case("train", 600).work
    assert needed_bytes == 3 * case("prefill", 600).work[0]
    # Decoder: enters and reads; again, pulled, enters the gradient, pulled, read.  Encoder:
    # enters; again, pulled, read.
    assert operations == 2 * (7 * 600 + 4 * 300) * 2 * F * 9


def test_the_work_of_decoding_does_not_know_the_length() -> None:
    assert case("decode", 8).work == case("decode", 8000).work
    state, token = 2 * F * 9, 2 * (4 + 4 + 8 + 8)  # numbers, of two heads
    assert case("decode", 8).work == (4 * (2 * state + token), 2 * 2 * state)


def test_the_roofline_is_the_slower_of_bytes_and_operations() -> None:
    needed_bytes, operations = case("prefill", 640).work
    assert ROOFLINE.seconds(case("prefill", 640)) == operations / 1e9
    assert Roofline(1e6, 1e12).seconds(case("prefill", 640)) == needed_bytes / 1e6


@pytest.mark.parametrize("what", get_args(What))
def test_every_method_is_timed_or_says_why_not(what: What) -> None:
    reported = []
    timings = measure(
        [case(what, 64), case(what, 128)],
        ROOFLINE,
        repeats=4,
        progress=lambda done, total: reported.append((done, total)),
    )
    assert reported == [(1, 2), (2, 2)]
    assert [row.method for row in timings] == 2 * list(METHODS)
    for row in timings:
        assert (row.seconds is None) == (row.calls == 0) == (row.reason is not None)
        if row.seconds is not None:
            assert row.calls == 4
            assert 0 < row.seconds_low <= row.seconds <= row.seconds_high
            assert row.speedup is not None
        assert (row.attained is not None) == (
            row.seconds is not None and row.method.startswith("jrt-rnn")
        )
    ran = {row.method for row in timings if row.seconds is not None}
    quadratic = set() if what == "decode" else {"jrt-rnn, quadratic", "based", "jrt-prompt"}
    assert ran == {"jrt-rnn", "sdpa, flash"} | quadratic


def test_every_method_computes_what_its_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensors that reach the attention: how many tokens, how long an encoder."""
    seen = {}

    def spy(q: Tensor, k: Tensor, v: Tensor, *encoder: Tensor, backend: str) -> Tensor:
        seen[name] = (q.shape[1], *(x.shape[1] for x in encoder[:1]), backend)
        return v

    monkeypatch.setattr(bench_methods, "prefix_linear_attention", spy)
    for name in ("jrt-rnn", "jrt-rnn, quadratic", "based", "jrt-prompt"):
        measure([case("prefill", 64)], ROOFLINE, methods=[name], repeats=1)
    assert seen == {
        "jrt-rnn": (64, 32, "auto"),
        "jrt-rnn, quadratic": (64, 32, "reference"),
        "based": (64, "auto"),
        "jrt-prompt": (128, "auto"),
    }


def test_what_takes_too_long_or_too_much_is_not_run() -> None:
    lengths = [case("prefill", length) for length in (64, 128, 256, 512)]
    slow = measure(lengths, ROOFLINE, methods=["based"], max_seconds=1e-9)
    for later in slow:
        assert (later.calls, later.reason) == (0, "more than 1e-09 s")
    (large,) = measure(
        [case("prefill", 64)], ROOFLINE, methods=["jrt-rnn, quadratic"], max_bytes=1e5
    )
    assert (large.seconds, large.reason) == (None, "more than 0.0001 GB")
    (huge,) = measure([case("prefill", 2**40)], ROOFLINE, methods=["based"])
    assert (huge.seconds, huge.reason) == (None, "inputs of more than 8 GB")


def test_a_method_that_fails_costs_no_other_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Callable[[], object]:
        raise RuntimeError("no kernel for this\nand more")

    monkeypatch.setitem(METHODS, "based", broken)
    ours, theirs = measure([case("prefill", 64)], ROOFLINE, methods=["jrt-rnn", "based"], repeats=1)
    assert ours.calls == 1
    assert (theirs.calls, theirs.reason) == (0, "no kernel for this")


def test_softmax_attention_is_causal_but_for_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(q: Tensor, k: Tensor, v: Tensor, *, is_causal: bool) -> Tensor:
        flash = torch.backends.cuda.flash_sdp_enabled()
        others = torch.backends.cuda.math_sdp_enabled()
        seen.append((q.shape[2:], k.shape[2:], is_causal, flash, others))
        return v

    monkeypatch.setattr(bench_methods, "scaled_dot_product_attention", spy)
    for what in ("prefill", "decode"):
        measure([case(what, 64)], ROOFLINE, methods=["sdpa, flash"], repeats=1)
    assert ((64, 8), (64, 8), True, True, False) in seen
    assert all(causal == (queries == keys) for queries, keys, causal, *_ in seen)
    assert seen[-1] == ((1, 8), (64, 8), False, True, False)


def test_decoding_writes_over_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def spy(
        q: Tensor, k: Tensor, v: Tensor, state: PrefixState, *, in_place: bool, backend: str
    ) -> Tensor:
        seen.append((in_place, state.kv.shape, float(state.k[..., 0].min())))
        return v

    monkeypatch.setattr(bench_methods, "prefix_linear_attention_step", spy)
    measure([case("decode", 64)], ROOFLINE, methods=["jrt-rnn"], repeats=1)
    assert seen[-1] == (True, (1, 2, F, 8), 64)


def test_speedup_is_over_the_fastest_softmax() -> None:
    ours, theirs = measure(
        [case("prefill", 256)], ROOFLINE, methods=["jrt-rnn", "sdpa, flash"], repeats=3
    )
    assert theirs.speedup == 1
    assert ours.speedup == theirs.seconds / ours.seconds


def test_the_roofline_is_that_of_the_device() -> None:
    reached = measure_roofline(torch.device("cpu"), torch.float32, trials=1)
    assert 1e8 < reached.bytes_per_second < 1e13
    assert 1e9 < reached.operations_per_second < 1e15


@pytest.mark.parametrize(("seconds", "size"), [(0.05, 2048), (2.0, 128)])
def test_the_roofline_counts_what_is_done(
    monkeypatch: pytest.MonkeyPatch, seconds: float, size: int
) -> None:
    """And of a slow device, no large product is asked for."""
    monkeypatch.setattr(bench_device, "_best_seconds", lambda call, device, trials: seconds)
    reached = measure_roofline(torch.device("cpu"), torch.float16)
    assert reached.operations_per_second == 2 * size**3 / seconds
    assert reached.bytes_per_second == 2 * 2**26 / seconds  # read and written


def test_the_roofline_is_that_of_the_faster_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method may compute in float32 what it was given in float16."""
    slow = {torch.float16: 1e9, torch.float32: 5e9}
    monkeypatch.setattr(bench_device, "_product_rate", lambda device, dtype, trials: slow[dtype])
    assert measure_roofline(CPU, torch.float16, trials=1).operations_per_second == 5e9


def test_no_call_is_begun_that_would_exceed_the_limit() -> None:
    """On a clock of its own: a quadratic method at once far beyond the limit."""
    begun: list[int] = []

    def measured(size: int) -> float:
        begun.append(size)
        return (size / 64) ** 2

    foresight = Foresight(measured, lambda size: size // 2 if size > 16 else None, limit=50.0)
    assert foresight.seconds(1 << 20) > 50
    assert begun == [16, 32, 64, 128, 256], "each at most once, the next would take 64 s"
    assert foresight.seconds(256) == 16
    assert foresight.seconds(512) == 64
    foresight.learn(512, 70.0)
    assert foresight.seconds(1024) == 280


def test_a_slow_method_is_left_out_though_it_is_the_first_case(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[int] = []

    def slow(case: Case, inputs: object, max_bytes: float) -> Callable[[], object]:
        def call() -> None:
            begun.append(case.length)
            time.sleep(case.length / 100)

        return call

    monkeypatch.setitem(METHODS, "based", slow)
    ours, theirs = measure(
        [case("prefill", 4096)], ROOFLINE, methods=["jrt-rnn", "based"], repeats=1, max_seconds=2
    )
    assert ours.calls == 1
    assert (theirs.calls, theirs.reason) == (0, "more than 2 s")
    assert max(begun) <= 128


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["flash"]}, "methods must be of jrt-rnn, .*, got flash"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure([case("prefill", 8)], ROOFLINE, **arguments)
