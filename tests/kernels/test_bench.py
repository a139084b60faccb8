"""Memory and time of the backends, and the meter that measures them."""

import pytest
import torch

from kernels import Backend, bench, prefix_linear_attention, prefix_state, read_state
from kernels.bench import peak_bytes, scaling

H, D, E = 1, 16, 8


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


def peak(backend: Backend, length: int, *, gradients: bool) -> int:
    q, v = torch.zeros(1, length, H, D), torch.zeros(1, length, H, E)
    tensors = [x.clone().requires_grad_(gradients) for x in (q, q, v, q[:, ::2], v[:, ::2])]

    def call() -> None:
        y = prefix_linear_attention(*tensors, backend=backend)
        if gradients:
            y.sum().backward()

    return peak_bytes(call)


@pytest.mark.parametrize("gradients", [False, True])
def test_memory_is_linear(gradients: bool) -> None:
    short, long = (peak("chunked", length, gradients=gradients) for length in (1024, 2048))
    assert long < 2.2 * short
    # The same meter tells a quadratic form from a linear one.
    short, long = (peak("reference", length, gradients=gradients) for length in (512, 1024))
    assert long > 3.5 * short


def test_features_exist_for_one_chunk_only() -> None:
    length = 4096
    features = 4 * length * H * 153  # bytes of φ at every position
    q, v = torch.zeros(1, length, H, D), torch.zeros(1, length, H, E)
    assert peak("chunked", length, gradients=False) < features / 2
    assert peak("chunked", length, gradients=True) < features
    assert peak_bytes(lambda: read_state(q, prefix_state(q, v))) < features / 2


def test_scaling_reports_every_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "REFERENCE_LIMIT", 2048)
    threads = torch.get_num_threads()
    rows = scaling((1024, 2048, 4096), heads=1, repeats=3, threads=1)
    assert torch.get_num_threads() == threads
    assert [row.length for row in rows] == [1024, 2048, 4096]
    assert rows[0].growth is None
    assert rows[1].growth == rows[1].chunked_seconds / rows[0].chunked_seconds
    assert rows[1].speedup == rows[1].reference_seconds / rows[1].chunked_seconds
    assert rows[1].speedup > 2
    assert rows[1].reference_bytes > 3.5 * rows[0].reference_bytes
    assert rows[2].chunked_bytes < 2.2 * rows[1].chunked_bytes
    assert (rows[2].reference_seconds, rows[2].reference_bytes, rows[2].speedup) == (None,) * 3


def test_scaling_with_gradients_takes_more_memory() -> None:
    (forward,), (both,) = (
        scaling((256,), heads=1, repeats=1, gradients=gradients) for gradients in (False, True)
    )
    assert both.chunked_bytes > forward.chunked_bytes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": ()}, r"lengths must be one or more numbers from 1, got \(\)"),
        ({"lengths": (8, 0)}, r"lengths must be one or more numbers from 1, got \(8, 0\)"),
        ({"lengths": (8,), "repeats": 0}, "repeats must be at least 1, got 0"),
        ({"lengths": (8,), "threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_scaling_errors(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scaling(**arguments)
