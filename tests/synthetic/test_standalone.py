"""The folder copied into another project, under another name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import synthetic

FOLDER = Path(synthetic.__file__).parent

SCRIPT = """
import doctest
import importlib
import pkgutil
import sys

import torch

before = set(sys.modules)
import borrowed_synthetic
loaded = {name.split(".")[0] for name in set(sys.modules) - before}
assert loaded <= {"borrowed_synthetic", *sys.stdlib_module_names}, loaded

batch = borrowed_synthetic.SetDisjointness(vocab_size=12, size_a=2, size_b=3).sample(1, seed=0)
assert batch.inputs.tolist() == [[0, 4, 5, 1, 9, 8, 4, 2]]
assert batch.targets[0, -1] == 4

examples = 0
for module in pkgutil.iter_modules(borrowed_synthetic.__path__, "borrowed_synthetic."):
    failed, attempted = doctest.testmod(importlib.import_module(module.name))
    assert failed == 0
    examples += attempted
assert examples > 0
assert not {"kernels", "synthetic", "sdsim"} & set(sys.modules)
"""


def test_a_copy_works_alone(tmp_path: Path) -> None:
    """It loads torch and the standard library only, and the examples of its docstrings hold."""
    shutil.copytree(
        FOLDER, tmp_path / "borrowed_synthetic", ignore=shutil.ignore_patterns("__pycache__")
    )
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
