"""What made a result: versions of the software, and the commit of the checkout."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import sdsim


def versions() -> dict[str, str]:
    """Of Python, sdsim, torch and numpy."""
    import torch

    return {
        "python": platform.python_version(),
        "sdsim": sdsim.__version__,
        "torch": torch.__version__,
        "numpy": version("numpy"),
    }


@lru_cache
def commit() -> str | None:
    """The commit of the checkout that this file is in, with ``+`` if it was changed; else None."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        # Without locks, or a run that is killed meanwhile would leave the index locked.
        command = ["git", "--no-optional-locks", "-C", str(here), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + (
            "+" if git("status", "--porcelain") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return None
