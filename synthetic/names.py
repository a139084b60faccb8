"""Made-up names and numbers, each of which belongs to one split alone.

A word's split is a function of the word: held-out documents speak of people, places and numbers of
which no training document has said anything, so that their answers must be read and cannot be
remembered. All words of a kind have the same length, so that none stands within another.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import product
from typing import Literal, get_args

from .task import Split

WordKind = Literal["given", "family", "place", "number"]
"""A given name (5 letters), a family name (6), a place (7), a number of four digits."""

_SHARES: dict[Split, range] = {"train": range(8), "validation": range(8, 9), "test": range(9, 10)}
"""Tenths of the words that each split has."""


def _parts(*lists: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(part.split()) for part in lists)


_PARTS: dict[WordKind, tuple[tuple[str, ...], ...]] = {
    "given": _parts(
        "Mar Tel Jon Bel Cor Dan Eli Fen Gil Hal Ivo Kat Lor Nel Osk Per Ros Sib Tam Vic",
        "la na ra ta va do no ro so ma is en ia ea us in on el ik yn",
    ),
    "family": _parts(
        "Ash Bar Cal Dor Elm Far Gar Hol Ing Jar Kel Lam Mor Nor Oak Pem Rad Sel Tor Ull "
        "Ven Wal Yar Zel Bro Cre Dra Fli Gra Hes Kin Lud Mil Net Pol Rus Sto Tru Vos Win",
        "ber cot den dry fen gan ham ker ley low man mer ner nor per rin ric sby ser son "
        "tan ter ton vel ver vin war way wen win wyn yer zen bur dal gil lan mor row tin",
    ),
    "place": _parts(
        "Ba Be Bo Ca Da De Fa Ga Ha Ka La Le Lo Ma Na Pa Ra Sa Ta Va",
        "bi di do fi lu ka li lo ma mi na no ra ri ro sa ti to va vo",
        "bar bel dan dor fel gar han kel lan mar mel nor pen ran rel sil tar ven vor zan",
    ),
    "number": _parts("1 2 3 4 5 6 7 8 9", *["0 1 2 3 4 5 6 7 8 9"] * 3),
}


@lru_cache
def words(kind: WordKind, split: Split) -> tuple[str, ...]:
    """All words of a kind that a split may use, in a fixed order.

    >>> words("place", "test")[:3]
    ('Babigar', 'Babitar', 'Babiven')
    """
    made = ("".join(parts) for parts in product(*_PARTS[kind]))
    return tuple(word for word in made if split_of(word) == split)


def split_of(word: str) -> Split:
    """The one split that may use a word.

    >>> split_of("Babigar")
    'test'
    """
    tenth = hashlib.blake2b(word.encode(), digest_size=8).digest()[0] % 10
    return next(split for split in get_args(Split) if tenth in _SHARES[split])
