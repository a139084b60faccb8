"""Files that are read back, and what is wrong with them, or with settings, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

_MOST_SHOWN = 4  # errors of one file or config, in a line
_LONGEST_SHOWN = 80  # characters of a value

READ_ERRORS = (ValueError, OSError, OverflowError, RecursionError)
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


def is_failure(error: BaseException) -> bool:
    """Whether an error says that something failed: any `Exception`, or a panic of Rust code.

    A panic is none of Python's exceptions, as little as Ctrl-C is, but it comes of damaged files.
    """
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def reason(error: BaseException) -> str:
    """What is wrong with a file or what it describes, in one line."""
    if isinstance(error, ValidationError):
        return describe(error)
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return first.split("; use sys.")[0]  # Python's advice to programs


def describe(error: ValidationError, path: str = "") -> str:
    """Each field that is wrong, its value and what is allowed, in one line.

    Args:
        error: from a check of ours or of pydantic's.
        path: what stands before the names of the fields, such as ``"sweep."``.
    """
    details = [dict(detail) for detail in error.errors()]
    # A list whose items are wrong is itself reported as too short.
    inner = [outer for outer in details if not any(_is_within(x, outer) for x in details)]
    lines = list(dict.fromkeys(_one_line(detail, path) for detail in inner))
    more = [f"and {len(lines) - _MOST_SHOWN} more"] if len(lines) > _MOST_SHOWN else []
    return "; ".join(lines[:_MOST_SHOWN] + more)


def _is_within(inner: dict[str, Any], outer: dict[str, Any]) -> bool:
    depth = len(outer["loc"])
    return len(inner["loc"]) > depth and inner["loc"][:depth] == outer["loc"]


def _one_line(error: dict[str, Any], path: str) -> str:
    if error["type"] == "value_error":  # raised by a check of ours, which has named the field
        return str(error["ctx"]["error"])
    where = ".".join(str(part) for part in error["loc"] if part not in ("int", "float"))
    return f"{path}{where} = {_shown(error['input'])}: {_requirement(error)}"


def _requirement(error: dict[str, Any]) -> str:
    kind, message = error["type"], error["msg"]
    if kind in ("int_type", "int_parsing", "float_type", "float_parsing"):
        return "must be a valid number" if error["loc"][-1] in ("int", "float") else _must(message)
    if kind == "tuple_type":
        return f"must be a list, such as [{error['input']}]"
    if kind == "too_short":
        return f"must have at least {error['ctx']['min_length']} items".replace("1 items", "1 item")
    return _must(message)


def _must(message: str) -> str:
    begun = message.removeprefix("Input should ")
    return f"must {begun}" if begun != message else message.lower()


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
