"""All claims, each checked unless it is cited: what `sdsim theory verify` prints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from . import (
    algorithms,
    automata,
    based,
    layers,
    one_pass,
    passes,
    protocols,
    reductions,
    with_error,
)
from .claim import Claim, ClaimFailed

CLAIMS: tuple[Claim, ...] = (
    *one_pass.CLAIMS,
    *with_error.CLAIMS,
    *automata.CLAIMS,
    *passes.CLAIMS,
    *algorithms.CLAIMS,
    *protocols.CLAIMS,
    *reductions.CLAIMS,
    *layers.CLAIMS,
    *based.CLAIMS,
)
"""All claims; a new one is an entry in one of the modules of this package."""


Finding = Literal["holds", "agrees", "not checked", "fails"]


@dataclass(frozen=True)
class Verdict:
    """What checking one claim came to.

    Attributes:
        claim: the claim.
        finding: ``"holds"`` on all instances; ``"agrees"``, of a formula with another;
            ``"not checked"``, as it is cited; ``"fails"``.
        instances: how many were checked; 0 if it is cited or failed.
        scope: which ones; for a claim that failed, the counterexample, or how the check broke.
        seconds: time that the check took.
    """

    claim: Claim
    finding: Finding
    instances: int
    scope: str
    seconds: float


def verify(claims: Sequence[Claim] = CLAIMS) -> Iterator[Verdict]:
    """Check claim after claim; a claim that fails does not keep the others from being checked.

    >>> from .claim import Evidence
    >>> def check() -> Evidence:
    ...     return Evidence(instances=1, scope="the number 1")
    >>> claim = Claim("one", "1 = 1", check, hypotheses="none", strength="exhaustive")
    >>> [(verdict.claim.name, verdict.finding) for verdict in verify([claim])]
    [('one', 'holds')]
    """
    for claim in claims:
        started = time.perf_counter()
        instances = 0
        finding: Finding = "fails"
        if claim.strength == "cited":
            finding, scope = "not checked", "the literature"
        else:
            try:
                evidence = claim.evidence()
                finding = "agrees" if claim.strength == "formula" else "holds"
                instances, scope = evidence.instances, evidence.scope
            except ClaimFailed as failure:
                scope = str(failure)
            except Exception as error:  # the check itself broke: it shows nothing
                scope = f"the check broke: {error!r}"
        yield Verdict(claim, finding, instances, scope, time.perf_counter() - started)
