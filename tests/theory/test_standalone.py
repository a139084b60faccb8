"""The folder works under another name, in a project that has nothing else of ours."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import sympy

import theory

FOLDER = Path(theory.__file__).parent

PROGRAM = """
import sys
import borrowed

assert "sympy" not in sys.modules, "opening it loads sympy"
assert borrowed.one_pass_bits(32, 12) == 28
from borrowed.claims.verify import CLAIMS, verify

(claim,) = (claim for claim in CLAIMS if claim.name == "G.20")
(verdict,) = verify([claim])
assert verdict.finding == "holds", verdict.scope
assert borrowed.one_pass_bits.__module__ == "borrowed.one_pass.exact"
ours = {"theory", "sdsim", "synthetic", "kernels", "figures"} & set(sys.modules)
assert not ours, ours
print(verdict.instances)
"""


def test_a_copy_under_another_name_bounds_and_verifies(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "borrowed", ignore=shutil.ignore_patterns("__pycache__"))
    # -S leaves out an editable install of ours; the libraries are found by their path.
    libraries = {str(Path(library.__file__).parents[1]) for library in (numpy, sympy)}
    setup = f"import sys; sys.path += {[str(tmp_path), *libraries]!r}"
    command = [sys.executable, "-I", "-S", "-c", f"{setup}\n{PROGRAM}"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert outcome.returncode == 0, outcome.stderr
    assert int(outcome.stdout) > 0


def test_no_module_imports_the_package_by_its_name() -> None:
    """Not even in an example, which would then be one of another package."""
    imports = re.compile(r"^\s*(?:>>> )?(?:from|import) theory\b", re.MULTILINE)
    found = [str(path) for path in FOLDER.rglob("*.py") if imports.search(path.read_text())]
    assert not found
