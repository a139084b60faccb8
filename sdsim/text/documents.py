"""Documents from text, JSONL and Parquet files, Hugging Face datasets, and Python itself."""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import logging
import os
import platform
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sdsim.reading import reason
from sdsim.text.config import PYTHON

logger = logging.getLogger(__name__)

_HUB = "hf:"
_JSONL, _PARQUET = (".jsonl", ".jsonl.gz"), (".parquet",)
_TEXT = (".txt", ".md", ".rst")
_ROWS = 4096
_CHUNK = 2**20
_BYTE_ORDER_MARK = "\ufeff"


class Document(NamedTuple):
    """A text, and where it comes from."""

    text: str
    where: str


class Source(NamedTuple):
    """A file that `documents` reads whole, or another source by its name.

    Attributes:
        name: the file's path; hf:<dataset>, or python with its version.
        bytes: size of the file; None: not a file.
        modified: when the file was last written, in nanoseconds.
    """

    name: str
    bytes: int | None = None
    modified: int | None = None

    def digest(self) -> str:
        """SHA-256 of the file's content; of another source its name."""
        if self.bytes is None:
            return self.name
        digest = hashlib.sha256()
        with open(self.name, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()


def sources(data: Sequence[str]) -> list[Source]:
    """What `documents` reads, in its order.

    Raises:
        ValueError: for a file that is not there or of no known kind, and without any source.
    """
    found = []
    for name in data:
        if name.startswith(_HUB) and find_spec("datasets") is None:
            raise ValueError(f"data = {name!r} needs the package datasets: pip install -e '.[hf]'")
        if name == PYTHON:
            found.append(Source(f"{name} {platform.python_version()}"))
        elif name.startswith(_HUB):
            found.append(Source(name))
        else:
            files, others = _files(name)
            if others:
                logger.warning(
                    "data = %r: left out are files that do not end with %s: %s, the first is %s",
                    name,
                    _kinds(),
                    len(others),
                    others[0],
                )
            for path in files:
                status = path.stat()
                found.append(Source(str(path), status.st_size, status.st_mtime_ns))
    if not found:
        raise ValueError("data is empty: name files, folders, hf:<dataset>, or python")
    return found


def documents(data: Sequence[str], text_field: str) -> Iterator[Document]:
    """All documents, always in the same order.

    Args:
        data: files and folders (with all that is below them, by name, linked ones too);
            ``hf:<dataset>`` or ``hf:<dataset>:<config>``, whose train split is streamed;
            ``"python"``: Python's documentation and the docstrings of its library. A document is a
            text file, a line of a JSONL file that is not blank, or a row of a Parquet file.
            Byte-order marks are no part of the text; ``null`` is an empty text.
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
            for path in _files(name)[0]:
                yield from _file(path, text_field)


def _files(name: str) -> tuple[list[Path], list[Path]]:
    """The files to read, and those of a folder that are of other kinds, but for hidden ones."""
    path = Path(name)
    if path.is_dir():
        found = _below(path)
        known = [file for file in found if _ends(file, *_JSONL, *_PARQUET, *_TEXT)]
        if not known:
            raise ValueError(f"data = {name!r}: the folder holds no file that ends with {_kinds()}")
        others = [
            file
            for file in sorted(set(found) - set(known))
            if not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        return known, others
    if not path.exists():
        raise ValueError(
            f"data = {name!r}: there is no such file; a dataset's name begins with {_HUB}"
        )
    if not _ends(path, *_JSONL, *_PARQUET, *_TEXT):
        raise ValueError(f"data = {name!r}: must end with {_kinds()}")
    return [path], []


def _below(folder: Path) -> list[Path]:
    """All files in a folder and below, linked folders included, each folder once; sorted."""
    found = []
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(
            name for name in folders if os.path.realpath(os.path.join(parent, name)) not in seen
        )
        found += [file for name in files if (file := Path(parent, name)).is_file()]
    return sorted(found)


def _ends(path: Path, *kinds: str) -> bool:
    return path.name.lower().endswith(kinds)


def _kinds() -> str:
    *others, last = (*_TEXT, *_JSONL, *_PARQUET)
    return f"{', '.join(others)} or {last}"


def _file(path: Path, text_field: str) -> Iterator[Document]:
    try:
        if _ends(path, *_JSONL):
            yield from _jsonl(path, text_field)
        elif _ends(path, *_PARQUET):
            yield from _parquet(path, text_field)
        else:
            yield Document(path.read_text(encoding="utf-8-sig"), str(path))
    except (UnicodeDecodeError, OSError, pl.exceptions.PolarsError) as error:
        raise ValueError(f"{path}: cannot be read: {reason(error)}") from error


def _jsonl(path: Path, text_field: str) -> Iterator[Document]:
    for number, line in enumerate(_lines(path), 1):
        content = line.strip().strip(_BYTE_ORDER_MARK)
        if not content:
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: not JSON: {reason(error)}") from error
        if not isinstance(row, dict):
            raise ValueError(f"{where}: not a JSON object with a text under {text_field!r}")
        yield _document(row, text_field, where)


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file; bytes that are not UTF-8 become lone surrogates."""
    number = 0
    opened = gzip.open if _ends(path, ".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                number += 1
                yield line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        where = f" after line {number}" if number else ""
        raise ValueError(f"{path}: cannot be read{where}: {error}") from error


def _parquet(path: Path, text_field: str) -> Iterator[Document]:
    table = pl.scan_parquet(path.absolute(), glob=False)
    if text_field not in table.collect_schema():
        columns = ", ".join(table.collect_schema())
        raise ValueError(
            f"{path} has no column {text_field!r} (text_field); its columns are {columns}"
        )
    total = table.select(pl.len()).collect().item()
    for start in range(0, total, _ROWS):
        rows = table.select(text_field).slice(start, _ROWS).collect()
        for number, row in enumerate(rows.iter_rows(named=True), start + 1):
            yield _document(row, text_field, f"{path}, row {number}")


def _hub(name: str, text_field: str) -> Iterator[Document]:
    for number, row in enumerate(_hub_rows(name), 1):
        yield _document(row, text_field, f"{name}, row {number}")


def _hub_rows(name: str) -> Iterator[dict[str, Any]]:
    from datasets import load_dataset  # type: ignore[import-not-found,unused-ignore]

    dataset, _, config = name.removeprefix(_HUB).partition(":")
    try:
        yield from load_dataset(dataset, config or None, split="train", streaming=True)
    except Exception as error:  # of the network, the hub or the library
        raise ValueError(f"data = {name!r}: {reason(error)}") from error


def _document(row: dict[str, Any], text_field: str, where: str) -> Document:
    """The document in a row; ``null`` is an empty one."""
    text = row.get(text_field, 0)
    if text is None:
        return Document("", where)
    if not isinstance(text, str):
        raise ValueError(f"{where}: no text under {text_field!r} (text_field)")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{where}: the text is not UTF-8 at its character {error.start + 1}"
        ) from error
    return Document(text.removeprefix(_BYTE_ORDER_MARK), where)


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
