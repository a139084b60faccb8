"""What a figure's module hands over, and how it is written: the same bytes for the same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from figures.style import take_note
from sdsim.files import write_text


class NothingToDraw(Exception):  # noqa: N818 - not an error: other figures go on
    """Raised by a figure that the runs do not allow; the text says why."""


@dataclass(frozen=True)
class Drawing:
    """A figure and the numbers in it."""

    figure: Figure
    data: pl.DataFrame

    def save(self, stem: Path, *, caption: bool = True) -> list[Path]:
        """Write ``<stem>.pdf``, ``.png`` and ``.csv``, without dates and versions; their paths.

        Args:
            stem: of the files.
            caption: whether the note stands in the picture; else it is ``<stem>.txt``, for the
                caption of a paper.
        """
        pdf, png, csv, txt = self.paths(stem)
        written = [pdf, png, csv]
        txt.unlink(missing_ok=True)
        if not caption:
            write_text(txt, take_note(self.figure) + "\n")
            written.append(txt)
        dateless = {"CreationDate": None, "Creator": None, "Producer": None}
        self.figure.savefig(pdf, metadata=dateless)
        self.figure.savefig(png, metadata={"Software": None})
        # Polars, given the path, would take a folder that is called ~ for the user's home.
        write_text(csv, self.data.write_csv())
        return written

    @staticmethod
    def paths(stem: Path) -> list[Path]:
        """Where `save` may write."""
        return [stem.with_suffix(suffix) for suffix in (".pdf", ".png", ".csv", ".txt")]

    @classmethod
    def remove(cls, stem: Path) -> None:
        """Delete what an earlier `save` to the same stem wrote, if anything."""
        for path in cls.paths(stem):
            path.unlink(missing_ok=True)
