"""A numbered claim: what it assumes, how strong it is, and the evidence that its check yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

Strength = Literal["exhaustive", "construction", "sample", "formula", "cited"]
"""What a claim rests on here.

* ``"exhaustive"``: every instance, message or protocol of some sizes was gone through. For these
  sizes that is a proof; beyond them the argument stands in the docstrings.
* ``"construction"``: an algorithm, weights or a reduction that does it was built and run.
* ``"sample"``: some instances were drawn or chosen. Others might refute it.
* ``"formula"``: two expressions of ours were compared. Neither is measured, so that no instance of
  the problem could refute it.
* ``"cited"``: a theorem of the literature. Nothing is checked here.
"""

STRENGTHS: tuple[Strength, ...] = get_args(Strength)


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
    """A statement of the paper, of ours or of the literature, and a check that could refute it.

    Attributes:
        name: its number in the paper, e.g. ``"G.15"``, or a short name of ours.
        statement: what it says, in one line of our words.
        check: looks at many instances; raises `ClaimFailed` at the first that refutes it. None if
            the claim is cited, and only then.
        hypotheses: all that the statement assumes: sizes, errors, coins, what is known.
        strength: what it rests on here, one of `STRENGTHS`.

    Raises:
        ValueError: for a strength that is none, no hypotheses, a cited claim with a check or
            another without.
    """

    name: str
    statement: str
    check: Callable[[], Evidence] | None
    _: KW_ONLY
    hypotheses: str
    strength: Strength

    def __post_init__(self) -> None:
        if self.strength not in STRENGTHS:
            raise ValueError(f"strength = {self.strength!r}: one of {STRENGTHS} is needed")
        if not self.hypotheses:
            raise ValueError(f"hypotheses of {self.name} are empty: say what it assumes")
        if (self.check is None) != (self.strength == "cited"):
            raise ValueError(
                f"check of {self.name}: none if the claim is cited, else one is needed"
            )

    def evidence(self) -> Evidence:
        """What the check finds.

        Raises:
            ClaimFailed: for an instance that refutes it.
            ValueError: for a cited claim, which has no check.
        """
        if self.check is None:
            raise ValueError(f"{self.name} is cited: nothing is checked")
        return self.check()


def require(holds: bool, counterexample: str) -> None:
    """Raise `ClaimFailed` with the counterexample unless `holds`."""
    if not holds:
        raise ClaimFailed(counterexample)
