"""Files that are there whole or as they were before, whoever dies when."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A scratch path beside `path` to write to; on success it takes `path`'s place at once.

    A process that is killed leaves its scratch file; `remove_scratch` is for the only writer.

    Raises:
        OSError: if it cannot be written; `path` is then as it was.
    """
    partial = _scratch(path)
    try:
        yield partial
        sync(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A scratch folder beside `path` to fill; on success it becomes `path` by one rename.

    A folder that is there already stays, if it holds anything: the first writer wins.

    Raises:
        OSError: if it cannot be written; nothing is left then.
    """
    scratch = _scratch(path)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        try:
            scratch.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def remove_scratch(folder: Path, pattern: str = "*") -> None:
    """Remove what killed writers of the files that match have left; no other may be writing."""
    for left in folder.glob(f".{pattern}-{'[0-9a-f]' * 32}"):
        left.unlink(missing_ok=True)


def save_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file; `atomic_file` or `atomic_folder` make it whole.

    Raises:
        OSError: if it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file  # imports torch, which most files here do without

    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(str(error)) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically (see `atomic_file`)."""
    with atomic_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, outlive a crash of the machine."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(folder: Path, name: str) -> None:
    """Raise `ValueError`, naming the setting, unless files can be made in `folder`.

    The folder need not exist: then its nearest ancestor is tried. Nothing is left behind.
    """
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        tempfile.TemporaryDirectory(dir=nearest, prefix=".sdsim-").cleanup()
    except OSError as error:
        raise ValueError(
            f"{name} = {folder}: cannot write in {nearest} ({error.strerror}); choose another"
        ) from error


def _scratch(path: Path) -> Path:
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}")
