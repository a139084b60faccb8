"""Files that are read back, and what is wrong with them in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

READ_ERRORS = (ValueError, OSError, RecursionError)
"""What reading and checking a text or JSON file may raise."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a file holds.

    Raises:
        ValueError, OSError, RecursionError: if it holds something else, or cannot be read.
    """
    stored = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(stored, dict):
        raise ValueError("it holds no JSON object")
    return stored


def reason(error: BaseException) -> str:
    """What is wrong with a file or what it describes, in one line."""
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False)
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong)
    return str(error).splitlines()[0] if str(error) else type(error).__name__
