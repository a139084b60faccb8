"""The folder copied into another project, under another name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import kernels

FOLDER = Path(kernels.__file__).parent

# The import loads nothing but the copy, torch and the standard library.
IMPORT = """
import sys
import torch

before = set(sys.modules)
import borrowed_kernels
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
assert loaded <= {"borrowed_kernels", *sys.stdlib_module_names}, loaded
"""

# More tokens than one chunk has, so that "chunked" is not the definition itself.
USE = """
from borrowed_kernels import prefix_linear_attention
from borrowed_kernels.bench import Case, Roofline, measure

generator = torch.Generator().manual_seed(0)
shapes = [(1, 200, 2, 3), (1, 200, 2, 3), (1, 200, 2, 4), (1, 90, 2, 3), (1, 90, 2, 4)]
inputs = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
results = []
for backend in ("reference", "chunked"):
    y = prefix_linear_attention(*inputs, backend=backend)
    results.append([y, *torch.autograd.grad(y.sin().sum(), inputs)])
torch.testing.assert_close(*results)
assert hasattr(torch.ops.borrowed_kernels, "chunked_attention")

case = Case("prefill", 1, 200, torch.float32, torch.device("cpu"))
(timing,) = measure([case], Roofline(1e9, 1e9), methods=["jrt-rnn"], repeats=1)
assert timing.seconds > 0, timing.reason
"""

TRITON = """
device = "cuda" if torch.cuda.is_available() else "cpu"  # without a GPU, the interpreter
few = [x[:, :5].to(device) for x in inputs]
fused, exact = (prefix_linear_attention(*few, backend=name) for name in ("triton", "reference"))
torch.testing.assert_close(fused, exact)
"""

ALONE = """
assert not {"kernels", "synthetic", "sdsim"} & set(sys.modules)
"""

BESIDE = """
import kernels

assert torch.equal(kernels.prefix_linear_attention(*inputs), prefix_linear_attention(*inputs))
assert torch.ops.kernels.chunked_attention is not torch.ops.borrowed_kernels.chunked_attention
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(
        FOLDER, tmp_path / "borrowed_kernels", ignore=shutil.ignore_patterns("__pycache__")
    )
    return tmp_path


def run(project: Path, *arguments: str, path: str = "") -> str:
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": f"{project}{path}"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_a_copy_works_alone(project: Path) -> None:
    run(project, "-c", IMPORT + USE + ALONE)


def test_the_fused_kernels_of_a_copy_work_alone(project: Path) -> None:
    pytest.importorskip("triton")
    run(project, "-c", IMPORT + USE + TRITON + ALONE)


def test_a_copy_works_beside_the_original(project: Path) -> None:
    run(project, "-c", IMPORT + USE + BESIDE, path=f"{os.pathsep}{FOLDER.parent}")


def test_a_copy_is_a_command(project: Path) -> None:
    assert "FOLDER" in run(project, "-m", "borrowed_kernels", "--help")
