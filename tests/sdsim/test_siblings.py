"""Folders and packages that bear a name of ours neither stop the import nor are taken for ours."""

import subprocess
import sys
from pathlib import Path

import pytest

import sdsim

ROOT = Path(sdsim.__file__).parent.parent
NAMES = ("theory", "synthetic", "kernels", "figures")


def python(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """As in that folder, which stands first on the path."""
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("code", [None, "another = True\n"], ids=["empty folder", "package"])
@pytest.mark.parametrize("name", NAMES)
def test_what_bears_our_name_is_not_taken_for_ours(
    name: str, code: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()
    if code is not None:
        (tmp_path / name / "__init__.py").write_text(code)
    done = python(f"import sdsim, {name}; print({name}.__file__)", tmp_path)
    assert done.stderr == ""
    assert done.stdout.strip() == str(ROOT / name / "__init__.py")
    command = [sys.executable, "-m", "sdsim", "--help"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_what_is_in_use_already_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "__init__.py").touch()
    done = python("import kernels, sdsim", tmp_path)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: sdsim needs its own package 'kernels'")
    assert str(tmp_path / "kernels") in last
    assert "import sdsim first" in last
    assert python("import sdsim, kernels; import sdsim.cli", tmp_path).returncode == 0
