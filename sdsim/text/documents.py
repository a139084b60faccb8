"""Documents from text, JSONL and Parquet files, Hugging Face datasets, and Python itself."""

from __future__ import annotations

import ast
import gzip
import json
import platform
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import polars as pl

from sdsim.text.config import PYTHON

_HUB = "hf:"
_JSONL, _PARQUET = (".jsonl", ".jsonl.gz"), (".parquet",)
_TEXT = (".txt", ".md", ".rst")
_ROWS = 4096


class Document(NamedTuple):
    """A text, and where it comes from."""

    text: str
    where: str


def sources(data: Sequence[str]) -> list[str]:
    """What `documents` reads, in its order: files with their sizes, names of datasets.

    Raises:
        ValueError: for a file that is not there or of no known kind, and without any source.
    """
    found = []
    for name in data:
        if name.startswith(_HUB) and find_spec("datasets") is None:
            raise ValueError(f"data = {name!r} needs the package datasets: pip install -e '.[hf]'")
        if name == PYTHON:
            found.append(f"{name} {platform.python_version()}")
        elif name.startswith(_HUB):
            found.append(name)
        else:
            found += [f"{path} ({path.stat().st_size} bytes)" for path in _files(name)]
    if not found:
        raise ValueError("data is empty: name files, folders, hf:<dataset>, or python")
    return found


def documents(data: Sequence[str], text_field: str) -> Iterator[Document]:
    """All documents, always in the same order.

    Args:
        data: files and folders (with all that is below them, by name); ``hf:<dataset>`` or
            ``hf:<dataset>:<config>``, whose train split is streamed; ``"python"``: Python's
            documentation and the docstrings of its library. A document is a text file, a line of
            a JSONL file, or a row of a Parquet file.
        text_field: key or column that holds the text.

    Raises:
        ValueError: for a file that is not there or cannot be read, naming file and line.
    """
    for name in data:
        if name == PYTHON:
            yield from _python()
        elif name.startswith(_HUB):
            yield from _hub(name, text_field)
        else:
            for path in _files(name):
                yield from _file(path, text_field)


def _files(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        known = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name.endswith((*_JSONL, *_PARQUET, *_TEXT))
        ]
        if not known:
            raise ValueError(f"data = {name!r}: the folder holds no file that ends with {_kinds()}")
        return known
    if not path.exists():
        raise ValueError(
            f"data = {name!r}: there is no such file; a dataset's name begins with {_HUB}"
        )
    if not path.name.endswith((*_JSONL, *_PARQUET, *_TEXT)):
        raise ValueError(f"data = {name!r}: must end with {_kinds()}")
    return [path]


def _kinds() -> str:
    *others, last = (*_TEXT, *_JSONL, *_PARQUET)
    return f"{', '.join(others)} or {last}"


def _file(path: Path, text_field: str) -> Iterator[Document]:
    try:
        if path.name.endswith(_JSONL):
            yield from _jsonl(path, text_field)
        elif path.name.endswith(_PARQUET):
            yield from _parquet(path, text_field)
        else:
            yield Document(path.read_text(encoding="utf-8"), str(path))
    except (UnicodeDecodeError, gzip.BadGzipFile, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error


def _jsonl(path: Path, text_field: str) -> Iterator[Document]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{where}: not JSON: {error}") from error
            text = row.get(text_field) if isinstance(row, dict) else None
            yield _row(text, text_field, where)


def _parquet(path: Path, text_field: str) -> Iterator[Document]:
    table = pl.scan_parquet(path)
    if text_field not in table.collect_schema():
        columns = ", ".join(table.collect_schema())
        raise ValueError(
            f"{path} has no column {text_field!r} (text_field); its columns are {columns}"
        )
    total = table.select(pl.len()).collect().item()
    for start in range(0, total, _ROWS):
        texts = table.select(text_field).slice(start, _ROWS).collect()[text_field]
        for offset, text in enumerate(texts):
            yield _row(text, text_field, f"{path}, row {start + offset + 1}")


def _hub(name: str, text_field: str) -> Iterator[Document]:
    from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]

    dataset, _, config = name.removeprefix(_HUB).partition(":")
    try:
        stream = load_dataset(dataset, config or None, split="train", streaming=True)
    except Exception as error:  # of the network, the hub or the library
        raise ValueError(f"data = {name!r}: {str(error).splitlines()[0]}") from error
    for number, row in enumerate(stream, 1):
        yield _row(row.get(text_field), text_field, f"{name}, row {number}")


def _row(text: object, text_field: str, where: str) -> Document:
    if not isinstance(text, str):
        raise ValueError(f"{where}: no text under {text_field!r} (text_field)")
    return Document(text, where)


def _python() -> Iterator[Document]:
    from pydoc_data.topics import topics

    for name in sorted(topics):
        yield Document(topics[name], f"Python's documentation, {name}")
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        inside = path.relative_to(library)
        if {"site-packages", "test", "tests", "idle_test"} & set(inside.parts):
            continue
        text = _docstrings(path)
        if text:
            yield Document(text, f"Python's library, {inside}")


def _docstrings(path: Path) -> str:
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):  # templates and samples that are not programs
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return "\n\n".join(text for text in found if text)
