"""Functions of tensors as compiled programs: traced, compiled by AOTInductor, kept on disk.

Compiling takes half a minute or more and g++ (or the compiler that ``CXX`` names); a program that
was compiled before, by any process of this user on this kind of machine, is loaded in no time. The
programs lie in ``~/.cache/sdsim/compiled`` (or under ``XDG_CACHE_HOME``), 1 to 5 MB each; those
that were not used for longest are deleted beyond `_CACHE_BYTES`. The folder may be deleted at any
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import platform
import shutil
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias
from uuid import uuid4

import torch
from filelock import FileLock
from torch import Tensor, fx

from sdsim.files import write_text
from sdsim.reading import READ_ERRORS, read_object

logger = logging.getLogger(__name__)

Function: TypeAlias = Callable[..., Sequence[Tensor]]
"""Of tensors, without side effects."""

_FORMAT = 1  # of the programs; to be raised when they are compiled otherwise
_CACHE_BYTES = 2**30
_SECONDS_PER_NODE = 0.03  # of the graph; what compiling took elsewhere
_WEIGHT = 3  # measurements here that it counts like: the first may be of a machine that was busy
_LEAST_SECONDS = 15.0


def cache_folder() -> Path:
    """Where compiled programs are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(home) / "sdsim" / "compiled"


def why_not() -> str | None:
    """Why nothing can be compiled here; None where it can."""
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        return f"there is no C++ compiler ({compiler})"
    return None


@dataclass(frozen=True)
class CompiledProgram:
    """A function as machine code.

    Attributes:
        function: what it computes.
        seconds: that compiling it took, now or before.
    """

    function: Function
    seconds: float

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        return self.function(*inputs)


def compiled(function: Function, inputs: Sequence[Tensor]) -> CompiledProgram:
    """`Trace.compile` of the function's trace."""
    return Trace.of(function, inputs).compile()


@dataclass(frozen=True)
class Trace:
    """A function as the graph of operators that it is for tensors of these shapes.

    Attributes:
        graph: of torch.fx.
        inputs: an example of what it takes, contiguous.
    """

    graph: fx.GraphModule
    inputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, function: Function, inputs: Sequence[Tensor]) -> Trace:
        """Trace a function: a second or two."""
        from torch.fx.experimental.proxy_tensor import make_fx  # imports the compiler's front end

        inputs = tuple(tensor.contiguous() for tensor in inputs)
        return cls(make_fx(function)(*inputs), inputs)

    @cached_property
    def path(self) -> Path:
        """The file of its program: named for all that the program depends on."""
        parts = [
            str(_FORMAT),
            torch.__version__,
            str(torch.get_num_threads()),
            _processor(),
            self.graph.code,
            *(f"{tuple(tensor.shape)} {tensor.dtype} {tensor.device}" for tensor in self.inputs),
            *(f"{name} {value.tolist()}" for name, value in self._constants()),
        ]
        digest = hashlib.sha256("\0".join(parts).encode())
        return cache_folder() / f"{digest.hexdigest()[:32]}.pt2"

    def seconds_to_compile(self) -> float:
        """What compiling it will take: 0 if it has been, else by what it took of other graphs."""
        if self.path.exists():
            return 0.0
        return max(_LEAST_SECONDS, _seconds_per_node() * len(self.graph.graph.nodes))

    def compile(self) -> CompiledProgram:
        """The function as a program, of the cache where it is there.

        Other processes that want the same program wait for the one that compiles it.

        Raises:
            RuntimeError: where it cannot be compiled.
        """
        path = self.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if path.exists():
                    with contextlib.suppress(RuntimeError, OSError):  # damaged, or deleted since
                        return _load(path)
                self._build(path)
                return _load(path)
        except OSError as error:
            raise RuntimeError(f"{path.parent} cannot be used: {error}") from error

    def _build(self, path: Path) -> None:
        if reason := why_not():
            raise RuntimeError(reason)
        nodes = len(self.graph.graph.nodes)
        logger.info("compiling %d operators into %s", nodes, path)
        started = time.monotonic()
        partial = path.with_name(f".{uuid4().hex}.pt2")
        try:
            with _quiet_compiler(), torch.no_grad():
                program = torch.export.export(self.graph, self.inputs, strict=False)
                torch._inductor.aoti_compile_and_package(program, package_path=str(partial))
            seconds = time.monotonic() - started
            write_text(path.with_suffix(".json"), json.dumps({"nodes": nodes, "seconds": seconds}))
            partial.replace(path)
        except (OSError, KeyboardInterrupt):
            raise
        except Exception as error:  # of whatever kind: the compiler has many
            line = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise RuntimeError(f"it cannot be compiled: {line[0]}") from error
        finally:
            partial.unlink(missing_ok=True)
        _prune(path.parent)

    def _constants(self) -> Iterator[tuple[str, Tensor]]:
        """Tensors that the function made from Python's numbers."""
        for name, value in sorted(vars(self.graph).items()):
            if isinstance(value, Tensor):
                yield name, value
        yield from self.graph.named_buffers()


@contextlib.contextmanager
def _quiet_compiler() -> Iterator[None]:
    """One thread, none of its warnings, and nothing left of the files that it works with."""
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    options = {"compile_threads": 1, "cpp.threads": torch.get_num_threads()}
    with warnings.catch_warnings(), config.patch(options), fresh_cache():
        warnings.simplefilter("ignore")
        yield


def _load(path: Path) -> CompiledProgram:
    os.utime(path)  # it is in use
    function: Function = torch._inductor.aoti_load_package(str(path), run_single_threaded=True)
    return CompiledProgram(function, _measured(path.with_suffix(".json")).get("seconds", 0.0))


def _measured(path: Path) -> dict[str, float]:
    """What is known of a program's compilation; nothing where the file is damaged or gone."""
    with contextlib.suppress(*READ_ERRORS, KeyError, TypeError):
        found = read_object(path)
        return {name: float(found[name]) for name in ("nodes", "seconds")}
    return {}


def _seconds_per_node() -> float:
    """The median of all that was compiled here, and of some that were elsewhere."""
    known = [_measured(path) for path in cache_folder().glob("*.json")]
    rates = [each["seconds"] / each["nodes"] for each in known if each.get("nodes", 0) > 0]
    return statistics.median(rates + [_SECONDS_PER_NODE] * _WEIGHT)


def _prune(folder: Path) -> None:
    """Delete what was not used for longest."""
    programs = []
    for path in folder.glob("[!.]*.pt2"):  # not those that are being written
        with contextlib.suppress(FileNotFoundError):  # another process has deleted it
            programs.append((path.stat().st_mtime, path.stat().st_size, path))
    total = 0
    for _, size, path in sorted(programs, reverse=True):
        total += size
        if total > _CACHE_BYTES:  # their locks stay: somebody may hold one
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def _processor() -> str:
    """The kind of processor: a program holds its own instructions."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = sorted({line for line in lines if line.startswith(("flags", "Features"))})
        return f"{platform.machine()} {flags}"
    return f"{platform.machine()} {platform.processor()} {torch.backends.cpu.get_cpu_capability()}"
