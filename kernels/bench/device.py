"""The device: its name, its software, its roofline."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from .case import Case
from .meters import seconds_taken

_LONG_PRODUCT = 0.5  # seconds


@dataclass(frozen=True)
class Roofline:
    """The most that a device does per second, measured: the best of several trials.

    Attributes:
        bytes_per_second: read and written by a copy between two large tensors.
        operations_per_second: of a large matrix product in the case's dtype, or in float32 where
            that is faster (some CPUs have no instructions for float16).
    """

    bytes_per_second: float
    operations_per_second: float

    def seconds(self, case: Case) -> float:
        """The least time that JRT-RNN's work can take: that of its bytes or of its operations."""
        needed_bytes, operations = case.work
        return max(needed_bytes / self.bytes_per_second, operations / self.operations_per_second)


def measure_roofline(device: torch.device, dtype: torch.dtype, *, trials: int = 15) -> Roofline:
    """Measure both rates of `device` for `dtype`, in some seconds however slow it is."""
    numbers = 1 << (26 if device.type == "cpu" else 29)
    source = torch.zeros(numbers, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    copy = _best_seconds(lambda: target.copy_(source), device, trials)
    rates = [_product_rate(device, each, trials) for each in {dtype, torch.float32}]
    return Roofline(2 * numbers / copy, max(rates))


def _product_rate(device: torch.device, dtype: torch.dtype, trials: int) -> float:
    """Operations per second, of matrices as large as a product in less than half a second allows.

    They are at most 2,048 by 2,048 on a CPU, 8,192 by 8,192 on a GPU.
    """

    def seconds(size: int, trials: int) -> float:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        return _best_seconds(lambda: a @ b, device, trials)

    size, largest = 128, 2048 if device.type == "cpu" else 8192
    while size < largest and 8 * seconds(size, 1) < _LONG_PRODUCT:
        size *= 2
    return 2 * size**3 / seconds(size, trials)


def _best_seconds(call: Callable[[], object], device: torch.device, trials: int) -> float:
    call()
    return min(seconds_taken(call, device) for _ in range(trials))


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's with the number of threads that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{_cpu_model()}, {threads} thread{'s' if threads > 1 else ''}"


def _cpu_model() -> str:
    """The model's name on Linux; elsewhere the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else f"{platform.machine()} CPU"


def versions() -> dict[str, str]:
    """The versions of the software that the numbers depend on, as far as it is installed."""
    found = {"python": platform.python_version(), "torch": torch.__version__}
    for name in ("triton", "flash-linear-attention"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def threads(number: int) -> Iterator[None]:
    """A context in which torch uses `number` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
