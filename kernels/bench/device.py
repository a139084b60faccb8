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


@dataclass(frozen=True)
class Roofline:
    """The most that a device does per second, measured: the best of several trials.

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


def measure_roofline(device: torch.device, dtype: torch.dtype, *, trials: int = 15) -> Roofline:
    """Measure both rates of `device` for `dtype`."""
    size, numbers = (2048, 1 << 26) if device.type == "cpu" else (8192, 1 << 29)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(numbers, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)
    product = _best_seconds(lambda: a @ b, device, trials)
    copy = _best_seconds(lambda: target.copy_(source), device, trials)
    return Roofline(2 * numbers / copy, 2 * size**3 / product)


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
