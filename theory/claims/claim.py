"""A numbered claim, and the evidence that its check on instances yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class ClaimFailed(Exception):  # noqa: N818 - a finding, not a misuse
    """An instance refutes a claim; the text is the counterexample."""


@dataclass(frozen=True)
class Evidence:
    """What a passed check has covered: instances, so that it is no proof.

    Attributes:
        instances: how many instances were checked, each by itself.
        scope: which ones, in a few words, e.g. ``"all (n, a, b) with n ≤ 6"``.
    """

    instances: int
    scope: str

    def __post_init__(self) -> None:
        if self.instances < 1:
            raise ValueError(f"instances = {self.instances}: a check must look at one at least")


@dataclass(frozen=True)
class Claim:
    """A statement of the paper or of ours, and a check on instances that could refute it.

    Attributes:
        name: its number in the paper, e.g. ``"G.15"``, or a short name of ours.
        statement: what it says, in one line of our words.
        check: looks at many instances; raises `ClaimFailed` at the first that refutes it.
    """

    name: str
    statement: str
    check: Callable[[], Evidence]


def require(holds: bool, counterexample: str) -> None:
    """Raise `ClaimFailed` with the counterexample unless `holds`."""
    if not holds:
        raise ClaimFailed(counterexample)
