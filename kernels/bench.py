"""How long prefill, decoding and training take beside what else there is, and beside the limit.

Numbers only: `sdsim bench` prints them, `python -m kernels` writes them where `sdsim` is not
installed.  All methods of a case are timed turn by turn, so that what else the machine does hits
all alike.
"""

import importlib
import platform
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kernels.interface import Backend, prefix_linear_attention, prefix_linear_attention_step
from kernels.state import PrefixState

What = Literal["prefill", "decode", "train"]

_COPIES = 8  # of the largest tensor, that the quadratic form holds at once


class UnavailableError(Exception):
    """A method cannot be run for a case; says why."""


@dataclass(frozen=True)
class Case:
    """What is computed: `length` tokens of `batch` sequences, half of them the prefix.

    Attributes:
        what: "prefill", the whole sequence; "train", the same with its gradients; "decode", one
            token after `length` others.
        batch, length: B, N.
        dtype, device: of all inputs.
        heads, feature_dim, head_dim: H, D, E.
    """

    what: What
    batch: int
    length: int
    dtype: torch.dtype
    device: torch.device
    heads: int = 16
    feature_dim: int = 16
    head_dim: int = 64

    @property
    def prefix(self) -> int:
        """M, tokens of the encoder."""
        return self.length // 2

    @property
    def work(self) -> tuple[int, int]:
        """Bytes and operations (a multiplication and an addition are two) that JRT-RNN needs.

        Every input is read once and every output written once.  Operations are those of the
        cheaper of two ways, the recurrence and, for short sequences, the quadratic form.

        In the recurrence a token costs 2F(E+1) operations each time that it enters a state or
        reads one, and as many where a gradient is pulled back through that.  Forward: a decoder
        token enters and reads, an encoder token enters.  Backward: the states are made again; a
        query's gradient is pulled and enters the gradient's state, a key's is pulled, a value's
        read.  In the quadratic form each pair of a query and a key that it sees costs 2D for the
        score and 2E for the output; backward 2D for the score again, 2E for the gradients of the
        weight and of the value each, 2D for those of the query and of the key each.
        """
        B, N, M, H, D, E = (
            self.batch,
            self.length,
            self.prefix,
            self.heads,
            self.feature_dim,
            self.head_dim,
        )
        features = (D + 1) * (D + 2) // 2
        move = 2 * B * H * features * (E + 1)
        if self.what == "decode":
            state = 4 * B * H * features * (E + 1)  # float32
            return 2 * state + B * H * (2 * D + 2 * E) * self.dtype.itemsize, 2 * move
        inputs = B * H * (N * (2 * D + E) + M * (D + E))
        output = B * H * N * E
        pairs = 2 * B * H * (N * (N + 1) // 2 + N * M)
        if self.what == "prefill":
            operations = min(move * (2 * N + M), pairs * (D + E))
            return (inputs + output) * self.dtype.itemsize, operations
        operations = min(move * (7 * N + 4 * M), pairs * (4 * D + 3 * E))
        return (3 * inputs + 3 * output) * self.dtype.itemsize, operations


@dataclass(frozen=True)
class Ceilings:
    """What the device reached in the best of some trials.

    Attributes:
        bytes_per_second: read and written by a copy between two large tensors.
        operations_per_second: of a large matrix product in the case's dtype.
    """

    bytes_per_second: float
    operations_per_second: float

    def seconds(self, case: Case) -> float:
        """The least time that JRT-RNN's work can take: that of its bytes or of its operations."""
        needed_bytes, operations = case.work
        return max(needed_bytes / self.bytes_per_second, operations / self.operations_per_second)


@dataclass(frozen=True)
class Timing:
    """One method in one case.

    Attributes:
        what, batch, length: of the case.
        method: a name of `METHODS`.
        seconds, seconds_low, seconds_high: median and quartiles of the calls; None if not run.
        calls: how many were timed.
        speedup: seconds of torch's own attention (the fastest that ran) over these; None without.
        needed_bytes, needed_operations: the work of JRT-RNN, `Case.work`.
        limit: seconds in which the device could do that work.
        attained: limit / seconds, for the methods that compute JRT-RNN; else None.
        peak_bytes: most bytes held at once by tensors that a call makes, its result included.
        reason: why it was not run.
    """

    what: What
    batch: int
    length: int
    method: str
    seconds: float | None
    seconds_low: float | None
    seconds_high: float | None
    calls: int
    speedup: float | None
    needed_bytes: int
    needed_operations: int
    limit: float
    attained: float | None
    peak_bytes: int | None
    reason: str | None


def measure(
    cases: Sequence[Case],
    ceilings: Ceilings,
    *,
    methods: Sequence[str] | None = None,
    repeats: int = 9,
    patience: float = 60.0,
    memory: float = 8e9,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Timing]:
    """Time every method in every case, in the order given.

    Args:
        cases: the shorter first, lest `patience` know nothing.
        methods: names of `METHODS`; None = all.
        repeats: timed calls of each, after one that warms up; at most 3 of calls of a second or
            more.
        patience: seconds that the timed calls of a method in a case may take; the first is made
            whatever it takes.  Where twice the time at half the length exceeds it, none is.
        memory: bytes.  A case with larger inputs is not run, nor the quadratic form where it
            would hold more at once; the other methods hold about as much as their inputs.
        progress: told after each case how many are done.

    Raises:
        ValueError: a name is unknown, or `repeats` below 1.
    """
    names = list(METHODS) if methods is None else list(methods)
    if unknown := [name for name in names if name not in METHODS]:
        raise ValueError(f"methods must be of {', '.join(METHODS)}, got {', '.join(unknown)}")
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    known: dict[tuple[str, int, int, str], float] = {}
    timings = []
    for done, case in enumerate(cases):
        timings += _measure_case(case, ceilings, names, repeats, patience, memory, known)
        progress(done + 1, len(cases))
    return timings


def _measure_case(
    case: Case,
    ceilings: Ceilings,
    names: Sequence[str],
    repeats: int,
    patience: float,
    memory: float,
    known: dict[tuple[str, int, int, str], float],
) -> list[Timing]:
    too_large = _input_bytes(case) > memory
    inputs = None if too_large else _inputs(case)
    calls: dict[str, Callable[[], object]] = {}
    reasons: dict[str, str] = {}
    peaks: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}
    for name in names:
        half = known.get((case.what, case.batch, case.length // 2, name), 0.0)
        try:
            if inputs is None:
                raise UnavailableError(f"inputs of more than {memory / 1e9:g} GB")
            if 2 * half > patience:
                # Passed on, lest twice the length be tried.
                known[case.what, case.batch, case.length, name] = 2 * half
                raise UnavailableError(f"more than {patience:g} s")
            call = METHODS[name](case, inputs, memory)
            peaks[name] = peak_bytes(call)  # and warms up
            calls[name] = call
        except (UnavailableError, RuntimeError) as error:
            reasons[name] = str(error).split("\n")[0]
    for turn in range(repeats):
        for name, call in calls.items():
            times = seconds.setdefault(name, [])
            first = times[0] if times else 0.0
            if (turn + 1) * first < patience and (first < 1 or turn < 3):
                times.append(_seconds(call, case.device))
    medians = {name: median(times) for name, times in seconds.items()}
    known |= {(case.what, case.batch, case.length, name): x for name, x in medians.items()}
    softmax = [medians[name] for name in medians if name.startswith("sdpa")]

    def row(name: str) -> Timing:
        taken = medians.get(name)
        times = seconds.get(name, [])
        low, _, high = quantiles(times, n=4, method="inclusive") if len(times) > 1 else [taken] * 3
        limit = ceilings.seconds(case)
        ours = name.startswith("jrt-rnn")
        return Timing(
            case.what,
            case.batch,
            case.length,
            name,
            taken,
            low,
            high,
            len(times),
            min(softmax) / taken if softmax and taken is not None else None,
            *case.work,
            limit,
            limit / taken if ours and taken is not None else None,
            peaks.get(name),
            reasons.get(name),
        )

    return [row(name) for name in names]


def ceilings(device: torch.device, dtype: torch.dtype, *, trials: int = 15) -> Ceilings:
    """Measure both ceilings of `device` for `dtype`."""
    large = device.type != "cpu"
    size, numbers = (8192, 1 << 29) if large else (2048, 1 << 26)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(numbers, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    product = _best(lambda: a @ b, device, trials)
    copy = _best(lambda: target.copy_(source), device, trials)
    return Ceilings(2 * numbers / copy, 2 * size**3 / product)


def device_name(device: torch.device) -> str:
    """What a reader knows the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_model()}, {threads} thread{'s' if threads > 1 else ''}"


def _cpu_model() -> str:
    """As Linux knows it; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else f"{platform.machine()} CPU"


def versions() -> dict[str, str]:
    """Of what the numbers depend on; only what is installed."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("triton", "flash-linear-attention"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def threads(number: int) -> Iterator[None]:
    """torch with `number` threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def peak_bytes(call: Callable[[], object]) -> int:
    """Most bytes held at once, while `call` runs, by tensors that it made, its result included.

    Counts every storage from the operation that made it until torch frees it, in the backward
    pass too, on whatever device.  Unlike the process's resident memory this repeats exactly and
    is not blurred by the allocator.  What an operator of torch holds inside is not seen: of the
    chunks, some megabytes of buffers whatever the length.
    """
    meter = _StorageMeter()
    with meter:
        call()
    return meter.peak


class _StorageMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._held = 0
        self._known: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        given = _storages((args, kwargs))
        result = func(*args, **kwargs)
        for storage in _storages(result):
            if storage not in self._known and storage not in given:
                self._add(storage)
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        size = storage.nbytes()
        self._known.add(storage)
        self._held += size
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self._held -= size


def _storages(tree: object) -> list[torch.UntypedStorage]:
    return [x.untyped_storage() for x in tree_leaves(tree) if isinstance(x, Tensor)]


def _best(call: Callable[[], object], device: torch.device, trials: int) -> float:
    call()
    return min(_seconds(call, device) for _ in range(trials))


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    taken = time.perf_counter() - start
    del result
    return taken


@dataclass(frozen=True)
class _Inputs:
    """q, k, v, k_enc, v_enc of linear attention; q, k, v of softmax attention, heads first.

    For "decode" q, k and v are one token, and the softmax keys and values the `length` before it.
    """

    linear: tuple[Tensor, ...]
    softmax: tuple[Tensor, ...]


def _input_bytes(case: Case) -> int:
    """About what `_inputs` makes: softmax attention's are never the smaller."""
    size = case.feature_dim + case.head_dim
    return 6 * case.batch * case.length * case.heads * size * case.dtype.itemsize


def _inputs(case: Case) -> _Inputs:
    generator = torch.Generator(case.device).manual_seed(case.length)
    B, N, H, D, E = case.batch, case.length, case.heads, case.feature_dim, case.head_dim

    def numbers(*shape: int) -> Tensor:
        x = torch.randn(*shape, generator=generator, device=case.device, dtype=case.dtype)
        return x.requires_grad_(case.what == "train")

    queries = 1 if case.what == "decode" else N
    lengths = ((queries, D), (queries, D), (queries, E), (case.prefix, D), (case.prefix, E))
    linear = tuple(numbers(B, n, H, size) for n, size in lengths)
    softmax = tuple(numbers(B, H, n, E) for n in (queries, N, N))
    return _Inputs(linear, softmax)


_Method = Callable[[Case, _Inputs, float], Callable[[], object]]


def _with_gradients(case: Case, call: Callable[..., Tensor], *x: Tensor) -> Callable[[], object]:
    """`call`, and for "train" its backward pass too."""
    if case.what != "train":
        return lambda: call(*x)
    leaves = [one for one in x if one.requires_grad]

    def run() -> object:
        y = call(*x)
        return torch.autograd.grad(y, leaves, torch.ones_like(y))

    return run


def _step(case: Case, inputs: _Inputs, backend: Backend) -> Callable[[], object]:
    state = PrefixState.zeros(
        case.batch, case.heads, case.feature_dim, case.head_dim, case.dtype, case.device
    )
    q, k, v = (x[:, 0] for x in inputs.linear[:3])
    state.k[..., 0] = case.length  # as if so many tokens had been read
    return lambda: prefix_linear_attention_step(q, k, v, state, in_place=True, backend=backend)


def _linear(backend: Backend, *, encoder: bool = True, passes: int = 1) -> _Method:
    def prepare(case: Case, inputs: _Inputs, memory: float) -> Callable[[], object]:
        if case.what == "decode":
            if not encoder or backend == "reference":
                raise UnavailableError("decodes as jrt-rnn does")
            return _step(case, inputs, backend)
        if backend == "reference":
            weights = 4 * case.batch * case.heads * case.length * (case.length + case.prefix)
            if _COPIES * weights > memory:
                raise UnavailableError(f"more than {memory / 1e9:g} GB")
        x = inputs.linear if encoder else inputs.linear[:3]
        if passes > 1:
            x = tuple(one.detach().repeat(1, passes, 1, 1) for one in x)
            x = tuple(one.requires_grad_(case.what == "train") for one in x)
        return _with_gradients(
            case, lambda *given: prefix_linear_attention(*given, backend=backend), *x
        )

    return prepare


def _softmax(backend: SDPBackend) -> _Method:
    """torch's `scaled_dot_product_attention`, by one of its implementations."""

    def prepare(case: Case, inputs: _Inputs, memory: float) -> Callable[[], object]:
        on_cpu = case.device.type == "cpu"
        if on_cpu and backend != SDPBackend.FLASH_ATTENTION:
            raise UnavailableError("for CUDA devices only")
        causal = case.what != "decode"

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(q, k, v, is_causal=causal)

        try:  # the shape may be refused, at no cost at this length
            attend(*(x[:, :, :16].detach() for x in inputs.softmax))
        except RuntimeError as error:
            raise UnavailableError(str(error).split("\n")[0]) from None
        return _with_gradients(case, attend, *inputs.softmax)

    return prepare


def _fla(name: str) -> _Method:
    """Based's causal kernels in flash-linear-attention, which has no prefix version."""

    def prepare(case: Case, inputs: _Inputs, memory: float) -> Callable[[], object]:
        if find_spec("fla") is None:
            raise UnavailableError("flash-linear-attention is not installed")
        if case.device.type == "cpu":
            raise UnavailableError("for CUDA devices only")
        if case.what == "decode":
            raise UnavailableError("has no step")
        operator = getattr(importlib.import_module("fla.ops.based"), name)

        def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            y: Tensor = operator(q, k, v, use_norm=True)
            return y

        return _with_gradients(case, attend, *inputs.linear[:3])

    return prepare


METHODS: dict[str, _Method] = {
    "jrt-rnn": _linear("auto"),
    "jrt-rnn, quadratic": _linear("reference"),
    "based": _linear("auto", encoder=False),
    "jrt-prompt": _linear("auto", encoder=False, passes=2),
    "sdpa, flash": _softmax(SDPBackend.FLASH_ATTENTION),
    "sdpa, cudnn": _softmax(SDPBackend.CUDNN_ATTENTION),
    "sdpa, efficient": _softmax(SDPBackend.EFFICIENT_ATTENTION),
    "fla parallel_based": _fla("parallel_based"),
    "fla fused_chunk_based": _fla("fused_chunk_based"),
}
"""What is timed: prefix linear attention (M = N/2), its definition, the causal form (Based), that
on the prompt twice (2N tokens), softmax attention, and Based's kernels elsewhere."""
