"""Texts of users as they are shown: on one line, nothing that steers a terminal."""

from __future__ import annotations

import unicodedata

_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_UNSHOWN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of a pair, line separators


def shown(text: str) -> str:
    r"""The text, control characters, line breaks and changes of direction as Python writes them.

    >>> shown("two\nlines"), shown("\x1b[31mred"), shown("שלום, $x_1$ [mine]")
    ('two\\nlines', '\\x1b[31mred', 'שלום, $x_1$ [mine]')
    """
    return "".join(escaped(letter) if _steers(letter) else letter for letter in text)


def escaped(letter: str) -> str:
    """A character as Python's strings write it."""
    return letter.encode("unicode_escape").decode("ascii")


def _steers(letter: str) -> bool:
    return (
        unicodedata.category(letter) in _UNSHOWN or unicodedata.bidirectional(letter) in _DIRECTIONS
    )
